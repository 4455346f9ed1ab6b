"""Calibration, errors and the disputed images of an evaluation."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mnistzoo.data.disputed import DISPUTED, INDICES
from mnistzoo.data.mnist import Digits
from mnistzoo.errors import InputError
from mnistzoo.evaluation import BINS, Evaluation, evaluate
from mnistzoo.models import get_model

EDGES = [1, 1 / 3, 2 / 3, 0.2, 0.6, 0.5]


def evaluation(answers):
    """Two classes; each answer is how sure the network is of class 1, and the label."""
    sure = torch.tensor([p for p, _ in answers], dtype=torch.float64)
    labels = torch.tensor([label for _, label in answers])
    return Evaluation(torch.stack([1 - sure, sure], dim=1).log(), labels)


def ece_by_the_book(found):
    """The definition in Guo et al. 2017, image by image: bins ((m − 1)/M, m/M]."""
    bins = [[] for _ in range(BINS)]
    for row, label in zip(found.log_probabilities.tolist(), found.labels.tolist(), strict=True):
        sure = math.exp(max(row))
        place = next(m for m in range(BINS) if m == BINS - 1 or sure <= (m + 1) / BINS)
        bins[place].append((row.index(max(row)) == label, sure))
    gaps = [abs(sum(right for right, _ in b) - sum(sure for _, sure in b)) for b in bins]
    return sum(gaps) / found.total


@given(
    st.lists(
        st.tuples(st.floats(0, 1) | st.sampled_from(EDGES), st.integers(0, 1)),
        min_size=1,
        max_size=60,
    )
)
@settings(deadline=None)
def test_ece_is_that_of_the_definition(answers):
    """For any answers, ECE is what the definition gives image by image, between 0 and 1."""
    found = evaluation(answers)
    near = [abs(p * BINS - round(p * BINS)) < 1e-9 for p in found.confidences.tolist()]
    if not any(near):  # on an edge, rounding alone says which bin it is
        assert found.ece == pytest.approx(ece_by_the_book(found), abs=1e-12)
    assert 0 <= found.ece <= 1
    bins = found.reliability()
    assert sum(b.count for b in bins) == found.total
    assert sum(b.correct for b in bins) == found.correct
    for b in bins:
        assert not b.count or b.low - 1e-9 <= b.confidence <= b.high + 1e-9


def test_ece_of_known_cases():
    """Sure and right is 0, sure and wrong is 1, right 3 times of 4 when 75 % sure is 0."""
    assert evaluation([(1.0, 1)] * 3).ece == 0
    assert evaluation([(1.0, 0)] * 3).ece == 1
    assert evaluation([(0.75, 1)] * 3 + [(0.75, 0)]).ece == pytest.approx(0)
    assert evaluation([(0.75, 0)] * 4).ece == pytest.approx(0.75)


def test_errors_and_what_is_left_without_images():
    """Errors are the numbers of the wrong answers; without images, only the others count."""
    found = evaluation([(0.9, 1), (0.9, 0), (0.2, 0), (0.4, 1)])
    assert found.errors.tolist() == [1, 3]
    assert found.accuracy == 0.5
    left = found.without([1, 2])
    assert (left.total, left.correct, left.errors.tolist()) == (2, 1, [1])
    assert found.total == 4


def test_disputed_images_are_those_of_the_test_set(test_images):
    """Each has the label that its source states, and fewer than three of five votes for it."""
    assert len(DISPUTED) == len(set(INDICES)) == 15
    assert list(INDICES) == sorted(INDICES)
    for image in DISPUTED:
        assert int(test_images.labels[image.index]) == image.label != image.guess
        assert image.for_label + image.for_guess + image.for_neither == 5
        assert image.for_label < 3


def test_the_network_is_left_as_it_is(test_images):
    """Each layer is in the mode that it was in, also where they differ."""
    model = get_model("exp5", pretrained=True).train()
    model.features.bn1.eval()
    evaluate(model, Digits(test_images.images[:50], test_images.labels[:50]))
    assert model.training
    assert [model.features.bn1.training, model.features.bn2.training] == [False, True]


def test_too_few_classes_are_an_error(test_images):
    """A network of 3 classes cannot be judged by images of ten digits."""
    few = Digits(test_images.images[:50], test_images.labels[:50])
    with pytest.raises(InputError, match="0 to 9, got one of 3 classes"):
        evaluate(get_model("exp1", num_classes=3), few)
