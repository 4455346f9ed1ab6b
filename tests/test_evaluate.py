"""Evaluation: datasets and models of any kind, calibration, errors, and disputed images."""

import math
import re

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from mnistzoo.data.disputed import DISPUTED, INDICES
from mnistzoo.data.mnist import Digits
from mnistzoo.errors import InputError
from mnistzoo.evaluation import BINS, Evaluation, evaluate
from mnistzoo.models import get_model

EDGES = [1, 1 / 3, 2 / 3, 0.2, 0.6, 0.5]


def evaluation(rows):
    """Make an evaluation of two classes from the probability of class 1 and the label."""
    probabilities = torch.tensor([p for p, _ in rows], dtype=torch.float64)
    labels = torch.tensor([label for _, label in rows])
    return Evaluation(torch.stack([1 - probabilities, probabilities], dim=1).log(), labels)


def ece_by_definition(found):
    """Compute the ECE of Guo et al. 2017 image by image, with bins ((m - 1)/M, m/M]."""
    bins = [[] for _ in range(BINS)]
    for row, label in zip(found.log_probabilities.tolist(), found.labels.tolist(), strict=True):
        confidence = math.exp(max(row))
        place = next(m for m in range(BINS) if m == BINS - 1 or confidence <= (m + 1) / BINS)
        bins[place].append((row.index(max(row)) == label, confidence))
    gaps = [abs(sum(right for right, _ in b) - sum(c for _, c in b)) for b in bins]
    return sum(gaps) / found.total


@given(
    st.lists(
        st.tuples(st.floats(0, 1) | st.sampled_from(EDGES), st.integers(0, 1)),
        min_size=1,
        max_size=60,
    )
)
@settings(deadline=None)
def test_ece_follows_its_definition(rows):
    """The ECE is between 0 and 1, and the definition applied image by image gives the same."""
    found = evaluation(rows)
    near = [abs(p * BINS - round(p * BINS)) < 1e-9 for p in found.confidences.tolist()]
    if not any(near):  # on an edge, rounding alone decides the bin
        assert found.ece == pytest.approx(ece_by_definition(found), abs=1e-12)
    assert 0 <= found.ece <= 1
    bins = found.reliability()
    assert sum(b.count for b in bins) == found.total
    assert sum(b.correct for b in bins) == found.correct
    for b in bins:
        assert not b.count or b.low - 1e-9 <= b.confidence <= b.high + 1e-9


def test_ece_of_known_cases():
    """Certain and right is 0, certain and wrong is 1, right 3 times of 4 at 75 % is 0."""
    assert evaluation([(1.0, 1)] * 3).ece == 0
    assert evaluation([(1.0, 0)] * 3).ece == 1
    assert evaluation([(0.75, 1)] * 3 + [(0.75, 0)]).ece == pytest.approx(0)
    assert evaluation([(0.75, 0)] * 4).ece == pytest.approx(0.75)


def test_images_can_be_dropped():
    """Errors are the indices of misclassified images; dropped images no longer count."""
    found = evaluation([(0.9, 1), (0.9, 0), (0.2, 0), (0.4, 1)])
    assert found.errors.tolist() == [1, 3]
    assert found.accuracy == 0.5
    left = found.drop([1, 2])
    assert (left.total, left.correct, left.errors.tolist()) == (2, 1, [1])
    assert found.total == 4
    for wrong, message in ([4], "from 0 to 3"), ([-1], "from 0 to 3"), (range(4), "at least one"):
        with pytest.raises(InputError, match=message):
            found.drop(wrong)
    for bins in (0, 1.5):
        with pytest.raises(InputError, match=f"one bin or more, got {bins}"):
            found.reliability(bins)


def test_disputed_images_have_their_labels(test_images):
    """Each disputed image has the label of its source, and at most two of five votes for it."""
    assert len(DISPUTED) == len(set(INDICES)) == 15
    assert list(INDICES) == sorted(INDICES)
    for image in DISPUTED:
        assert int(test_images.labels[image.index]) == image.label != image.guess
        assert image.for_label + image.for_guess + image.for_neither == 5
        assert image.for_label < 3


@pytest.fixture(scope="module")
def model():
    """A pretrained exp1."""
    return get_model("exp1", pretrained=True)


@pytest.fixture(scope="module")
def few(test_images):
    """50 test images and their labels."""
    return Digits(test_images.images[:50], test_images.labels[:50])


def normalized(images):
    """Normalize as the definition says."""
    return (images / 255 - 0.1307) / 0.3081


FORMS = {
    "floats from 0 to 1": lambda images: images / 255,
    "floats from 0 to 255": lambda images: images.double(),
    "normalized": normalized,
    "normalized, one channel": lambda images: normalized(images)[:, None],
    "one channel": lambda images: images[:, None],
    "int64": lambda images: images.long(),
    "16 bits": lambda images: images.numpy().astype(np.uint16) * 257,
    "array": lambda images: images.numpy()[:, ::-1][:, ::-1],
    "list of tensors": list,
    "list of arrays": lambda images: list(images.numpy()),
    "list of lists": lambda images: images.tolist(),
}


@pytest.mark.parametrize("form", list(FORMS))
def test_images_of_any_form_get_the_same_result(form, model, few):
    """Tensors, arrays and lists, normalized or of any usual range, are the same images."""
    expected = evaluate(model, few)
    found = evaluate(model, (FORMS[form](few.images), few.labels))
    torch.testing.assert_close(
        found.log_probabilities, expected.log_probabilities, atol=1e-4, rtol=0
    )
    assert (found.correct, found.total) == (expected.correct, 50)


def test_black_and_white_images_are_scaled(model, few):
    """Images of zeros and ones are read as black and white, whatever their type."""
    white = few.images > 127
    expected = evaluate(model, (white.byte() * 255, few.labels))
    for form in white, white.byte(), white.float(), white.numpy():
        assert torch.equal(
            evaluate(model, (form, few.labels)).log_probabilities, expected.log_probabilities
        )


@pytest.mark.parametrize("form", [Tensor.int, Tensor.float, Tensor.tolist, Tensor.numpy, list])
def test_labels_of_any_form_get_the_same_result(form, model, few):
    """Whole numbers are labels in any type and container."""
    assert evaluate(model, (few.images, form(few.labels))).correct == evaluate(model, few).correct


def test_arrays_of_another_byte_order_are_read(model, few):
    """Big-endian arrays, as IDX files hold them, are numbers like any other."""
    labels = few.labels.numpy().astype(">i4")
    assert torch.equal(evaluate(model, (few.images, labels)).labels, few.labels)


REFUSED = {
    "no pair": (lambda i, n: i, "a pair (images, labels), or a dataset"),
    "three parts": (lambda i, n: (i, n, n), "got a tuple of length 3"),
    "dark on light": (lambda i, n: (255 - i, n), "got 50 of 50 images with a light one"),
    "dark on light, normalized": (lambda i, n: (normalized(255 - i), n), "with a light one"),
    "without their mean": (lambda i, n: (i / 255 - 0.1307, n), "got pixels between -0.1307 and"),
    "on the meta device": (lambda i, n: (i.to("meta"), n), "got the meta device"),
    "sparse": (lambda i, n: (i.float().to_sparse(), n), "got torch.sparse_coo"),
    "-1 to 1": (lambda i, n: (i / 127.5 - 1, n), "got pixels between -1 and 1"),
    "beyond 1": (lambda i, n: (i / 250, n), "got pixels between 0 and 1.02"),
    "not finite": (lambda i, n: (i / 0, n), "got pixels between nan and nan"),
    "complex": (lambda i, n: (i * 1j, n), "real numbers, got torch.complex64"),
    "cropped": (lambda i, n: (i[:, 1:], n), "got (50, 27, 28)"),
    "three channels": (lambda i, n: (i[:, None].expand(-1, 3, -1, -1), n), "got (50, 3, 28, 28)"),
    "one image": (lambda i, n: (i[0], n[0]), "got (28, 28)"),
    "none": (lambda i, n: (i[:0], n[:0]), "one or more images"),
    "ragged": (lambda i, n: ([i[0], i[0, 1:]], n[:2]), "a list of equal shapes"),
    "text": (lambda i, n: (["5.png"], n[:1]), "images as numbers in a tensor"),
    "fewer labels": (lambda i, n: (i, n[1:]), "got 50 images and 49 labels"),
    "fewer images": (lambda i, n: (i[1:], n), "got 49 images and 50 labels"),
    "negative": (lambda i, n: (i, n - 9), "whole numbers from 0, got -2"),
    "halves": (lambda i, n: (i, n + 0.5), "whole numbers from 0, got 7.5"),
    "one-hot": (lambda i, n: (i, torch.eye(10)[n]), "labels.argmax(1)"),
    "too high": (lambda i, n: (i, n + 5), "a class for each label from 0 to 14"),
}


@pytest.mark.parametrize("fault", list(REFUSED))
def test_a_wrong_dataset_is_refused(fault, model, few):
    """Images or labels that cannot be right end in one error that says what was expected."""
    change, message = REFUSED[fault]
    with pytest.raises(InputError, match=re.escape(message)) as caught:
        evaluate(model, change(few.images, few.labels))
    assert "\n" not in str(caught.value)


class Wrapped(nn.Module):
    """A module of the user's own around a model."""

    def __init__(self, model, change):
        super().__init__()
        self.model, self.change, self.modes = model, change, []

    def forward(self, images):
        """Return the changed output, and note the mode."""
        self.modes.append(self.training)
        return self.change(self.model(images))


@pytest.mark.parametrize(
    "change",
    [lambda logs: logs, lambda logs: logs + torch.arange(len(logs))[:, None], torch.exp],
    ids=["log-probabilities", "logits", "probabilities"],
)
def test_any_module_is_evaluated(change, model, few):
    """Logits, log-probabilities and probabilities of one model have one likelihood and ECE."""
    foreign = Wrapped(model, change).train()
    found, expected = evaluate(foreign, few), evaluate(model, few)
    assert found.nll == pytest.approx(expected.nll, abs=1e-5)
    assert found.ece == pytest.approx(expected.ece, abs=1e-5)
    assert torch.equal(found.predictions, expected.predictions)
    assert foreign.modes == [False]
    assert foreign.training


def test_a_module_in_place_leaves_the_images_alone(few):
    """A module that writes to its input does not write to the caller's images."""
    images = normalized(few.images)
    before = images.clone()
    evaluate(
        nn.Sequential(nn.ReLU(inplace=True), nn.Flatten(), nn.Linear(784, 10)), (images, few.labels)
    )
    assert torch.equal(images, before)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float16])
def test_a_model_of_another_precision_is_evaluated(dtype, few):
    """Images are converted to the type of the model's parameters."""
    found = evaluate(get_model("exp1", pretrained=True).to(dtype), few)
    assert found.log_probabilities.dtype == torch.float32
    assert found.accuracy > 0.9


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ("exp1", "Expected a model, got 'exp1'"),
        (nn.Conv2d(3, 4, 3), "cannot read images of shape (50, 1, 28, 28)"),
        (nn.Conv2d(1, 4, 3), "shape (50, num_classes), got (50, 4, 26, 26)"),
        (Wrapped(nn.Flatten(), lambda logits: {"logits": logits}), "got dict"),
        (Wrapped(nn.Flatten(), lambda logits: logits[:, :0]), "num_classes), got (50, 0)"),
        (Wrapped(nn.Flatten(), lambda logits: logits * 1j), "real numbers, got torch.complex64"),
        (Wrapped(nn.Flatten(), lambda logits: logits / 0), "values that are not numbers"),
        (get_model("exp1").to("meta"), "one on the meta device"),
        (get_model("exp1", num_classes=3), "0 to 9, got a model of 3 classes"),
    ],
)
def test_a_module_that_does_not_fit_is_refused(wrong, message, few):
    """What is not a classifier of these images ends in one error that says so."""
    with pytest.raises(InputError, match=re.escape(message)) as caught:
        evaluate(wrong, few)
    assert "\n" not in str(caught.value)


def test_the_model_keeps_its_mode(few):
    """Each layer stays in its own mode, even where the modes differ."""
    model = get_model("exp5", pretrained=True).train()
    model.features.bn1.eval()
    evaluate(model, few)
    assert model.training
    assert [model.features.bn1.training, model.features.bn2.training] == [False, True]
