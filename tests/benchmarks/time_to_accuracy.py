"""Time of exp5 to 99.0 % of the test images: the `fast` recipe against `documented`.

Run by hand: `OMP_NUM_THREADS=1 python tests/benchmarks/time_to_accuracy.py`. The rules and the
results are in docs/development/fast.md. Every seed is printed, and none is left out. `documented`
is stopped after its first epoch at 99.0 %; `fast` is evaluated once, at its end.
"""

import argparse
import statistics
import time

import torch

import mnistzoo
from mnistzoo.evaluation import evaluate
from mnistzoo.training.loop import train_epoch
from mnistzoo.training.recipes import get_recipe
from mnistzoo.training.run import Run
from mnistzoo.training.state import TrainingState

GOAL = 0.99
DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}
INTERVAL = {30: 2.045}
"""Student's t for a 95% interval, by the number of seeds. Default: 2."""


def train(recipe: str, dtype: str, seed: int) -> tuple[float, float, int]:
    """Train to the goal or the end. Return the processor time in seconds, accuracy and epochs."""
    digits, test = mnistzoo.mnist(train=True), mnistzoo.mnist(train=False)
    start = time.process_time()
    trainer = TrainingState(Run("exp5", get_recipe(recipe, "exp5"), seed), digits)
    trainer.dtype = DTYPES[dtype]
    seconds, accuracy = time.process_time() - start, 0.0
    while accuracy < GOAL and trainer.epoch < trainer.recipe.epochs:
        start = time.process_time()
        train_epoch(trainer)
        seconds += time.process_time() - start
        accuracy = evaluate(trainer.result, test).accuracy
    print(f"{recipe:12}{dtype:10}seed {seed:2}: {seconds:6.1f} s, {accuracy:.2%}", flush=True)
    return seconds, accuracy, trainer.epoch


def main() -> None:
    """Print every run, and a row of a table for each type."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=30)
    seeds = range(parser.parse_args().seeds)
    print(f"{torch.get_num_threads()} threads, torch {torch.__version__}")
    runs: dict[str, list[tuple[float, float, int]]] = {dtype: [] for dtype in DTYPES}
    slow: dict[str, tuple[float, float, int]] = {}
    for seed in seeds:
        for dtype, made in runs.items():
            made.append(train("fast", dtype, seed))
            if seed == len(seeds) // 2:  # halfway, when other work slows it as much as `fast`
                slow[dtype] = train("documented", dtype, 0)
    print("| type | mean | 95% interval | lowest | s | documented, s | ratio |")
    print("| --- | ---: | --- | ---: | ---: | ---: | ---: |")
    for dtype, made in runs.items():
        seconds, accuracies, _ = zip(*made, strict=True)
        mean, least = statistics.mean(accuracies), min(accuracies)
        half = INTERVAL.get(len(seeds), 2) * statistics.stdev(accuracies) / len(seeds) ** 0.5
        fast, (documented, _, epochs) = statistics.mean(seconds), slow[dtype]
        print(
            f"| {dtype} | {mean:.3%} | {mean - half:.3%} to {mean + half:.3%} | {least:.2%} "
            f"| {fast:.1f} | {documented:.1f}, {epochs} epochs | {documented / fast:.1f} |"
        )


if __name__ == "__main__":
    main()
