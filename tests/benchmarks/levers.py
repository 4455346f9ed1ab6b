"""What each lever of a recipe gives, judged on the last 10,000 training images, never on the test.

Run by hand: `python tests/benchmarks/levers.py exp5 FOLDER [LEVER…]`. Each row is one run of 16
epochs and seed 0 on the first 50,000 training images, on one thread; what is finished in FOLDER is
not run again. One run each: differences of under 5 images are within what another seed gives.
"""

import sys
from dataclasses import replace
from pathlib import Path

import torch

from mnistzoo.training.recipe import Recipe, get_recipe
from mnistzoo.training.runs import train
from mnistzoo.training.trainer import Run

HOLDOUT, EPOCHS = 10_000, 16

LEVERS: dict[str, dict[str, object]] = {
    "as it is": {},
    "batch size 128": {"batch_size": 128, "learning_rate": 0.1},
    "batch size 32": {"batch_size": 32, "learning_rate": 0.05},
    "weight decay 1e-4": {"weight_decay": 1e-4},
    "weight decay 1e-3": {"weight_decay": 1e-3},
    "labels smoothed by 0.05": {"label_smoothing": 0.05},
    "moving average 0.999": {"ema_decay": 0.999},
    "no moving average": {"ema_decay": None},
    "torch's own initial weights": {"he_init": False},
    "twice the epochs": {"epochs": 2 * EPOCHS},
}


def last_epochs(recipe: Recipe, rows: list[dict[str, float]]) -> float:
    """Mean accuracy over the last fifth of the epochs, which is steadier than the last."""
    last = rows[-max(1, recipe.epochs // 5) :]
    return sum(row["accuracy"] for row in last) / len(last)


def main() -> None:
    """Train with one lever after another, and print what each gave."""
    network, folder, *wanted = sys.argv[1:]
    torch.set_num_threads(1)
    base = replace(get_recipe("record", network), epochs=EPOCHS)
    for lever in wanted or LEVERS:
        recipe = replace(base, **LEVERS[lever])  # type: ignore[arg-type]  # fields of a recipe
        out = Path(folder) / f"{network}-{lever.replace(' ', '-')}"
        metrics = train(Run(network, recipe, holdout=HOLDOUT), out)
        accuracy = last_epochs(recipe, metrics["epochs"])
        print(f"{lever:30}{accuracy:8.2%}  nll {metrics['nll']:.4f}", flush=True)


if __name__ == "__main__":
    main()
