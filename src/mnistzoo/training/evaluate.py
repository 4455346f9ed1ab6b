"""How well a network reads labelled images."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from mnistzoo.data.mnist import Digits, normalize
from mnistzoo.models import ConvNet

BATCH_SIZE = 500


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
    def confusion(self) -> Tensor:
        """How many images of class `i` were read as `j`: int64, `(num_classes, num_classes)`."""
        classes = self.log_probabilities.shape[1]
        pairs = self.labels * classes + self.predictions
        return torch.bincount(pairs, minlength=classes * classes).view(classes, classes)


@torch.inference_mode()
def evaluate(
    model: nn.Module, digits: Digits, *, on_batch: Callable[[int], object] = lambda _: None
) -> Evaluation:
    """What `model` answers for `digits`, in evaluation mode; its mode is then as it was before.

    Args:
        model: gives log-probabilities for normalised images of shape `(N, 1, 28, 28)`.
        digits: the images and their labels.
        on_batch: called after each batch with the number of images in it.
    """
    was_training, device = model.training, next(model.parameters()).device
    model.eval()
    try:
        answers, network = [], model.fused() if isinstance(model, ConvNet) else model
        for images in torch.split(digits.images, BATCH_SIZE):
            answers.append(network(normalize(images.to(device))).float().cpu())
            on_batch(len(images))
    finally:
        model.train(was_training)
    return Evaluation(torch.cat(answers), digits.labels)
