"""The loss, optimizer, learning rate schedule and EMA of a recipe."""

from __future__ import annotations

import copy
from typing import Any

from torch import Tensor, nn
from torch.optim import SGD
from torch.optim.lr_scheduler import LRScheduler, OneCycleLR, StepLR
from torch.optim.swa_utils import get_ema_multi_avg_fn

from mnistzoo.models.convnet import ConvNet
from mnistzoo.training.muon import Muon
from mnistzoo.training.settings import Recipe

SYNTHETIC_TEACHER_WEIGHT = 0.5
"""Weight of the divergence from the synthetic teacher; the cross-entropy has weight 1."""

WARMUP = 0.15
"""The share of a one-cycle schedule in which the learning rate rises."""

STEP_EPOCHS = 15
"""The study divides the learning rate by ten after this epoch."""


def loss(
    recipe: Recipe,
    logits: Tensor,
    labels: Tensor,
    teacher_logits: Tensor | None,
    distilled: Tensor,
) -> Tensor:
    """Return the divergence from the teacher, and the cross-entropy of the other images.

    If there is a synthetic teacher, half of the divergence from it is added for each of the other
    images that it classifies correctly.

    The divergence is Kullback–Leibler's, of both distributions at the recipe's temperature. Its
    factor of the squared temperature keeps the size of the gradients (Hinton et al. 2015,
    arXiv:1503.02531).

    Args:
        recipe: The source of label smoothing and temperature.
        logits: Logits or log-probabilities of the model, shape `(N, classes)`.
        labels: Class numbers, shape `(N,)`; unused where `distilled` is true.
        teacher_logits: Shape `(N, classes)`: the teacher's where `distilled` is true, otherwise the
            synthetic teacher's, or zeros without one. None without any teacher.
        distilled: Whether the teacher replaces an image's label: bool, shape `(N,)`.

    Returns:
        The mean over the images, a scalar in nats.
    """
    if teacher_logits is None:
        smoothing = recipe.label_smoothing
        return nn.functional.cross_entropy(logits, labels, label_smoothing=smoothing)
    others = nn.functional.cross_entropy(logits[~distilled], labels[~distilled], reduction="sum")
    if recipe.synthetic_teacher is not None:
        right = ~distilled & (teacher_logits.argmax(1) == labels)
        divergence = _divergence(recipe, logits[right], teacher_logits[right])
        others = others + SYNTHETIC_TEACHER_WEIGHT * divergence
    divergence = _divergence(recipe, logits[distilled], teacher_logits[distilled])
    return ((recipe.pretrained_targets or 1.0) * divergence + others) / len(logits)


def _divergence(recipe: Recipe, logits: Tensor, teacher_logits: Tensor) -> Tensor:
    """Return the sum over the images of the divergence from the teacher."""
    student, teacher = (
        (scores / recipe.temperature).log_softmax(dim=1)
        for scores in (logits, teacher_logits.float())
    )
    divergence = nn.functional.kl_div(student, teacher, reduction="sum", log_target=True)
    return divergence * recipe.temperature**2


def optimizer(model: nn.Module, recipe: Recipe) -> SGD:
    """Return the recipe's optimizer.

    Weight decay acts on parameters of two or more axes, except those that Muon trains.
    """
    vectors, matrices, kernels = ([p for p in model.parameters() if p.ndim == n] for n in (1, 2, 4))
    decayed: dict[str, Any] = {"weight_decay": recipe.weight_decay}
    by_muon = {"lr": recipe.muon_lr, "kernels": True, "momentum": 0, "nesterov": False}
    groups: list[dict[str, Any]] = [
        {"params": vectors},
        {"params": matrices, **decayed},
        {"params": kernels, **(decayed if recipe.muon_lr is None else by_muon)},
    ]
    kind = SGD if recipe.muon_lr is None else Muon
    return kind(
        groups,
        lr=recipe.learning_rate,
        momentum=recipe.momentum,
        nesterov=recipe.nesterov,
        foreach=True,  # faster, with the same result
    )


def scheduler(optimizer: SGD, recipe: Recipe, steps: int) -> LRScheduler:
    """Return the learning rate schedule, to be advanced each step (one cycle) or each epoch.

    Args:
        optimizer: The optimizer whose learning rates are scheduled.
        recipe: The kind of schedule and the number of epochs.
        steps: Number of steps in an epoch.
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


def limit_decay(recipe: Recipe, steps: int) -> float | None:
    """Return the decay of the EMA: the recipe's, or less if that averages over most of the run.

    An EMA of decay d averages over the last 1 / (1 - d) steps, of which at most a fifth of all
    steps is wanted. Otherwise it would keep the initial weights.

    Args:
        recipe: The decay and the number of epochs.
        steps: Number of steps in an epoch.
    """
    if recipe.ema_decay is None:
        return None
    return min(recipe.ema_decay, max(0.0, 1 - 5 / (recipe.epochs * steps)))


class ModelEMA:
    """The exponential moving average of a model's weights and running statistics.

    It computes what torch's `AveragedModel` with `get_ema_multi_avg_fn` does, in less time: it
    looks up the tensors only once.

    Args:
        model: The model, whose tensors must stay in place during training.
        decay: Decay in each step. The first step copies the model.

    Attributes:
        model: The averaged model. It shares the counters of batch norm, which are not averaged.
    """

    def __init__(self, model: ConvNet, decay: float) -> None:
        counters = {id(count): count for count in model.buffers() if not count.is_floating_point()}
        self.model = copy.deepcopy(model, counters)
        self.decay, self.steps = decay, 0
        self._averages, self._current = _float_tensors(self.model), _float_tensors(model)

    def update(self) -> None:
        """Include the model's current tensors in the average."""
        decay = self.decay if self.steps else 0.0
        average = get_ema_multi_avg_fn(decay)  # type: ignore[no-untyped-call]  # torch's own
        average(self._averages, self._current, self.steps)
        self.steps += 1

    def state_dict(self) -> dict[str, Any]:
        """Return the state that `load_state_dict` takes."""
        return {"model": self.model.state_dict(), "steps": self.steps}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore a state that `state_dict` returned."""
        self.model.load_state_dict(state["model"])
        self.steps = state["steps"]


def _float_tensors(model: nn.Module) -> list[Tensor]:
    return [tensor for tensor in model.state_dict().values() if tensor.is_floating_point()]
