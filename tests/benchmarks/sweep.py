"""Analyze every architecture of timm and every network of torchvision, and check the counts.

It takes about an hour on one core:

    PYTHONPATH=tests python -m benchmarks.sweep run sweep.csv
    PYTHONPATH=tests python -m benchmarks.sweep summary sweep.csv

`run sweep-0.csv 0/2` and `run sweep-1.csv 1/2` share the work, and `summary` takes both files. A
run that was interrupted resumes. Parameters are held to `numel`, and MACs to half of the operations
that PyTorch's `FlopCounterMode` counts. Weights stay on the meta device, so no memory is needed.
"""

from __future__ import annotations

import csv
import random
import signal
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import timm
import torch
import torchvision
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from analysis.weightless import Weightless
from mnistzoo import analyze
from mnistzoo.tables import Table

COLUMNS = (
    *("library", "model", "inputs", "parameters", "numel", "macs", "counted_macs"),
    *("stopped_at", "error", "seconds"),
)
"""The columns of a run's CSV: one row for each model."""

TASKS = ("segmentation", "detection", "video", "optical_flow")
"""The modules of `torchvision.models` besides the classifiers."""

SECONDS = 300
"""A model that takes more of the processor's time counts as an error."""

VIDEO_SIDES = {"r3d_18": 112, "mc3_18": 112, "r2plus1d_18": 112}

Case = tuple[str, str, tuple[Any, ...]]


def cases() -> Iterator[Case]:
    """Yield the library, the name and the inputs of each model."""
    yield from (("torchvision", name, (3, 224, 224)) for name in classifiers())
    for task in TASKS:
        for name in torchvision.models.list_models(getattr(torchvision.models, task)):
            yield f"torchvision {task.replace('_', ' ')}", name, _inputs(task, name)
    for name in timm.list_models():
        config = timm.get_pretrained_cfg(name)
        yield "timm", name, tuple(config.input_size) if config else (3, 224, 224)


def classifiers() -> list[str]:
    """Return the names of torchvision's classifiers."""
    return torchvision.models.list_models(torchvision.models)


def _inputs(task: str, name: str) -> tuple[Any, ...]:
    if task == "video":
        side = VIDEO_SIDES.get(name, 224)
        return (3, 16, side, side)
    return ((3, 128, 128), (3, 128, 128)) if task == "optical_flow" else (3, 224, 224)


def build(library: str, name: str) -> nn.Module:
    """Return a model in evaluation mode, its weights on the meta device where possible."""
    options: dict[str, Any] = {}
    if library.endswith(("segmentation", "detection")):
        options["weights_backbone"] = None
    make = timm.create_model if library == "timm" else torchvision.models.get_model
    try:
        with Weightless():
            return make(name, **options).eval()
    except RuntimeError:  # some hybrid models call their backbone when they are built
        return make(name, **options).eval()


def count(module: nn.Module, inputs: tuple[Any, ...]) -> int | None:
    """Return half of the operations that torch counts, or `None` where it does not run."""
    shapes = inputs if isinstance(inputs[0], tuple) else (inputs,)
    images = [torch.empty(1, *shape, device="meta") for shape in shapes]
    try:
        with torch.no_grad(), FlopCounterMode(display=False) as counter:
            module.to("meta")(*images)
    except TimeoutError:
        raise
    except Exception:  # models that read values do not run on the meta device
        return None
    return int(counter.get_total_flops()) // 2


def check(case: Case) -> dict[str, object]:
    """Return a model's row."""
    library, name, inputs = case
    row: dict[str, object] = dict.fromkeys(COLUMNS, "")
    row |= {"library": library, "model": name, "inputs": inputs}
    start = time.perf_counter()
    try:
        module = build(library, name)
        row["numel"] = sum(parameter.numel() for parameter in module.parameters())
        analysis = analyze(module, inputs)
        row |= {"parameters": analysis.num_params, "macs": analysis.macs}
        row["seconds"] = round(time.perf_counter() - start, 2)
        row["stopped_at"] = analysis.stopped_at or ""
        counted = count(module, inputs)
        row["counted_macs"] = "" if counted is None else counted
    except Exception as error:  # a row of its own
        row["error"] = f"{type(error).__name__}: {error}".splitlines()[0]
    return row


def run(file: Path, shard: str = "0/1") -> None:
    """Append the rows of the models that a file lacks."""
    number, shards = map(int, shard.split("/"))
    done = {(row["library"], row["model"]) for row in read(file)} if file.exists() else set()
    with file.open("a", newline="") as stream:
        writer = csv.DictWriter(stream, COLUMNS)
        if not done:
            writer.writeheader()
        for case in shuffled(cases())[number::shards]:
            if case[:2] not in done:
                signal.setitimer(signal.ITIMER_PROF, SECONDS)
                writer.writerow(check(case))
                signal.setitimer(signal.ITIMER_PROF, 0)
                stream.flush()


def shuffled(found: Iterator[Case]) -> list[Case]:
    """Return the models in an order in which any beginning is a sample."""
    return random.Random(0).sample(models := list(found), len(models))


def read(file: Path) -> list[dict[str, str]]:
    """Return the rows of a run."""
    with file.open(newline="") as stream:
        return list(csv.DictReader(stream))


def summary(*files: Path) -> Table:
    """Return a row for each library."""
    rows = [row for file in files for row in read(file)]
    tests: dict[str, Callable[[dict[str, str]], bool]] = {
        "models": lambda row: True,
        "analyzed": lambda row: not row["error"],
        "up to an operator that needs values": lambda row: bool(row["stopped_at"]),
        "parameters equal numel": lambda row: row["parameters"] == row["numel"] != "",
        "counted by torch": lambda row: row["counted_macs"] != "",
        "MACs equal torch's": lambda row: row["macs"] == row["counted_macs"] != "",
    }
    cells = [
        [library, *(sum(map(test, rows_of(library, rows))) for test in tests.values())]
        for library in dict.fromkeys(row["library"] for row in rows)
    ]
    return Table(("library", *tests), cells)


def rows_of(library: str, rows: list[dict[str, str]]) -> list[dict[str, str]]:
    """Return the rows of a library."""
    return [row for row in rows if row["library"] == library]


def differing(*files: Path) -> Iterator[str]:
    """Yield a line for each error and each count that differs."""
    for row in (row for file in files for row in read(file)):
        if row["error"]:
            yield f"{row['model']}: {row['error']}"
        if row["parameters"] != row["numel"] and not row["error"]:
            yield f"{row['model']}: {row['parameters']} parameters, numel {row['numel']}"
        if row["macs"] != row["counted_macs"] != "":
            yield f"{row['model']}: {row['macs']} MACs, torch counts {row['counted_macs']}"


def _time_out(*_: object) -> None:
    raise TimeoutError(f"more than {SECONDS} s")


def main() -> None:
    """Run, or print the summary and what differs."""
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    signal.signal(signal.SIGPROF, _time_out)
    command, *files = sys.argv[1:]
    if command == "run":
        run(Path(files[0]), *files[1:])
    else:
        print(summary(*map(Path, files)).to_csv(), end="")
        print(*differing(*map(Path, files)), sep="\n", file=sys.stderr)


if __name__ == "__main__":
    main()
