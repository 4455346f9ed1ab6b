"""How well a network reads labelled images."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from mnistzoo.data.mnist import Digits, normalize
from mnistzoo.errors import InputError
from mnistzoo.models.convnet import ConvNet

BATCH_SIZE = 500

BINS = 15
"""Of equal width, as in Guo et al. 2017 (arXiv:1706.04599)."""


@dataclass(frozen=True)
class Bin:
    """The images for whose answer the network gives a probability above `low`, up to `high`.

    Attributes:
        low: bound of the bin, not in it; but a probability of 0 is in the first bin.
        high: bound of the bin, in it.
        count: how many images there are.
        correct: how many of them are classified as their labels say.
        confidence: mean probability of the answers, a fraction; 0 for no images.
    """

    low: float
    high: float
    count: int
    correct: int
    confidence: float

    @property
    def accuracy(self) -> float:
        """The fraction of the images classified correctly; 0 for no images."""
        return self.correct / self.count if self.count else 0.0


@dataclass(frozen=True, eq=False)
class Evaluation:
    """What a network answered for each of N labelled images.

    Attributes:
        log_probabilities: float32, shape `(N, num_classes)`.
        labels: int64, shape `(N,)`.
    """

    log_probabilities: Tensor
    labels: Tensor

    @property
    def predictions(self) -> Tensor:
        """The likeliest class of each image, int64, shape `(N,)`."""
        return self.log_probabilities.argmax(dim=1)

    @property
    def correct(self) -> int:
        """How many images are classified as their labels say."""
        return int((self.predictions == self.labels).sum())

    @property
    def total(self) -> int:
        """How many images there are."""
        return len(self.labels)

    @property
    def accuracy(self) -> float:
        """The fraction of images classified correctly."""
        return self.correct / self.total

    @property
    def nll(self) -> float:
        """The mean negative log-likelihood of the labels, in nats."""
        return float(nn.functional.nll_loss(self.log_probabilities, self.labels))

    @property
    def confidences(self) -> Tensor:
        """The probability that the network gives its answer: float64, shape `(N,)`, 0 to 1."""
        return self.log_probabilities.double().amax(dim=1).exp().clamp(max=1.0)

    def reliability(self, bins: int = BINS) -> list[Bin]:
        """The images sorted into bins of equal width by how sure the network is of its answers.

        Args:
            bins: how many, at least 1.
        """
        sure, right = self.confidences, (self.predictions == self.labels).double()
        place = (sure * bins).ceil().long().sub(1).clamp(0, bins - 1)
        count, correct, total = (
            torch.bincount(place, weights=weights, minlength=bins).tolist()
            for weights in (torch.ones_like(sure), right, sure)
        )
        return [
            Bin(i / bins, (i + 1) / bins, int(n), int(correct[i]), total[i] / n if n else 0.0)
            for i, n in enumerate(count)
        ]

    @property
    def ece(self) -> float:
        """The expected calibration error, a fraction (Guo et al. 2017, arXiv:1706.04599).

        The mean over all images of how far, in an image's bin, accuracy and confidence are apart.
        """
        gaps = [bin_.count * abs(bin_.accuracy - bin_.confidence) for bin_ in self.reliability()]
        return sum(gaps) / self.total

    @property
    def errors(self) -> Tensor:
        """The numbers of the images classified otherwise than labelled: int64, ascending."""
        return (self.predictions != self.labels).nonzero().flatten()

    def without(self, indices: Sequence[int]) -> Evaluation:
        """The same answers, those for the images with these numbers left out."""
        keep = torch.ones(self.total, dtype=torch.bool)
        keep[list(indices)] = False
        return Evaluation(self.log_probabilities[keep], self.labels[keep])

    @property
    def confusion(self) -> Tensor:
        """How many images of class `i` were read as `j`: int64, `(num_classes, num_classes)`."""
        classes = self.log_probabilities.shape[1]
        pairs = self.labels * classes + self.predictions
        return torch.bincount(pairs, minlength=classes * classes).view(classes, classes)


@torch.inference_mode()
def evaluate(
    model: ConvNet, digits: Digits, *, on_batch: Callable[[int], object] = lambda _: None
) -> Evaluation:
    """What `model` answers for `digits`, in evaluation mode; it is left as it is.

    Args:
        model: a network of the zoo, whatever its number of classes.
        digits: the images and their labels.
        on_batch: called after each batch with the number of images in it.

    Raises:
        InputError: it has no class for some of the labels.
    """
    answers, network, device = [], model.fused(), model.classifier.weight.device
    for images in torch.split(digits.images, BATCH_SIZE):
        answers.append(network(normalize(images.to(device))).float().cpu())
        on_batch(len(images))
    found = Evaluation(torch.cat(answers), digits.labels)
    if (classes := found.log_probabilities.shape[1]) <= int(found.labels.max()):
        raise InputError(
            f"expected a network with a class for each label, 0 to {int(found.labels.max())}, got "
            f"one of {classes} classes; take one that was trained on such images."
        )
    return found
