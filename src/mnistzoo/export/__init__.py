"""Export to other runtimes: ONNX, ONNX with int8 weights, `torch.export` and ExecuTorch.

ONNX needs the extra `mnistzoo[export]`, ExecuTorch needs `mnistzoo[edge]`.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import torch

from mnistzoo._version import __version__
from mnistzoo.architectures import INPUT_SHAPE, MEAN, STD
from mnistzoo.errors import InputError, MissingExtraError, UnknownNameError
from mnistzoo.files import sha256, write_bytes
from mnistzoo.models.convnet import ConvNet
from mnistzoo.models.folding import plain_copy

FORMATS = ("onnx", "pt2", "pte")
"""ONNX, a `torch.export` program, an ExecuTorch program."""

CALIBRATION_IMAGES = 500
"""The first training images, from which int8 activations take their ranges."""


@dataclass(frozen=True)
class Exported:
    """The file that `export` wrote.

    Attributes:
        path: Where it is.
        format: One of `FORMATS`.
        int8: Whether weights and activations are 8-bit integers.
        bytes: Its size.
        sha256: Its digest.
    """

    path: Path
    format: str
    int8: bool
    bytes: int
    sha256: str


def export(
    model: ConvNet,
    out: str | os.PathLike[str],
    *,
    format: str | None = None,  # noqa: A002 - the option of the command has this name
    int8: bool = False,
) -> Exported:
    """Write a model for another runtime, and return the path, size and digest of the file.

    It is exported in evaluation mode, with batch norm folded.

    The file takes `images`, float32 of shape `(batch, 1, 28, 28)`, normalized as by
    `mnistzoo.transforms()`. It returns `log_probabilities` of shape `(batch, num_classes)`.
    The batch size is free, except in a pte program, which takes one image at a time.

    Args:
        model: A pretrained or trained model.
        out: The file to write. It is replaced in one step.
        format: One of `FORMATS`. Default: the suffix of `out`.
        int8: Quantize weights and activations to 8 bits, calibrated on training images. ONNX only.

    Raises:
        UnknownNameError: The format does not exist.
        InputError: `int8` with another format than ONNX, or weights that are not finite.
        WeightsError: A layer differs from what the architecture describes.
        MissingExtraError: The packages that write the format are not installed.
        FileWriteError: The file cannot be written. Nothing is left half-written.

    >>> import tempfile
    >>> from mnistzoo import exp1
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     export(exp1(pretrained=True), f"{folder}/exp1.onnx").format
    'onnx'
    """
    name = format or Path(out).suffix.removeprefix(".")
    if name not in FORMATS:
        raise UnknownNameError("format", name, FORMATS)
    if int8 and name != "onnx":
        raise InputError(f"Expected the format 'onnx' for int8, got {name!r}. Drop one of the two.")
    data = _encode(_prepare(model), name, int8)
    return Exported(write_bytes(out, data), name, int8, len(data), sha256(data))


def _prepare(model: ConvNet) -> ConvNet:
    made = plain_copy(model)
    made.check_architecture()
    wide = made.cpu().float()  # before folding, which rounds in half precision
    for name, parameter in wide.named_parameters():
        if not parameter.isfinite().all():
            raise InputError(
                f"Expected finite weights, got NaN or infinity in {name}. "
                "Load or train the model again."
            )
    return wide.fused().to(memory_format=torch.contiguous_format)


def _encode(model: ConvNet, name: str, int8: bool) -> bytes:
    if name == "onnx":
        return _onnx(model, int8)
    from mnistzoo.export import programs

    if name == "pt2":
        return programs.pt2(model, metadata(model))
    return programs.pte(model)


def _onnx(model: ConvNet, int8: bool) -> bytes:
    try:
        from mnistzoo.export import onnx_graph as graph

        if not int8:
            return graph.encode(graph.Chain().build(model), metadata(model))
        from mnistzoo.export.quantization import quantize
    except ImportError as error:
        raise MissingExtraError("ONNX export", "export") from error
    from mnistzoo.data.mnist import mnist
    from mnistzoo.images.transforms import normalize

    images = normalize(mnist(train=True).images[:CALIBRATION_IMAGES])
    return graph.encode(quantize(model, images.numpy()), metadata(model))


def metadata(model: ConvNet) -> dict[str, str]:
    """Return what a reader of the file has to know. ONNX and pt2 files carry it."""
    return {
        "architecture": model.architecture.name,
        "labels": ",".join(map(str, range(model.num_classes))),
        "mean": str(MEAN),
        "std": str(STD),
        "input": f"float32 (batch, {', '.join(map(str, INPUT_SHAPE))}): background 0 and "
        "foreground 1, minus mean, divided by std",
        "output": "log-probabilities of the labels",
        "mnistzoo": __version__,
    }
