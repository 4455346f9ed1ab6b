"""Workers that are processes of this machine, each on one thread."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess

from mnistzoo.bulk.predictor import File, Predictor
from mnistzoo.bulk.schedule import Task
from mnistzoo.errors import ClusterError
from mnistzoo.processes import serve_parent, start_process

_THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
"""Environment variables for the number of threads of NumPy's matrix products."""


@dataclass(eq=False)
class _Process:
    connection: Connection
    process: BaseProcess
    ready: bool = False
    task: Task | None = None


class LocalWorkers:
    """Processes of this machine. They are started when needed, and ended by `close`."""

    def __init__(self, predictor: Predictor, jobs: int) -> None:
        self._predictor, self._jobs = predictor, jobs
        self._processes: list[_Process] = []

    def count(self) -> int:
        """Return the number of processes."""
        return self._jobs

    def start(self, task: Task) -> None:
        """Give a task to an idle process, or to a new one."""
        idle = [process for process in self._processes if process.task is None]
        process = idle[0] if idle else self._started()
        process.task = task
        with suppress(OSError):  # it has ended; `wait` finds out
            process.connection.send(task.files)

    def wait(self) -> list[Task]:
        """Wait until a task ends; return those that have, without rows if the process ended."""
        busy = {each.connection: each for each in self._processes if each.task is not None}
        ready = wait(list(busy))
        found = [self._receive(process) for each, process in busy.items() if each in ready]
        return [task for task in found if task is not None]

    def close(self) -> None:
        """End the processes."""
        for each in self._processes:
            each.process.kill()
            each.process.join()
            each.connection.close()
        self._processes.clear()

    def _started(self) -> _Process:
        with _one_thread():
            started = _Process(*start_process(_work, self._predictor, duplex=True))
        self._processes.append(started)
        return started

    def _receive(self, process: _Process) -> Task | None:
        """Return the task that has ended, or None if the process only says that it is ready."""
        try:
            rows: list[str] | None = process.connection.recv()
        except (EOFError, OSError):
            return self._lost(process)
        if not process.ready:
            process.ready = True
            return None
        task, process.task = process.task, None
        assert task is not None
        task.rows = rows
        return task

    def _lost(self, process: _Process) -> Task | None:
        process.process.join()
        process.connection.close()
        self._processes.remove(process)
        if not process.ready:
            raise ClusterError(
                f"A process could not be started: exit status {process.process.exitcode}. "
                "Use fewer --jobs if memory is short."
            )
        return process.task


def _work(predictor: Predictor, connection: Connection) -> None:
    """Predict chunks in a process of its own until the connection is closed."""
    serve_parent()
    connection.send(None)
    while True:
        files: list[File] = connection.recv()
        connection.send(predictor.rows(files))


@contextmanager
def _one_thread() -> Iterator[None]:
    """Let processes that start in this block compute on one thread."""
    before = {name: os.environ.get(name) for name in _THREADS}
    os.environ.update(dict.fromkeys(_THREADS, "1"))
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name)
            if value is not None:
                os.environ[name] = value
