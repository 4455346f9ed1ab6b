"""The first steps of every export: check and copy the model, and describe it."""

from __future__ import annotations

import torch

from mnistzoo._version import __version__
from mnistzoo.architectures import INPUT_SHAPE, MEAN, MNIST_STYLE, STD, check_style_name
from mnistzoo.errors import InputError
from mnistzoo.labels import class_names
from mnistzoo.models.convnet import ConvNet
from mnistzoo.models.folding import plain_copy


def prepare(model: ConvNet) -> ConvNet:
    """Return a float32 copy on the CPU, checked, with batch norm folded."""
    if not isinstance(model, ConvNet):
        raise InputError(
            f"Expected a model of this library, got {type(model).__name__}. "
            "Use torch.onnx.export or torch.export for other modules."
        )
    check_style_name(model.style)
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


def check_style(model: ConvNet, reason: str) -> None:
    """Refuse a model of the plain style where images must be in MNIST format."""
    if model.style != MNIST_STYLE:
        raise InputError(
            f"Expected a model of the style {MNIST_STYLE!r}, got {model.style!r}: {reason}. "
            "Export it as .onnx, .pt2 or .pte in 32 bits."
        )


def metadata(model: ConvNet) -> dict[str, str]:
    """Return the metadata that ONNX and pt2 files carry."""
    plain = model.style != MNIST_STYLE
    levels = "black 0 and white 1" if plain else "background 0 and foreground 1"
    return {
        "architecture": model.architecture.name,
        "labels": ",".join(class_names(model.labels, model.num_classes)),
        "mean": str(MEAN),
        "std": str(STD),
        "style": model.style,
        "input": f"float32 (batch, {', '.join(map(str, INPUT_SHAPE))}): {levels}, "
        "minus mean, divided by std",
        "output": "log-probabilities of the labels",
        "mnistzoo": __version__,
    }
