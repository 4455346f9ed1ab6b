"""The effective receptive field, its figure, and the commands around it."""

from __future__ import annotations

import json
import sys

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

from analysis.oracle import Function
from mnistzoo import effective_receptive_field
from mnistzoo.cli import app, main
from mnistzoo.errors import AnalysisError, InputError, UnknownNameError
from mnistzoo.models import exp5


def test_energy_of_one_convolution_is_its_squared_kernel():
    """A convolution weighs each pixel by its squared weight."""
    torch.manual_seed(0)
    module = nn.Sequential(nn.Conv2d(1, 1, 3, bias=False), nn.Identity())
    found = effective_receptive_field(module, torch.rand(4, 1, 9, 9), "1")
    expected = module[0].weight.detach()[0, 0].double().square()
    assert found.unit == (3, 3)
    assert found.window == ((3, 5), (3, 5))
    torch.testing.assert_close(found.energy[3:6, 3:6], expected / expected.sum())
    assert found.energy.sum().item() == pytest.approx(1)
    assert found.share_in_half == pytest.approx(float(found.energy[4, 4]))


def test_models_of_one_axis():
    """Along one axis too, energy is the squared weight."""
    conv = nn.Conv1d(1, 1, 3, bias=False)
    found = effective_receptive_field(nn.Sequential(conv), torch.rand(2, 1, 9), "0")
    expected = conv.weight.detach()[0, 0].double().square()
    torch.testing.assert_close(found.energy[3:6], expected / expected.sum())


def test_other_arguments_belong_to_the_same_images():
    """An image whose map is scaled by zero leaves no trace."""

    class Scaled(nn.Conv2d):
        def forward(self, x, scale):
            return super().forward(x * scale)

    images = torch.rand(3, 1, 9, 9)
    scale = torch.tensor([1.0, 0.0, 2.0])[:, None, None, None] * torch.eye(9)
    found = effective_receptive_field(Scaled(1, 1, 3), images, "", {"scale": scale})
    assert found.window == ((3, 5), (3, 5))
    assert torch.equal(found.energy > 0, (torch.eye(9) > 0) & (found.energy > 0))
    assert int((found.energy > 0).sum()) == 3


def test_energy_lies_inside_the_theoretical_window():
    """No pixel outside has a gradient, and the model is left as it was."""
    torch.manual_seed(0)
    model = exp5().train()
    found = effective_receptive_field(model, torch.randn(3, 1, 28, 28), "features.conv5")
    (top, bottom), (start, end) = found.window
    outside = found.energy.clone()
    outside[top : bottom + 1, start : end + 1] = 0
    assert outside.sum() == 0
    assert 0 < found.share_in_half <= 1
    assert model.training
    assert all(parameter.grad is None for parameter in model.parameters())
    assert not model.get_submodule("features.conv5")._forward_hooks


def test_axes_may_be_swapped():
    """Unit and window follow the order of the input's axes."""

    class Turned(nn.Conv2d):
        def forward(self, x):
            return super().forward(x).transpose(2, 3)

    found = effective_receptive_field(Turned(1, 1, (1, 5)), torch.rand(2, 1, 20, 30), "")
    assert found.unit == (10, 13)
    assert found.window == ((10, 10), (13, 17))
    assert found.energy[10, 13:18].sum().item() == pytest.approx(1)


def test_later_writes_to_the_output_do_not_count():
    """In-place operators after a layer do not change its field."""
    conv, relu = nn.Conv2d(1, 1, 1), nn.ReLU(inplace=True)
    nn.init.constant_(conv.bias, -100)
    found = effective_receptive_field(nn.Sequential(conv, relu), torch.rand(1, 1, 9, 9), "0")
    assert found.energy[4, 4] == found.energy.sum() == 1


def test_bad_images_and_layers_are_refused():
    """Integers, arrays, empty batches, unknown paths and a classifier's output are refused."""
    model = exp5()
    with pytest.raises(AnalysisError, match="map of 2 axes"):
        effective_receptive_field(model, torch.randn(1, 1, 28, 28), "classifier")
    with pytest.raises(InputError, match="floating-point images"):
        effective_receptive_field(model, torch.zeros(1, 1, 28, 28, dtype=torch.uint8), "features")
    with pytest.raises(InputError, match="Expected a tensor"):
        effective_receptive_field(model, np.zeros((1, 1, 28, 28)), "features")
    with pytest.raises(InputError, match=r"got a shape\. Pass a tensor"):
        effective_receptive_field(model, (1, 28, 28), "features")
    with pytest.raises(InputError, match="example with its batch"):
        effective_receptive_field(model, torch.zeros(0, 1, 28, 28), "features")
    with pytest.raises(InputError, match="path as a string"):
        effective_receptive_field(model, torch.randn(1, 1, 28, 28), 5)
    with pytest.raises(UnknownNameError, match=r"features\.conv5"):
        effective_receptive_field(model, torch.randn(1, 1, 28, 28), "feature.conv5")


@pytest.mark.parametrize(
    ("module", "message"),
    [
        (nn.Conv2d(1, 1, 3, device="meta"), "on the meta device"),
        (Function(lambda x: checkpoint(torch.sin, x, use_reentrant=True)), "use_reentrant=True"),
        (Function(lambda x: nn.Embedding(9, 1)((x > 0).long())[..., 0]), "not have been used"),
    ],
)
@pytest.mark.filterwarnings("ignore:None of the inputs have requires_grad")
def test_models_without_a_gradient_are_refused(module, message):
    """The error names the cause."""
    with pytest.raises((AnalysisError, InputError), match=message):
        effective_receptive_field(module, torch.rand(1, 1, 9, 9), "")


def test_a_class_with_a_call_of_its_own():
    """It runs no hooks, but its output is found."""

    class Called(nn.Conv2d):
        __call__ = nn.Conv2d.forward

    found = effective_receptive_field(Called(1, 1, 3), torch.rand(1, 1, 9, 9), "")
    assert found.window == ((3, 5), (3, 5))


def test_images_in_another_precision():
    """Images in double precision work with a model in single precision."""
    images = torch.randn(1, 1, 28, 28, dtype=torch.float64)
    found = effective_receptive_field(exp5(), images, "features.conv2")
    assert found.energy.sum().item() == pytest.approx(1)


def test_a_module_with_two_paths():
    """Both paths of a shared module give the field of its last call."""
    conv = nn.Conv2d(1, 1, 3)
    module = nn.Sequential(conv, conv)
    found = effective_receptive_field(module, torch.rand(1, 1, 9, 9), "1")
    assert found.field.size == (5, 5)
    assert int((found.energy > 0).sum()) == 25


def test_the_figure_shows_the_window():
    """The window is outlined on both images, also where it leaves the image."""
    pytest.importorskip("matplotlib", reason="an extra of the package")
    from mnistzoo import plots

    found = effective_receptive_field(exp5(), torch.randn(2, 1, 28, 28), "features.conv7")
    figure = plots.receptive_field(found, torch.zeros(28, 28).numpy(), "exp5")
    for axes in figure.axes[:2]:
        (window,) = axes.patches
        assert (window.get_width(), window.get_height()) == (34, 34)
        assert axes.get_xlim()[0] < window.get_x()
    assert "34×34" in figure.get_suptitle()


def _run(capsys, *arguments):
    app(list(arguments), standalone_mode=False)
    return capsys.readouterr().out


def test_analyze_prints_every_form(capsys):
    """Text, JSON, Markdown and CSV of one model hold the same layers."""
    found = json.loads(_run(capsys, "analyze", "exp5", "--format", "json"))
    assert found["num_params"] == 17_302
    for format_ in ("markdown", "csv"):
        text = _run(capsys, "analyze", "exp5", "--format", format_)
        assert all(layer["path"] in text for layer in found["layers"])
    assert "17,302 parameters" in _run(capsys, "analyze", "exp5")


def test_analyze_reads_other_libraries_and_ones_own(capsys, tmp_path, monkeypatch):
    """`torchvision:NAME`, and a module in the folder where the command runs."""
    layer = ("--layer", "features", "--format", "json")
    found = json.loads(_run(capsys, "analyze", "torchvision:squeezenet1_1", *layer))
    assert found["size"] == [207, 207]
    source = "from torch import nn\n\ndef net():\n    return nn.Sequential(nn.Conv2d(2, 3, 5))\n"
    (tmp_path / "my_nets_for_a_test.py").write_text(source)
    monkeypatch.chdir(tmp_path)
    arguments = ("my_nets_for_a_test:net", "--input", "2,9,9", "--layer", "0")
    assert "size=(5, 5)" in _run(capsys, "analyze", *arguments)


@pytest.mark.filterwarnings("default::FutureWarning", "default::DeprecationWarning")  # timm's own
def test_analyze_takes_the_input_size_of_a_timm_model(capsys):
    """A timm model's own input size is the default, and its name may have a weights tag."""
    pytest.importorskip("timm", reason="timm is not a dependency of the package")
    found = json.loads(_run(capsys, "analyze", "timm:vit_tiny_patch16_384", "--format", "json"))
    assert found["input_shape"] == [3, 384, 384]
    found = json.loads(_run(capsys, "analyze", "timm:resnet18.a1_in1k", "--format", "json"))
    assert found["num_params"] == 11_689_512


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("torchvision:resnet5",), "Did you mean 'resnet50'"),
        (("no.such.module:net",), "No module named 'no'"),
        (("os:getcwd",), "got str"),
        (("transformers:BertModel",), "pip install transformers"),
        (("exp5", "--input", "1,28,28", "--of", "image"), "There is no input 'image'"),
        (("exp5", "--layer", "features.cnv1"), "Did you mean 'features.conv1'"),
        (("exp5", "--input", "3,28,28"), "(N, 1, 28, 28)"),
    ],
)
def test_errors_are_one_line(capsys, monkeypatch, arguments, message):
    """What cannot be analysed ends with status 1 and one line that says what to do."""
    monkeypatch.setitem(sys.modules, "transformers", None)  # as if it were not installed
    monkeypatch.setattr("sys.argv", ["mnistzoo", "analyze", *arguments])
    with pytest.raises(SystemExit) as stopped:
        main()
    error = capsys.readouterr().err
    assert stopped.value.code == 1
    assert message in error
    assert error.count("\n") == 1
