"""Give chunks of files to workers, and yield their rows in the order of the files.

A worker that ends while it predicts a chunk, say because a damaged image crashed it, is replaced,
and the chunk's files are tried one by one.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Protocol

from mnistzoo.bulk.predictor import File, error_row, to_chunks

CHUNKS_AHEAD = 4
"""Chunks that are waiting, running or finished out of order, for each worker. This bounds memory
and keeps workers busy while one chunk takes long."""

RETRIES = 2
"""How often a file is tried again after its worker has ended."""


@dataclass(eq=False)
class Task:
    """A chunk of files.

    Attributes:
        files: The files.
        retries: How often it may be started again.
        started: Whether a worker has it.
        rows: Their rows, once it is finished.
    """

    files: list[File]
    retries: int = RETRIES
    started: bool = False
    rows: list[str] | None = None


class Workers(Protocol):
    """Processes of this machine, or a cluster."""

    def count(self) -> int:
        """Return how many tasks can run at a time."""

    def start(self, task: Task) -> None:
        """Start a task."""

    def wait(self) -> list[Task]:
        """Wait for tasks to end; return them, with rows unless their worker was lost."""


def predict_files(files: Iterable[File], workers: Workers) -> Iterator[str]:
    """Yield the row of each file, in the order of the files, as JSON and a newline.

    Raises:
        ClusterError: The workers cannot be started, or cannot run the task.
    """
    chunks, pending = to_chunks(files), list[Task]()
    while True:
        count = workers.count()
        missing = max(0, CHUNKS_AHEAD * count - len(pending))
        pending += [Task(chunk) for chunk in islice(chunks, missing)]
        if not pending:
            return
        running = sum(task.started and task.rows is None for task in pending)
        for task in [task for task in pending if not task.started][: max(0, count - running)]:
            task.started = True
            workers.start(task)
        for task in workers.wait():
            if task.rows is None:
                place = pending.index(task)
                pending[place : place + 1] = _retried(task)
        while pending and pending[0].rows is not None:
            yield from pending.pop(0).rows or ()


def _retried(task: Task) -> list[Task]:
    """Return what replaces a task whose worker was lost."""
    if len(task.files) > 1:
        return [Task([file]) for file in task.files]
    if task.retries:
        return [Task(task.files, task.retries - 1)]
    error = "The process that read this file ended. The file may be damaged, or memory is short."
    return [Task(task.files, started=True, rows=[error_row(task.files[0].name, error)])]
