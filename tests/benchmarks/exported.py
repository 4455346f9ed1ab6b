"""What each exported file takes and is worth: bytes, accuracy on the test images, latency.

Run by hand: `python tests/benchmarks/exported.py [NETWORK]...`; prints the table of docs/export.md.
Latency is of one image on one thread, the quickest of many bursts. ExecuTorch is left out where
it is not installed.
"""

import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import torch
from inference import burst, session

import mnistzoo
from mnistzoo.data.mnist import normalize
from mnistzoo.errors import MissingExtraError
from mnistzoo.export import export
from mnistzoo.models.convnet import ConvNet
from mnistzoo.storage.manifest import read_manifest
from mnistzoo.tables import Table

NETWORKS = sys.argv[1:] or mnistzoo.list_models()
BURSTS = 40

Answer = Callable[[torch.Tensor], torch.Tensor]


def runtime(path: Path) -> Answer:
    """A function from images to log-probabilities, by the file at `path`."""
    if path.suffix == ".onnx":
        call = session(path.read_bytes(), threads=1)
        return lambda images: torch.from_numpy(call(images)[0])
    if path.suffix == ".pt2":
        return torch.export.load(path).module()
    from executorch.runtime import Runtime

    method = Runtime.get().load_program(path).load_method("forward")
    return lambda images: torch.cat([method.execute([i[None]])[0].clone() for i in images])


def files(model: ConvNet, folder: Path) -> dict[str, Path]:
    """Every exported file of a network, by what it is called in the table."""
    made = {
        "ONNX": export(model, folder / "float.onnx").path,
        "ONNX, int8": export(model, folder / "int8.onnx", int8=True).path,
        "torch.export": export(model, folder / "net.pt2").path,
    }
    try:
        made["ExecuTorch"] = export(model, folder / "net.pte").path
    except MissingExtraError as error:
        print(error, file=sys.stderr)
    return made


def row(name: str, kind: str, size: int, answer: Answer) -> list[str]:
    """One line of the table, measured."""
    digits = mnistzoo.mnist(train=False)
    images = normalize(digits.images)
    parts = [answer(part) for part in torch.split(images, 250)]
    correct = int((torch.cat(parts).argmax(1) == digits.labels).sum())
    quickest = min(burst(lambda: answer(images[:1])) for _ in range(BURSTS))
    return [name, kind, f"{size:,}", f"{correct / len(images):.2%}", f"{quickest * 1e6:.0f}"]


def main() -> None:
    """Print the table."""
    torch.set_num_threads(1)
    torch.set_grad_enabled(False)
    rows = []
    for name in NETWORKS:
        model = mnistzoo.get_model(name, pretrained=True)
        weights = read_manifest()[name].bytes
        rows.append(row(name, "PyTorch", weights, model))
        rows.append(row(name, "PyTorch, fused", weights, model.fused()))
        with tempfile.TemporaryDirectory() as folder:
            for kind, path in files(model, Path(folder)).items():
                size = len(path.read_bytes())
                rows.append(row(name, kind, size, runtime(path)))
    columns = ["network", "file", "bytes", "test accuracy", "µs an image"]
    print(Table(columns, rows).to_markdown())


if __name__ == "__main__":
    main()
