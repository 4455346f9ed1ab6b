"""Accuracy, likelihood, calibration and confusion of a model on labeled images."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import chain

import torch
from torch import Tensor, nn

from mnistzoo.data.labeled import Dataset, labeled_images
from mnistzoo.data.mnist import normalize
from mnistzoo.errors import InputError, MnistZooError
from mnistzoo.models.convnet import ConvNet
from mnistzoo.models.folding import find_hook

BATCH_SIZE = 500

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


@dataclass(frozen=True, eq=False)
class Evaluation:
    """A model's log-probabilities for N labeled images, and the metrics computed from them.

    Attributes:
        log_probabilities: float32, shape `(N, num_classes)`.
        labels: int64, shape `(N,)`.
    """

    log_probabilities: Tensor
    labels: Tensor

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
    def nll(self) -> float:
        """The mean negative log-likelihood of the labels, in nats."""
        return float(nn.functional.nll_loss(self.log_probabilities, self.labels))

    @property
    def confidences(self) -> Tensor:
        """The probability of each predicted class: float64, shape `(N,)`."""
        return self.log_probabilities.double().amax(dim=1).exp().clamp(max=1.0)

    def reliability(self, bins: int = BINS) -> list[Bin]:
        """Return the images grouped by confidence into bins of equal width.

        Args:
            bins: Number of bins.

        Raises:
            InputError: The number of bins is below 1.
        """
        if bins < 1:
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

    def without(self, indices: Sequence[int]) -> Evaluation:
        """Return the evaluation of all images but those with the given indices.

        Raises:
            InputError: There is no such image, or none would be left.
        """
        keep = torch.ones(self.total, dtype=torch.bool)
        if any(not 0 <= index < self.total for index in indices):
            raise InputError(f"Expected indices from 0 to {self.total - 1}, got {list(indices)}.")
        keep[list(indices)] = False
        if not keep.any():
            raise InputError("Expected to keep at least one image. Leave out fewer of them.")
        return Evaluation(self.log_probabilities[keep], self.labels[keep])

    @property
    def confusion(self) -> Tensor:
        """Count the images of class `i` predicted as `j`: int64, `(num_classes, num_classes)`."""
        classes = self.log_probabilities.shape[1]
        pairs = self.labels * classes + self.predictions
        return torch.bincount(pairs, minlength=classes * classes).view(classes, classes)


@torch.inference_mode()
def evaluate(
    model: nn.Module, dataset: Dataset, *, on_batch: Callable[[int], object] = lambda _: None
) -> Evaluation:
    """Evaluate a model on labeled images.

    The model runs on normalized images of shape `(N, 1, 28, 28)`, in evaluation mode. Its own mode
    is restored afterward.

    Args:
        model: A ConvNet, or any module that returns a row of logits, log-probabilities or
            probabilities for each image.
        dataset: A pair (images, labels) of tensors, arrays or lists, such as
            `mnistzoo.mnist(train=False)`; see `mnistzoo.data.labeled.labeled_images` for the
            shapes and ranges.
        on_batch: Called after each batch with the number of images in it.

    Raises:
        InputError: The dataset has another form, the model cannot read the images or returns
            something else, or a label is not one of its classes.

    >>> import mnistzoo
    >>> images, labels = mnistzoo.mnist(train=False)
    >>> result = mnistzoo.evaluate(mnistzoo.exp5(pretrained=True), (images[:500], labels[:500]))
    >>> result.total, result.confusion.shape
    (500, torch.Size([10, 10]))
    """
    images, labels = labeled_images(dataset)
    batches = []
    with _inference(model) as infer:
        for batch in torch.split(images, BATCH_SIZE):
            batches.append(_log_probabilities(infer(batch), len(batch)))
            on_batch(len(batch))
    found = Evaluation(torch.cat(batches), labels)
    if (classes := found.log_probabilities.shape[1]) <= int(labels.max()):
        raise InputError(
            f"Expected a class for each label from 0 to {int(labels.max())}, got a model of "
            f"{classes} classes. Use a model that was trained on such images."
        )
    return found


@contextmanager
def _inference(model: nn.Module) -> Iterator[Callable[[Tensor], object]]:
    """Yield a function that runs the model on a batch of images, in evaluation mode."""
    if not isinstance(model, nn.Module):
        raise InputError(
            f"Expected a model, got {model!r}. Load one with mnistzoo.get_model() or "
            "mnistzoo.from_pretrained()."
        )
    tensors = chain(model.parameters(), model.buffers())
    like = next((tensor for tensor in tensors if tensor.is_floating_point()), torch.empty(0))
    if like.is_meta:
        raise InputError(
            "Expected a model with weights, got one on the meta device. Load some first."
        )
    used = model
    if isinstance(model, ConvNet) and find_hook(model) is None:
        used = model.fused()
    modes = [(part, part.training) for part in used.modules()]

    def infer(batch: Tensor) -> object:
        images = batch if batch.is_floating_point() else normalize(batch)
        try:
            return used(images.to(like.device, like.dtype, copy=True))
        except MnistZooError:
            raise
        except Exception as error:  # a foreign module may raise anything
            raise InputError(
                f"The model cannot read images of shape {tuple(images.shape)}. "
                f"Wrap it in a module that does. Its error: {' '.join(str(error).split())}"
            ) from error

    try:
        used.eval()
        yield infer
    finally:
        for part, training in modes:
            part.training = training


def _log_probabilities(output: object, images: int) -> Tensor:
    """Return logits, probabilities or log-probabilities as log-probabilities."""
    if not isinstance(output, Tensor) or output.ndim != 2 or len(output) != images:
        shape = tuple(output.shape) if isinstance(output, Tensor) else type(output).__name__
        raise InputError(
            f"Expected a model that returns a tensor of shape ({images}, num_classes), got "
            f"{shape}. Wrap it in a module that does."
        )
    scores = output.float().cpu()
    ones = torch.ones(images)
    if scores.min() >= 0 and torch.allclose(scores.sum(dim=1), ones, rtol=0, atol=1e-3):
        scores = scores.log()
    logs = scores.log_softmax(dim=1)
    if logs.isnan().any():
        raise InputError("The model returns values that are not numbers. Check its weights.")
    return logs
