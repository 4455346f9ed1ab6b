"""The five networks: what the study documents, and how they answer bad input."""

import pickle
import re

import pytest
import torch
from torch import nn

import mnistzoo
from mnistzoo.architectures import ARCHITECTURES, Architecture, Conv, Pool
from mnistzoo.errors import InputError, MissingExtraError, UnknownNameError, WeightsError
from mnistzoo.export import export
from mnistzoo.models.convnet import ConvNet

NAMES = ["exp1", "exp2", "exp3", "exp4", "exp5"]

DOCUMENTED_PARAMS = {
    "exp1": 21_000,
    "exp2": 27_738,
    "exp3": 23_426,
    "exp4": 17_054,
    "exp5": 17_302,
}

EXP5_SHAPES = {
    "features.relu1": (32, 26, 26),
    "features.relu2": (16, 24, 24),
    "features.relu3": (16, 22, 22),
    "features.pool1": (16, 11, 11),
    "features.relu4": (16, 9, 9),
    "features.relu5": (16, 7, 7),
    "features.pool2": (16, 3, 3),
    "features.relu6": (16, 3, 3),
    "features.relu7": (12, 3, 3),
    "classifier": (10,),
}


def test_the_five_are_listed():
    """The names are exp1 to exp5, and each is a constructor at the top level and in models."""
    assert mnistzoo.list_models() == NAMES
    for name in NAMES:
        assert getattr(mnistzoo, name) is getattr(mnistzoo.models, name)
        assert getattr(mnistzoo, name)().architecture is ARCHITECTURES[name]


@pytest.mark.parametrize("name", NAMES)
def test_parameters_are_the_documented_ones(name):
    """A network has the design's number of parameters, and rounds to the study's."""
    model = mnistzoo.get_model(name)
    params = sum(p.numel() for p in model.parameters())
    assert params == DOCUMENTED_PARAMS[name] == mnistzoo.num_params(model) == model.num_params()
    assert abs(params - ARCHITECTURES[name].documented_num_params) < 50


def test_exp5_has_the_documented_layers():
    """Parameters of each convolution and batch norm are those of the study's listing."""
    model = mnistzoo.exp5()
    per_layer = {
        name: sum(p.numel() for p in layer.parameters())
        for name, layer in model.named_modules()
        if isinstance(layer, nn.Conv2d | nn.BatchNorm2d | nn.Linear)
    }
    convs = [per_layer[f"features.conv{i}"] for i in range(1, 8)]
    norms = [per_layer[f"features.bn{i}"] for i in range(1, 8)]
    assert convs == [320, 4624, 2320, 2320, 2320, 2320, 1740]
    assert norms == [64, 32, 32, 32, 32, 32, 24]
    assert per_layer["classifier"] == 1090


def test_exp5_shapes():
    """Every block's output has the shape that the design states, seen by hooks on a real pass."""
    model = mnistzoo.exp5()
    seen = {}
    for name, layer in model.named_modules():
        layer.register_forward_hook(
            lambda *call, name=name: seen.__setitem__(name, tuple(call[2].shape[1:]))
        )
    model(torch.zeros(2, 1, 28, 28))
    assert {name: seen[name] for name in EXP5_SHAPES} == EXP5_SHAPES


@pytest.mark.parametrize("name", NAMES)
def test_output_is_log_probabilities(name, normalized):
    """What comes out is (N, classes), and its exponentials sum to one."""
    model = mnistzoo.get_model(name, num_classes=7).eval()
    out = model(normalized[:5])
    assert out.shape == (5, 7)
    torch.testing.assert_close(out.exp().sum(1), torch.ones(5))
    torch.testing.assert_close(out, out.log_softmax(1))


@pytest.mark.parametrize("name", NAMES)
def test_pretrained_reads_digits(name, normalized, test_images):
    """The shipped weights come in evaluation mode, and nearly always read a digit right."""
    model = mnistzoo.get_model(name, pretrained=True)
    assert not model.training
    correct = (model(normalized).argmax(1) == test_images.labels[:256]).sum()
    assert correct >= 250


def test_pretrained_loads_the_same_every_time(normalized):
    """Two loads give equal bits, whatever the random numbers before them."""
    first = mnistzoo.exp5(pretrained=True)(normalized)
    torch.manual_seed(7)
    assert torch.equal(first, mnistzoo.exp5(pretrained=True)(normalized))


def test_reset_classifier():
    """A new head has the new number of classes; features, dtype and device stay."""
    model = mnistzoo.exp5(pretrained=True).double()
    before = model.features.state_dict()["conv1.weight"].clone()
    model.reset_classifier(num_classes=26)
    assert model.num_classes == 26
    assert model(torch.zeros(1, 1, 28, 28, dtype=torch.double)).shape == (1, 26)
    assert torch.equal(before, model.features.conv1.weight)


@pytest.mark.parametrize("bad", [0, -1, 2.5, "10", None])
def test_num_classes_must_be_a_positive_integer(bad):
    """Anything else is an error that shows what was given."""
    with pytest.raises(InputError, match="num_classes should be a positive integer"):
        mnistzoo.exp1(num_classes=bad)
    with pytest.raises(InputError, match="num_classes should be a positive integer"):
        mnistzoo.exp1().reset_classifier(bad)


def test_pretrained_with_other_classes_names_the_way():
    """The error of pretrained=True with another num_classes names reset_classifier."""
    with pytest.raises(InputError, match=r"reset_classifier\(26\)"):
        mnistzoo.exp5(pretrained=True, num_classes=26)


def test_unknown_name_suggests_the_nearest():
    """A misspelt network is a ValueError that names the one meant."""
    with pytest.raises(UnknownNameError, match="Did you mean 'exp5'"):
        mnistzoo.get_model("exp55")
    with pytest.raises(ValueError, match="Choose from: exp1"):
        mnistzoo.get_model("resnet")


@pytest.mark.parametrize(
    ("images", "message"),
    [
        (torch.zeros(2, 1, 28, 28, dtype=torch.uint8), r"torch.uint8.*mnistzoo.transforms\(\)"),
        (torch.zeros(2, 28, 28), r"\(N, 1, 28, 28\), got \(2, 28, 28\)"),
        (torch.zeros(1, 28, 28), "add the batch and channel axes"),
        (torch.zeros(2, 3, 28, 28), r"got \(2, 3, 28, 28\)"),
        (torch.zeros(2, 1, 32, 32), r"got \(2, 1, 32, 32\)"),
    ],
)
def test_wrong_images_say_what_to_do(images, message):
    """Another shape or dtype is one error that states both and what to call."""
    with pytest.raises(InputError, match=message):
        mnistzoo.exp5()(images)


@pytest.mark.parametrize("name", [5, None])
def test_what_is_no_name(name):
    """It is an unknown one."""
    with pytest.raises(UnknownNameError, match=f"no model {name}"):
        mnistzoo.get_model(name)


@pytest.mark.parametrize(
    "error",
    [
        UnknownNameError("model", "exp9", ["exp1", "exp2"]),
        MissingExtraError("drawing", "plot"),
        InputError("expected one, got none."),
    ],
)
def test_errors_pickle(error):
    """They reach the process that started another one, as they are."""
    again = pickle.loads(pickle.dumps(error))
    assert type(again) is type(error)
    assert str(again) == str(error)
    assert re.fullmatch(r"(there is|expected|drawing) .*[.?\"]", str(again))


def test_pretrained_under_another_default_dtype(normalized, tmp_path):
    """Weights are taken into it, as torch does it, from the zoo and from a folder."""
    single = mnistzoo.exp1(pretrained=True)
    single.save_pretrained(tmp_path)
    expected = single(normalized)
    torch.set_default_dtype(torch.float64)
    try:
        for model in (mnistzoo.exp1(pretrained=True), mnistzoo.from_pretrained(tmp_path)):
            assert model.classifier.weight.dtype == torch.float64
            torch.testing.assert_close(model(normalized.double()).float(), expected)
    finally:
        torch.set_default_dtype(torch.float32)


def test_nothing_left_of_the_image():
    """More layers than an image has pixels for are refused when the network is built."""
    with pytest.raises(InputError, match=r"nothing is left .* after pool5 of deep; take"):
        ConvNet(Architecture("deep", (Pool(),) * 5))


def _pooled_otherwise(model):
    model.features.pool1 = nn.AvgPool2d(2)


def _with_another(model):
    model.features.add_module("gelu1", nn.GELU())


def _with_norm(model):
    nn.utils.parametrizations.weight_norm(model.classifier)


def _strided(model):
    model.features.conv2.stride = (2, 2)


@pytest.mark.parametrize("change", [_pooled_otherwise, _with_another, _with_norm, _strided])
@pytest.mark.parametrize("write", ["save", "onnx"])
def test_layers_of_another_kind_are_not_written(change, write, tmp_path):
    """A file has the weights alone, so one that is no longer the architecture's is refused."""
    model = mnistzoo.exp1(pretrained=True)
    change(model)
    out = tmp_path / "out"
    with pytest.raises(WeightsError):
        model.save_pretrained(out) if write == "save" else export(model, out, format="onnx")
    assert not out.exists()


@pytest.mark.parametrize(
    "model", [lambda: mnistzoo.exp5().fused(), lambda: ConvNet(Architecture("own", (Conv(8),)))]
)
def test_architectures_that_cannot_be_saved(model, tmp_path):
    """A fused copy and an architecture of one's own have no name to load them by."""
    with pytest.raises(WeightsError, match="as `get_model` builds it"):
        model().save_pretrained(tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_networks_pickle_and_repr():
    """A network goes through pickle, as torch.multiprocessing needs, and names itself."""
    model = pickle.loads(pickle.dumps(mnistzoo.exp1(pretrained=True)))
    assert "architecture='exp1'" in repr(model)


def test_features_can_be_extracted():
    """torch.fx traces a network, as torchvision's feature extraction needs."""
    from torchvision.models.feature_extraction import create_feature_extractor

    model, images = mnistzoo.exp5(pretrained=True), torch.rand(2, 1, 28, 28)
    layers = create_feature_extractor(model, ["features.conv5", "log_softmax"])(images)
    assert layers["features.conv5"].shape == (2, 16, 7, 7)
    assert torch.equal(layers["log_softmax"], model(images))
