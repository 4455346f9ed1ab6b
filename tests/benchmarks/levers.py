"""What each lever of a recipe gives, judged on the last 10,000 training images, never on the test.

Run by hand: `python tests/benchmarks/levers.py exp5 [--epochs 16] [--seed 0] [LEVER…]`. Each row is
one run on the first 50,000 training images, on one thread: the images read correctly, as the mean
over the last fifth of the epochs, which is steadier than the last. One run each: differences of
under 5 images are within what another seed gives. But for the lever "teacher" they learn from the
labels; the teacher itself is trained first, on the same images, and printed too.
"""

import argparse
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import cache, partial
from pathlib import Path

import torch
from torch import Tensor, nn

from mnistzoo.architectures import ARCHITECTURES, BUILDABLE, MEAN, STD, TEACHER
from mnistzoo.network import ConvNet
from mnistzoo.pretrained import from_pretrained
from mnistzoo.training.evaluate import Evaluation, evaluate
from mnistzoo.training.recipe import get_recipe
from mnistzoo.training.runs import split, train
from mnistzoo.training.trainer import Run, Trainer

HOLDOUT = 10_000


def drop_out(trainer: Trainer, share: float) -> None:
    """Give the classifier features of which a share is zero."""

    def hook(layer: nn.Module, inputs: tuple[Tensor]) -> Tensor:
        return nn.functional.dropout(inputs[0], share, layer.training)

    trainer.model.classifier.register_forward_pre_hook(hook)


def erase(trainer: Trainer) -> None:
    """Lay a square of paper, 4 to 8 pixels wide, on every second image, wherever chance has it."""

    def hook(layer: nn.Module, inputs: tuple[Tensor]) -> Tensor:
        images = inputs[0]
        if not layer.training:
            return images
        widths = torch.randint(4, 9, (len(images), 1))
        places = torch.arange(images.shape[-1])
        low = torch.randint(len(places), (2, len(images), 1)) - widths // 2
        rows, columns = (places >= low) & (places < low + widths)
        chosen = torch.rand(len(images), 1, 1) < 0.5
        squares = rows[:, :, None] & columns[:, None, :] & chosen
        return images.masked_fill(squares[:, None], -MEAN / STD)

    trainer.model.register_forward_pre_hook(hook)


def clip(trainer: Trainer) -> None:
    """Bound the norm of the gradient by 0.5."""
    parameters = list(trainer.model.parameters())

    def hook(*_: object) -> None:
        nn.utils.clip_grad_norm_(parameters, 0.5)

    trainer.optimizer.register_step_pre_hook(hook)


@dataclass(frozen=True)
class Lever:
    """What is changed: fields of the recipe, the trainer once it is made, the network's layers."""

    fields: dict[str, object] = field(default_factory=dict)
    change: Callable[[Trainer], object] = lambda _: None
    batch_norm: bool = False


LEVERS = {
    "as it is": Lever(),
    "teacher": Lever({"teacher": TEACHER.name}),
    "batch size 128": Lever({"batch_size": 128, "learning_rate": 0.1}),
    "batch size 32": Lever({"batch_size": 32, "learning_rate": 0.05}),
    "batch size 32, rate 0.02": Lever({"batch_size": 32, "learning_rate": 0.02}),
    "weight decay 1e-4": Lever({"weight_decay": 1e-4}),
    "weight decay 1e-3": Lever({"weight_decay": 1e-3}),
    "labels smoothed by 0.05": Lever({"label_smoothing": 0.05}),
    "moving average 0.999": Lever({"ema_decay": 0.999}),
    "no moving average": Lever({"ema_decay": None}),
    "torch's own initial weights": Lever({"he_init": False}),
    "dropout 0.1": Lever(change=partial(drop_out, share=0.1)),
    "dropout 0.2": Lever(change=partial(drop_out, share=0.2)),
    "squares erased": Lever(change=erase),
    "rate 0.06, gradients clipped": Lever({"learning_rate": 0.06}, clip),
    "batch norm": Lever(batch_norm=True),
    "batch norm, rate 0.07": Lever({"learning_rate": 0.07}, batch_norm=True),
}


@cache
def taught(run: Run | None) -> ConvNet | None:
    """The teacher that `run` comes to."""
    if run is None:
        return None
    with tempfile.TemporaryDirectory() as folder:
        made = train(run, Path(folder))
        print(f"{'the teacher itself':30}{made['correct']:8,}  nll {made['nll']:.4f}", flush=True)
        return from_pretrained(folder)


def trained(network: str, lever: Lever, epochs: int, seed: int) -> list[Evaluation]:
    """What the held-out images were read as after each epoch."""
    training, judged = split(HOLDOUT)
    changed = {"epochs": epochs, "teacher": None, **lever.fields}
    recipe = replace(get_recipe("record", network), **changed)  # type: ignore[arg-type]  # fields of a recipe
    if lever.batch_norm:
        row = replace(ARCHITECTURES[network], name=f"{network}-bn", batch_norm=True)
        network = row.name
        BUILDABLE[network] = row
    run = Run(network, recipe, seed, HOLDOUT)
    trainer = Trainer(run, training, taught(run.teacher))
    lever.change(trainer)
    found = []
    for _ in range(epochs):
        trainer.train_epoch()
        found.append(evaluate(trainer.result, judged))
    return found


def main() -> None:
    """Train with one lever after another, and print what each gave."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("network", choices=ARCHITECTURES)
    options.add_argument("levers", nargs="*", metavar="LEVER", help=f"of {', '.join(LEVERS)}")
    options.add_argument("--epochs", type=int, default=16)
    options.add_argument("--seed", type=int, default=0)
    given = options.parse_intermixed_args()
    torch.set_num_threads(1)
    for name in given.levers or LEVERS:
        torch.manual_seed(given.seed)
        found = trained(given.network, LEVERS[name], given.epochs, given.seed)
        last = found[-max(1, given.epochs // 5) :]
        correct = sum(evaluation.correct for evaluation in last) / len(last)
        print(f"{name:30}{correct:8,.0f}  nll {found[-1].nll:.4f}", flush=True)


if __name__ == "__main__":
    main()
