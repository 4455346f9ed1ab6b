"""The engine of a study on one machine: a process for each run."""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from pathlib import Path
from threading import Thread

import torch

from mnistzoo.errors import InputError, MnistZooError, TrainingError
from mnistzoo.training.runs import train
from mnistzoo.training.study import RETRIES
from mnistzoo.training.trainer import Run


def local(folders: Mapping[Path, Run], *, jobs: int) -> Iterator[tuple[Path, TrainingError | None]]:
    """An `Engine`: `jobs` processes at a time, each for one run, which die when this one does.

    A run that is started again goes on from its last checkpoint.

    Raises:
        InputError: there are no jobs.
    """
    if jobs < 1:
        raise InputError(f"expected one job or more, got {jobs}.")
    waiting = deque((folder, RETRIES) for folder in folders)
    working: dict[Connection, tuple[SpawnProcess, Path, int]] = {}
    try:
        while waiting or working:
            while waiting and len(working) < jobs:
                folder, tries = waiting.popleft()
                answer, process = _start(folders[folder], folder)
                working[answer] = process, folder, tries
            ready = wait(list(working))
            for answer in [answer for answer in working if answer in ready]:
                process, folder, tries = working.pop(answer)
                over, error = _outcome(answer, process)
                if over or tries == 0:
                    yield folder, error
                else:
                    waiting.append((folder, tries - 1))
    finally:
        for process, _, _ in working.values():
            process.kill()
            process.join()


def _start(run: Run, folder: Path) -> tuple[Connection, SpawnProcess]:
    """A process that trains `run`, and where its answer will come."""
    context = multiprocessing.get_context("spawn")
    answer, to_answer = context.Pipe(duplex=False)
    process = context.Process(target=_work, args=(run, folder, to_answer), daemon=True)
    with _interrupts_blocked():
        process.start()
    to_answer.close()  # so that the answer ends when the process does
    return answer, process


def _work(run: Run, folder: Path, answer: Connection) -> None:
    """In a process of its own: train, and answer with None or what went wrong."""
    Thread(target=_end_with_parent, daemon=True).start()
    torch.set_num_threads(1)
    try:
        train(run, folder)
    except MnistZooError as error:
        answer.send(str(error))
    else:
        answer.send(None)


def _outcome(answer: Connection, process: SpawnProcess) -> tuple[bool, TrainingError | None]:
    """Whether the run is over, and what went wrong; it is not over if a signal ended it."""
    try:
        message = answer.recv()
        error = None if message is None else TrainingError(message)
        over = True
    except (EOFError, OSError):
        process.join()
        status = process.exitcode or 0
        over = status > 0
        how = f"exit status {status}" if over else f"signal {-status}, {RETRIES + 1} times"
        error = TrainingError(f"the process of the run ended with {how}; start the study again.")
    finally:
        answer.close()
    process.join()
    return over, error


def _end_with_parent() -> None:
    """Leave at once when the study is gone, however it went: its next start must find us gone."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)


@contextmanager
def _interrupts_blocked() -> Iterator[None]:
    """What is started here never sees Ctrl-C, which a terminal sends to all; the study ends it."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
