"""Training for a C header's integers, held to the integers themselves."""

import pytest
import torch
from msgspec.structs import replace

import mnistzoo
from mnistzoo.errors import InputError
from mnistzoo.export.integer_quantization import CALIBRATION_IMAGES, quantize
from mnistzoo.images.transforms import normalize
from mnistzoo.inference import NumpyModel
from mnistzoo.models.tensors import to_arrays
from mnistzoo.training.fake_quantization import FakeQuantized
from mnistzoo.training.loop import train_run
from mnistzoo.training.recipes import get_recipe
from mnistzoo.training.run import DatasetInfo, Run

FEW = 60


def integers(model, bits, images):
    arrays = NumpyModel.from_state_dict(model.architecture, to_arrays(model.state_dict()))
    return quantize(arrays, images, bits)


@pytest.fixture(scope="module")
def train_images():
    return mnistzoo.mnist(train=True)


@pytest.fixture(scope="module")
def calibration(train_images):
    return train_images.images[:FEW].numpy()


@pytest.mark.parametrize("name", ["exp1", "exp4", "exp5"])
@pytest.mark.parametrize("bits", [8, 4])
def test_forward_computes_the_integers(name, bits, calibration, test_images):
    """Log-probabilities are those of the integers, with batch norm and without."""
    model, images = mnistzoo.get_model(name, pretrained=True), test_images.images[:20]
    reference = integers(model, bits, calibration)
    unit = reference.step / 2**reference.shift
    expected = torch.from_numpy(reference.sums(images.numpy()) * unit).log_softmax(dim=1)
    with torch.no_grad():
        found = FakeQuantized(model, bits, calibration)(normalize(images))
    torch.testing.assert_close(found.double(), expected, rtol=0, atol=1e-4)


@pytest.mark.parametrize("name", ["exp1", "exp5"])
def test_dequantized_weights_have_the_same_integers(name, calibration, test_images):
    """On the same scales, the weights that integers stand for have these integers."""
    module = FakeQuantized(mnistzoo.get_model(name, pretrained=True), 4, calibration)
    again = FakeQuantized(module.dequantized(), 4, calibration)
    again.stages = module.stages
    images = normalize(test_images.images[:20])
    with torch.no_grad():
        torch.testing.assert_close(again(images), module(images), rtol=0, atol=1e-4)


def test_gradients_pass_straight_through(calibration, test_images):
    """At 8 bits, gradients are close to those in floating point, and statistics do not change."""
    images, labels = normalize(test_images.images[:20]), test_images.labels[:20]
    gradients = []
    for wrap in (lambda model: model, lambda model: FakeQuantized(model, 8, calibration)):
        model = mnistzoo.exp5(pretrained=True)
        before = {name: value.clone() for name, value in model.named_buffers()}
        torch.nn.functional.nll_loss(wrap(model)(images), labels).backward()
        assert all(torch.equal(value, before[name]) for name, value in model.named_buffers())
        gradients.append(torch.cat([p.grad.flatten() for p in model.parameters()]))
    assert torch.cosine_similarity(*gradients, dim=0) > 0.9


def few_steps(**changes):
    """Return a run of one step on exp1 that is evaluated on held-out images."""
    recipe = replace(get_recipe("four-bit", "exp1"), epochs=1, images=64, **changes)
    return Run("exp1", recipe, holdout=200)


def test_a_run_is_evaluated_as_its_header(tmp_path, train_images):
    """A run's accuracy is that of the exported integers, and its card states no accuracy."""
    result = train_run(few_steps(), tmp_path)
    model = mnistzoo.from_pretrained(tmp_path)
    made = integers(model, 4, train_images.images[:CALIBRATION_IMAGES].numpy())
    found = made.sums(train_images.images[-200:].numpy()).argmax(1)
    assert result.correct == (found == train_images.labels[-200:].numpy()).sum()
    assert result.dtype == "float32"


def test_training_starts_from_the_pretrained_model(tmp_path):
    """A step at a tiny learning rate leave the rounded pretrained weights."""
    train_run(few_steps(learning_rate=1e-12, weight_decay=0.0), tmp_path)
    model = mnistzoo.exp1(pretrained=True)
    images = mnistzoo.mnist(train=True).images[:CALIBRATION_IMAGES].numpy()
    expected = FakeQuantized(model, 4, images).dequantized()
    found = mnistzoo.from_pretrained(tmp_path)
    for name, value in expected.state_dict().items():
        torch.testing.assert_close(found.state_dict()[name], value)


def test_other_starts_are_refused():
    """Models without pretrained weights are refused, and other datasets."""
    recipe = get_recipe("four-bit", "exp5")
    with pytest.raises(InputError, match="pretrained weights"):
        Run("teacher", recipe)
    dataset = DatasetInfo("0" * 64, ("a", "b"), "mnist", 10, 10)
    with pytest.raises(InputError, match="Expected MNIST for the recipe four-bit"):
        Run("exp5", recipe, dataset=dataset)
