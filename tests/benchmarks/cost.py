"""Peak memory beside what PyTorch's profiler records, and lower bounds beside measured times.

Run it by hand, on one thread, for one of the two tables of docs/explanation/memory-and-roofline.md:
`OMP_NUM_THREADS=1 PYTHONPATH=tests python -m benchmarks.cost memory`
`OMP_NUM_THREADS=1 PYTHONPATH=tests python -m benchmarks.cost time`
"""

from __future__ import annotations

import sys
import time
from collections import Counter
from collections.abc import Iterator
from math import prod

import torch
from scipy.stats import spearmanr
from torch import nn

from analysis.allocations import MODELS, measure, own_bytes
from mnistzoo import analyze
from mnistzoo.analysis import Device
from mnistzoo.tables import Table

BATCH = 2
ROUNDS = 8


def models() -> Iterator[tuple[str, nn.Module, tuple[int, ...]]]:
    """Yield the name of each model, the model, and the shape of an image."""
    for name, (build, shape) in MODELS.items():
        torch.manual_seed(0)
        yield name, build().eval(), shape


def memory() -> Table:
    """Return the peak memory of inference and training, in MB, and what the profiler records."""
    columns = [
        f"{mode}: {what}"
        for mode in ("inference", "training")
        for what in ("computed", "measured", "in kernels")
    ]
    rows, close = [], Counter[tuple[bool, int]]()
    for name, module, shape in models():
        before = own_bytes(module) + BATCH * prod(shape) * 4
        row: list[object] = [name]
        for training in (False, True):
            peak = analyze(module, shape).peak_memory(training, batch_size=BATCH)
            measured = [before + extra for extra in measure(module, shape, BATCH, training)]
            row += [f"{x / 1e6:.2f}" for x in (peak, *measured)]
            close.update({(training, i): abs(peak / x - 1) < 0.05 for i, x in enumerate(measured)})
        rows.append(row)
    caption = (
        f"Within 5 % of what is measured: {close[False, 0]} of {len(rows)} in inference, "
        f"{close[True, 0]} of {len(rows)} in training; with what kernels take: "
        f"{close[False, 1]} and {close[True, 1]}"
    )
    return Table(["model", *columns], rows, caption)


def times() -> Table:
    """Return the lower bound and the fastest of a few calls, in milliseconds."""
    device = Device("cpu")
    rows, bounds, fastest = [], [], []
    for name, module, shape in models():
        bound = analyze(module, shape).roofline(device)
        images, measured = torch.rand(1, *shape), []
        with torch.no_grad():
            for _ in range(ROUNDS):
                start = time.perf_counter()
                module(images)
                measured.append(time.perf_counter() - start)
        bounds.append(bound.seconds)
        fastest.append(min(measured))
        cells = [f"{bounds[-1] * 1e3:.3f}", f"{fastest[-1] * 1e3:.3f}"]
        rows.append([name, *cells, f"{bounds[-1] / fastest[-1]:.2f}", bound.bound_by])
    held = sum(one < other for one, other in zip(bounds, fastest, strict=True))
    rank = spearmanr(bounds, fastest).statistic
    caption = f"{held} of {len(rows)} bounds hold; Spearman's rank correlation {rank:.3f}"
    return Table(["model", "lower bound", "measured", "ratio", "bound by"], rows, caption)


if __name__ == "__main__":
    torch.set_num_threads(1)
    torch.backends.mha.set_fastpath_enabled(False)
    print({"memory": memory, "time": times}[sys.argv[1]]().to_markdown())
