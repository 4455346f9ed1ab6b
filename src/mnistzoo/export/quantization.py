"""Static quantization to 8 bits, with sums that saturate on no processor.

Processors without VNNI multiply unsigned activations by signed weights and add the products in
pairs, in 16 bits. Here the magnitudes of any two weights of an output channel sum to at most
`MAX_PAIR`, so no pair overflows and every processor computes the same integers.

The settings were chosen on held-out training images: `tests/benchmarks/int8.py`. Needs the packages
onnx and onnxruntime.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import numpy_helper
from onnxruntime.quantization import CalibrationDataReader, QuantType, quantize_static
from onnxruntime.quantization.shape_inference import quant_pre_process

from mnistzoo.errors import FileWriteError
from mnistzoo.export.int8_graph import build
from mnistzoo.export.onnx_graph import INPUT
from mnistzoo.models.convnet import ConvNet

MAX_PAIR = 128
"""The most that two weights of a channel may sum to: 255 × 128 fits into 16 bits, 255 × 129 not."""

_BATCH = 100

_OPTIONS = {
    "activation_type": QuantType.QUInt8,
    "weight_type": QuantType.QInt8,
    "per_channel": True,
}


class _Images(CalibrationDataReader):  # type: ignore[misc]  # onnxruntime ships no type hints
    def __init__(self, images: NDArray[np.float32]) -> None:
        batches = range(0, len(images), _BATCH)
        self._batches: Iterator[Any] = iter([{INPUT: images[at : at + _BATCH]} for at in batches])

    def get_next(self) -> dict[str, NDArray[np.float32]] | None:
        return next(self._batches, None)


def quantize(model: ConvNet, images: NDArray[np.float32]) -> onnx.ModelProto:
    """Return the graph of a fused model with 8-bit weights and activations.

    Args:
        model: A model without batch norm.
        images: Normalized images, float32 of shape `(N, 1, 28, 28)`. Activations are scaled to the
            ranges that they take on these.

    Raises:
        FileWriteError: The system's folder for temporary files cannot be written to.
    """
    graph = build(model)
    options = {
        "TensorQuantOverrides": weight_scales(graph),
        "OpTypesToExcludeOutputQuantization": ["Gemm"],  # logits stay float32
    }
    try:
        return quantize_graph(graph, images, extra_options=options)
    except OSError as error:
        raise FileWriteError(
            f"Cannot write temporary files: {error}. Set TMPDIR to a folder that has room."
        ) from error


def quantize_graph(
    graph: onnx.ModelProto, images: NDArray[np.float32], **options: Any
) -> onnx.ModelProto:
    """Quantize by ONNX Runtime, calibrated on `images`."""
    with TemporaryDirectory() as folder:
        plain, prepared, quantized = (Path(folder) / name for name in ("plain", "prepared", "int8"))
        onnx.save(graph, plain)
        quant_pre_process(plain, prepared, skip_optimization=True, skip_symbolic_shape=True)
        quantize_static(prepared, quantized, _Images(images), **_OPTIONS, **options)
        return onnx.load(quantized)


def weight_scales(graph: onnx.ModelProto) -> dict[str, list[dict[str, Any]]]:
    """Return the scale of every weight's channels, as ONNX Runtime takes it."""
    weights = {w.name: w for w in graph.graph.initializer if w.name.endswith(".weight")}
    return {
        name: [
            {"axis": 0, "scale": scale, "zero_point": np.int8(0)}
            for scale in channel_scales(numpy_helper.to_array(weight))
        ]
        for name, weight in weights.items()
    }


def channel_scales(weight: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the smallest scale of each output channel at which no pair of weights overflows.

    The two largest magnitudes share `MAX_PAIR`; one alone takes at most 127.

    >>> channel_scales(np.array([[0.5, -0.25, 0.125]], np.float32)) * 128
    array([0.7500...], dtype=float32)
    """
    magnitudes = np.sort(np.abs(weight.reshape(len(weight), -1)), axis=1)
    pairs = magnitudes[:, -2:].sum(axis=1) / MAX_PAIR
    scales = np.maximum(pairs * (1 + 1e-6), magnitudes[:, -1] / 127)  # a hair above ties
    scales[scales == 0] = scales.max() or 1  # a channel of zeros still has a bias to scale
    return np.asarray(scales, np.float32)
