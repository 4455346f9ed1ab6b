"""Training speed in images per second: the documented loop against the library's trainer.

Run by hand: `python tests/benchmarks/training.py [SECONDS [ROUNDS]]`. The documented loop uses
torchvision's dataset and the study's transforms, a `DataLoader` with two workers, and batch 64. The
loops take turns, since other work on the machine slows all of them. "Two at once" counts two
processes with one thread each, as `mnistzoo study --jobs 2` trains them.
"""

import gzip
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from functools import cache, partial
from multiprocessing import get_context
from pathlib import Path
from statistics import median

import torch
from msgspec.structs import replace
from torch import nn
from torch.utils.data import DataLoader
from torchvision import transforms
from torchvision.datasets import MNIST

import mnistzoo
from mnistzoo.data.datasets import ImageDataset
from mnistzoo.data.mnist import FILES, Digits
from mnistzoo.training.inputs import Splits
from mnistzoo.training.loop import train_epoch
from mnistzoo.training.recipes import get_recipe
from mnistzoo.training.run import Run
from mnistzoo.training.settings import Recipe
from mnistzoo.training.state import TrainingState

SECONDS = float(sys.argv[1]) if len(sys.argv) > 1 else 10.0
ROUNDS = int(sys.argv[2]) if len(sys.argv) > 2 else 3
JOBS = 2


def documented_loop(root: Path) -> Iterator[int]:
    """Train as the study does, and yield the number of images of each step."""
    raw = root / "MNIST" / "raw"
    raw.mkdir(parents=True)
    for path in FILES.glob("*.gz"):
        (raw / path.stem).write_bytes(gzip.decompress(path.read_bytes()))
    steps = [
        transforms.RandomApply([transforms.CenterCrop(22)], p=0.1),
        transforms.Resize((28, 28)),
        transforms.RandomRotation((-15.0, 15.0), fill=0),
        transforms.ToTensor(),
        transforms.Normalize((0.1307,), (0.3081,)),
    ]
    digits = MNIST(root, train=True, transform=transforms.Compose(steps))
    loader = DataLoader(digits, batch_size=64, shuffle=True, num_workers=2)
    model = mnistzoo.exp5()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9)
    while True:
        for images, labels in loader:
            optimizer.zero_grad()
            nn.functional.cross_entropy(model(images), labels).backward()
            optimizer.step()
            yield len(labels)


def library(
    recipe: Recipe, dtype: torch.dtype | None = None, *, own: bool = False
) -> Iterator[int]:
    """Train with the library's trainer, and yield the number of images of each epoch.

    With `own`, the images are a dataset of one's own.
    """
    digits = mnistzoo.mnist(train=True)
    part: Digits | ImageDataset = Digits(digits.images[:1280], digits.labels[:1280])
    run = Run("exp5", replace(recipe, epochs=10_000))
    if own:
        part = mnistzoo.load_dataset(part)
        run = replace(run, dataset=Splits(part, part).describe())
    teacher = recipe.teacher and mnistzoo.get_model(recipe.teacher).eval()  # as fast untrained
    trainer = TrainingState(run, part, teacher or None)
    trainer.dtype = dtype or trainer.dtype
    done: list[int] = []
    while True:
        train_epoch(trainer, done.append)
        yield sum(done)
        done.clear()


def images_a_second(loop: Iterator[int]) -> float:
    """Measure the images per second of a loop, after one step to warm up."""
    next(loop)
    start, images = time.perf_counter(), 0
    while time.perf_counter() - start < SECONDS:
        images += next(loop)
    return images / (time.perf_counter() - start)


@cache
def alone(recipe: Recipe) -> Iterator[int]:
    """Return a loop of the trainer on one thread, the same one in each call."""
    torch.set_num_threads(1)
    return library(recipe)


def alone_a_second(recipe: Recipe) -> float:
    """Measure the images per second of that loop."""
    return images_a_second(alone(recipe))


def at_once(pool: ProcessPoolExecutor, recipe: Recipe) -> float:
    """Measure the images per second of all processes together."""
    return sum(pool.map(alone_a_second, [recipe] * JOBS))


def main() -> None:
    """Print the median and range of each loop, and its ratio to the documented loop."""
    record, documented = (get_recipe(name, "exp5") for name in ("record", "documented"))
    on_labels = replace(record, teacher=None)
    with (
        tempfile.TemporaryDirectory() as folder,
        ProcessPoolExecutor(JOBS, get_context("spawn")) as pool,
    ):
        loops = {
            "documented loop": documented_loop(Path(folder)),
            "trainer, documented recipe": library(documented),
            "trainer, record recipe": library(record),
            "the same, on labels": library(on_labels),
            "the same, on own images": library(on_labels, own=True),
            "the same, in float32": library(on_labels, torch.float32),
            "the same, in bfloat16": library(on_labels, torch.bfloat16),
        }
        measures: dict[str, Callable[[], float]] = {
            **{name: partial(images_a_second, loop) for name, loop in loops.items()},
            "documented recipe, two at once": partial(at_once, pool, documented),
            "record, on labels, two at once": partial(at_once, pool, on_labels),
        }
        speeds: dict[str, list[float]] = {name: [] for name in measures}
        for _ in range(ROUNDS):
            for name, measure in measures.items():
                speeds[name].append(measure())
    base = median(speeds["documented loop"])
    print(f"{torch.get_num_threads()} threads, images a second: median (least, most), ratio")
    for name, values in speeds.items():
        middle = median(values)
        print(f"{name:32}{middle:8.0f} ({min(values):.0f}, {max(values):.0f}){middle / base:7.2f}")


if __name__ == "__main__":
    main()
