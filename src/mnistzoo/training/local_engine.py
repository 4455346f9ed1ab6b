"""The engine that trains a study's runs on one machine, each in a process of its own."""

from __future__ import annotations

import pickle
from collections import deque
from collections.abc import Iterator, Mapping
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from pathlib import Path

import torch

from mnistzoo.errors import InputError, MnistZooError, TrainingError
from mnistzoo.processes import serve_parent, start_process
from mnistzoo.training.inputs import Inputs
from mnistzoo.training.loop import train_run
from mnistzoo.training.run import Run
from mnistzoo.training.study import RETRIES


def run_locally(
    folders: Mapping[Path, Run], *, jobs: int, inputs: Inputs | None = None
) -> Iterator[tuple[Path, TrainingError | None]]:
    """Train runs in processes of this machine, as an `Engine` of a study.

    The processes end with this one. A run that is restarted resumes from its checkpoint.

    Args:
        folders: The runs by the folders they are trained in.
        jobs: Number of runs at a time.
        inputs: What the runs read. Default: MNIST.

    Raises:
        InputError: The number of jobs is below 1.
    """
    if jobs < 1:
        raise InputError(f"Expected one job or more, got {jobs}.")
    waiting = deque((folder, RETRIES) for folder in folders)
    pickled = pickle.dumps(inputs)  # as bytes, since torch would put tensors into shared memory
    running: dict[Connection, tuple[BaseProcess, Path, int]] = {}
    try:
        while waiting or running:
            while waiting and len(running) < jobs:
                folder, retries = waiting.popleft()
                connection, process = start_process(_work, folders[folder], folder, pickled)
                running[connection] = process, folder, retries
            ready = wait(list(running))
            for connection in [each for each in running if each in ready]:
                process, folder, retries = running.pop(connection)
                done, error = _outcome(connection, process)
                if done or retries == 0:
                    yield folder, error
                else:
                    waiting.append((folder, retries - 1))
    finally:
        for process, _, _ in running.values():
            process.kill()
            process.join()


def _work(run: Run, folder: Path, inputs: bytes, sender: Connection) -> None:
    """Train in a process of its own, and send None or the error message."""
    serve_parent()
    torch.set_num_threads(1)
    try:
        train_run(run, folder, pickle.loads(inputs))
    except MnistZooError as error:
        sender.send(str(error))
    else:
        sender.send(None)


def _outcome(connection: Connection, process: BaseProcess) -> tuple[bool, TrainingError | None]:
    """Return whether the run is done, and its error; a run ended by a signal is not done."""
    try:
        message = connection.recv()
        error = None if message is None else TrainingError(message)
        done = True
    except (EOFError, OSError):
        process.join()
        status = process.exitcode or 0
        done = status > 0
        how = f"exit status {status}" if done else f"signal {-status}, {RETRIES + 1} times"
        error = TrainingError(f"The process of the run ended with {how}. Start the study again.")
    finally:
        connection.close()
    process.join()
    return done, error
