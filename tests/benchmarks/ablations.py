"""Train with a change to a recipe, and evaluate on the last 10,000 training images.

Run by hand. Each call is one run on the first 50,000 training images and one thread:

    python tests/benchmarks/ablations.py exp5 epochs=16 teacher=null weight_decay=1e-3
    python tests/benchmarks/ablations.py exp5 epochs=16 teacher=null --with dropout=0.2 --seed 1
    python tests/benchmarks/ablations.py exp5 --recipe fast images=40000

FIELD=VALUE sets a field of the recipe; `augmentation=1.4` is 1.4 times that of `record`. Changes
that are not fields of a recipe are functions below, and follow `--with`. A teacher is trained
first, on the same images, and printed too. `--teachers FOLDER` keeps it for the next call, with
the recipe's stored epochs, so use one folder for each teacher and augmentation;
`--members N` trains N teachers, of this seed and the next ones, and averages their logits. The
result is the number of correct images, averaged over the last fifth of the epochs, which is
steadier than that of the last one. The test images are never read.
"""

import argparse
import dataclasses
import json
import tempfile
from collections.abc import Callable
from operator import attrgetter
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from msgspec import to_builtins
from msgspec.structs import replace
from torch import Tensor, nn
from torch.nn.utils import parametrize
from torch.optim import AdamW

from mnistzoo.architectures import ARCHITECTURES, BUILDABLE, MEAN, STD, Architecture, Conv
from mnistzoo.evaluation import Evaluation, evaluate
from mnistzoo.models import from_pretrained
from mnistzoo.models.convnet import ConvNet
from mnistzoo.training import loop, optim, stored_epochs
from mnistzoo.training.inputs import mnist_inputs
from mnistzoo.training.loop import train_epoch, train_run
from mnistzoo.training.recipes import RECORD, get_recipe
from mnistzoo.training.run import Run
from mnistzoo.training.settings import Augmentation, Recipe
from mnistzoo.training.state import TrainingState
from mnistzoo.training.stored_epochs import load_epoch

HOLDOUT = 10_000


def wider(row: Architecture, factor: int) -> Architecture:
    """Return the architecture with `factor` times as many channels."""
    layers = (
        dataclasses.replace(layer, out_channels=layer.out_channels * factor)
        if isinstance(layer, Conv)
        else layer
        for layer in row.layers
    )
    return dataclasses.replace(row, name=f"{row.name}-wide", layers=tuple(layers))


VARIANTS = {
    f"{name}-bn": dataclasses.replace(row, name=f"{name}-bn", batch_norm=True)
    for name, row in ARCHITECTURES.items()
} | {f"{name}-wide": wider(row, 2) for name, row in ARCHITECTURES.items()}
"""Variants with batch norm, and twice as wide; each has the recipe of its original."""

BUILDABLE.update(VARIANTS)


def drop_out(trainer: TrainingState, share: float) -> None:
    """Set a share of the classifier's features to zero."""

    def hook(layer: nn.Module, inputs: tuple[Tensor]) -> Tensor:
        return F.dropout(inputs[0], share, layer.training)

    trainer.model.classifier.register_forward_pre_hook(hook)


def change_images(change: Callable[[Tensor], Tensor]) -> None:
    """Change the augmented images that the student and its teacher read."""
    plain = loop.warp
    for module in (loop, stored_epochs):
        module.warp = lambda images, maps: change(plain(images, maps))  # type: ignore[attr-defined]


def erase(_: TrainingState, share: float) -> None:
    """Erase a random square, 4 to 8 pixels wide, from a share of the images."""

    def change(images: Tensor) -> Tensor:
        widths = torch.randint(4, 9, (len(images), 1))
        places = torch.arange(images.shape[-1])
        low = torch.randint(len(places), (2, len(images), 1)) - widths // 2
        rows, columns = (places >= low) & (places < low + widths)
        chosen = torch.rand(len(images), 1, 1) < share
        squares = rows[:, :, None] & columns[:, None, :] & chosen
        return images.masked_fill(squares[:, None], -MEAN / STD)

    change_images(change)


def distort(_: TrainingState, pixels: float) -> None:
    """Distort the images elastically (Simard et al. 2003).

    Shifts are normal noise of that standard deviation at 6 × 6 nodes, interpolated bicubically.
    """

    def change(images: Tensor) -> Tensor:
        side = images.shape[-1]
        shifts = torch.randn(len(images), 2, 6, 6) * pixels * 2 / side
        shifts = F.interpolate(shifts, size=(side, side), mode="bicubic", align_corners=True)
        plain = F.affine_grid(torch.eye(2, 3)[None], [1, 1, side, side], align_corners=False)
        grid = plain + shifts.permute(0, 2, 3, 1)
        return F.grid_sample(images, grid, padding_mode="border", align_corners=False)

    change_images(change)


def contrast(_: TrainingState, bound: float) -> None:
    """Raise the gray levels of each image to a random power, from e^-bound to e^bound."""

    def change(images: Tensor) -> Tensor:
        powers = (torch.rand(len(images), 1, 1, 1) * 2 - 1).mul(bound).exp()
        return ((images * STD + MEAN).clamp(0, 1) ** powers - MEAN) / STD

    change_images(change)


class Expanded(nn.Module):
    """A kernel as the product of a 1×1, a 3×3 and a 1×1 convolution (arXiv:1811.10495).

    The outer two start orthonormal, so that the kernel starts with the variance of the inner one.
    """

    def __init__(self, kernel: Tensor, times: int) -> None:
        super().__init__()
        made, read, height, width = kernel.shape
        self.first = nn.Parameter(nn.init.orthogonal_(torch.empty(read * times, read)))
        self.last = nn.Parameter(nn.init.orthogonal_(torch.empty(made, made * times)))
        inner = torch.randn(made * times, read * times, height, width) * kernel.std()
        self.inner = nn.Parameter(inner)

    def forward(self, _: Tensor) -> Tensor:
        """Return the product, in place of the original kernel."""
        return torch.einsum("ob,bahw,ai->oihw", self.last, self.inner, self.first)


def expand(trainer: TrainingState, times: float) -> None:
    """Train each kernel as a product of three, with `times` as many channels inside."""
    for layer in trainer.model.modules():
        if isinstance(layer, nn.Conv2d):
            kernel = layer.weight.requires_grad_(False)
            parametrize.register_parametrization(layer, "weight", Expanded(kernel, int(times)))
    restart(trainer)


def collapsed(model: ConvNet) -> ConvNet:
    """Return the model with each product multiplied out."""
    made = ConvNet(model.architecture).eval()
    found = {name: attrgetter(name)(model).detach() for name in made.state_dict()}
    made.load_state_dict(found)
    return made


def restart(trainer: TrainingState) -> None:
    """Create the optimizer, schedule and EMA anew, for new parameters."""
    trainer.optimizer = optim.optimizer(trainer.model, trainer.recipe)
    trainer.scheduler = optim.scheduler(trainer.optimizer, trainer.recipe, trainer.steps)
    if trainer.ema is not None:
        trainer.ema = optim.ModelEMA(trainer.model, trainer.ema.decay)


def fade(trainer: TrainingState, share: float) -> None:
    """Fade the augmentation to nothing over the last share of the epochs."""
    full = trainer.recipe

    def hook(*_: object) -> None:
        left = (1 - trainer.epoch / full.epochs) / share
        trainer.recipe = replace(full, augmentation=scaled(full.augmentation, min(1, left)))

    trainer.optimizer.register_step_pre_hook(hook)


def clip(trainer: TrainingState, norm: float) -> None:
    """Clip the norm of the gradient."""
    parameters = list(trainer.model.parameters())

    def hook(*_: object) -> None:
        nn.utils.clip_grad_norm_(parameters, norm)

    trainer.optimizer.register_step_pre_hook(hook)


def sam(trainer: TrainingState, radius: float) -> None:
    """Train by SAM: take the gradient where the loss nearby is highest (arXiv:2010.01412)."""
    parameters = list(trainer.model.parameters())
    plain, forward = optim.loss, trainer.forward
    last: dict[str, Any] = {}

    def loss(recipe: Recipe, logits: Tensor, *targets: Tensor | None) -> Tensor:
        last.update(targets=targets)
        return plain(recipe, logits, *targets)

    def keep_images(_: nn.Module, inputs: tuple[Tensor]) -> None:
        last.update(images=inputs[0])

    def hook(*_: object) -> None:
        slopes = [radius * parameter.grad for parameter in parameters if parameter.grad is not None]
        length = nn.utils.get_total_norm(slopes) / radius
        up = [slope / length for slope in slopes]
        with torch.no_grad():
            torch._foreach_add_(parameters, up)
        trainer.optimizer.zero_grad()
        with torch.autocast("cpu", dtype=trainer.dtype, enabled=trainer.dtype != torch.float32):
            logits = forward(last["images"])
        plain(trainer.recipe, logits.float(), *last["targets"]).backward()  # type: ignore[no-untyped-call]  # torch's own is not annotated
        with torch.no_grad():
            torch._foreach_sub_(parameters, up)

    optim.loss = loss
    trainer.model.register_forward_pre_hook(keep_images)
    trainer.optimizer.register_step_pre_hook(hook)


def mixup(_: TrainingState, share: float) -> None:
    """Apply mixup to a share of the images (Zhang et al. 2018, arXiv:1710.09412).

    Weights are uniform from 0 to 1, as in Beyer et al. 2022 (arXiv:2106.05237).
    """

    def change(images: Tensor) -> Tensor:
        chosen = torch.rand(len(images), 1, 1, 1) < share
        weights = torch.rand(len(images), 1, 1, 1).where(chosen, torch.ones(()))
        return images.lerp(images[torch.randperm(len(images))], 1 - weights)

    change_images(change)


def on_labels_too(trainer: TrainingState, share: float) -> None:
    """Make the cross-entropy with the labels a share of the loss, beside the divergence."""
    plain = optim.loss

    def loss(
        recipe: Recipe, logits: Tensor, labels: Tensor, teacher: Tensor | None, distilled: Tensor
    ) -> Tensor:
        by_labels = plain(recipe, logits, labels, None, distilled)
        return plain(recipe, logits, labels, teacher, distilled).lerp(by_labels, share)

    optim.loss = loss


def match_logits(_: TrainingState, weight: float) -> None:
    """Compare logits by their squared error in place of the divergence (arXiv:2105.08919).

    Both are centered, since softmax ignores a constant added to all logits of an image. Half the
    mean squared error is the limit of the divergence at a high temperature (Hinton et al. 2015).
    """

    def loss(
        _: Recipe, logits: Tensor, labels: Tensor, teacher: Tensor | None, distilled: Tensor
    ) -> Tensor:
        if teacher is None:
            raise SystemExit("The change `logits` needs a recipe with a teacher.")
        own, target = (x.float() - x.float().mean(1, keepdim=True) for x in (logits, teacher))
        return weight * F.mse_loss(own, target) / 2

    optim.loss = loss


def in_float32(trainer: TrainingState, _: float) -> None:
    """Train in float32, also where bfloat16 is faster."""
    trainer.dtype = torch.float32


def adamw(trainer: TrainingState, rate: float) -> None:
    """Train by AdamW, with that highest learning rate."""
    decay = trainer.recipe.weight_decay
    trainer.optimizer = AdamW(trainer.model.parameters(), lr=rate, weight_decay=decay)  # type: ignore[assignment]  # in place of SGD
    trainer.scheduler = optim.scheduler(trainer.optimizer, trainer.recipe, trainer.steps)


CHANGES: dict[str, Callable[[TrainingState, float], None]] = {
    "adamw": adamw,
    "clip": clip,
    "contrast": contrast,
    "dropout": drop_out,
    "elastic": distort,
    "erase": erase,
    "expand": expand,
    "fade": fade,
    "float32": in_float32,
    "labels": on_labels_too,
    "logits": match_logits,
    "mixup": mixup,
    "sam": sam,
}


def scaled(augmentation: Augmentation, factor: float) -> Augmentation:
    """Return the augmentation with every bound multiplied."""
    bounds = to_builtins(augmentation)
    return Augmentation(**{name: bound * factor for name, bound in bounds.items()})


def changed(recipe: Recipe, settings: list[str]) -> Recipe:
    """Return the recipe with fields set by FIELD=VALUE."""
    for setting in settings:
        name, value = setting.split("=")
        if name == "augmentation":
            recipe = replace(recipe, augmentation=scaled(RECORD.augmentation, float(value)))
        else:
            text = name == "teacher" and value != "null"
            recipe = replace(recipe, **{name: value if text else json.loads(value)})
    return recipe


class Ensemble(nn.Module):
    """Models whose log-probabilities are averaged."""

    def __init__(self, members: list[ConvNet]) -> None:
        super().__init__()
        self.members = nn.ModuleList(members)

    def forward(self, images: Tensor) -> Tensor:
        """Return the mean of the log-probabilities, shape `(N, 10)`."""
        return torch.stack([member(images).float() for member in self.members]).mean(0)


def trained_teacher(run: Run, folder: Path) -> ConvNet:
    """Train a teacher, unless it is in the folder already."""
    run = replace(run, recipe=replace(run.recipe, teacher=None))
    result = train_run(run, folder / f"{run.architecture}-{run.seed}")
    print(f"  the teacher itself: {result.correct:,}, NLL {result.nll:.4f}", flush=True)
    return from_pretrained(folder / f"{run.architecture}-{run.seed}")


def trained(run: Run, changes: list[str], folder: Path, members: int) -> list[Evaluation]:
    """Train once, and return the evaluation on the held-out images after each epoch."""
    inputs = mnist_inputs(HOLDOUT)
    seeds = range(run.seed, run.seed + members) if run.teacher else ()
    teachers = [trained_teacher(replace(run.teacher, seed=seed), folder) for seed in seeds]
    trainer = TrainingState(run, inputs.training, teachers[0] if teachers else None)
    if len(teachers) > 1:
        ensemble = Ensemble(teachers).to(memory_format=torch.channels_last)
        trainer.teacher = ensemble  # type: ignore[assignment]  # called in the same way
    for change in changes:
        name, value = change.split("=")
        CHANGES[name](trainer, float(value))
    found = []
    for _ in range(run.recipe.epochs):
        stored = load_epoch(folder, trainer) if run.recipe.stored_epochs else None
        train_epoch(trainer, stored=stored)
        found.append(evaluate(collapsed(trainer.result), inputs.evaluation))
    return found


def main() -> None:
    """Train once, and print the result."""
    options = argparse.ArgumentParser()
    options.add_argument("architecture", choices=[*ARCHITECTURES, *VARIANTS])
    options.add_argument("fields", nargs="*", metavar="FIELD=VALUE")
    options.add_argument("--recipe", default="record")
    options.add_argument("--seed", type=int, default=0)
    options.add_argument("--with", dest="changes", nargs="*", default=[], metavar="CHANGE=VALUE")
    options.add_argument("--teachers", type=Path, metavar="FOLDER")
    options.add_argument("--members", type=int, default=1)
    given = options.parse_intermixed_args()
    torch.set_num_threads(1)
    torch.manual_seed(given.seed)
    base = given.architecture.split("-")[0]
    recipe = changed(get_recipe(given.recipe, base), given.fields)
    with tempfile.TemporaryDirectory() as temporary:
        run = Run(given.architecture, recipe, given.seed, HOLDOUT)
        folder = given.teachers or Path(temporary)
        found = trained(run, given.changes, folder, given.members)
    last = found[-max(1, recipe.epochs // 5) :]
    correct = sum(evaluation.correct for evaluation in last) / len(last)
    settings = [f"seed={given.seed}", f"members={given.members}", *given.fields, *given.changes]
    described = " ".join([given.recipe, *settings])
    print(f"{given.architecture} {described}: {correct:,.0f}, NLL {found[-1].nll:.4f}", flush=True)


if __name__ == "__main__":
    main()
