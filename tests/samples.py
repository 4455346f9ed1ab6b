"""Results of runs that never took place, for tests of what is made from results."""

from msgspec.structs import replace

from mnistzoo.training.metrics import Epoch, Result
from mnistzoo.training.recipes import get_recipe


def result(
    accuracies=(0.8, 0.9),
    *,
    architecture="exp1",
    recipe="documented",
    seed=0,
    holdout=0,
    total=10_000,
    losses=None,
):
    """Make the result of a run with these accuracies after its epochs."""
    losses = losses or [0.1] * len(accuracies)
    epochs = tuple(
        Epoch(number, loss, 0.9, accuracy)
        for number, (loss, accuracy) in enumerate(zip(losses, accuracies, strict=True), 1)
    )
    return Result(
        architecture=architecture,
        recipe=replace(get_recipe(recipe, architecture), epochs=len(epochs)),
        seed=seed,
        holdout=holdout,
        split="validation" if holdout else "test",
        correct=round(epochs[-1].accuracy * total),
        total=total,
        nll=0.1,
        dtype="float32",
        processes=1,
        threads=1,
        versions={"mnistzoo": "0", "torch": "0"},
        seconds=5.0,
        epochs=epochs,
        sha256="0" * 64,
    )
