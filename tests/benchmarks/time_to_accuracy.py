"""Time of exp5 to 99.0 % of the test images: the `fast` recipe against `documented`.

Run by hand: `python tests/benchmarks/time_to_accuracy.py`. The seed is 0. Times are of training
alone, without the evaluation after each epoch. `documented` is stopped after its first epoch at
99.0 %; `fast` has to reach it at its end. `fast` is run before and after `documented`, since other
work on the machine slows both.
"""

import time

import torch

import mnistzoo
from mnistzoo.evaluation import evaluate
from mnistzoo.training.loop import train_epoch
from mnistzoo.training.recipes import get_recipe
from mnistzoo.training.run import Run
from mnistzoo.training.state import TrainingState

GOAL = 0.99


def seconds_to_goal(recipe: str) -> float:
    """Train to the goal or the end of the recipe, print each epoch, and return the seconds."""
    trainer = TrainingState(Run("exp5", get_recipe(recipe, "exp5")), mnistzoo.mnist(train=True))
    digits = mnistzoo.mnist(train=False)
    seconds, accuracy = 0.0, 0.0
    while accuracy < GOAL and trainer.epoch < trainer.recipe.epochs:
        start = time.perf_counter()
        train_epoch(trainer)
        seconds += time.perf_counter() - start
        accuracy = evaluate(trainer.result, digits).accuracy
        print(f"{recipe:12}epoch {trainer.epoch:2}: {seconds:6.1f} s, {accuracy:.2%}", flush=True)
    if accuracy < GOAL:
        raise SystemExit(f"{recipe} ended below {GOAL:.1%}")
    return seconds


def main() -> None:
    """Print the epochs of both recipes, and the ratio of their times."""
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
