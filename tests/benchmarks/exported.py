"""Measure each exported file: bytes, accuracy on the test images, latency.

Run by hand: `python tests/benchmarks/exported.py [MODEL]...`. It prints the tables of
docs/how-to/export.md. All files of a model take turns on one thread, in short bursts, and the
fastest burst of each counts, in processor time: other work on the machine disturbs that least.
ExecuTorch is left out where it is not installed.
"""

import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import torch
from inference import fastest, session
from torch import Tensor

import mnistzoo
from mnistzoo.errors import MissingExtraError
from mnistzoo.export import export
from mnistzoo.images.transforms import normalize
from mnistzoo.models.convnet import ConvNet
from mnistzoo.storage.manifest import read_manifest
from mnistzoo.tables import Table

MODELS = sys.argv[1:] or mnistzoo.list_models()
SECONDS = 1.0
"""How long each file is timed, for each number of images."""

Run = Callable[[Tensor], Tensor]


def runtime(path: Path) -> Run:
    """Return a function from images to log-probabilities, computed from a file."""
    if path.suffix == ".onnx":
        call = session(path.read_bytes(), threads=1)
        return lambda images: torch.from_numpy(call(images)[0])
    if path.suffix == ".pt2":
        return torch.export.load(path).module()
    from executorch.runtime import Runtime

    method = Runtime.get().load_program(path).load_method("forward")
    return lambda images: torch.cat([method.execute([i[None]])[0].clone() for i in images])


def files(model: ConvNet, folder: Path) -> dict[str, Path]:
    """Export a model to every format, by the name of the format in the table."""
    made = {
        "ONNX": export(model, folder / "float.onnx").path,
        "ONNX, int8": export(model, folder / "int8.onnx", bits=8).path,
        "torch.export": export(model, folder / "model.pt2").path,
    }
    try:
        made["ExecuTorch"] = export(model, folder / "model.pte").path
    except MissingExtraError as error:
        print(error, file=sys.stderr)
    return made


def correct(run: Run, digits: mnistzoo.data.mnist.Digits) -> int:
    """Count the images that are classified correctly."""
    parts = [run(part) for part in normalize(digits.images).split(250)]
    return int((torch.cat(parts).argmax(1) == digits.labels).sum())


def measure(name: str, folder: Path) -> tuple[list[list[str]], list[str]]:
    """Return a model's rows of the first table, and its row of the second."""
    model, digits = mnistzoo.get_model(name, pretrained=True), mnistzoo.mnist(train=False)
    paths = files(model, folder)
    runs: dict[str, Run] = {"PyTorch": model, "PyTorch, fused": model.fused()}
    runs |= {kind: runtime(path) for kind, path in paths.items()}
    images = normalize(digits.images[:256])
    one, many = (
        fastest(
            {kind: partial(run, images[:count]) for kind, run in runs.items()},
            SECONDS,
            time.process_time,
        )
        for count in (1, 256)
    )
    rows = []
    for kind, run in runs.items():
        size = paths[kind].stat().st_size if kind in paths else read_manifest()[name].bytes
        accuracy = correct(run, digits) / len(digits.labels)
        times = f"{one[kind] * 1e6:.0f}", f"{many[kind] * 1e6 / 256:.0f}"
        rows.append([name, kind, f"{size:,}", f"{accuracy:.2%}", *times])
    ratios = (f"{times['ONNX'] / times['ONNX, int8']:.2f} ×" for times in (one, many))
    return rows, [name, *ratios]


def main() -> None:
    """Print both tables."""
    torch.set_num_threads(1)
    torch.set_grad_enabled(False)
    rows, ratios = [], []
    for name in MODELS:
        with tempfile.TemporaryDirectory() as folder:
            own, ratio = measure(name, Path(folder))
        rows += own
        ratios.append(ratio)
    headers = ("model", "file", "bytes", "test accuracy", "1 image (µs)", "256 images (µs each)")
    print(Table(headers, rows, text_columns=2).to_markdown())
    print(Table(("int8 over float", "1 image", "256 images"), ratios).to_markdown())


if __name__ == "__main__":
    main()
