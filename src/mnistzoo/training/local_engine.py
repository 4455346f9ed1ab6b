"""The engine that trains a study's runs on one machine, each in a process of its own."""

from __future__ import annotations

import multiprocessing
import os
import pickle
import signal
from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from pathlib import Path
from threading import Thread
from typing import Any

import torch

from mnistzoo.errors import InputError, MnistZooError, TrainingError
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
                connection, process = _start(folders[folder], folder, pickled)
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


def _start(run: Run, folder: Path, inputs: bytes) -> tuple[Connection, BaseProcess]:
    """Start a process that trains a run; return the connection that it reports to, and it."""
    context = _context()
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=_work, args=(run, folder, inputs, sender), daemon=True)
    with _interrupts_blocked():
        process.start()
    sender.close()  # so that the connection closes when the process ends
    return receiver, process


def _context() -> Any:
    """Return how to start processes: if possible, as forks of one that has imported torch."""
    if "forkserver" not in multiprocessing.get_all_start_methods():
        return multiprocessing.get_context("spawn")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([__name__])
    return context


def _work(run: Run, folder: Path, inputs: bytes, sender: Connection) -> None:
    """Train in a process of its own, and send None or the error message."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # where signals cannot be blocked
    Thread(target=_exit_with_parent, daemon=True).start()
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


def _exit_with_parent() -> None:
    """Exit when the study's process ends, so that a restarted study has no competitor."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)


@contextmanager
def _interrupts_blocked() -> Iterator[None]:
    """Start processes that ignore Ctrl+C; a terminal sends it to all, and the study ends them."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    resource_tracker.ensure_running()  # in the block it would unblock them before the first fork
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
