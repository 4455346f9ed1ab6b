"""What a recipe says of the descent: the loss, the optimizer, its schedule, the moving average."""

from __future__ import annotations

import copy
from typing import Any

from torch import Tensor, nn
from torch.optim import SGD
from torch.optim.lr_scheduler import LRScheduler, OneCycleLR, StepLR
from torch.optim.swa_utils import get_ema_multi_avg_fn

from mnistzoo.models.convnet import ConvNet
from mnistzoo.training.muon import Muon
from mnistzoo.training.recipes import Recipe

WARMUP = 0.15
"""The share of a one-cycle schedule in which the learning rate rises."""

STEP_EPOCHS = 15
"""The epoch of the study after which its learning rate is a tenth."""


def loss(recipe: Recipe, answers: Tensor, labels: Tensor, taught: Tensor | None) -> Tensor:
    """The cross-entropy with the labels, or how far the answers are from those that are taught.

    The latter is the Kullback–Leibler divergence of the softened answers; times the squared
    temperature its gradients are as large at any temperature (Hinton et al. 2015,
    arXiv:1503.02531).

    Args:
        recipe: whose smoothing or temperature holds.
        answers: the network's scores, shape `(N, classes)`.
        labels: shape `(N,)`.
        taught: the teacher's scores, shape `(N, classes)`; None where there is no teacher.

    Returns:
        A scalar, in nats, the mean over the images.
    """
    if taught is None:
        smoothing = recipe.label_smoothing
        return nn.functional.cross_entropy(answers, labels, label_smoothing=smoothing)
    own, others = (
        (scores / recipe.temperature).log_softmax(dim=1) for scores in (answers, taught.float())
    )
    far = nn.functional.kl_div(own, others, reduction="batchmean", log_target=True)
    return far * recipe.temperature**2


def optimizer(model: nn.Module, recipe: Recipe) -> SGD:
    """The descent of the recipe; weight decay is on two axes or more, Muon's part aside."""
    ones, rows, kernels = ([p for p in model.parameters() if p.ndim == n] for n in (1, 2, 4))
    decayed: dict[str, Any] = {"weight_decay": recipe.weight_decay}
    by_muon = {"lr": recipe.muon_lr, "kernels": True, "momentum": 0, "nesterov": False}
    groups: list[dict[str, Any]] = [
        {"params": ones},
        {"params": rows, **decayed},
        {"params": kernels, **(decayed if recipe.muon_lr is None else by_muon)},
    ]
    kind = SGD if recipe.muon_lr is None else Muon
    return kind(
        groups,
        lr=recipe.learning_rate,
        momentum=recipe.momentum,
        nesterov=recipe.nesterov,
        foreach=True,  # the same numbers, in less time
    )


def scheduler(optimizer: SGD, recipe: Recipe, steps: int) -> LRScheduler:
    """The learning rate over time: one step of it for each step of one cycle, else for each epoch.

    Args:
        optimizer: whose rates it sets.
        recipe: which schedule, and over how many epochs.
        steps: of the optimizer in an epoch.
    """
    if not recipe.one_cycle:
        return StepLR(optimizer, step_size=STEP_EPOCHS, gamma=0.1)
    return OneCycleLR(
        optimizer,
        max_lr=[group["lr"] for group in optimizer.param_groups],
        total_steps=recipe.epochs * steps,
        pct_start=WARMUP,
        cycle_momentum=False,
    )


class ModelEMA:
    """The exponential moving average of a network's weights and running statistics.

    It has the numbers of torch's `AveragedModel` with `get_ema_multi_avg_fn`, and takes less of a
    step's time, since it looks up the tensors once.

    Args:
        model: the network, whose tensors stay where they are while it is trained.
        decay: a step; the first step counts as a whole.

    Attributes:
        network: a copy that has the averages; it shares what is not averaged, batch norm's counts.
    """

    def __init__(self, model: ConvNet, decay: float) -> None:
        counts = {id(count): count for count in model.buffers() if not count.is_floating_point()}
        self.network = copy.deepcopy(model, counts)
        self.decay, self.steps = decay, 0
        self._means, self._now = _floating(self.network), _floating(model)

    def update(self) -> None:
        """Take in the network as it is after one more step."""
        decay = self.decay if self.steps else 0.0
        average = get_ema_multi_avg_fn(decay)  # type: ignore[no-untyped-call]  # torch's own
        average(self._means, self._now, self.steps)
        self.steps += 1

    def state_dict(self) -> dict[str, Any]:
        """All that `load_state_dict` needs."""
        return {"network": self.network.state_dict(), "steps": self.steps}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from what `state_dict` gave."""
        self.network.load_state_dict(state["network"])
        self.steps = state["steps"]


def _floating(model: nn.Module) -> list[Tensor]:
    return [tensor for tensor in model.state_dict().values() if tensor.is_floating_point()]
