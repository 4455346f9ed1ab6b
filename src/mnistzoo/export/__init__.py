"""Export to other runtimes: ONNX, `torch.export`, ExecuTorch, one HTML file, one C header.

ONNX needs the extra `mnistzoo[export]`, ExecuTorch needs `mnistzoo[edge]`.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from mnistzoo.architectures import ARCHITECTURES
from mnistzoo.errors import InputError, MissingExtraError, UnknownNameError
from mnistzoo.export.integer_quantization import CALIBRATION_IMAGES
from mnistzoo.export.preparation import check_style, metadata, prepare
from mnistzoo.files import sha256, write_bytes
from mnistzoo.labels import class_names
from mnistzoo.models.convnet import ConvNet

BITS: dict[str, tuple[int, ...]] = {
    "onnx": (32, 8),
    "pt2": (32,),
    "pte": (32,),
    "html": (16,),
    "h": (8, 4),
}
"""Bits of a weight that each format can have, the default first."""

FORMATS = tuple(BITS)
"""ONNX, a `torch.export` program, an ExecuTorch program, an HTML page, a C header."""


@dataclass(frozen=True)
class Exported:
    """The file that `export` wrote.

    Attributes:
        path: Where it is.
        format: One of `FORMATS`.
        bits: Bits of a weight: 32 in floating point, else 16, 8 or 4.
        bytes: Its size.
        sha256: Its digest.
        flash: For a C header, the bytes of its constants.
        ram: For a C header, the bytes of its state on the stack.
    """

    path: Path
    format: str
    bits: int
    bytes: int
    sha256: str
    flash: int | None = None
    ram: int | None = None


def export(
    model: ConvNet,
    output: str | os.PathLike[str],
    *,
    format: str | None = None,  # noqa: A002 - the option of the command has this name
    bits: int | None = None,
    title: str | None = None,
) -> Exported:
    """Write a model for another runtime, and return the path, size and digest of the file.

    The model is exported in evaluation mode, with batch norm folded. ONNX files and programs take
    `images`, float32 of shape `(batch, 1, 28, 28)`, normalized as by `mnistzoo.transforms()`, and
    return `log_probabilities` of shape `(batch, num_classes)`. A pte program takes one image.

    Args:
        model: A pretrained or trained model. For 4 bits, use `pretrained="four-bit"` if it exists.
        output: The file to write.
        format: One of `FORMATS`. Default: the suffix of `output`.
        bits: Bits of a weight, by format: see `BITS`. Default: 32, 16 in a page, 8 in a C header.
        title: Title of a page or a header. Default: the model's name.

    Raises:
        UnknownNameError: The format does not exist.
        InputError: The format does not have those bits, the weights are not finite, or a model of
            the plain style is exported as a page or with integer weights.
        WeightsError: A layer differs from what the architecture describes.
        MissingExtraError: The packages that write the format are not installed.
        FileWriteError: The file cannot be written. Nothing is left half-written.

    >>> import tempfile
    >>> from mnistzoo import exp1
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     export(exp1(pretrained=True), f"{folder}/exp1.onnx").format
    'onnx'
    """
    name, bits = _choose(format or Path(output).suffix.lower().removeprefix("."), bits)
    if name == "html":
        return export_page([model], output, title=title)
    plain = prepare(model)
    if bits < 32:
        check_style(plain, "the ranges of integers are measured on MNIST")
    if name == "h":
        return _export_header(plain, Path(output), bits, title or display_name(model))
    return _write(output, _encode(plain, name, bits), name, bits)


def _choose(name: str, bits: int | None) -> tuple[str, int]:
    """Check a format and the bits of its weights; None stands for the default.

    Raises:
        UnknownNameError, InputError: As for `export`.
    """
    if name not in FORMATS:
        raise UnknownNameError("format", name, FORMATS)
    bits = BITS[name][0] if bits is None else bits
    if bits not in BITS[name]:
        allowed = " or ".join(map(str, BITS[name]))
        raise InputError(f"Expected {allowed} bits for the format {name!r}, got {bits}.")
    return name, bits


def export_page(
    models: Sequence[ConvNet], output: str | os.PathLike[str], *, title: str | None = None
) -> Exported:
    """Write an HTML page to draw digits on, with one or several models to choose from.

    The page needs no server and no network.

    Args:
        models: Pretrained or trained models; the page opens with the first.
        output: The file to write. It is replaced in one step.
        title: Title of the page. Default: the first model's name.

    Raises:
        InputError: There is no model, weights are not finite, or a model has the plain style.
        WeightsError: A layer differs from what the architecture describes.
        FileWriteError: The file cannot be written. Nothing is left half-written.

    >>> import tempfile
    >>> from mnistzoo import exp4, exp5
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     models = [exp5(pretrained=True), exp4(pretrained=True)]
    ...     export_page(models, f"{folder}/digits.html").format
    'html'
    """
    if not models:
        raise InputError("Expected at least one model for a page, got none.")
    from mnistzoo.export.html import build_page

    plain = [prepare(model) for model in models]
    for model in models:
        check_style(model, "a page redraws its drawings in MNIST format")
    page = build_page(plain, title or display_name(models[0]))
    return _write(output, page, *_choose("html", None))


def display_name(model: ConvNet) -> str:
    """Return a model's name and title, such as "exp5 · Deep CNN + BatchNorm"."""
    return ARCHITECTURES.get(model.architecture.name, model.architecture).display_name


def _write(output: str | os.PathLike[str], data: bytes, name: str, bits: int) -> Exported:
    return Exported(write_bytes(output, data), name, bits, len(data), sha256(data))


def _export_header(model: ConvNet, output: Path, bits: int, title: str) -> Exported:
    from dataclasses import replace

    from mnistzoo.data.mnist import mnist
    from mnistzoo.export.c_header import build_header
    from mnistzoo.export.integer_quantization import quantize
    from mnistzoo.inference import NumpyModel

    state_dict = {name: tensor.numpy() for name, tensor in model.state_dict().items()}
    images = mnist(train=True).images[:CALIBRATION_IMAGES].numpy()
    made = quantize(NumpyModel.from_state_dict(model.architecture, state_dict), images, bits)
    header = build_header(made, output.stem, title, class_names(model.labels, model.num_classes))
    done = _write(output, header.text.encode(), "h", bits)
    return replace(done, flash=header.flash, ram=header.ram)


def _encode(model: ConvNet, name: str, bits: int) -> bytes:
    if name == "onnx":
        return _onnx(model, bits)
    from mnistzoo.export import programs

    if name == "pt2":
        return programs.pt2(model, metadata(model))
    return programs.pte(model)


def _onnx(model: ConvNet, bits: int) -> bytes:
    try:
        from mnistzoo.export import onnx_graph as graph

        if bits == 32:
            return graph.encode(graph.Chain().build(model), metadata(model))
        from mnistzoo.export.quantization import quantize
    except ImportError as error:
        raise MissingExtraError("ONNX export", "export") from error
    from mnistzoo.data.mnist import mnist
    from mnistzoo.images.transforms import normalize

    images = normalize(mnist(train=True).images[:CALIBRATION_IMAGES])
    return graph.encode(quantize(model, images.numpy()), metadata(model))
