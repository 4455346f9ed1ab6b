"""Worker processes: started quickly, deaf to Ctrl+C, and ended with the process they work for."""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from threading import Thread
from typing import Any


def start_process(target: Any, *args: Any, duplex: bool = False) -> tuple[Connection, BaseProcess]:
    """Start a process that calls `target(*args, connection)`; return our end of the connection.

    The connection closes when the process ends. The process should call `serve_parent` first.

    Args:
        target: A function of a module. Where processes can be forked, they are forks of one that
            has imported this module.
        args: Its arguments, which are pickled.
        duplex: Whether the process also receives.
    """
    context = _context(target.__module__)
    ours, theirs = context.Pipe(duplex=duplex)
    process = context.Process(target=target, args=(*args, theirs), daemon=True)
    with _interrupts_blocked():
        process.start()
    theirs.close()  # so that the connection closes when the process ends
    return ours, process


def serve_parent() -> None:
    """Ignore Ctrl+C in this process, and exit when the process that started it ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # where signals cannot be blocked
    Thread(target=_exit_with_parent, daemon=True).start()


def _exit_with_parent() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)


def _context(module: str) -> Any:
    """Return how to start processes: if possible, as forks of one that imported the module."""
    if "forkserver" not in multiprocessing.get_all_start_methods():
        return multiprocessing.get_context("spawn")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([module])
    return context


@contextmanager
def _interrupts_blocked() -> Iterator[None]:
    """Start processes that ignore Ctrl+C: a terminal sends it to all, and the first ends them."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    resource_tracker.ensure_running()  # in the block it would unblock them before the first fork
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
