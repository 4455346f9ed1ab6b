"""Ctrl+C that is not lost."""

from __future__ import annotations

import signal
import sys
import threading
from _thread import interrupt_main
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sys import UnraisableHookArgs

PAUSE = 0.01
"""Seconds before an interrupt is repeated: enough for the finalizer that it came in to return."""


@contextmanager
def interrupts_repeated() -> Iterator[None]:
    """Repeat an interrupt that arrives in a finalizer or a weak reference's callback.

    Python prints exceptions there and continues, so a study would not stop on Ctrl+C.
    """
    before, timers = sys.unraisablehook, list[threading.Timer]()

    def hook(unraisable: UnraisableHookArgs) -> None:
        if issubclass(unraisable.exc_type, KeyboardInterrupt):
            timers.append(threading.Timer(PAUSE, _interrupt))
            timers[-1].start()
        else:
            before(unraisable)

    sys.unraisablehook = hook
    try:
        yield
    finally:
        sys.unraisablehook = before
        for timer in timers:  # an interrupt after the end would print a traceback
            timer.cancel()
            timer.join()


def _interrupt() -> None:
    if hasattr(signal, "pthread_kill"):  # also ends a system call that the main thread waits in
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)
    else:
        interrupt_main()
