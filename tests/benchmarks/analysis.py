"""Speed and memory of the analysis, next to torchinfo's.

Run it by hand on one core, after `pip install torchinfo`:
`OMP_NUM_THREADS=1 python tests/benchmarks/analysis.py`
"""

from __future__ import annotations

import resource
import time
from collections.abc import Callable
from statistics import median

import torch
import torchinfo
from torch import Tensor, nn
from torchvision.models import resnet152

from mnistzoo import analyze, exp5

IMAGE = (3, 224, 224)
ROUNDS = 15


class SliceWrites(nn.Module):
    """A model that copies its input row by row."""

    def forward(self, x: Tensor) -> Tensor:  # noqa: D102 - torch's own method
        out = torch.zeros_like(x)
        for row in range(x.shape[2]):
            out[:, :, row] = x[:, :, row]
        return out


def seconds(function: Callable[[], object], rounds: int = ROUNDS) -> list[float]:
    """Return this process's CPU seconds for each of a few calls, after one to warm up."""
    function()
    times = []
    for _ in range(rounds):
        start = time.process_time()
        function()
        times.append(time.process_time() - start)
    return times


def peak() -> int:
    """Return the peak memory of this process in bytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def show(name: str, times: list[float]) -> None:
    """Print the median and the fastest."""
    print(f"{name:42} median {median(times) * 1e3:8.1f} ms   fastest {min(times) * 1e3:8.1f} ms")


def main() -> None:
    """Measure and print."""
    torch.set_num_threads(1)
    show("exp5().receptive_field()", seconds(lambda: exp5().receptive_field(), 100))
    show("1,000 slice writes", seconds(lambda: analyze(SliceWrites(), (3, 1000, 16))))
    model = resnet152().eval()
    weights = sum(x.nbytes for x in (*model.parameters(), *model.buffers()))
    analyze(exp5(), (1, 28, 28))
    before = peak()
    analyze(model, IMAGE)
    added = peak() - before
    print(f"resnet152: peak memory of the analysis    {1 + added / weights:.3f} × its own")
    mine = seconds(lambda: analyze(model, IMAGE))
    theirs = seconds(lambda: torchinfo.summary(model, (1, *IMAGE), verbose=0, device="cpu"))
    show("resnet152: mnistzoo.analyze", mine)
    show("resnet152: torchinfo.summary", theirs)
    print(f"resnet152: torchinfo ÷ mnistzoo            {median(theirs) / median(mine):.1f}")


if __name__ == "__main__":
    main()
