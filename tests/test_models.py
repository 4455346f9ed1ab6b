"""The five networks: what the study documents, and how they answer bad input."""

import pickle

import pytest
import torch
from torch import nn

import mnistzoo
from mnistzoo.architectures import ARCHITECTURES
from mnistzoo.errors import InputError, UnknownNameError

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
    assert abs(params - ARCHITECTURES[name].documented_params) < 50


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
    with pytest.raises(UnknownNameError, match="did you mean 'exp5'"):
        mnistzoo.get_model("exp55")
    with pytest.raises(ValueError, match="choose from: exp1"):
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
