"""The ONNX graph of a network, node by node.

Every network is a chain of four kinds of layer, so the graph is written directly: the same bytes
from every version of PyTorch, in milliseconds. Needs the package onnx.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, checker, helper, numpy_helper
from torch import Tensor, nn

from mnistzoo._version import __version__
from mnistzoo.architectures import INPUT_SHAPE
from mnistzoo.models.convnet import ConvNet

OPSET = 17
IR_VERSION = 8
"""Both of 2022, so that runtimes from then on read the file."""

INPUT, OUTPUT = "images", "log_probabilities"


class _Chain:
    """Nodes in a row, each with the one before it as its first input."""

    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.initializers: list[onnx.TensorProto] = []
        self.last = INPUT

    def add(
        self, operator: str, name: str, *, inputs: dict[str, NDArray[Any]] | None = None, **kw: Any
    ) -> None:
        """A node whose output has its name, with `inputs` as constants after the first."""
        constants = {f"{name}.{key}": value for key, value in (inputs or {}).items()}
        self.initializers += [numpy_helper.from_array(v, k) for k, v in constants.items()]
        self.nodes.append(helper.make_node(operator, [self.last, *constants], [name], name, **kw))
        self.last = name


def build(network: ConvNet, *, rows: int = 0) -> onnx.ModelProto:
    """The graph of a fused network, checked.

    Args:
        network: without batch norm.
        rows: if not 0, a first convolution without padding reads 3 rows of the one channel as 3
            channels, made up to this many: the same sums, in the shape that kernels for int8 are
            written for.
    """
    chain = _Chain()
    for name, layer in network.features.named_children():
        if rows and isinstance(layer, nn.Conv2d) and chain.last == INPUT and not any(layer.padding):
            _first_by_rows(chain, name, layer, rows)
        else:
            _layer(chain, name, layer)
    chain.add("Flatten", "flatten")
    chain.add("Gemm", "classifier", inputs=_parameters(network.classifier), transB=1)
    chain.add("LogSoftmax", OUTPUT, axis=1)
    return _model(chain, network.num_classes)


def _layer(chain: _Chain, name: str, layer: nn.Module) -> None:
    if isinstance(layer, nn.Conv2d):
        pads = [int(side) for side in layer.padding] * 2
        chain.add("Conv", name, inputs=_parameters(layer), kernel_shape=[3, 3], pads=pads)
    elif isinstance(layer, nn.ReLU):
        chain.add("Relu", name)
    else:
        chain.add("MaxPool", name, kernel_shape=[2, 2], strides=[2, 2])


def _first_by_rows(chain: _Chain, name: str, conv: nn.Module, rows: int) -> None:
    """A 3×3 convolution of one channel, as a 1×3 convolution of shifted copies of the image."""
    height = INPUT_SHAPE[1] - 2
    shifts = np.minimum(np.arange(rows), 2)[:, None] + np.arange(height)
    parameters = _parameters(conv)
    weight = parameters["weight"].transpose(0, 2, 1, 3)
    filler = np.zeros((len(weight), rows - 3, 1, 3), np.float32)
    parameters["weight"] = np.concatenate([weight, filler], axis=1)
    chain.add("Squeeze", "channel", inputs={"axes": np.array([1])})
    chain.add("Gather", "rows", inputs={"indices": shifts}, axis=1)
    chain.add("Conv", name, inputs=parameters, kernel_shape=[1, 3])


def _parameters(layer: nn.Module) -> dict[str, NDArray[Any]]:
    def plain(tensor: Tensor) -> NDArray[Any]:
        array: NDArray[Any] = tensor.detach().contiguous().numpy()
        return array

    return {name: plain(parameter) for name, parameter in layer.named_parameters()}


def _model(chain: _Chain, num_classes: int) -> onnx.ModelProto:
    graph = helper.make_graph(
        chain.nodes,
        "mnistzoo",
        [helper.make_tensor_value_info(INPUT, TensorProto.FLOAT, ["batch", *INPUT_SHAPE])],
        [helper.make_tensor_value_info(OUTPUT, TensorProto.FLOAT, ["batch", num_classes])],
        chain.initializers,
    )
    return helper.make_model(
        graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION
    )


def encode(model: onnx.ModelProto, metadata: dict[str, str]) -> bytes:
    """The bytes of a file, once `onnx.checker` has accepted it."""
    model.producer_name, model.producer_version = "mnistzoo", __version__
    helper.set_model_props(model, metadata)
    checker.check_model(model, full_check=True)
    data: bytes = model.SerializeToString(deterministic=True)
    return data
