"""The five models: what the study documents, the interface, and bad input."""

import pickle
from pathlib import Path

import pytest
import torch
from torch import nn
from torch.nn.utils import parametrizations, prune

import mnistzoo
from mnistzoo.architectures import ARCHITECTURES, Architecture, Conv, Pool
from mnistzoo.errors import (
    ArgumentError,
    InputError,
    MissingExtraError,
    UnknownNameError,
    WeightsError,
)
from mnistzoo.export import export
from mnistzoo.models import ConvNet

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
    """Each name is a constructor, at the top level and in models."""
    assert mnistzoo.list_models() == NAMES
    for name in NAMES:
        assert getattr(mnistzoo, name) is getattr(mnistzoo.models, name)
        assert getattr(mnistzoo, name)().architecture is ARCHITECTURES[name]


@pytest.mark.parametrize("name", NAMES)
def test_num_params_is_the_documented_number(name):
    """A model has the design's number of parameters, which rounds to the study's."""
    model = mnistzoo.get_model(name)
    total = sum(p.numel() for p in model.parameters())
    assert total == DOCUMENTED_PARAMS[name] == mnistzoo.num_params(model) == model.num_params()
    assert abs(total - ARCHITECTURES[name].documented_num_params) < 50


def test_exp5_has_the_documented_layers():
    """The parameters of each layer are those in the study's listing."""
    per_layer = {
        name: sum(p.numel() for p in layer.parameters())
        for name, layer in mnistzoo.exp5().named_modules()
        if isinstance(layer, nn.Conv2d | nn.BatchNorm2d | nn.Linear)
    }
    convs = [per_layer[f"features.conv{i}"] for i in range(1, 8)]
    norms = [per_layer[f"features.bn{i}"] for i in range(1, 8)]
    assert convs == [320, 4624, 2320, 2320, 2320, 2320, 1740]
    assert norms == [64, 32, 32, 32, 32, 32, 24]
    assert per_layer["classifier"] == 1090


def test_exp5_has_the_documented_shapes():
    """Hooks on a real forward pass see the shapes that the design states."""
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
    """The output is (N, classes), and its exponentials sum to one."""
    model = mnistzoo.get_model(name, num_classes=7).eval()
    out = model(normalized[:5])
    assert out.shape == (5, 7)
    torch.testing.assert_close(out.exp().sum(1), torch.ones(5))
    torch.testing.assert_close(out, out.log_softmax(1))


def test_forward_is_the_head_of_the_features(normalized):
    """`forward_head(forward_features(x))` equals `forward(x)`, as in timm."""
    model = mnistzoo.exp5(pretrained=True)
    features = model.forward_features(normalized)
    assert features.shape == (256, 12, 3, 3)
    assert torch.equal(model.forward_head(features), model(normalized))


@pytest.mark.parametrize("name", NAMES)
def test_pretrained_models_read_digits(name, normalized, test_images):
    """Shipped weights load in evaluation mode and classify nearly every digit correctly."""
    model = mnistzoo.get_model(name, pretrained=True)
    assert not model.training
    correct = (model(normalized).argmax(1) == test_images.labels[:256]).sum()
    assert correct >= 250


def test_pretrained_does_not_depend_on_random_numbers(normalized):
    """Two loads under different seeds give equal bits."""
    first = mnistzoo.exp5(pretrained=True)(normalized)
    torch.manual_seed(7)
    assert torch.equal(first, mnistzoo.exp5(pretrained=True)(normalized))


def test_pretrained_under_another_default_dtype(normalized, tmp_path):
    """Pretrained and saved models load in the default dtype."""
    single = mnistzoo.exp1(pretrained=True)
    single.save_pretrained(tmp_path)
    expected, image = single(normalized), torch.zeros(40, 40).fill_diagonal_(1)
    torch.set_default_dtype(torch.float64)
    try:
        for model in (mnistzoo.exp1(pretrained=True), mnistzoo.from_pretrained(tmp_path)):
            assert model.classifier.weight.dtype == torch.float64
            torch.testing.assert_close(model(normalized.double()).float(), expected)
            assert model.predict(image).label == single.predict(image).label
    finally:
        torch.set_default_dtype(torch.float32)


def test_pretrained_with_other_classes_has_a_fresh_classifier():
    """`num_classes` keeps the pretrained features and replaces the classifier, as in timm."""
    ten, letters = mnistzoo.exp5(pretrained=True), mnistzoo.exp5(pretrained=True, num_classes=26)
    assert not letters.training
    assert letters.get_classifier().out_features == letters.num_classes == 26
    for name, value in ten.features.state_dict().items():
        assert torch.equal(letters.features.state_dict()[name], value)


def test_reset_classifier_keeps_features_dtype_and_device():
    """A new classifier has the new number of classes, whatever was there before."""
    model = mnistzoo.exp5(pretrained=True).double()
    before = model.features.conv1.weight.clone()
    model.classifier = nn.Sequential(nn.Flatten(), nn.Linear(108, 5))
    assert model.num_classes == 5
    model.reset_classifier(num_classes=26)
    assert model.num_classes == 26
    assert model(torch.zeros(1, 1, 28, 28, dtype=torch.double)).shape == (1, 26)
    assert torch.equal(before, model.features.conv1.weight)


def test_a_classifier_without_a_linear_layer_has_no_num_classes():
    """The error names the method that gives the model one."""
    model = mnistzoo.exp1()
    model.classifier = nn.Identity()
    with pytest.raises(InputError, match="reset_classifier"):
        _ = model.num_classes


@pytest.mark.parametrize("bad", [0, -1, 2.5, 10.0, True, "10", None])
@pytest.mark.parametrize("pretrained", [True, False])
def test_num_classes_must_be_a_positive_integer(bad, pretrained):
    """A `num_classes` that is not a positive integer is an error that shows it."""
    with pytest.raises(InputError, match=f"positive integer, got {bad!r}"):
        mnistzoo.exp1(num_classes=bad, pretrained=pretrained)
    with pytest.raises(InputError, match=f"positive integer, got {bad!r}"):
        mnistzoo.exp1().reset_classifier(bad)


@pytest.mark.parametrize(
    "call",
    [
        lambda: mnistzoo.exp5(True),
        lambda: mnistzoo.exp5(weights="DEFAULT"),
        lambda: mnistzoo.exp5(pretrained=True, progress=False),
        lambda: mnistzoo.get_model("exp5", in_chans=1),
    ],
)
def test_options_of_other_libraries_name_ours(call):
    """A habit from torchvision or timm is a TypeError that names the right spelling."""
    with pytest.raises(ArgumentError, match=r"arguments are pretrained \(True or") as caught:
        call()
    assert isinstance(caught.value, TypeError)


def test_unknown_names_suggest_the_nearest():
    """A misspelled model is a ValueError that names the one meant; others list all."""
    with pytest.raises(UnknownNameError, match="Did you mean 'exp5'"):
        mnistzoo.get_model("exp55")
    for name in ("resnet", None):
        with pytest.raises(ValueError, match="Choose from: exp1"):
            mnistzoo.get_model(name)


def test_an_error_lists_few_names():
    """The names of a library with a thousand models do not fill the screen."""
    error = UnknownNameError("model", "?", [f"model_{number}" for number in range(1000)])
    assert str(error).startswith("There is no model '?'. Choose from: model_0, model_1, ")
    assert str(error).endswith(", …")
    assert len(str(error)) < 600


def test_receptive_field_is_one_field():
    """The default field is the last feature map's, which `summary` reports too."""
    model = mnistzoo.exp5()
    field = model.receptive_field()
    assert isinstance(field, mnistzoo.ReceptiveField)
    assert field == model.receptive_field("features.relu7") == model.summary().receptive_field
    assert field.size == (34, 34)


@pytest.mark.parametrize(
    ("images", "got"),
    [
        (torch.zeros(2, 1, 28, 28, dtype=torch.uint8), "torch.uint8"),
        (torch.zeros(2, 28, 28), r"\(2, 28, 28\)"),
        (torch.zeros(2, 3, 28, 28), r"\(2, 3, 28, 28\)"),
        (torch.zeros(2, 1, 32, 32), r"\(2, 1, 32, 32\)"),
    ],
)
def test_wrong_images_are_refused(images, got):
    """The error states the shape or dtype, and what to call instead."""
    with pytest.raises(InputError, match=rf"got {got}.*model\.predict\(\)"):
        mnistzoo.exp5()(images)


@pytest.mark.parametrize(
    "error",
    [
        UnknownNameError("model", "exp9", ["exp1", "exp2"]),
        MissingExtraError("Drawing", "plot"),
        InputError("Expected one, got none."),
    ],
)
def test_errors_pickle(error):
    """Errors of worker processes arrive unchanged."""
    again = pickle.loads(pickle.dumps(error))
    assert type(again) is type(error)
    assert str(again) == str(error)


def test_layers_that_leave_nothing_are_refused():
    """An architecture that shrinks the image to nothing cannot be built."""
    with pytest.raises(InputError, match="pool5"):
        ConvNet(Architecture("deep", (Pool(),) * 5))


def _pooled_otherwise(model):
    model.features.pool1 = nn.AvgPool2d(2)


def _with_another(model):
    model.features.add_module("gelu1", nn.GELU())


def _strided(model):
    model.features.conv2.stride = (2, 2)


def _another_classifier(model):
    model.classifier = nn.Sequential(nn.Linear(2016, 10))


def _on_meta(model):
    model.to("meta")


@pytest.mark.parametrize(
    "change", [_pooled_otherwise, _with_another, _strided, _another_classifier, _on_meta]
)
@pytest.mark.parametrize("write", ["save", "onnx"])
def test_models_that_differ_from_their_architecture_are_not_written(change, write, tmp_path):
    """A file holds only weights, so a model with other layers, or no values, is refused."""
    model = mnistzoo.exp1(pretrained=True)
    change(model)
    out = tmp_path / "out"
    with pytest.raises(WeightsError):
        model.save_pretrained(out) if write == "save" else export(model, out, format="onnx")
    assert not out.exists()


@pytest.mark.parametrize("value", [object(), float("nan")], ids=["object", "nan"])
def test_provenance_is_json(tmp_path, value):
    """Values that JSON does not have are refused, and nothing is written."""
    with pytest.raises(InputError, match="provenance of JSON values"):
        mnistzoo.exp1().save_pretrained(tmp_path / "model", provenance={"value": value})
    assert not (tmp_path / "model").exists()


@pytest.mark.parametrize(
    "model", [lambda: mnistzoo.exp5().fused(), lambda: ConvNet(Architecture("own", (Conv(8),)))]
)
def test_architectures_outside_the_zoo_cannot_be_saved(model, tmp_path):
    """A fused copy and a custom architecture have no name to load them by."""
    with pytest.raises(WeightsError, match="get_model"):
        model().save_pretrained(tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_models_pickle_and_name_themselves():
    """A model can be pickled, and its repr names the architecture."""
    model = pickle.loads(pickle.dumps(mnistzoo.exp1(pretrained=True)))
    assert "architecture='exp1'" in repr(model)


def test_features_can_be_extracted():
    """Torchvision's feature extraction traces a model."""
    from torchvision.models.feature_extraction import create_feature_extractor

    model, images = mnistzoo.exp5(pretrained=True), torch.rand(2, 1, 28, 28)
    layers = create_feature_extractor(model, ["features.conv5", "log_softmax"])(images)
    assert layers["features.conv5"].shape == (2, 16, 7, 7)
    assert torch.equal(layers["log_softmax"], model(images))


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # TorchScript itself is deprecated
@pytest.mark.filterwarnings("ignore::FutureWarning")
def test_a_model_can_be_scripted(normalized):
    """TorchScript compiles a model, and the result computes the same."""
    model = mnistzoo.exp5(pretrained=True)
    assert torch.equal(torch.jit.script(model)(normalized), model(normalized))


def _pruned(model):
    prune.l1_unstructured(model.features.conv2, "weight", amount=0.3)
    prune.random_unstructured(model.features.conv2, "weight", amount=0.1)
    prune.l1_unstructured(model.classifier, "weight", amount=0.2)


def _weight_normed(model):
    parametrizations.weight_norm(model.features.conv2)
    parametrizations.weight_norm(model.classifier)


def _hook_weight_normed(model):
    with pytest.warns(FutureWarning, match="weight_norm"):
        nn.utils.weight_norm(model.features.conv2)


def _spectral_normed(model):
    nn.utils.spectral_norm(model.features.conv2)
    parametrizations.spectral_norm(model.classifier)


def _sequential_classifier(model):
    model.classifier = nn.Sequential(nn.Linear(108, 64), nn.ReLU(), nn.Dropout(), nn.Linear(64, 5))


def _wrapped_convolution(model):
    model.features.conv3 = nn.Sequential(model.features.conv3)


def _repeated_layer(model):
    model.features.relu3 = model.features.relu2


def _half(model):
    model.half()


def _bfloat16(model):
    model.bfloat16()


def _double(model):
    model.double()


CHANGES = [
    *(_pruned, _weight_normed, _hook_weight_normed, _spectral_normed, _sequential_classifier),
    *(_wrapped_convolution, _repeated_layer, _half, _bfloat16, _double),
]


@pytest.fixture(params=CHANGES, ids=lambda change: change.__name__)
def changed(request):
    """An exp5 that its user has changed, after a forward pass that autograd recorded."""
    model = mnistzoo.exp5(pretrained=True)
    request.param(model)
    model(torch.zeros(1, 1, 28, 28, dtype=next(model.parameters()).dtype))
    return model


@pytest.mark.parametrize("training", [False, True])
def test_an_image_gets_the_same_numbers_alone_and_in_a_list(changed, training, test_images):
    """Predictions are equal bit for bit in lists of any length, and the mode stays as it was."""
    changed.train(training)
    images = list(test_images.images[:130])
    together = changed.predict(images)
    assert together[:7] == changed.predict(images[:7])
    assert together[-3:] == [changed.predict(image) for image in images[-3:]]
    assert changed.training is training


def test_a_fused_copy_predicts_the_same(changed, test_images):
    """Fusing bakes pruning and parametrizations in, and leaves the original as it was."""
    images = list(test_images.images[:20])
    expected = changed.predict(images)
    tolerance = 1e-4 if next(changed.parameters()).itemsize > 2 else 2e-2
    fused = changed.fused()
    assert not any("mask" in name or "parametrization" in name for name in fused.state_dict())
    for one, other in zip(fused.predict(images), expected, strict=True):
        torch.testing.assert_close(
            one.probabilities, other.probabilities, rtol=0, atol=tolerance, check_dtype=False
        )
    assert changed.predict(images) == expected
    assert fused.fused().predict(images[0]) == fused.predict(images[0])


@pytest.mark.parametrize("change", [_pruned, _weight_normed, _spectral_normed])
def test_reparametrized_models_are_exported_but_not_saved(change, tmp_path):
    """An export has plain weights; a save would lose the masks, so it says what to do."""
    model = mnistzoo.exp5(pretrained=True)
    change(model)
    with pytest.raises(WeightsError, match=r"features\.conv2.*prune\.remove"):
        model.save_pretrained(tmp_path / "saved")
    assert not (tmp_path / "saved").exists()
    assert export(model, tmp_path / "model.onnx").bytes > 0


def test_hooks_run_once_per_image_and_are_not_fused_away(test_images):
    """A forward hook sees every image, in either mode. A fused copy would lose it, so it fails."""
    model = mnistzoo.exp5(pretrained=True)
    shapes = []
    handle = model.features.bn2.register_forward_hook(lambda *call: shapes.append(call[2].shape))
    model.predict(list(test_images.images[:130]))
    model.train().predict(test_images.images[0])
    assert shapes == [(1, 16, 24, 24)] * 131
    with pytest.raises(InputError, match=r"features\.bn2.*handle\.remove"):
        model.fused()
    images, labels = test_images
    assert mnistzoo.evaluate(model, (images[:9], labels[:9])).correct == 9
    assert shapes[-1] == (9, 16, 24, 24)
    handle.remove()
    assert model.fused().predict(test_images.images[0])


@pytest.mark.parametrize("device", ["cpu", "meta"])
def test_parameters_of_several_dtypes_or_without_values_are_refused(device, test_images):
    """`predict` names the dtypes and devices that it found."""
    model = mnistzoo.exp1(pretrained=True).half()
    model.reset_classifier(10)
    model.classifier.float()
    with pytest.raises(InputError, match=f"torch.float32 on {device}"):
        model.to(device).predict(test_images.images[0])


def test_outputs_that_are_not_finite_are_refused(test_images):
    """A model with NaN among its weights predicts nothing."""
    model = mnistzoo.exp1()
    nn.init.constant_(model.classifier.bias, float("nan"))
    with pytest.raises(InputError, match="finite"):
        model.predict(test_images.images[0])


def test_pretrained_is_no_path():
    """A path in place of a bool or a name is refused, and the message names what there is."""
    with pytest.raises(InputError, match="from_pretrained"):
        mnistzoo.exp5(pretrained=Path("my.safetensors"))
    with pytest.raises(UnknownNameError, match="Did you mean"):
        mnistzoo.exp5(pretrained="my.safetensors")
