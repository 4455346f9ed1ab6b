"""What a change to a recipe gives, judged on the last 10,000 training images, never on the test.

Run by hand, one run a call, on the first 50,000 training images and one thread:

    python tests/benchmarks/levers.py exp5 epochs=16 teacher=null weight_decay=1e-3
    python tests/benchmarks/levers.py exp5 epochs=16 teacher=null --with dropout=0.2 --seed 1
    python tests/benchmarks/levers.py exp5 --recipe fast images=40000

FIELD=VALUE sets a field of the recipe; `augmentation=1.4` is 1.4 times that of `record`. What a
recipe has no field for is a function below. A teacher is trained first, on the same images, as a
run trains its own, and printed too; `--teachers FOLDER` keeps it for the next call, and
`--members N` has N of them, of this seed and the next ones, whose mean scores are the answers.
Printed is how many images were read correctly, the mean over the last fifth of the epochs, which is
steadier than the last.
"""

import argparse
import json
import tempfile
from collections.abc import Callable
from dataclasses import asdict, replace
from operator import attrgetter
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils import parametrize
from torch.optim import AdamW

from mnistzoo.architectures import ARCHITECTURES, BUILDABLE, MEAN, STD, Architecture, Conv
from mnistzoo.evaluation import Evaluation, evaluate
from mnistzoo.models import from_pretrained
from mnistzoo.models.convnet import ConvNet
from mnistzoo.training import optim as descent
from mnistzoo.training import trainer as steps
from mnistzoo.training.recipes import RECORD, Augmentation, Recipe, get_recipe
from mnistzoo.training.runs import load_split, train
from mnistzoo.training.trainer import Run, Trainer

HOLDOUT = 10_000


def wider(row: Architecture, factor: int) -> Architecture:
    """The same layers with `factor` times as many channels."""
    layers = (
        replace(layer, out_channels=layer.out_channels * factor)
        if isinstance(layer, Conv)
        else layer
        for layer in row.layers
    )
    return replace(row, name=f"{row.name}-wide", layers=tuple(layers))


VARIANTS = {
    f"{name}-bn": replace(row, name=f"{name}-bn", batch_norm=True)
    for name, row in ARCHITECTURES.items()
} | {f"{name}-wide": wider(row, 2) for name, row in ARCHITECTURES.items()}
"""With batch norm, and twice as wide; each is trained with the recipe of the network it is of."""

BUILDABLE.update(VARIANTS)


def drop_out(trainer: Trainer, share: float) -> None:
    """Give the classifier features of which a share is zero."""

    def hook(layer: nn.Module, inputs: tuple[Tensor]) -> Tensor:
        return F.dropout(inputs[0], share, layer.training)

    trainer.model.classifier.register_forward_pre_hook(hook)


def change_images(change: Callable[[Tensor], Tensor]) -> None:
    """Have the network train on changed images, and its teacher answer the same ones."""
    plain = steps.warp
    steps.warp = lambda images, maps: change(plain(images, maps))


def erase(_: Trainer, share: float) -> None:
    """Lay a square of paper, 4 to 8 pixels wide, on a share of the images, anywhere."""

    def change(images: Tensor) -> Tensor:
        widths = torch.randint(4, 9, (len(images), 1))
        places = torch.arange(images.shape[-1])
        low = torch.randint(len(places), (2, len(images), 1)) - widths // 2
        rows, columns = (places >= low) & (places < low + widths)
        chosen = torch.rand(len(images), 1, 1) < share
        squares = rows[:, :, None] & columns[:, None, :] & chosen
        return images.masked_fill(squares[:, None], -MEAN / STD)

    change_images(change)


def distort(_: Trainer, pixels: float) -> None:
    """Shift what lies at 6 x 6 nodes by normal noise of that standard deviation; between, bicubic.

    Simard et al. 2003.
    """

    def change(images: Tensor) -> Tensor:
        side = images.shape[-1]
        shifts = torch.randn(len(images), 2, 6, 6) * pixels * 2 / side
        shifts = F.interpolate(shifts, size=(side, side), mode="bicubic", align_corners=True)
        plain = F.affine_grid(torch.eye(2, 3)[None], [1, 1, side, side], align_corners=False)
        grid = plain + shifts.permute(0, 2, 3, 1)
        return F.grid_sample(images, grid, padding_mode="border", align_corners=False)

    change_images(change)


def contrast(_: Trainer, bound: float) -> None:
    """Raise the grey levels of each image to a power of its own, e to ± `bound` at most."""

    def change(images: Tensor) -> Tensor:
        powers = (torch.rand(len(images), 1, 1, 1) * 2 - 1).mul(bound).exp()
        return ((images * STD + MEAN).clamp(0, 1) ** powers - MEAN) / STD

    change_images(change)


class Expanded(nn.Module):
    """A kernel as what a 1×1, a 3×3 and a 1×1 convolution come to, one after the other.

    Guo et al. 2020, arXiv:1811.10495. The outer two begin with orthonormal rows or columns, so that
    the kernel begins with the variance of the inner one.
    """

    def __init__(self, kernel: Tensor, times: int) -> None:
        super().__init__()
        made, read, height, width = kernel.shape
        self.first = nn.Parameter(nn.init.orthogonal_(torch.empty(read * times, read)))
        self.last = nn.Parameter(nn.init.orthogonal_(torch.empty(made, made * times)))
        inner = torch.randn(made * times, read * times, height, width) * kernel.std()
        self.inner = nn.Parameter(inner)

    def forward(self, _: Tensor) -> Tensor:
        """The kernel, in place of the one that was."""
        return torch.einsum("ob,bahw,ai->oihw", self.last, self.inner, self.first)


def expand(trainer: Trainer, times: float) -> None:
    """Train each kernel as a product of three with that many times the channels between."""
    for layer in trainer.model.modules():
        if isinstance(layer, nn.Conv2d):
            kernel = layer.weight.requires_grad_(False)
            parametrize.register_parametrization(layer, "weight", Expanded(kernel, int(times)))
    restart(trainer)


def collapsed(network: ConvNet) -> ConvNet:
    """The same network with plain tensors: each kernel is what its product comes to."""
    made = ConvNet(network.architecture).eval()
    found = {name: attrgetter(name)(network).detach() for name in made.state_dict()}
    made.load_state_dict(found)
    return made


def restart(trainer: Trainer) -> None:
    """Let the optimizer and the average know parameters that are new."""
    trainer.optimizer = descent.optimizer(trainer.model, trainer.recipe)
    trainer.scheduler = descent.scheduler(trainer.optimizer, trainer.recipe, trainer.steps)
    if trainer.average is not None:
        trainer.average = descent.ModelEMA(trainer.model, trainer.average.decay)


def fade(trainer: Trainer, share: float) -> None:
    """Let the augmentation shrink to nothing over the last share of the epochs."""
    full = trainer.recipe

    def hook(*_: object) -> None:
        left = (1 - trainer.epoch / full.epochs) / share
        trainer.recipe = replace(full, augmentation=scaled(full.augmentation, min(1, left)))

    trainer.optimizer.register_step_pre_hook(hook)


def clip(trainer: Trainer, norm: float) -> None:
    """Bound the norm of the gradient."""
    parameters = list(trainer.model.parameters())

    def hook(*_: object) -> None:
        nn.utils.clip_grad_norm_(parameters, norm)

    trainer.optimizer.register_step_pre_hook(hook)


def sharpness(trainer: Trainer, radius: float) -> None:
    """Step along the gradient found where the loss is highest around (arXiv:2010.01412)."""
    parameters = list(trainer.model.parameters())
    plain, forward = descent.loss, trainer.forward
    last: dict[str, Any] = {}

    def noted(recipe: Recipe, answers: Tensor, labels: Tensor, taught: Tensor | None) -> Tensor:
        last.update(labels=labels, taught=taught)
        return plain(recipe, answers, labels, taught)

    def note(_: nn.Module, inputs: tuple[Tensor]) -> None:
        last.update(images=inputs[0])

    def hook(*_: object) -> None:
        slopes = [radius * parameter.grad for parameter in parameters if parameter.grad is not None]
        length = nn.utils.get_total_norm(slopes) / radius
        up = [slope / length for slope in slopes]
        with torch.no_grad():
            torch._foreach_add_(parameters, up)
        trainer.optimizer.zero_grad()
        with torch.autocast("cpu", dtype=trainer.dtype, enabled=trainer.dtype != torch.float32):
            answers = forward(last["images"])
        plain(trainer.recipe, answers.float(), last["labels"], last["taught"]).backward()  # type: ignore[no-untyped-call]  # torch's own is not annotated
        with torch.no_grad():
            torch._foreach_sub_(parameters, up)

    descent.loss = noted
    trainer.model.register_forward_pre_hook(note)
    trainer.optimizer.register_step_pre_hook(hook)


def mix(_: Trainer, share: float) -> None:
    """Blend a share of the images with others of the batch.

    Zhang et al. 2018, arXiv:1710.09412, at weights drawn evenly from 0 to 1 as by Beyer et al.
    2022, arXiv:2106.05237.
    """

    def change(images: Tensor) -> Tensor:
        chosen = torch.rand(len(images), 1, 1, 1) < share
        weights = torch.rand(len(images), 1, 1, 1).where(chosen, torch.ones(()))
        return images.lerp(images[torch.randperm(len(images))], 1 - weights)

    change_images(change)


def on_labels_too(trainer: Trainer, share: float) -> None:
    """Let the labels' cross-entropy make a share of the loss, the teacher's answers the rest."""
    plain = descent.loss

    def loss(recipe: Recipe, answers: Tensor, labels: Tensor, taught: Tensor | None) -> Tensor:
        by_labels = plain(recipe, answers, labels, None)
        return plain(recipe, answers, labels, taught).lerp(by_labels, share)

    descent.loss = loss


def adamw(trainer: Trainer, rate: float) -> None:
    """Descend by AdamW, at that highest rate."""
    decay = trainer.recipe.weight_decay
    trainer.optimizer = AdamW(trainer.model.parameters(), lr=rate, weight_decay=decay)  # type: ignore[assignment]  # in place of SGD
    trainer.scheduler = descent.scheduler(trainer.optimizer, trainer.recipe, trainer.steps)


CHANGES: dict[str, Callable[[Trainer, float], None]] = {
    "adamw": adamw,
    "clip": clip,
    "contrast": contrast,
    "dropout": drop_out,
    "elastic": distort,
    "erase": erase,
    "expand": expand,
    "fade": fade,
    "labels": on_labels_too,
    "mix": mix,
    "sharpness": sharpness,
}


def scaled(augmentation: Augmentation, factor: float) -> Augmentation:
    """The same with every bound multiplied."""
    return Augmentation(**{name: bound * factor for name, bound in asdict(augmentation).items()})


def changed(recipe: Recipe, settings: list[str]) -> Recipe:
    """The recipe with its fields set as `FIELD=VALUE` says."""
    for setting in settings:
        name, value = setting.split("=")
        if name == "augmentation":
            recipe = replace(recipe, augmentation=scaled(RECORD.augmentation, float(value)))
        else:
            text = name == "teacher" and value != "null"
            recipe = replace(recipe, **{name: value if text else json.loads(value)})
    return recipe


class Ensemble(nn.Module):
    """Networks whose scores are averaged."""

    def __init__(self, members: list[ConvNet]) -> None:
        super().__init__()
        self.members = nn.ModuleList(members)

    def forward(self, images: Tensor) -> Tensor:
        """The mean of the log-probabilities, shape `(N, 10)`."""
        return torch.stack([member(images).float() for member in self.members]).mean(0)


def taught(run: Run, folder: Path) -> ConvNet:
    """The teacher that `run` comes to; it has none itself."""
    run = replace(run, recipe=replace(run.recipe, teacher=None))
    made = train(run, folder / f"{run.network}-{run.seed}")
    print(f"  the teacher itself: {made['correct']:,}, NLL {made['nll']:.4f}", flush=True)
    return from_pretrained(folder / f"{run.network}-{run.seed}")


def trained(run: Run, changes: list[str], folder: Path, members: int) -> list[Evaluation]:
    """What the held-out images were read as after each epoch."""
    training, judged = load_split(HOLDOUT)
    seeds = range(run.seed, run.seed + members) if run.teacher else ()
    teachers = [taught(replace(run.teacher, seed=seed), folder) for seed in seeds]
    trainer = Trainer(run, training, teachers[0] if teachers else None)
    if len(teachers) > 1:
        ensemble = Ensemble(teachers).to(memory_format=torch.channels_last)
        trainer.teacher = ensemble  # type: ignore[assignment]  # called in the same way
    for change in changes:
        name, value = change.split("=")
        CHANGES[name](trainer, float(value))
    found = []
    for _ in range(run.recipe.epochs):
        trainer.train_epoch()
        found.append(evaluate(collapsed(trainer.result), judged))
    return found


def main() -> None:
    """Train once, and print what it gave."""
    options = argparse.ArgumentParser()
    options.add_argument("network", choices=[*ARCHITECTURES, *VARIANTS])
    options.add_argument("fields", nargs="*", metavar="FIELD=VALUE")
    options.add_argument("--recipe", default="record")
    options.add_argument("--seed", type=int, default=0)
    options.add_argument("--with", dest="changes", nargs="*", default=[], metavar="CHANGE=VALUE")
    options.add_argument("--teachers", type=Path, metavar="FOLDER")
    options.add_argument("--members", type=int, default=1)
    given = options.parse_intermixed_args()
    torch.set_num_threads(1)
    torch.manual_seed(given.seed)
    base = given.network.split("-")[0]
    recipe = changed(get_recipe(given.recipe, base), given.fields)
    with tempfile.TemporaryDirectory() as temporary:
        run = Run(given.network, recipe, given.seed, HOLDOUT)
        folder = given.teachers or Path(temporary)
        found = trained(run, given.changes, folder, given.members)
    last = found[-max(1, recipe.epochs // 5) :]
    correct = sum(evaluation.correct for evaluation in last) / len(last)
    settings = [f"seed={given.seed}", f"members={given.members}", *given.fields, *given.changes]
    told = " ".join([given.recipe, *settings])
    print(f"{given.network} {told}: {correct:,.0f}, NLL {found[-1].nll:.4f}", flush=True)


if __name__ == "__main__":
    main()
