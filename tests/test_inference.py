"""Inference in NumPy, held to PyTorch."""

import numpy as np
import pytest
import torch

import mnistzoo
from mnistzoo.architectures import BUILDABLE, Architecture, Conv, Pool
from mnistzoo.errors import UnknownNameError, WeightsError
from mnistzoo.images.transforms import normalize
from mnistzoo.inference import NumpyModel, load_folder, load_model
from mnistzoo.models.convnet import ConvNet
from mnistzoo.models.tensors import to_arrays
from mnistzoo.storage.state_dict import tensor_shapes

NAMES = mnistzoo.list_models()


@pytest.mark.parametrize(
    ("name", "count"),
    [
        *((name, 500) for name in NAMES),
        *(pytest.param(name, 10_000, marks=pytest.mark.slow) for name in NAMES),
    ],
)
def test_log_probabilities_are_those_of_torch(test_images, name, count):
    """Log-probabilities agree within 1e-4, and labels exactly."""
    model, arrays = mnistzoo.get_model(name, pretrained=True), load_model(name)
    for images in test_images.images[:count].split(250):
        with torch.inference_mode():
            expected = model(normalize(images)).numpy()
        found = arrays.log_probabilities(images.numpy())
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-4)
        np.testing.assert_array_equal(found.argmax(1), expected.argmax(1))


def test_any_architecture(test_images):
    """Padding, odd sides, no batch norm, trained statistics and 26 classes agree with PyTorch."""
    layers = (Conv(3, padding=1), Pool(), Conv(5), Pool(), Conv(2, padding=1))
    for batch_norm in (False, True):
        model = ConvNet(Architecture("other", layers, batch_norm=batch_norm), num_classes=26)
        model(normalize(test_images.images[:50]))  # moves the running statistics
        arrays = NumpyModel.from_state_dict(model.architecture, to_arrays(model.state_dict()))
        images = test_images.images[:20]
        expected = model.eval()(normalize(images)).detach().numpy()
        np.testing.assert_allclose(arrays.log_probabilities(images.numpy()), expected, atol=1e-4)


def test_predict_and_read(test_images):
    """A digit, a list of digits and a row of digits get what `ConvNet` reads, whatever the list."""
    model, arrays = mnistzoo.exp4(pretrained=True), load_model("exp4")
    digits = list(test_images.images[:3].numpy())
    alone, together = arrays.predict(digits[0]), arrays.predict(digits)
    assert together[0] == alone
    for found, expected in zip(together, model.predict(digits), strict=True):
        assert found.label == expected.label
        np.testing.assert_allclose(found.probabilities, expected.probabilities, atol=1e-5)
    row = np.pad(np.concatenate(digits, axis=1), 20)
    expected = [(digit.label, digit.box) for digit in model.read(row)]
    assert [(digit.label, digit.box) for digit in arrays.read(row)] == expected


def test_folders(tmp_path):
    """A saved model is loaded with all its checks, a teacher's too."""
    model = mnistzoo.get_model("teacher", num_classes=3).eval()
    model.save_pretrained(tmp_path)
    image = np.zeros((1, 28, 28), np.uint8)
    expected = model(normalize(torch.from_numpy(image))).detach().numpy()
    np.testing.assert_allclose(load_folder(tmp_path).log_probabilities(image), expected, atol=1e-5)
    data = (tmp_path / "model.safetensors").read_bytes()
    (tmp_path / "model.safetensors").write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    with pytest.raises(WeightsError, match="SHA-256"):
        load_folder(tmp_path)
    with pytest.raises(UnknownNameError, match="exp5"):
        load_model("exp55")


@pytest.mark.parametrize("name", BUILDABLE)
def test_shapes_are_those_of_the_model(name):
    """The shapes that files are checked against are those of a built model's state dict."""
    state_dict = mnistzoo.get_model(name, num_classes=7).state_dict()
    shapes = {key: tuple(tensor.shape) for key, tensor in state_dict.items()}
    assert tensor_shapes(BUILDABLE[name], 7) == shapes
