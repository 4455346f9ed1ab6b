"""A model as one HTML file: draw a digit and see what every layer makes of it, offline.

The page is `page/`, plain JavaScript without libraries or requests. Comments and indentation are
stripped. Weights are stored as 16-bit integers with one scale per output channel, which moves a
log-probability by about 1e-4. Those of the detector of digits have 8 bits.
"""

from __future__ import annotations

import base64
import html
import re
from collections.abc import Iterator, Sequence
from importlib.resources import files
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from mnistzoo.architectures import ARCHITECTURES, MEAN, STD
from mnistzoo.images.detector import DETECTOR, read_weights
from mnistzoo.labels import class_names
from mnistzoo.models.convnet import ConvNet
from mnistzoo.pages import PALETTE, fill, to_inert_json

SCRIPTS = ("preprocess.js", "model.js", "page.js")

DETECTOR_BITS = 8
"""Bits of the detector's weights on the page. `pytest tests/test_page.py -k detector` limits how
many decisions this changes."""


def build_page(models: Sequence[ConvNet], title: str) -> bytes:
    """Return a page with the fused `models` to choose from, the first one chosen.

    Args:
        models: As `ConvNet.fused` returns them.
        title: The page's title, plain text.
    """
    source = files("mnistzoo.export") / "page"
    parts = {
        "TITLE": html.escape(title),
        "STYLE": strip(PALETTE + (source / "page.css").read_text("utf8")),
        "MODELS": to_inert_json([_record(model) for model in models]),
        "DETECTOR": to_inert_json(_record(_detector(), DETECTOR_BITS)),
        "SCRIPT": strip("".join((source / name).read_text("utf8") for name in SCRIPTS)),
    }
    return fill(strip((source / "page.html").read_text("utf8")), parts).encode()


def strip(source: str) -> str:
    r"""Return source text without indentation, empty lines and `//` comments.

    >>> strip("if (a)  // why\n    b();\n\n// c\n")
    'if (a)\nb();\n'
    """
    lines = (re.sub(r"(^|\s+)//\s.*", "", line).strip() for line in source.splitlines())
    return "".join(f"{line}\n" for line in lines if line)


def _detector() -> ConvNet:
    """Return the model that tells digits from everything else."""
    model = ConvNet(DETECTOR, num_classes=2)
    model.load_state_dict({name: torch.from_numpy(x) for name, x in read_weights().items()})
    return model.eval().fused()


def _record(model: ConvNet, bits: int = 16) -> dict[str, Any]:
    """Return what `model.js` reads: layers, receptive fields, labels and weights."""
    return {
        "name": model.architecture.name,
        "title": ARCHITECTURES.get(model.architecture.name, model.architecture).display_name,
        "labels": list(class_names(model.labels, model.num_classes)),
        "mean": MEAN,
        "std": STD,
        "layers": list(_layers(model)),
        "bits": bits,
        "weights": base64.b64encode(_weights(model, bits)).decode(),
    }


def _layers(model: ConvNet) -> Iterator[dict[str, Any]]:
    """Yield an entry per convolution and pool; a convolution includes its ReLU."""
    for name, layer in model.features.named_children():
        if isinstance(layer, nn.ReLU):
            continue
        field = model.receptive_field(f"features.{name}")
        (size, _), (stride, _), (padding, _) = field.size, field.stride, field.padding
        entry: dict[str, Any] = {"name": name, "kind": "pool"}
        if isinstance(layer, nn.Conv2d):
            entry |= {"kind": "conv", "channels": layer.out_channels, "padding": layer.padding[0]}
        yield entry | {"field": {"size": size, "stride": int(stride), "padding": int(padding)}}


def _weights(model: ConvNet, bits: int) -> bytes:
    """Return scales, biases and integers of each layer with parameters, little-endian."""
    state = {name: tensor.numpy() for name, tensor in model.state_dict().items()}
    names = [name.removesuffix(".weight") for name in state if name.endswith(".weight")]
    return b"".join(
        _encoded(state[f"{name}.weight"], state[f"{name}.bias"], bits) for name in names
    )


def _encoded(weight: NDArray[np.float32], bias: NDArray[np.float32], bits: int) -> bytes:
    rows = weight.reshape(len(weight), -1)
    limit = 2 ** (bits - 1) - 1
    scale = np.maximum(np.abs(rows).max(axis=1), np.float32(1e-30)) / limit
    integers = np.rint(rows / scale[:, None]).astype(f"<i{bits // 8}")
    return b"".join(
        [scale.astype("<f4").tobytes(), bias.astype("<f4").tobytes(), integers.tobytes()]
    )
