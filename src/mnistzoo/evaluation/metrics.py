"""The metrics of an evaluation: accuracy with its interval, likelihood, calibration, confusion."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from mnistzoo.errors import InputError
from mnistzoo.intervals import wilson_interval

BINS = 15
"""The number of calibration bins, as in Guo et al. 2017 (arXiv:1706.04599)."""


@dataclass(frozen=True)
class Bin:
    """The images with a confidence above `low` and up to `high`.

    Attributes:
        low: Lower bound, exclusive; the first bin includes 0.
        high: Upper bound, inclusive.
        count: Number of images.
        correct: Number of images classified correctly.
        confidence: Mean confidence, a fraction; 0 for an empty bin.
    """

    low: float
    high: float
    count: int
    correct: int
    confidence: float

    @property
    def accuracy(self) -> float:
        """The fraction of images classified correctly; 0 for an empty bin."""
        return self.correct / self.count if self.count else 0.0


@dataclass(frozen=True)
class ClassAccuracy:
    """The accuracy on the images of one class.

    Attributes:
        name: The name of the class.
        correct: Number of its images classified correctly.
        total: Number of its images.
    """

    name: str
    correct: int
    total: int

    @property
    def accuracy(self) -> float:
        """The fraction of its images classified correctly."""
        return self.correct / self.total

    @property
    def interval(self) -> tuple[float, float]:
        """The 95% interval of the accuracy."""
        return wilson_interval(self.correct, self.total)


@dataclass(frozen=True, eq=False)
class Evaluation:
    """A model's log-probabilities for N labeled images, and the metrics computed from them.

    Attributes:
        log_probabilities: float32, shape `(N, num_classes)`.
        labels: int64, shape `(N,)`.
        classes: The name of each class. Default: the number of each.
    """

    log_probabilities: Tensor
    labels: Tensor
    classes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not self.classes:
            numbers = tuple(map(str, range(self.log_probabilities.shape[1])))
            object.__setattr__(self, "classes", numbers)

    @property
    def predictions(self) -> Tensor:
        """The most probable class of each image: int64, shape `(N,)`."""
        return self.log_probabilities.argmax(dim=1)

    @property
    def correct(self) -> int:
        """The number of images classified correctly."""
        return int((self.predictions == self.labels).sum())

    @property
    def total(self) -> int:
        """The number of images."""
        return len(self.labels)

    @property
    def accuracy(self) -> float:
        """The fraction of images classified correctly."""
        return self.correct / self.total

    @property
    def interval(self) -> tuple[float, float]:
        """The 95% interval of the accuracy."""
        return wilson_interval(self.correct, self.total)

    @property
    def per_class(self) -> list[ClassAccuracy]:
        """The accuracy of each class that has images."""
        rows = zip(self.classes, self.confusion.tolist(), strict=True)
        return [
            ClassAccuracy(name, row[label], sum(row))
            for label, (name, row) in enumerate(rows)
            if sum(row)
        ]

    @property
    def nll(self) -> float:
        """The mean negative log-likelihood of the labels, in nats."""
        return float(nn.functional.nll_loss(self.log_probabilities, self.labels))

    @property
    def confidences(self) -> Tensor:
        """The probability of each predicted class: float64, shape `(N,)`."""
        return self.log_probabilities.double().amax(dim=1).exp().clamp(max=1.0)

    def reliability(self, bins: int = BINS) -> list[Bin]:
        """Return the images grouped by confidence into bins of equal width.

        >>> probabilities = torch.tensor([[0.9, 0.1], [0.8, 0.2], [0.3, 0.7]])
        >>> found = Evaluation(probabilities.log(), torch.tensor([0, 1, 1]))
        >>> [(bin.high, bin.count, bin.correct) for bin in found.reliability(bins=4)]
        [(0.25, 0, 0), (0.5, 0, 0), (0.75, 1, 1), (1.0, 2, 1)]

        Args:
            bins: Number of bins.

        Raises:
            InputError: The number of bins is below 1.
        """
        if not isinstance(bins, int) or bins < 1:
            raise InputError(f"Expected one bin or more, got {bins}. Leave it out for {BINS}.")
        confidences, correct = self.confidences, (self.predictions == self.labels).double()
        place = (confidences * bins).ceil().long().sub(1).clamp(0, bins - 1)
        counts, corrects, sums = (
            torch.bincount(place, weights=weights, minlength=bins).tolist()
            for weights in (torch.ones_like(confidences), correct, confidences)
        )
        return [
            Bin(i / bins, (i + 1) / bins, int(n), int(corrects[i]), sums[i] / n if n else 0.0)
            for i, n in enumerate(counts)
        ]

    @property
    def ece(self) -> float:
        """The expected calibration error, a fraction (Guo et al. 2017, arXiv:1706.04599).

        It is the gap between accuracy and mean confidence in a bin, averaged over all images.
        """
        gaps = [bin_.count * abs(bin_.accuracy - bin_.confidence) for bin_ in self.reliability()]
        return sum(gaps) / self.total

    @property
    def errors(self) -> Tensor:
        """The indices of the misclassified images: int64, ascending."""
        return (self.predictions != self.labels).nonzero().flatten()

    def drop(self, indices: Sequence[int]) -> Evaluation:
        """Return the evaluation of all images but those with the given indices.

        >>> probabilities = torch.tensor([[0.9, 0.1], [0.8, 0.2], [0.3, 0.7]])
        >>> found = Evaluation(probabilities.log(), torch.tensor([0, 1, 1]))
        >>> found.errors.tolist(), found.drop([1]).accuracy
        ([1], 1.0)

        Raises:
            InputError: There is no such image, or none would be left.
        """
        keep = torch.ones(self.total, dtype=torch.bool)
        if any(not 0 <= index < self.total for index in indices):
            raise InputError(f"Expected indices from 0 to {self.total - 1}, got {list(indices)}.")
        keep[list(indices)] = False
        if not keep.any():
            raise InputError("Expected to keep at least one image. Leave out fewer of them.")
        return Evaluation(self.log_probabilities[keep], self.labels[keep], self.classes)

    @property
    def confusion(self) -> Tensor:
        """Count the images of class `i` predicted as `j`: int64, `(num_classes, num_classes)`."""
        classes = self.log_probabilities.shape[1]
        pairs = self.labels * classes + self.predictions
        return torch.bincount(pairs, minlength=classes * classes).view(classes, classes)
