"""A run in a folder: a checkpoint after each epoch, and in the end weights and `metrics.json`."""

from __future__ import annotations

import io
import json
import os
import time
from collections.abc import Callable
from dataclasses import asdict
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from mnistzoo._version import __version__
from mnistzoo.data.mnist import Digits, mnist
from mnistzoo.errors import DataError, FileReadError, TrainingError, WeightsError
from mnistzoo.evaluation import evaluate
from mnistzoo.files import read_bytes, sha256, write_bytes
from mnistzoo.models import from_pretrained
from mnistzoo.models.convnet import ConvNet
from mnistzoo.storage.manifest import find_shipped_file
from mnistzoo.storage.model_folder import LIMITS, WEIGHTS, read_folder, unpack, write_folder
from mnistzoo.training.distributed import barrier, rank, world_size
from mnistzoo.training.metrics import MAX_METRICS_BYTES, parse_recipe, parse_result
from mnistzoo.training.trainer import Run, Trainer

METRICS = "metrics.json"
CHECKPOINT = "checkpoint.pt"

MAX_CHECKPOINT_BYTES = 2**28
"""No checkpoint is read beyond this."""

OnBatch = Callable[[Run, int], object]
OnEpoch = Callable[[Run, dict[str, float]], object]


def train(
    run: Run,
    out: str | os.PathLike[str],
    *,
    on_batch: OnBatch = lambda run, count: None,
    on_epoch: OnEpoch = lambda run, row: None,
) -> dict[str, Any]:
    """Train `run` in the folder `out`, from where an earlier try was cut off, and give its metrics.

    A teacher is trained first, in `out/teacher`, unless it is there already; it is what a run of
    its own would come to.
    Writes the network as `save_pretrained` does, so that `from_pretrained` loads it, and then
    `metrics.json`; of several processes that train together, only the first writes. A folder that
    holds the finished run is left as it is. After each epoch the network is judged on the test
    images, or on the held-out ones; nothing in the run depends on what comes out.

    Args:
        run: what to train.
        out: the folder; made where it is missing.
        on_batch: called after each step with `run`, or its teacher's, and the number of images.
        on_epoch: called with the same and each epoch's row of the metrics, also for epochs done in
            an earlier try.

    Raises:
        TrainingError: the loss is no longer finite, or `out` or the teacher's folder holds another
            run, or one whose weights were changed.
        FileWriteError: the folder cannot be written.
        FileReadError, WeightsError: the folder of the teacher is damaged.
    """
    out = Path(out)
    if (metrics := finished(run, out)) is not None:
        return metrics
    training, judged = load_split(run.holdout)
    teacher, taught_by = _teacher(run, out, on_batch, on_epoch)
    trainer = Trainer(run, training, teacher)
    epochs, seconds = _resume(out, trainer)
    for row in epochs:
        on_epoch(run, row)
    _save_checkpoint(out, trainer, epochs, seconds)  # fails now rather than later
    while trainer.epoch < run.recipe.epochs:
        start = time.perf_counter()
        row = trainer.train_epoch(partial(on_batch, run))
        seconds += time.perf_counter() - start
        row |= {"epoch": trainer.epoch, "accuracy": evaluate(trainer.result, judged).accuracy}
        epochs.append(row)
        _save_checkpoint(out, trainer, epochs, seconds)
        on_epoch(run, row)
    network = trainer.result
    metrics = asdict(run) | _judge(trainer, network, judged)
    metrics |= taught_by | {"seconds": seconds, "epochs": epochs}
    return _save(out, run, network, metrics) if rank() == 0 else metrics


def _teacher(
    run: Run, out: Path, on_batch: OnBatch, on_epoch: OnEpoch
) -> tuple[ConvNet | None, dict[str, Any]]:
    """The network that `run` learns from, if any, and what its metrics say of it."""
    if run.teacher is None:
        return None, {}
    folder = teacher_folder(run.teacher, out)
    metrics = train(run.teacher, folder, on_batch=on_batch, on_epoch=on_epoch)
    barrier()  # only the first process wrote the files
    told = ("correct", "nll", "seconds", "sha256")  # the last, the first process alone knows
    return from_pretrained(folder), {"teacher": {key: metrics.get(key) for key in told}}


def teacher_folder(teacher: Run, out: Path) -> Path:
    """Where the teacher of a run in the folder `out` is trained."""
    return out / teacher.network


def is_finished(folder: Path) -> bool:
    """Whether a run has ended there; `metrics.json` is what it writes last."""
    return (folder / METRICS).exists()


def finished(run: Run, folder: Path) -> dict[str, Any] | None:
    """The metrics of `run`, where it has ended in that folder, else None.

    Raises:
        TrainingError: another run has ended there, its metrics are not those of a run, or its
            network cannot be loaded or is not the one whose digest they state.
    """
    if not is_finished(folder):
        return None
    data = read_bytes(folder / METRICS, limit=MAX_METRICS_BYTES)
    try:
        result = parse_result(data, METRICS)
    except DataError as error:
        raise _damaged(folder, METRICS) from error
    _check_same(folder, run, Run(result.network, result.recipe, result.seed, result.holdout))
    try:
        config = unpack(read_folder(folder), str(folder)).config
    except (FileReadError, WeightsError) as error:
        raise _damaged(folder, "the network") from error
    if (config.architecture, config.sha256) != (run.network, result.sha256):
        raise _damaged(folder, "the network")
    metrics: dict[str, Any] = json.loads(data)
    return metrics


def read_run(folder: Path) -> dict[str, bytes]:
    """The files of a finished run, by name: the network's and `metrics.json`.

    Raises:
        FileReadError: one is missing, or is larger than it may be.
    """
    return {**read_folder(folder), METRICS: read_bytes(folder / METRICS, limit=MAX_METRICS_BYTES)}


def write_run(folder: Path, files: dict[str, bytes]) -> None:
    """Put what `read_run` gave into a folder, as `train` leaves it; the metrics come last.

    Raises:
        FileWriteError: the folder cannot be written.
    """
    write_folder(folder, files)
    write_bytes(folder / METRICS, files[METRICS])
    (folder / CHECKPOINT).unlink(missing_ok=True)  # of a try that was cut off


def load_split(holdout: int) -> tuple[Digits, Digits]:
    """The images to train on, and those to judge by: the last `holdout` ones, or the test set."""
    digits = mnist(train=True)
    if holdout == 0:
        return digits, mnist(train=False)
    return (
        Digits(digits.images[:-holdout], digits.labels[:-holdout]),
        Digits(digits.images[-holdout:], digits.labels[-holdout:]),
    )


def _damaged(folder: Path, what: str) -> TrainingError:
    return TrainingError(
        f"{what} in {folder} is not what the run wrote there; delete that folder to train it anew, "
        "or choose another folder."
    )


def _resume(out: Path, trainer: Trainer) -> tuple[list[dict[str, float]], float]:
    """Bring `trainer` to where the checkpoint in `out` is, if there is one."""
    try:
        data = read_bytes(out / CHECKPOINT, limit=MAX_CHECKPOINT_BYTES)
    except FileReadError:
        return [], 0.0
    try:
        checkpoint = torch.load(io.BytesIO(data), weights_only=True)
        found = checkpoint["run"]
        recipe = parse_recipe(found["recipe"])
        _check_same(out, trainer.run, Run(**found | {"recipe": recipe}))
        trainer.load_state_dict(checkpoint["trainer"])
        return checkpoint["epochs"], checkpoint["seconds"]
    except TrainingError:
        raise
    except Exception as error:  # what torch raises of a file that is none of its own has no end
        raise _damaged(out, CHECKPOINT) from error


def _check_same(out: Path, run: Run, found: Run) -> None:
    """Refuse what `found` left in `out`, where it is another run; the error says what differs."""
    if found == run:
        return
    ours, theirs = _settings(run), _settings(found)
    differing = [name for name in ours if ours[name] != theirs[name]]
    told = ", ".join(f"{name} {theirs[name]}, not {ours[name]}" for name in differing)
    raise TrainingError(f"{out} holds another run, with {told}; choose another folder.")


def _settings(run: Run) -> dict[str, object]:
    """All that determines the run, by name."""
    described = asdict(run)
    recipe = described.pop("recipe")
    augmentation = recipe.pop("augmentation")
    return {**described, "recipe": recipe.pop("name"), **recipe, **augmentation}


def _save_checkpoint(
    out: Path, trainer: Trainer, epochs: list[dict[str, float]], seconds: float
) -> None:
    if rank() > 0:
        return
    progress = {"run": asdict(trainer.run), "epochs": epochs, "seconds": seconds}
    buffer = io.BytesIO()
    torch.save({**progress, "trainer": trainer.state_dict()}, buffer)
    write_bytes(out / CHECKPOINT, buffer.getvalue())


def _judge(trainer: Trainer, network: ConvNet, judged: Digits) -> dict[str, Any]:
    evaluation = evaluate(network, judged)
    return {
        "split": trainer.run.split,
        "correct": evaluation.correct,
        "total": evaluation.total,
        "nll": evaluation.nll,
        "dtype": str(trainer.dtype).removeprefix("torch."),
        "processes": world_size(),
        "threads": torch.get_num_threads(),
        "versions": versions(),
    }


def _save(out: Path, run: Run, network: ConvNet, metrics: dict[str, Any]) -> dict[str, Any]:
    provenance = {
        "network": run.network,
        "recipe": run.recipe.name,
        "seed": run.seed,
        "versions": metrics["versions"],
    }
    shipped = (
        find_shipped_file(run.network, network.state_dict()) is not None
    )  # their card knows it
    stated = run.split == "test" and not shipped
    accuracy = metrics["correct"] / metrics["total"] if stated else None
    network.save_pretrained(out, accuracy=accuracy, provenance=provenance)
    metrics["sha256"] = sha256(read_bytes(out / WEIGHTS, limit=LIMITS[WEIGHTS]))
    write_bytes(out / METRICS, (json.dumps(metrics, indent=2) + "\n").encode())
    (out / CHECKPOINT).unlink(missing_ok=True)
    return metrics


def versions() -> dict[str, str]:
    """The versions that the weights depend on."""
    return {"mnistzoo": __version__, "torch": version("torch")}
