"""A network as a file for other runtimes: ONNX, ONNX in int8, `torch.export`, ExecuTorch.

Extras: `mnistzoo[export]` for ONNX, `mnistzoo[edge]` for ExecuTorch; `torch.export` needs none.
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

FORMATS = ("onnx", "pt2", "pte")
"""ONNX; a program of `torch.export`; a program of ExecuTorch."""

CALIBRATION_IMAGES = 500
"""The first training images, from which the ranges of int8 are taken. With 100 or 1,000 of them,
under 5 answers in 10,000 are others (measured on held-out training images)."""


@dataclass(frozen=True)
class Exported:
    """What was written.

    Attributes:
        path: the file.
        format: one of `FORMATS`.
        int8: whether the weights and activations are 8-bit integers.
        bytes: the file's length.
        sha256: its digest.
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
    format: str | None = None,  # noqa: A002 - as the option of the command is called
    int8: bool = False,
) -> Exported:
    """Write `model`, in evaluation mode and with batch norm folded, for another runtime.

    The file takes `images`, float32 of shape `(batch, 1, 28, 28)`, normalised as
    `mnistzoo.transforms()` does it, and gives `log_probabilities`, `(batch, num_classes)`. The
    batch is free, except in a pte program, which takes one image at a time.

    Args:
        model: a network, pretrained or trained.
        out: the file to write, in one step.
        format: one of `FORMATS`; by the ending of `out` if nothing is given.
        int8: quantise weights and activations, calibrated on training images; ONNX only.

    Raises:
        UnknownNameError: there is no such format.
        InputError: `int8` in another format than ONNX.
        WeightsError: a layer is not as the architecture describes it.
        MissingExtraError: the packages that write the format are not installed.
        FileWriteError: the folder or the disk refuses; nothing is left half-written.
    """
    name = format or Path(out).suffix.removeprefix(".")
    if name not in FORMATS:
        raise UnknownNameError("format", name, FORMATS)
    if int8 and name != "onnx":
        raise InputError(f"int8 is for ONNX only, got the format {name!r}; leave out one of them.")
    plain = model.fused()
    plain.check_architecture()
    plain = plain.cpu().float().to(memory_format=torch.contiguous_format)
    data = _encode(plain, name, int8)
    return Exported(write_bytes(out, data), name, int8, len(data), sha256(data))


def _encode(network: ConvNet, name: str, int8: bool) -> bytes:
    if name == "onnx":
        return _onnx(network, int8)
    from mnistzoo.export import programs

    if name == "pt2":
        return programs.pt2(network, metadata(network))
    return programs.pte(network)


def _onnx(network: ConvNet, int8: bool) -> bytes:
    try:
        from mnistzoo.export import onnx_graph as graph

        if not int8:
            return graph.encode(graph.build(network), metadata(network))
        from mnistzoo.export.quantization import quantize
    except ImportError as error:
        raise MissingExtraError("ONNX export", "export") from error
    from mnistzoo.data.mnist import mnist, normalize

    images = normalize(mnist(train=True).images[:CALIBRATION_IMAGES])
    return graph.encode(quantize(network, images.numpy()), metadata(network))


def metadata(network: ConvNet) -> dict[str, str]:
    """What a reader of the file has to know, kept inside it."""
    return {
        "network": network.architecture.name,
        "labels": ",".join(map(str, range(network.num_classes))),
        "mean": str(MEAN),
        "std": str(STD),
        "input": f"float32 (batch, {', '.join(map(str, INPUT_SHAPE))}): ink 1 and paper 0, "
        "less mean, divided by std",
        "output": "log-probabilities of the labels",
        "mnistzoo": __version__,
    }
