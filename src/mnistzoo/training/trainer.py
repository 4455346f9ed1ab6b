"""One network, one recipe, one seed: the steps of training, and a state that can be saved."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from operator import index
from typing import Any

import torch
from torch import Generator, Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from mnistzoo.architectures import BUILDABLE, INPUT_SHAPE
from mnistzoo.data.mnist import TEST_LABELS, TRAIN_LABELS, Digits, normalize
from mnistzoo.errors import InputError, TrainingError, UnknownNameError
from mnistzoo.models import get_model
from mnistzoo.models.convnet import ConvNet
from mnistzoo.training import optim as descent
from mnistzoo.training.augmentation import affine_maps, warp
from mnistzoo.training.distributed import device, rank, total, world_size
from mnistzoo.training.recipes import MAX_SEED, Recipe, get_recipe

SEED_STRIDE = 10_000
"""Each epoch draws from a generator of its own, so that a resumed run need not save one."""


@dataclass(frozen=True)
class Run:
    """What determines the weights, on one type of machine and number of threads.

    Attributes:
        network: a name that `get_model` takes.
        recipe: how it is trained.
        seed: of the initial weights, the order of the images, and the augmentation; 0 to 2³² − 1.
        holdout: how many of the last training images are kept aside; the run is then judged on
            them, and the test images are never read; 0 to 59,999.

    Raises:
        UnknownNameError: there is no such network.
        InputError: the seed, the number of held-out images or that of epochs is out of bounds.
    """

    network: str
    recipe: Recipe
    seed: int = 0
    holdout: int = 0

    def __post_init__(self) -> None:
        if self.network not in BUILDABLE:
            raise UnknownNameError("model", self.network, BUILDABLE)
        for name in ("seed", "holdout"):  # NumPy's integers are no JSON
            object.__setattr__(self, name, index(getattr(self, name)))
        if not 0 <= self.seed <= MAX_SEED:
            raise InputError(f"expected a seed from 0 to {MAX_SEED}, got {self.seed}.")
        if self.recipe.epochs < 1:
            raise InputError(f"expected one epoch or more, got {self.recipe.epochs}.")
        (images,) = TRAIN_LABELS.shape
        if not 0 <= self.holdout < images:
            raise InputError(
                f"expected a holdout of 0 to {images - 1:,} of the {images:,} training images, "
                f"got {self.holdout:,}."
            )

    @property
    def images(self) -> int:
        """How many images an epoch trains on."""
        (images,) = TRAIN_LABELS.shape
        left = images - self.holdout
        return min(left, self.recipe.images or left)

    @property
    def split(self) -> str:
        """Which images it is judged on: "test", or "validation" where some are held out."""
        return "validation" if self.holdout else "test"

    @property
    def total(self) -> int:
        """How many images it is judged on."""
        (images,) = TEST_LABELS.shape
        return self.holdout or images

    @property
    def teacher(self) -> Run | None:
        """The run that makes the recipe's teacher: same seed and images, no more epochs."""
        if self.recipe.teacher is None:
            return None
        recipe = get_recipe(self.recipe.name, self.recipe.teacher)
        epochs = min(recipe.epochs, self.recipe.epochs)
        return Run(self.recipe.teacher, replace(recipe, epochs=epochs), self.seed, self.holdout)


def autocast_dtype(device: torch.device) -> torch.dtype:
    """bfloat16 where the device multiplies it faster than float32, else float32.

    Many processors emulate it. Intel's with AVX-512 BF16 but without AMX multiply it natively, and
    still train these networks in less time in float32 (`tests/benchmarks/training.py`). The choice
    depends on the device alone, so that a run can be repeated.
    """
    if device.type == "cuda":
        faster = torch.cuda.is_bf16_supported(including_emulation=False)
    else:
        # Older releases do not say what the processor can do; float32 is right on all of them.
        able: dict[str, Any] = getattr(torch.cpu, "get_capabilities", dict)()
        intel = str(able.get("cpu_name", "")).startswith("Intel")
        faster = able.get("amx_bf16") or (able.get("avx512_bf16") and not intel)
    return torch.bfloat16 if faster else torch.float32


class Trainer:
    """The state of a run, moved on one epoch at a time.

    Where `processes` has joined several, each takes its share of every batch, with batch-norm
    statistics of its own, and gradients are averaged.

    Args:
        run: what to train.
        digits: the training images and their labels.
        teacher: the network that `run.teacher` comes to, where there is one, in evaluation mode.

    Raises:
        TrainingError: there is no teacher where the recipe has one, or there is one all the same;
            or a batch has fewer images than there are processes.
    """

    def __init__(self, run: Run, digits: Digits, teacher: ConvNet | None = None) -> None:
        self.run, self.recipe = run, run.recipe
        if (teacher is None) != (run.teacher is None):
            raise TrainingError(
                f"the recipe's teacher is {self.recipe.teacher}; hand over that network, trained, "
                "or take a recipe without (dataclasses.replace(recipe, teacher=None))."
            )
        self.images = min(len(digits.labels), self.recipe.images or len(digits.labels))
        self.steps = math.ceil(self.images / self.recipe.batch_size)
        last = self.images - (self.steps - 1) * self.recipe.batch_size
        if last < world_size():
            raise TrainingError(
                f"expected an image for each of {world_size()} processes in every batch, got "
                f"{last} in the last; train on fewer processes, or hold out another number."
            )
        self.device = device()
        self.digits = Digits(*(tensor.to(self.device) for tensor in digits))
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(run.seed)
            model = get_model(run.network)
            if self.recipe.he_init:
                _he_init(model)
        self.model = model.to(self.device).to(memory_format=torch.channels_last)
        self.teacher = teacher and teacher.to(self.device).to(memory_format=torch.channels_last)
        self.forward = _joined(self.model)
        self.dtype = autocast_dtype(self.device)
        self.optimizer = descent.optimizer(self.model, self.recipe)
        self.scheduler = descent.scheduler(self.optimizer, self.recipe, self.steps)
        decay = self.recipe.ema_decay
        self.average = None if decay is None else descent.ModelEMA(self.model, decay)
        self.epoch = 0

    @property
    def result(self) -> ConvNet:
        """The network that the run has come to: the moving average, where the recipe keeps one."""
        return self.model if self.average is None else self.average.network

    def train_epoch(self, on_batch: Callable[[int], object] = lambda _: None) -> dict[str, float]:
        """One pass over the images; gives the mean `loss` and `train_accuracy` on them, augmented.

        Args:
            on_batch: called after each step with the number of images in it.

        Raises:
            TrainingError: the loss is no longer finite.
        """
        self.model.train()
        generator = Generator().manual_seed(self.run.seed * SEED_STRIDE + self.epoch)
        order = torch.randperm(len(self.digits.labels), generator=generator)[: self.images]
        loss_sum, correct = 0.0, 0.0
        for step, chosen in enumerate(torch.split(order, self.recipe.batch_size)):
            maps = affine_maps(len(chosen), INPUT_SHAPE[-1], self.recipe.augmentation, generator)
            self._freeze(self.epoch * self.steps + step)
            share = slice(rank(), None, world_size())
            weight = len(chosen[share]) * world_size() / len(chosen)
            loss, right = self._step(
                chosen[share].to(self.device), maps[share].to(self.device), weight
            )
            if not math.isfinite(loss):
                raise TrainingError(
                    f"the loss of {self.run.network} became {loss} in epoch {self.epoch + 1}, "
                    f"step {step + 1} of {self.steps}; lower the learning rate of the recipe."
                )
            loss_sum += loss * len(chosen[share])
            correct += right
            on_batch(len(chosen))
        self.epoch += 1
        if not self.recipe.one_cycle:
            self.scheduler.step()
        loss_sum, correct = total(loss_sum, correct)
        return {"loss": loss_sum / len(order), "train_accuracy": correct / len(order)}

    def _freeze(self, step: int) -> None:
        """Stop training the first convolutions, where the recipe does so by this step."""
        if step < self.recipe.frozen_after * self.recipe.epochs * self.steps:
            return
        first = _first_convs(self.model, self.recipe.frozen_convs)
        if any(parameter.requires_grad for parameter in first):
            for parameter in first:
                parameter.requires_grad_(False)
            self.forward = _joined(self.model)

    def _step(self, chosen: Tensor, maps: Tensor, weight: float) -> tuple[float, int]:
        """One step on some images: the loss on them, and how many were classified correctly.

        `weight` is how many they are over the mean of all processes' shares, whose gradients are
        averaged as if they were equal.
        """
        images = warp(normalize(self.digits.images[chosen]), maps)
        images = images.contiguous(memory_format=torch.channels_last)
        labels = self.digits.labels[chosen]
        use = self.dtype != torch.float32
        with torch.autocast(self.device.type, dtype=self.dtype, enabled=use):
            answers = self.forward(images)
            taught = self._taught(images)
        loss = descent.loss(self.recipe, answers.float(), labels, taught)
        self.optimizer.zero_grad()
        (loss * weight).backward()  # type: ignore[no-untyped-call]  # torch's own is not annotated
        self.optimizer.step()
        if self.recipe.one_cycle:
            self.scheduler.step()
        if self.average is not None:
            self.average.update()
        return loss.item(), int((answers.argmax(1) == labels).sum())

    @torch.no_grad()
    def _taught(self, images: Tensor) -> Tensor | None:
        """The teacher's answers, where there is one."""
        return None if self.teacher is None else self.teacher(images)

    def state_dict(self) -> dict[str, Any]:
        """All that `load_state_dict` needs to go on from here."""
        return {name: part.state_dict() for name, part in self._parts()} | {"epoch": self.epoch}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from a state that `state_dict` gave for the same run."""
        for name, part in self._parts():
            part.load_state_dict(state[name])
        self.epoch = state["epoch"]

    def _parts(self) -> list[tuple[str, Any]]:
        parts = [
            ("model", self.model),
            ("optimizer", self.optimizer),
            ("scheduler", self.scheduler),
        ]
        return parts if self.average is None else [*parts, ("average", self.average)]


def _joined(model: ConvNet) -> nn.Module:
    """The network as it is trained: gradients are averaged over the processes, if there are.

    Running statistics of batch norm are those of process 0, which saves them.
    """
    return model if world_size() == 1 else DistributedDataParallel(model)


def _first_convs(model: ConvNet, count: int) -> list[nn.Parameter]:
    """The parameters of the first `count` convolutions, and of their batch norms."""
    first = {f"{kind}{number}" for kind in ("conv", "bn") for number in range(1, count + 1)}
    children = model.features.named_children()
    return [p for name, layer in children if name in first for p in layer.parameters()]


def _he_init(model: nn.Module) -> None:
    for layer in model.modules():
        if isinstance(layer, nn.Conv2d):
            nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
            nn.init.zeros_(layer.bias)  # type: ignore[arg-type]  # every convolution here has one
