"""Fused and exported models compute what the model that they come from computes."""

import json
import subprocess
import sys
from typing import NamedTuple

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from onnx import numpy_helper
from torch import nn
from torch.nn.utils import parametrizations, prune

import mnistzoo
import mnistzoo.export as exporting
from mnistzoo.architectures import ARCHITECTURES, TEACHER, Architecture, Conv, Pool
from mnistzoo.data.mnist import Digits
from mnistzoo.errors import (
    FileWriteError,
    InputError,
    MissingExtraError,
    MnistZooError,
    UnknownNameError,
)
from mnistzoo.evaluation import evaluate
from mnistzoo.export import export, int8_graph
from mnistzoo.export.quantization import channel_scales, quantize_graph
from mnistzoo.images.transforms import normalize
from mnistzoo.models.convnet import ConvNet
from mnistzoo.storage.manifest import read_manifest
from test_cli import invoke

NAMES = mnistzoo.list_models()
PADDED = Architecture("padded", (Conv(8, padding=1), Pool(), Conv(8)))
POOLED = Architecture("pooled", (Pool(), Conv(8), Conv(8)))
ODD = Architecture("odd", (Conv(8), Pool(), Conv(8), Pool(), Conv(8)))


def with_batch_norm(name, **options):
    """A model in evaluation mode whose batch norm, if any, is far from the identity."""
    model = mnistzoo.get_model(name, **options).eval()
    for layer in model.modules():
        if isinstance(layer, nn.BatchNorm2d):
            nn.init.uniform_(layer.running_mean, -1, 1)
            nn.init.uniform_(layer.running_var, 0.5, 2)
            nn.init.uniform_(layer.weight, 0.5, 2)
            nn.init.uniform_(layer.bias, -1, 1)
    return model


def run(path, images):
    """Log-probabilities by ONNX Runtime."""
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    parts = [session.run(None, {"images": part.numpy()})[0] for part in images.split(250)]
    return torch.from_numpy(np.concatenate(parts))


def assert_same(found, expected):
    """Probabilities agree within 1e-5, log-probabilities within as much of their size."""
    torch.testing.assert_close(found.exp(), expected.exp(), rtol=0, atol=1e-5)
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", NAMES)
def test_fused_computes_the_same(name, normalized):
    """A fused model has no batch norm, is in evaluation mode, and computes the same."""
    model = with_batch_norm(name)
    fused = model.fused()
    assert not any(isinstance(layer, nn.BatchNorm2d) for layer in fused.modules())
    assert not any(layer.training for layer in fused.modules())
    assert_same(fused(normalized), model(normalized))
    assert_same(fused.fused()(normalized), model(normalized))


def test_fused_is_a_copy(normalized):
    """Changes to either model leave the other alone; mode and dtype of the original stay."""
    model = with_batch_norm("exp5").train().double()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    fused = model.fused()
    expected = fused(normalized.double())
    assert expected.dtype == torch.float64
    assert model.training
    with torch.no_grad():
        for parameter in fused.parameters():
            parameter.add_(1)
    assert all(torch.equal(before[name], tensor) for name, tensor in model.state_dict().items())
    fused = model.fused()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(1)
    torch.testing.assert_close(fused(normalized.double()), expected)


def test_fused_checks_its_input():
    """A fused model refuses images of a wrong shape as the model itself does."""
    with pytest.raises(InputError, match=r"\(N, 1, 28, 28\)"):
        mnistzoo.exp5().fused()(torch.zeros(2, 28, 28))


def test_evaluation_uses_the_models_own_outputs(test_images, normalized):
    """`evaluate` runs a fused copy and reports what the model itself computes."""
    model = with_batch_norm("exp5")
    result = evaluate(model, Digits(test_images.images[:256], test_images.labels[:256]))
    assert_same(result.log_probabilities, model(normalized).detach())


@pytest.mark.parametrize("name", NAMES)
def test_onnx_computes_the_same(name, tmp_path, normalized):
    """ONNX Runtime computes the same for 1, 3 and 256 images, with any number of classes."""
    model = with_batch_norm(name, num_classes=7)
    done = export(model, tmp_path / "model.onnx")
    for count in (1, 3, 256):
        assert_same(run(done.path, normalized[:count]), model(normalized[:count]).detach())


def test_onnx_describes_itself(tmp_path):
    """The file passes the checker, leaves the batch free, and states its input and labels."""
    done = export(with_batch_norm("exp5"), tmp_path / "model.onnx")
    model = onnx.load(done.path)
    onnx.checker.check_model(model, full_check=True)
    assert [(entry.domain, entry.version) for entry in model.opset_import] == [("", 17)]
    image, output = model.graph.input[0].type, model.graph.output[0].type
    assert [d.dim_param or d.dim_value for d in image.tensor_type.shape.dim] == ["batch", 1, 28, 28]
    assert [d.dim_param or d.dim_value for d in output.tensor_type.shape.dim] == ["batch", 10]
    assert "BatchNormalization" not in {node.op_type for node in model.graph.node}
    stated = {entry.key: entry.value for entry in model.metadata_props}
    assert stated["architecture"] == "exp5"
    assert stated["labels"].split(",") == [str(digit) for digit in range(10)]
    levels = torch.zeros(1, 28, 28, dtype=torch.uint8)
    levels[0, 14:] = 255
    torch.testing.assert_close(
        ((levels / 255 - float(stated["mean"])) / float(stated["std"]))[:, None],
        normalize(levels),
    )
    assert done.bytes == done.path.stat().st_size


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    """Export a pretrained model to ONNX, once each, and return the path."""
    folder = tmp_path_factory.mktemp("exported")

    def path(name, *, bits):
        out = folder / f"{name}-{bits}.onnx"
        if not out.exists():
            export(mnistzoo.get_model(name, pretrained=True), out, bits=bits)
        return out

    return path


@pytest.mark.parametrize("name", NAMES)
def test_accuracy_survives(name, exported, test_images):
    """On the test images, ONNX is within 1 image of the manifest's accuracy, int8 within 5."""
    correct = round(read_manifest()[name].accuracy * len(test_images.labels))
    images = normalize(test_images.images)
    for bits, allowed in ((32, 1), (8, 5)):
        predictions = run(exported(name, bits=bits), images).argmax(1)
        assert abs(int((predictions == test_images.labels).sum()) - correct) <= allowed


def quantized_products(path):
    """Yield each product of an int8 file: its operator, and its inputs as they are stored."""
    graph = onnx.load(path).graph
    stored = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
    makers = {node.output[0]: node for node in graph.node}
    for node in graph.node:
        if node.op_type in {"Conv", "Gemm", "MatMul"}:
            activations, weights = (makers[name] for name in node.input[:2])
            assert {activations.op_type, weights.op_type} == {"DequantizeLinear"}
            zero_points = [stored[maker.input[2]] for maker in (activations, weights)]
            yield node.op_type, stored[weights.input[0]], *zero_points


@pytest.mark.parametrize("name", NAMES)
def test_no_pair_of_products_overflows(name, exported):
    """255 × (|w₁| + |w₂|) fits into 16 bits for any two weights of an output channel.

    ONNX Runtime adds the products of unsigned activations and signed weights in pairs. Which ones
    depends on the kernel and on the processor, so the bound holds for all of them.
    """
    products = list(quantized_products(exported(name, bits=8)))
    convolutions = sum(isinstance(layer, Conv) for layer in ARCHITECTURES[name].layers)
    assert [operator for operator, *_ in products] == ["Conv"] * convolutions + ["Gemm"]
    for _, weights, activation_zero, weight_zeros in products:
        assert (activation_zero.dtype, weights.dtype) == (np.uint8, np.int8)
        assert not np.any(weight_zeros)
        magnitudes = np.abs(weights.reshape(len(weights), -1).astype(int))
        pairs = np.sort(magnitudes, axis=1)[:, -2:].sum(axis=1)
        assert 255 * pairs.max() <= np.iinfo(np.int16).max
        assert pairs.max() >= 120  # and the range is used


class Integers(NamedTuple):
    """A quantized tensor."""

    stored: np.ndarray
    scale: np.ndarray
    zero: int

    @property
    def real(self):
        """The numbers that it stands for."""
        return ((self.stored - self.zero) * self.scale).astype(np.float32)


def exact(pairs):
    """Sums of products in wide integers."""
    return pairs


def saturating(pairs):
    """Sums of products in 16 bits, as processors without VNNI compute them."""
    return np.clip(pairs, -(2**15), 2**15 - 1)


def multiply(rows, weights, add):
    """Multiply rows by the rows of `weights`, in pairs of neighbors that `add` sums."""
    padding = ((0, 0), (0, -rows.shape[1] % 2))
    rows, weights = np.pad(rows, padding), np.pad(weights, padding)
    products = rows[:, None].astype(np.int32) * weights.astype(np.int32)
    return add(products.reshape(*products.shape[:2], -1, 2).sum(-1)).sum(-1)


def convolve(inputs, weights, bias, add):
    """Convolve without padding, channels of a pixel side by side as in ONNX Runtime."""
    kernel = weights.stored.shape[2:]
    windows = np.lib.stride_tricks.sliding_window_view(inputs.stored, kernel, (2, 3))
    rows = windows.transpose(0, 2, 3, 4, 5, 1)  # images, height, width, kernel, channels
    filters = weights.stored.transpose(0, 2, 3, 1).reshape(len(weights.stored), -1)
    sums = multiply(rows.reshape(-1, filters.shape[1]), filters, add)
    sums += bias.stored - inputs.zero * filters.sum(1, dtype=np.int32)
    return (
        (sums * (inputs.scale * weights.scale)).reshape(*rows.shape[:3], -1).transpose(0, 3, 1, 2)
    )


def gemm(inputs, weights, bias, add):
    """Multiply by a classifier's weights, each class a row."""
    sums = multiply(inputs.stored, weights.stored, add) + bias.stored
    return (sums - inputs.zero * weights.stored.sum(1)) * (inputs.scale * weights.scale)


def log_softmax(logits):
    """Log-probabilities of logits."""
    shifted = logits - logits.max(1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(1, keepdims=True))


def quantize(numbers, scale, zero):
    """Integers from 0 to 255."""
    return np.clip(np.rint(numbers.astype(np.float32) / scale) + int(zero), 0, 255).astype(np.uint8)


FLOAT_OPERATORS = {
    "QuantizeLinear": quantize,
    "Reshape": lambda numbers, shape: numbers.reshape(len(numbers), *shape[1:]),
    "Transpose": lambda numbers, perm: numbers.transpose(perm),
    "MaxPool": lambda numbers, *_: numbers.reshape(*numbers.shape[:-1], -1, 4).max(-1),
    "Flatten": lambda numbers: numbers.reshape(len(numbers), -1),
    "LogSoftmax": lambda logits, _: log_softmax(logits),
}


def compute(path, images, add):
    """Run exp1's int8 file in NumPy, from the integers in it."""
    graph = onnx.load(path).graph
    values = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
    values["images"] = images
    for node in graph.node:
        inputs = [values[name] for name in node.input]
        if node.op_type == "DequantizeLinear":
            stored, scale, zeros = inputs
            found = Integers(stored.astype(np.int32), scale, int(zeros.max()))
        elif node.op_type in {"Conv", "Gemm"}:
            found = {"Conv": convolve, "Gemm": gemm}[node.op_type](*inputs, add)
        else:
            inputs = [i.real if isinstance(i, Integers) else i for i in inputs]
            options = [onnx.helper.get_attribute_value(option) for option in node.attribute]
            found = FLOAT_OPERATORS[node.op_type](*inputs, *options)
        values[node.output[0]] = found
    return values["log_probabilities"]


def test_saturating_kernels_compute_the_same(exported, normalized):
    """In exp1's file, sums that saturate at 16 bits are the exact sums, and ONNX Runtime's."""
    path, images = exported("exp1", bits=8), normalized[:8].numpy()
    found = compute(path, images, saturating)
    assert np.array_equal(found, compute(path, images, exact))
    np.testing.assert_allclose(np.exp(found), run(path, normalized[:8]).exp(), atol=2e-3)


def test_plain_int8_would_saturate(tmp_path, normalized):
    """With ONNX Runtime's default, full 8-bit weights, sums saturate: the test above can fail."""
    model = mnistzoo.exp1(pretrained=True).fused()
    graph = int8_graph.build(model.to(memory_format=torch.contiguous_format))
    path, images = tmp_path / "plain.onnx", normalized[:8].numpy()
    onnx.save(quantize_graph(graph, images), path)
    assert not np.array_equal(compute(path, images, saturating), compute(path, images, exact))


def test_scales_hold_for_odd_channels():
    """Channels of zeros, of one weight, of equal or tiny weights get scales within the bound."""
    weight = np.zeros((5, 4), np.float32)
    weight[1, 0], weight[2], weight[3, :2], weight[4] = 3, 0.7, (1, -1), 1e-38
    scales = channel_scales(weight)
    stored = np.rint(weight / scales[:, None])
    assert (scales > 0).all()
    assert np.sort(abs(stored), axis=1)[:, -2:].sum(1).max() <= 128
    assert abs(stored).max() <= 127


def test_int8_is_small_and_reproducible(tmp_path):
    """An int8 file is under two thirds of the float file, and has the same bytes each time."""
    model = with_batch_norm("exp5")
    done = export(model, tmp_path / "int8.onnx", bits=8)
    assert done.bytes < export(model, tmp_path / "float.onnx").bytes * 2 / 3
    assert export(model, tmp_path / "again.onnx", bits=8).sha256 == done.sha256


@pytest.mark.parametrize(
    "architecture",
    [*ARCHITECTURES.values(), TEACHER, PADDED, POOLED, ODD],
    ids=lambda architecture: architecture.name,
)
def test_the_int8_graph_computes_the_same(architecture, tmp_path, normalized):
    """Before it is quantized, the graph of int8 files computes what the model computes."""
    fused = ConvNet(architecture).eval().fused().to(memory_format=torch.contiguous_format)
    onnx.save(int8_graph.build(fused), tmp_path / "graph.onnx")
    assert_same(run(tmp_path / "graph.onnx", normalized[:32]), fused(normalized[:32]))


@pytest.mark.parametrize("architecture", [PADDED, POOLED, ODD], ids=lambda row: row.name)
def test_int8_of_other_architectures_is_close(architecture, tmp_path, normalized):
    """int8 works for models that pad, pool first, or reach odd sizes."""
    model = ConvNet(architecture).eval()
    export(model, tmp_path / "int8.onnx", bits=8)
    found = run(tmp_path / "int8.onnx", normalized[:32]).exp()
    torch.testing.assert_close(found, model(normalized[:32]).exp(), rtol=0, atol=0.02)


def test_pt2_computes_the_same(tmp_path, normalized):
    """A `torch.export` program loads, takes 1, 3 and 256 images, and states its input."""
    model = with_batch_norm("exp5")
    extra = {"mnistzoo.json": ""}
    done = export(model, tmp_path / "model.pt2")
    program = torch.export.load(done.path, extra_files=extra).module()
    for count in (1, 3, 256):
        assert_same(program(normalized[:count]), model(normalized[:count]))
    assert json.loads(extra["mnistzoo.json"])["mean"] == "0.1307"


EXPORT_AND_RUN = """
import sys, torch
from executorch.runtime import Runtime
from mnistzoo.export import export
model, images = torch.load(sys.argv[1], weights_only=False)
export(model, sys.argv[2])
method = Runtime.get().load_program(sys.argv[2]).load_method("forward")
torch.save(torch.cat([method.execute([image[None]])[0].clone() for image in images]), sys.argv[1])
"""


@pytest.mark.slow
def test_pte_computes_the_same(tmp_path, normalized):
    """ExecuTorch's own runtime, in a process of its own, computes the same."""
    pytest.importorskip("executorch", reason="the extra [edge] is not installed")
    model, tensors = with_batch_norm("exp5"), tmp_path / "tensors.pt"
    torch.save((model, normalized[:4].clone()), tensors)
    arguments = ["-c", EXPORT_AND_RUN, str(tensors), str(tmp_path / "model.pte")]
    subprocess.run([sys.executable, *arguments], check=True, capture_output=True)
    assert_same(torch.load(tensors), model(normalized[:4]).detach())


CHANGES = {
    "pruned": lambda model: prune.l1_unstructured(model.features.conv2, "weight", 0.5),
    "sequential classifier": lambda model: setattr(
        model, "classifier", nn.Sequential(model.classifier)
    ),
    "weight norm": lambda model: parametrizations.weight_norm(model.features.conv2),
    "no bias": lambda model: setattr(model.features.conv1, "bias", None),
    "another layer": lambda model: model.features.add_module("drop", nn.Dropout()),
    "hook": lambda model: model.features.conv1.register_forward_hook(lambda *_: None),
    "half precision": lambda model: model.half(),
    "channel of zeros": lambda model: nn.init.zeros_(model.features.conv1.weight[:3]),
    "not finite": lambda model: nn.init.constant_(model.features.conv1.weight, float("nan")),
}


@pytest.mark.parametrize("out", ["model.onnx", "model.pt2"])
@pytest.mark.parametrize("change", CHANGES)
def test_changed_models_export_or_are_refused(change, out, tmp_path, normalized):
    """A model that its owner has changed is exported as it computes, or refused by our error."""
    model = with_batch_norm("exp5")
    with torch.no_grad():
        CHANGES[change](model)
    try:
        done = export(model, tmp_path / out)
    except MnistZooError:
        assert not list(tmp_path.iterdir())
        return
    expected = model.float()(normalized[:4])
    loaded = None if done.format == "onnx" else torch.export.load(done.path).module()
    found = loaded(normalized[:4]) if loaded else run(done.path, normalized[:4])
    assert_same(found, expected.detach())


@pytest.mark.parametrize(
    ("out", "options", "error", "message"),
    [
        ("model.onnx", {"format": "onxx"}, UnknownNameError, "onnx"),
        ("model", {}, UnknownNameError, "onnx, pt2, pte"),
        ("model.pt2", {"bits": 8}, InputError, "32 bits for the format 'pt2', got 8"),
    ],
)
def test_wrong_options_are_refused(out, options, error, message, tmp_path):
    """An unknown format, and int8 outside ONNX, are named; nothing is written."""
    with pytest.raises(error, match=message):
        export(mnistzoo.exp1(), tmp_path / out, **options)
    assert not list(tmp_path.iterdir())


def test_a_failed_write_leaves_nothing(tmp_path):
    """Where a file stands in the folder's place, export fails and leaves no other file."""
    (tmp_path / "taken").write_text("a file")
    with pytest.raises(FileWriteError):
        export(mnistzoo.exp1(), tmp_path / "taken" / "model.onnx")
    assert [path.name for path in tmp_path.iterdir()] == ["taken"]


@pytest.mark.parametrize(
    ("package", "module", "out", "extra"),
    [
        ("onnx", "onnx_graph", "model.onnx", "export"),
        ("executorch", "programs", "model.pte", "edge"),
    ],
)
def test_missing_packages_are_named(package, module, out, extra, tmp_path, monkeypatch):
    """Without the packages of an extra, the error says how to install it."""
    monkeypatch.setitem(sys.modules, package, None)
    monkeypatch.delitem(sys.modules, f"mnistzoo.export.{module}", raising=False)
    monkeypatch.delattr(exporting, module, raising=False)
    with pytest.raises(MissingExtraError, match=rf'pip install "mnistzoo\[{extra}\]"'):
        export(mnistzoo.exp1(), tmp_path / out)


def test_export_command(tmp_path):
    """The command exports a folder as it does a name, and prints the path and the size."""
    out = tmp_path / "model.onnx"
    mnistzoo.exp5(num_classes=3).save_pretrained(tmp_path / "mine")
    printed = invoke("export", str(tmp_path / "mine"), "-o", str(out))
    assert str(out) in printed.replace("\n", "")
    assert f"{out.stat().st_size:,}" in printed


@pytest.mark.parametrize("model", [torch.nn.Conv2d(1, 2, 3), "exp5"])
@pytest.mark.parametrize("suffix", ["onnx", "pt2", "html", "h"])
def test_other_modules_are_refused(tmp_path, model, suffix):
    """What is not a model of this library is refused by its type."""
    with pytest.raises(InputError, match=f"got {type(model).__name__}"):
        export(model, tmp_path / f"model.{suffix}")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("style", ["digits", None])
def test_a_style_that_does_not_exist_is_an_error(style, few, tmp_path):
    """A file would state it, and no image can be converted."""
    model = mnistzoo.exp1()
    model.style = style
    for use in (
        lambda: export(model, tmp_path / "x.onnx"),
        lambda: export(model, tmp_path / "x.html"),
        lambda: model.predict(few.images[0]),
    ):
        with pytest.raises(InputError, match="Expected the style 'mnist' or 'plain'"):
            use()
    assert not list(tmp_path.iterdir())
