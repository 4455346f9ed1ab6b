"""A model as one HTML file: draw a digit and see what every layer makes of it, offline.

The page is `page/`: plain JavaScript, no library, no request. Weights are stored as 16-bit integers
with one scale per output channel, which moves a log-probability by about 1e-4.
"""

from __future__ import annotations

import base64
import html
import json
from collections.abc import Iterator, Sequence
from importlib.resources import files
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import nn

from mnistzoo.architectures import MEAN, STD
from mnistzoo.models.convnet import ConvNet

SCRIPTS = ("preprocess.js", "model.js", "page.js")

INT16_MAX = 2**15 - 1


def page(models: Sequence[ConvNet], title: str) -> bytes:
    """Return a page with the fused `models` to choose from, the first one chosen.

    Args:
        models: as `ConvNet.fused` returns them.
        title: the page's title, plain text.
    """
    source = files("mnistzoo.export") / "page"
    parts = {
        "TITLE": html.escape(title),
        "STYLE": (source / "page.css").read_text("utf8"),
        "MODELS": _inert(json.dumps([_record(model) for model in models], ensure_ascii=False)),
        "SCRIPT": "".join((source / name).read_text("utf8") for name in SCRIPTS),
    }
    text = (source / "page.html").read_text("utf8")
    head, *rest = text.split("@")
    return "".join([head, *(parts.get(part, part) for part in rest)]).encode()


def _inert(text: str) -> str:
    """JSON that cannot end the script element it stands in."""
    return text.replace("<", "\\u003c")


def _record(model: ConvNet) -> dict[str, Any]:
    """What `model.js` reads: layers, receptive fields, labels and weights."""
    return {
        "name": model.architecture.name,
        "title": model.architecture.name,
        "labels": [str(label) for label in range(model.num_classes)],
        "mean": MEAN,
        "std": STD,
        "layers": list(_layers(model)),
        "weights": base64.b64encode(_weights(model)).decode(),
    }


def _layers(model: ConvNet) -> Iterator[dict[str, Any]]:
    """One entry per convolution and pool, its ReLU included."""
    for name, layer in model.features.named_children():
        if isinstance(layer, nn.ReLU):
            continue
        field = model.receptive_field(f"features.{name}")
        (size, _), (stride, _), (padding, _) = field.size, field.stride, field.padding
        entry: dict[str, Any] = {"name": name, "kind": "pool"}
        if isinstance(layer, nn.Conv2d):
            entry |= {"kind": "conv", "channels": layer.out_channels, "padding": layer.padding[0]}
        yield entry | {"field": {"size": size, "stride": int(stride), "padding": int(padding)}}


def _weights(model: ConvNet) -> bytes:
    """The scales, biases and integers of each layer with parameters, little-endian."""
    layers = [layer for layer in model.features if isinstance(layer, nn.Conv2d)]
    return b"".join(_layer_bytes(layer) for layer in [*layers, model.classifier])


def _layer_bytes(layer: nn.Conv2d | nn.Linear) -> bytes:
    weight: NDArray[np.float32] = layer.weight.detach().flatten(1).contiguous().numpy()
    assert layer.bias is not None, "every layer of the zoo has a bias"
    scale = np.maximum(np.abs(weight).max(axis=1), np.float32(1e-30)) / INT16_MAX
    integers = np.rint(weight / scale[:, None]).astype("<i2")
    bias = layer.bias.detach().numpy().astype("<f4")
    return scale.astype("<f4").tobytes() + bias.tobytes() + integers.tobytes()
