"""Fused and exported networks answer as the network that they come from."""

import json
import os
import subprocess
import sys

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from torch import nn

import mnistzoo
from mnistzoo.architectures import ARCHITECTURES, TEACHER, Architecture, Conv, Pool
from mnistzoo.data.mnist import Digits, normalize
from mnistzoo.errors import FileWriteError, InputError, MissingExtraError, UnknownNameError
from mnistzoo.evaluation import evaluate
from mnistzoo.export import export
from mnistzoo.export import onnx_graph as graph
from mnistzoo.export.quantization import widened
from mnistzoo.models.convnet import ConvNet
from test_cli import invoke

NAMES = ["exp1", "exp2", "exp3", "exp4", "exp5"]


PADDED = Architecture("padded", (Conv(8, padding=1), Pool(), Conv(8)))
POOLED = Architecture("pooled", (Pool(), Conv(8), Conv(8)))


def network(name, **options):
    """A network in evaluation mode with batch norm that is far from the identity."""
    model = mnistzoo.get_model(name, **options).eval()
    for layer in model.modules():
        if isinstance(layer, nn.BatchNorm2d):
            nn.init.uniform_(layer.running_mean, -1, 1)
            nn.init.uniform_(layer.running_var, 0.5, 2)
            nn.init.uniform_(layer.weight, 0.5, 2)
            nn.init.uniform_(layer.bias, -1, 1)
    return model


def run(path, images):
    """What ONNX Runtime answers for the file at `path`."""
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    return torch.from_numpy(session.run(["log_probabilities"], {"images": images.numpy()})[0])


def assert_same(answers, expected):
    """Probabilities within 1e-5, log-probabilities within as much of their size."""
    torch.testing.assert_close(answers.exp(), expected.exp(), rtol=0, atol=1e-5)
    torch.testing.assert_close(answers, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", NAMES)
def test_fused_answers_the_same(name, normalized):
    """Fused, a network has no batch norm left, is in evaluation mode, and answers as before."""
    model = network(name)
    fused = model.fused()
    assert not any(isinstance(layer, nn.BatchNorm2d) for layer in fused.modules())
    assert not any(layer.training for layer in fused.modules())
    assert_same(fused(normalized), model(normalized))
    assert_same(fused.fused()(normalized), model(normalized))


def test_fused_is_a_copy(normalized):
    """Neither network changes with the other, nor does the original's mode; dtypes stay."""
    model = network("exp5").train().double()
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


def test_fused_takes_what_the_network_takes():
    """Images of a wrong shape are refused as by the network itself."""
    with pytest.raises(InputError, match=r"\(N, 1, 28, 28\)"):
        mnistzoo.exp5().fused()(torch.zeros(2, 28, 28))


def test_evaluation_is_of_the_network_itself(test_images, normalized):
    """Evaluation, which works on a fused copy, gives the network's own answers."""
    model = network("exp5")
    result = evaluate(model, Digits(test_images.images[:256], test_images.labels[:256]))
    assert_same(result.log_probabilities, model(normalized).detach())


def test_many_pictures_are_read_as_one_by_one(test_images):
    """A list long enough for a fused copy gives what single pictures give."""
    model = network("exp5")
    pictures = [image.numpy() for image in test_images.images[:130]]
    for together, picture in zip(model.predict(pictures), pictures, strict=True):
        alone = model.predict(picture)
        assert together.label == alone.label
        assert together.probabilities == pytest.approx(alone.probabilities, abs=1e-5)


@pytest.mark.parametrize("name", NAMES)
def test_onnx_answers_the_same(name, tmp_path, normalized):
    """ONNX Runtime, for 1, 3 and 256 images, answers as the network, whatever its classes."""
    model = network(name, num_classes=7)
    done = export(model, tmp_path / "net.onnx")
    for count in (1, 3, 256):
        assert_same(run(done.path, normalized[:count]), model(normalized[:count]).detach())


def test_onnx_says_what_it_is(tmp_path):
    """The file passes the checker, is free in the batch, states its opset and how to feed it."""
    done = export(network("exp5"), tmp_path / "net.onnx")
    model = onnx.load(done.path)
    onnx.checker.check_model(model, full_check=True)
    assert [(entry.domain, entry.version) for entry in model.opset_import] == [("", 17)]
    image, answer = model.graph.input[0].type, model.graph.output[0].type
    assert [d.dim_param or d.dim_value for d in image.tensor_type.shape.dim] == ["batch", 1, 28, 28]
    assert [d.dim_param or d.dim_value for d in answer.tensor_type.shape.dim] == ["batch", 10]
    assert "BatchNormalization" not in {node.op_type for node in model.graph.node}
    stated = {entry.key: entry.value for entry in model.metadata_props}
    assert stated["labels"].split(",") == [str(digit) for digit in range(10)]
    pixels = np.array([0, 255]) / 255
    torch.testing.assert_close(
        torch.from_numpy((pixels - float(stated["mean"])) / float(stated["std"])).float(),
        normalize(torch.tensor([[[0, 255]]], dtype=torch.uint8)).flatten(),
    )
    assert done.bytes == os.path.getsize(done.path)  # noqa: PTH202 - apart from what wrote it


@pytest.mark.parametrize("name", ["exp1", "exp5"])
def test_accuracy_survives(name, tmp_path, test_images):
    """Of 10,000 test images, ONNX gets as many right as the network within 1, int8 within 5."""
    model = mnistzoo.get_model(name, pretrained=True)
    correct = evaluate(model, test_images).correct
    images = normalize(test_images.images)
    for int8, allowed in ((False, 1), (True, 5)):
        path = export(model, tmp_path / "net.onnx", int8=int8).path
        found = int((run(path, images).argmax(1) == test_images.labels).sum())
        assert abs(found - correct) <= allowed


def test_int8_is_in_integers(tmp_path):
    """Every weight matrix is stored as int8, the file is under half, and is the same each time."""
    model = network("exp5")
    whole = export(model, tmp_path / "float.onnx")
    done = export(model, tmp_path / "int8.onnx", int8=True)
    stored = onnx.load(done.path).graph.initializer
    weights = [
        tensor for tensor in stored if len(tensor.dims) > 1 and tensor.name != "rows.indices"
    ]
    assert len(weights) == 8
    assert {tensor.data_type for tensor in weights} == {onnx.TensorProto.INT8}
    assert done.bytes < whole.bytes / 2
    assert export(model, tmp_path / "again.onnx", int8=True).sha256 == done.sha256


@pytest.mark.parametrize("name", ["exp1", "exp3", "exp5"])
def test_widening_changes_no_answer(name, normalized):
    """Channels of zeros leave the answers as they are, and the widths are what kernels want."""
    model = network(name).fused()
    wide = widened(model)
    widths = [layer.out_channels for layer in wide.modules() if isinstance(layer, nn.Conv2d)]
    assert all(width >= 16 and width % 4 == 0 for width in widths)
    assert_same(wide(normalized), model(normalized))


@pytest.mark.parametrize(
    "architecture",
    [*ARCHITECTURES.values(), TEACHER, PADDED, POOLED],
    ids=lambda architecture: architecture.name,
)
def test_rows_as_channels_change_no_answer(architecture, tmp_path, normalized):
    """The graph that int8 is made of answers as the network, however its first layers are."""
    fused = ConvNet(architecture).eval().fused().to(memory_format=torch.contiguous_format)
    onnx.save(graph.build(fused, rows=4), tmp_path / "rows.onnx")
    assert_same(run(tmp_path / "rows.onnx", normalized), fused(normalized))
    if architecture in (PADDED, POOLED):
        export(fused, tmp_path / "int8.onnx", int8=True)
        near = run(tmp_path / "int8.onnx", normalized).exp()
        torch.testing.assert_close(near, fused(normalized).exp(), rtol=0, atol=0.02)


def test_pt2_answers_the_same(tmp_path, normalized):
    """A torch.export program loads, takes 1, 3 and 256 images, and says how to feed it."""
    model = network("exp5")
    extra = {"mnistzoo.json": ""}
    done = export(model, tmp_path / "net.pt2")
    program = torch.export.load(done.path, extra_files=extra).module()
    for count in (1, 3, 256):
        assert_same(program(normalized[:count]), model(normalized[:count]))
    assert json.loads(extra["mnistzoo.json"])["mean"] == "0.1307"


RUN_PTE = """
import sys, torch
from executorch.runtime import Runtime
images = torch.load(sys.argv[2])
method = Runtime.get().load_program(sys.argv[1]).load_method("forward")
torch.save(torch.cat([method.execute([image[None]])[0].clone() for image in images]), sys.argv[2])
"""


def test_pte_answers_the_same(tmp_path, normalized):
    """ExecuTorch's own runtime, in a process of its own, answers as the network."""
    pytest.importorskip("executorch", reason="the extra [edge] is not installed")
    model, tensors = network("exp5"), tmp_path / "tensors.pt"
    torch.save({"state": model.state_dict(), "images": normalized[:4].clone()}, tensors)
    write = (
        "import sys, torch; from mnistzoo import exp5; from mnistzoo.export import export\n"
        "model = exp5().eval(); saved = torch.load(sys.argv[2])\n"
        "model.load_state_dict(saved['state']); export(model, sys.argv[1])\n"
        "torch.save(saved['images'], sys.argv[2])"
    )
    for code in (write, RUN_PTE):
        arguments = ["-c", code, str(tmp_path / "net.pte"), str(tensors)]
        subprocess.run([sys.executable, *arguments], check=True, capture_output=True)
    assert_same(torch.load(tensors), model(normalized[:4]).detach())


def test_wrong_options_are_refused(tmp_path):
    """An unknown format and int8 outside ONNX are named, and nothing is written."""
    model = mnistzoo.exp1()
    with pytest.raises(UnknownNameError, match="Did you mean 'onnx'"):
        export(model, tmp_path / "net.onnx", format="onxx")
    with pytest.raises(UnknownNameError, match="Choose from: onnx, pt2, pte"):
        export(model, tmp_path / "net")
    with pytest.raises(InputError, match="int8 is for ONNX only, got the format 'pt2'"):
        export(model, tmp_path / "net.pt2", int8=True)
    assert not list(tmp_path.iterdir())


def test_a_failed_write_leaves_nothing(tmp_path):
    """Where the folder's place is taken by a file, there is an error and no other file."""
    (tmp_path / "taken").write_text("a file")
    with pytest.raises(FileWriteError, match="cannot write"):
        export(mnistzoo.exp1(), tmp_path / "taken" / "net.onnx")
    assert [path.name for path in tmp_path.iterdir()] == ["taken"]


@pytest.mark.parametrize(
    ("package", "out", "extra"),
    [("onnx", "net.onnx", "export"), ("executorch", "net.pte", "edge")],
)
def test_missing_packages_are_named(package, out, extra, tmp_path, python):
    """Without the packages of an extra, the error says how to install it."""
    printed = python(
        "import sys; from mnistzoo import exp1; from mnistzoo.export import export\n"
        f"sys.modules[{package!r}] = None\n"
        "try: export(exp1(), sys.argv[1])\n"
        "except ImportError as error: print(type(error).__name__, error)",
        str(tmp_path / out),
    )
    assert printed.startswith(MissingExtraError.__name__)
    assert f'pip install "mnistzoo[{extra}]"' in printed


def test_export_command(tmp_path):
    """The command writes the file, and prints where and how long it is."""
    out = tmp_path / "net.onnx"
    done = json.loads(invoke("export", "exp1", str(out), "--json"))
    assert done["bytes"] == len(out.read_bytes())
    assert (done["format"], done["int8"], done["path"]) == ("onnx", False, str(out))
    assert str(out) in invoke("export", "exp1", str(out), "--format", "onnx")


def test_export_command_takes_a_folder(tmp_path, normalized):
    """A folder that save_pretrained wrote is exported as a named network is."""
    model = network("exp5", num_classes=3)
    model.save_pretrained(tmp_path / "mine")
    invoke("export", str(tmp_path / "mine"), str(tmp_path / "net.onnx"))
    assert_same(run(tmp_path / "net.onnx", normalized), model(normalized).detach())
