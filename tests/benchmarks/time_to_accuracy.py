"""Time to 99.0 % of the test images: the `fast` recipe against the `documented` one, exp5.

Run by hand: `python tests/benchmarks/time_to_accuracy.py`. Both are trained in one run, seed 0; the
time is that of the training alone, without the judging after each epoch. `documented` is stopped
after its first epoch at 99.0 %; `fast` has to be there at its end, and is run after it and once
more before it, since other work on the machine slows both.
"""

import time

import torch

import mnistzoo
from mnistzoo.evaluation import evaluate
from mnistzoo.training.recipes import get_recipe
from mnistzoo.training.trainer import Run, Trainer

GOAL = 0.99


def seconds_to_goal(recipe: str) -> float:
    """Train until the goal is reached, or the recipe ends; print each epoch, give the seconds."""
    trainer = Trainer(Run("exp5", get_recipe(recipe, "exp5")), mnistzoo.mnist(train=True))
    digits = mnistzoo.mnist(train=False)
    seconds, accuracy = 0.0, 0.0
    while accuracy < GOAL and trainer.epoch < trainer.recipe.epochs:
        start = time.perf_counter()
        trainer.train_epoch()
        seconds += time.perf_counter() - start
        accuracy = evaluate(trainer.result, digits).accuracy
        print(f"{recipe:12}epoch {trainer.epoch:2}: {seconds:6.1f} s, {accuracy:.2%}", flush=True)
    if accuracy < GOAL:
        raise SystemExit(f"{recipe} ended below {GOAL:.1%}")
    return seconds


def main() -> None:
    """Print the epochs of each, and the ratio of their times."""
    print(f"{torch.get_num_threads()} threads")
    first = seconds_to_goal("fast")
    documented = seconds_to_goal("documented")
    second = seconds_to_goal("fast")
    fast = (first + second) / 2
    print(
        f"fast {fast:.1f} s, documented {documented:.1f} s: {documented / fast:.1f} times as long"
    )


if __name__ == "__main__":
    main()
