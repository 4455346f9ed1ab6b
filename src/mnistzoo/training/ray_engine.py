"""The engine of a study on a Ray cluster: a task for each run (extra `ray`)."""

from __future__ import annotations

import logging
import socket
from collections.abc import Iterator, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch

from mnistzoo.errors import InputError, MissingExtraError, MnistZooError, TrainingError
from mnistzoo.training.runs import is_finished, read_run, teacher_folder, train, write_run
from mnistzoo.training.study import RETRIES
from mnistzoo.training.trainer import Run

REACH_SECONDS = 10.0
"""How long a cluster may take to answer; Ray would try for minutes, and then end the process."""


def on_ray(
    folders: Mapping[Path, Run], *, address: str
) -> Iterator[tuple[Path, TrainingError | None]]:
    """An `Engine`: one CPU of a running Ray cluster for each run.

    mnistzoo must be installed on every node; no disk need be shared, as weights and metrics come
    back as a task's value and are written here. A run whose node dies starts from its beginning on
    another one: its checkpoints were on the node.

    Args:
        folders: where the runs are to be, on this machine.
        address: `auto` or `HOST:PORT`, of a cluster that this machine is a node of.

    Raises:
        MissingExtraError: Ray is not installed.
        InputError: the address is none.
        TrainingError: there is no cluster at it.
    """
    ray = _connect(address)
    try:
        task = ray.remote(num_cpus=1, max_retries=RETRIES)(_task)
        pending = {
            task.remote(run, _taught_by(run, folder)): folder for folder, run in folders.items()
        }
        while pending:
            done, _ = ray.wait(list(pending))
            folder = pending.pop(done[0])
            yield folder, _fetch(ray, done[0], folder)
    finally:
        ray.shutdown()


def _connect(address: str) -> Any:
    try:
        import ray
    except ImportError as error:
        raise MissingExtraError("A study on a Ray cluster", "ray") from error
    host, _, port = address.rpartition(":")
    if address != "auto" and not (host and "/" not in host and port.isdecimal()):
        raise InputError(f"expected the address of a cluster, auto or HOST:PORT, got {address!r}.")
    try:
        if address != "auto":
            socket.create_connection((host, int(port)), timeout=REACH_SECONDS).close()
        ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR)
    except (OSError, OverflowError, RuntimeError, ValueError) as error:
        raise TrainingError(
            f"there is no Ray cluster at {address} that this machine is a node of: "
            f"{str(error).splitlines()[0]}; start one with `ray start`."
        ) from error
    return ray


def _taught_by(run: Run, folder: Path) -> dict[str, bytes] | None:
    """The files of the run's teacher, where it has one that is finished on this machine."""
    if run.teacher is None:
        return None
    taught_in = teacher_folder(run.teacher, folder)
    return read_run(taught_in) if is_finished(taught_in) else None


def _task(run: Run, teacher: dict[str, bytes] | None = None) -> dict[str, bytes] | str:
    """On some node: train, and give the files of the run's folder, or what went wrong."""
    torch.set_num_threads(1)
    with TemporaryDirectory(prefix="mnistzoo-") as name:
        folder = Path(name)
        try:
            if run.teacher and teacher:
                write_run(teacher_folder(run.teacher, folder), teacher)
            train(run, folder)
        except MnistZooError as error:
            return str(error)
        return read_run(folder)


def _fetch(ray: Any, done: Any, folder: Path) -> TrainingError | None:
    """Write what a finished task gives into the run's folder, as `train` would."""
    try:
        value = ray.get(done)
    except ray.exceptions.RayError as error:
        reason = str(error).strip().splitlines()[-1].strip()
        return TrainingError(f"the run failed on the cluster: {reason}; start the study again.")
    if isinstance(value, str):
        return TrainingError(value)
    write_run(folder, value)
    return None
