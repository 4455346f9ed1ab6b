"""The engine that trains a study's runs on a Ray cluster, each as a task (extra `ray`)."""

from __future__ import annotations

import pickle
from collections.abc import Iterator, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch

from mnistzoo.cluster import connect
from mnistzoo.errors import MnistZooError, TrainingError
from mnistzoo.training.folder import is_finished, read_run, teacher_folder, write_run
from mnistzoo.training.inputs import Inputs
from mnistzoo.training.loop import train_run
from mnistzoo.training.run import Run
from mnistzoo.training.study import RETRIES


def run_on_ray(
    folders: Mapping[Path, Run], *, address: str, inputs: Inputs | None = None
) -> Iterator[tuple[Path, TrainingError | None]]:
    """Train runs on a Ray cluster, one CPU each, as an `Engine` of a study.

    mnistzoo must be installed on every node. No shared disk is needed: weights and metrics are
    returned by the task and written on this machine. A run whose node dies restarts from its
    beginning on another node, since its checkpoints are lost.

    Args:
        folders: The runs by their folders on this machine.
        address: "auto" or "HOST:PORT", of a cluster that has this machine as a node.
        inputs: What the runs read, sent to each node once. Default: MNIST.

    Raises:
        MissingExtraError: Ray is not installed.
        InputError: The address has another form.
        ClusterError: There is no cluster at the address.
    """
    ray = connect(address)
    try:
        task = ray.remote(num_cpus=1, max_retries=RETRIES)(train_remotely)
        sent = ray.put(pickle.dumps(inputs))
        pending = {
            task.remote(run, sent, teacher_files(run, folder)): folder
            for folder, run in folders.items()
        }
        while pending:
            done, _ = ray.wait(list(pending))
            folder = pending.pop(done[0])
            yield folder, _fetch(ray, done[0], folder)
    finally:
        ray.shutdown()


def teacher_files(run: Run, folder: Path) -> dict[str, bytes] | None:
    """Return the files of a run's teacher, if it has one that has finished on this machine."""
    if run.teacher is None:
        return None
    source = teacher_folder(run.teacher, folder)
    return read_run(source) if is_finished(source) else None


def train_remotely(
    run: Run, inputs: bytes, teacher: dict[str, bytes] | None = None
) -> dict[str, bytes] | str:
    """Train a run on a node and return the files of its folder, or the error message.

    Args:
        run: What to train.
        inputs: The pickled inputs of the run.
        teacher: The files of its teacher; None to train the teacher first, if the run has one.
    """
    torch.set_num_threads(1)
    with TemporaryDirectory(prefix="mnistzoo-") as name:
        folder = Path(name)
        try:
            if run.teacher and teacher:
                write_run(teacher_folder(run.teacher, folder), teacher)
            train_run(run, folder, pickle.loads(inputs))
        except MnistZooError as error:
            return str(error)
        return read_run(folder)


def _fetch(ray: Any, task: Any, folder: Path) -> TrainingError | None:
    """Write the files that a finished task returned into the run's folder."""
    try:
        value = ray.get(task)
    except ray.exceptions.RayError as error:
        reason = str(error).strip().splitlines()[-1].strip()
        return TrainingError(f"The run failed on the cluster: {reason}. Start the study again.")
    if isinstance(value, str):
        return TrainingError(value)
    write_run(folder, value)
    return None
