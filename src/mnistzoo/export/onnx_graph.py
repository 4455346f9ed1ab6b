"""The ONNX graph of a model, written node by node.

Every model is a chain of four kinds of layers, so no tracer is needed: the bytes are the same with
every release of PyTorch. Needs the package onnx.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import onnx
from numpy.typing import NDArray
from onnx import TensorProto, checker, helper, numpy_helper
from torch import nn

from mnistzoo._version import __version__
from mnistzoo.architectures import INPUT_SHAPE
from mnistzoo.models.convnet import ConvNet

OPSET = 17
IR_VERSION = 8
"""Both are from 2022, so runtimes since then read the file."""

INPUT, OUTPUT = "images", "log_probabilities"


class Chain:
    """Nodes in a row. The first input of each is the output of the one before."""

    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.initializers: list[onnx.TensorProto] = []
        self.last = INPUT

    def add(
        self,
        operator: str,
        name: str,
        *,
        constants: dict[str, NDArray[Any]] | None = None,
        **attributes: Any,
    ) -> None:
        """Append a node. Its output has the node's name, its `constants` follow the first input."""
        named = {f"{name}.{key}": value for key, value in (constants or {}).items()}
        self.initializers += [numpy_helper.from_array(value, key) for key, value in named.items()]
        inputs = [self.last, *named]
        self.nodes.append(helper.make_node(operator, inputs, [name], name, **attributes))
        self.last = name

    def add_layer(self, name: str, layer: nn.Module) -> None:
        """Append a layer of the features."""
        if isinstance(layer, nn.Conv2d):
            pads = [int(side) for side in layer.padding] * 2
            self.add("Conv", name, constants=parameters_of(layer), kernel_shape=[3, 3], pads=pads)
        elif isinstance(layer, nn.ReLU):
            self.add("Relu", name)
        else:
            self.add("MaxPool", name, kernel_shape=[2, 2], strides=[2, 2])

    def add_classifier(self, layer: nn.Linear) -> None:
        """Append the layers from the last feature map to the output."""
        self.add("Flatten", "flatten")
        self.add("Gemm", "classifier", constants=parameters_of(layer), transB=1)
        self.add("LogSoftmax", OUTPUT, axis=1)

    def build(self, model: ConvNet) -> onnx.ModelProto:
        """Append all layers of a model without batch norm, and return the graph."""
        for name, layer in model.features.named_children():
            self.add_layer(name, layer)
        self.add_classifier(model.classifier)
        graph = helper.make_graph(
            self.nodes,
            "mnistzoo",
            [_value(INPUT, INPUT_SHAPE)],
            [_value(OUTPUT, (model.num_classes,))],
            self.initializers,
        )
        opset = helper.make_opsetid("", OPSET)
        return helper.make_model(graph, opset_imports=[opset], ir_version=IR_VERSION)


def parameters_of(layer: nn.Conv2d | nn.Linear) -> dict[str, NDArray[Any]]:
    """Return a layer's weight and bias."""
    assert layer.bias is not None  # ConvNet.check_architecture refuses it
    parameters = {"weight": layer.weight, "bias": layer.bias}
    return {name: value.detach().contiguous().numpy() for name, value in parameters.items()}


def _value(name: str, shape: Sequence[int]) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", *shape])


def encode(model: onnx.ModelProto, metadata: dict[str, str]) -> bytes:
    """Return the bytes of the file, after `onnx.checker` has accepted the graph."""
    model.producer_name, model.producer_version = "mnistzoo", __version__
    helper.set_model_props(model, metadata)
    checker.check_model(model, full_check=True)
    data: bytes = model.SerializeToString(deterministic=True)
    return data
