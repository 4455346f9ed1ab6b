"""The state of a training run, which can be saved and restored."""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Generator, Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from mnistzoo.architectures import INPUT_SHAPE
from mnistzoo.data.datasets import ImageDataset
from mnistzoo.data.mnist import Digits
from mnistzoo.errors import TrainingError
from mnistzoo.export.integer_quantization import CALIBRATION_IMAGES
from mnistzoo.models import get_model
from mnistzoo.models.convnet import ConvNet
from mnistzoo.models.folding import fold_batch_norm
from mnistzoo.storage.manifest import split_name
from mnistzoo.training import optim
from mnistzoo.training.distributed import autocast_dtype, device, world_size
from mnistzoo.training.fake_quantization import FakeQuantized
from mnistzoo.training.inputs import shipped_weights
from mnistzoo.training.run import Run
from mnistzoo.training.settings import Recipe

SEED_STRIDE = 10_000
"""Distance between the seeds of two runs. Each epoch has its own generator, so none is saved."""


class TrainingState:
    """A model in training, with its images, teacher, optimizer, schedule and EMA.

    `loop.train_epoch` advances it by one epoch. Inside `distributed.process_group`, each process
    trains on its share of every batch, with its own batch norm statistics, and gradients are
    averaged.

    Args:
        run: What to train.
        dataset: The training images and their labels.
        teacher: The trained model of `run.teacher`, in evaluation mode; None without a teacher.
        initial: The weights with the digest `run.initial`; None for shipped or random ones.

    Raises:
        TrainingError: The recipe has a teacher and none is given, or vice versa; a batch has fewer
            images than there are processes; or the initial weights are missing.
    """

    def __init__(
        self,
        run: Run,
        dataset: ImageDataset | Digits,
        teacher: ConvNet | None = None,
        initial: Mapping[str, Tensor] | None = None,
    ) -> None:
        self.run, self.recipe = run, run.recipe
        if (teacher is None) != (run.teacher is None):
            raise TrainingError(
                f"The recipe's teacher is {self.recipe.teacher}. Pass that model, trained, or "
                "choose a recipe without a teacher."
            )
        self.num_images = self.recipe.epoch_size(len(dataset.labels))
        self.steps = math.ceil(self.num_images / self.recipe.batch_size)
        self._check_batches()
        self.device = device()
        self.dtype = torch.float32 if self.recipe.bits else autocast_dtype(self.device)
        self.images, self.labels = dataset.images.to(self.device), dataset.labels.to(self.device)
        model = _initialized(run, initial)
        self.model = model.to(self.device).to(memory_format=torch.channels_last)
        if self.recipe.bits or self.recipe.pretrained_targets:
            teacher = copy.deepcopy(model).eval()
        self.teacher, self.synthetic_teacher = (
            each and each.to(self.device).to(memory_format=torch.channels_last)
            for each in (teacher, _synthetic_teacher(self.recipe))
        )
        synthetic = self.recipe.pretrained_targets > 0  # are behind MNIST's own images
        self.num_distilled = run.num_train - run.holdout if synthetic else len(self.labels)
        crops = self.recipe.crop and not self.recipe.bits  # what is rounded takes whole images
        self.side = self.model.architecture.rows_read if crops else INPUT_SHAPE[-1]
        self.forward = _parallel(self._layers())
        self.optimizer = optim.optimizer(self.model, self.recipe)
        self.scheduler = optim.scheduler(self.optimizer, self.recipe, self.steps)
        decay = optim.limit_decay(self.recipe, self.steps)
        self.ema = None if decay is None else optim.ModelEMA(self.model, decay)
        self.epoch = 0

    def _check_batches(self) -> None:
        last = self.num_images - (self.steps - 1) * self.recipe.batch_size
        if last < world_size():
            raise TrainingError(
                f"Expected an image for each of {world_size()} processes in every batch, got "
                f"{last} in the last one. Use fewer processes, or another holdout."
            )

    @property
    def result(self) -> ConvNet:
        """The trained model: the EMA, or the model itself for a recipe without one.

        With `recipe.bits`, its weights are rounded.
        """
        trained = self.model if self.ema is None else self.ema.model
        return self._rounded(trained).dequantized() if self.recipe.bits else trained

    @property
    def evaluated(self) -> nn.Module:
        """The module to evaluate: the trained model, as its C header runs it with `recipe.bits`."""
        return self._rounded(self.result) if self.recipe.bits else self.result

    def _rounded(self, model: ConvNet) -> FakeQuantized:
        assert self.recipe.bits is not None
        images = self.images[:CALIBRATION_IMAGES].cpu().numpy()
        return FakeQuantized(model, self.recipe.bits, images)

    def start_epoch(self) -> None:
        """Set training mode, except for frozen features, whose running statistics stay."""
        self.model.train()
        if self.run.freeze:
            self.model.features.eval()
        if self.recipe.bits:  # calibrate anew, since the ranges of activations change
            self.forward = _parallel(self._rounded(self.model))

    def epoch_generator(self, epoch: int) -> Generator:
        """Return the generator of an epoch's random numbers."""
        return Generator().manual_seed(self.run.seed * SEED_STRIDE + epoch)

    def autocast(self) -> torch.autocast:
        """Return the context of a forward pass."""
        return torch.autocast(self.device.type, self.dtype, enabled=self.dtype != torch.float32)

    @torch.no_grad()
    def teacher_logits(self, images: Tensor, distilled: Tensor) -> Tensor:
        """Return the teachers' logits for normalized images, float32, shape `(N, classes)`.

        Where `distilled` is true, they are the teacher's; elsewhere the synthetic teacher's, or
        zeros without one.
        """
        logits = torch.zeros(len(images), self.run.num_classes, device=self.device)
        for teacher, chosen in ((self.teacher, distilled), (self.synthetic_teacher, ~distilled)):
            if teacher is not None and chosen.any():
                inputs = images[chosen].contiguous(memory_format=torch.channels_last)
                with self.autocast():
                    logits[chosen] = teacher(inputs).float()
        return logits

    def freeze_convs(self, step: int) -> None:
        """Freeze the recipe's first convolutions if they stop learning by this step of the run."""
        if step < self.recipe.frozen_after * self.recipe.epochs * self.steps:
            return
        first = _first_convs(self.model, self.recipe.frozen_convs)
        if any(parameter.requires_grad for parameter in first):
            for parameter in first:
                parameter.requires_grad_(False)
            self.forward = _parallel(self._layers(self.recipe.fold_frozen))

    def _layers(self, fold: bool = False) -> nn.Module:
        """Return the model, or its layers for cropped images or with the frozen ones folded."""
        features = self.model.features
        if fold:
            features = _fold_first(features, self.recipe.frozen_convs)
        elif self.side == INPUT_SHAPE[-1]:
            return self.model
        return nn.Sequential(features, nn.Flatten(), self.model.classifier)

    def state_dict(self) -> dict[str, Any]:
        """Return what `load_state_dict` needs to resume from this epoch."""
        return {name: part.state_dict() for name, part in self._parts()} | {"epoch": self.epoch}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Resume from a state that `state_dict` returned for the same run."""
        for name, part in self._parts():
            part.load_state_dict(state[name])
        self.epoch = state["epoch"]

    def _parts(self) -> list[tuple[str, Any]]:
        names = ["model", "optimizer", "scheduler", *(["ema"] if self.ema else [])]
        return [(name, getattr(self, name)) for name in names]


def _initialized(run: Run, initial: Mapping[str, Tensor] | None) -> ConvNet:
    """Return the pretrained model, or a new one made from the seed and the initial weights."""
    if run.recipe.pretrained:
        return get_model(run.architecture, pretrained=True)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(run.seed)
        model = get_model(run.architecture, num_classes=run.num_classes)
        if run.recipe.he_init:
            _he_init(model)
    if run.initial is not None:
        weights = initial or shipped_weights(run)
        new = {f"classifier.{name}": value for name, value in model.classifier.state_dict().items()}
        model.load_state_dict({**new, **weights})
    if run.freeze:
        model.features.requires_grad_(False)
    if run.dataset is not None:
        model.labels, model.style = run.dataset.classes, run.dataset.style
    return model


def _synthetic_teacher(recipe: Recipe) -> ConvNet | None:
    if recipe.synthetic_teacher is None:
        return None
    architecture, weights = split_name(recipe.synthetic_teacher)
    return get_model(architecture, pretrained=weights)


def _he_init(model: nn.Module) -> None:
    for layer in model.modules():
        if isinstance(layer, nn.Conv2d):
            nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
            nn.init.zeros_(layer.bias)  # type: ignore[arg-type]  # every convolution here has one


def _parallel(model: nn.Module) -> nn.Module:
    """Wrap the model so that several processes average their gradients.

    Batch norm's running statistics are those of process 0, which saves them.
    """
    return model if world_size() == 1 else DistributedDataParallel(model)


def _first_convs(model: ConvNet, count: int) -> list[nn.Parameter]:
    """Return the parameters of the first convolutions and of their batch norm."""
    first = {f"{kind}{number}" for kind in ("conv", "bn") for number in range(1, count + 1)}
    children = model.features.named_children()
    return [p for name, layer in children if name in first for p in layer.parameters()]


def _fold_first(features: nn.Sequential, count: int) -> nn.Sequential:
    """Return the layers with batch norm folded up to the ReLU of convolution `count`."""
    end = [name for name, _ in features.named_children()].index(f"relu{count}") + 1
    first = fold_batch_norm(features[:end].eval()).to(memory_format=torch.channels_last)
    return nn.Sequential(*first, *features[end:])
