"""Kill an action before each of its changes to the file system, in one child process per change.

This forks, so it runs in processes that do little else: `faulty.py` and the clients of `hub/`.
"""

import itertools
import os
import resource
import signal
import sys
from collections.abc import Callable, Iterator

from mnistzoo import files

CHANGES = {
    *("open", "os.rename", "os.remove", "os.mkdir", "os.rmdir"),
    *("os.link", "os.symlink", "os.truncate", "os.utime", "os.chmod"),
}
"""Audit events of changes to the file system; Python reports them before the change."""

CALLS = {"write", "flush", "fsync", "__exit__", "flock", "close"}
"""Calls in `mnistzoo.files` that are not audited."""


def deaths(
    act: Callable[[int], object], prepare: Callable[[int], object] = lambda _: None
) -> Iterator[tuple[int, str]]:
    """Run an action in a child process that is killed before its n-th step, for n from 1 up.

    Steps are the changes that Python reports to audit hooks (opening to write, renaming, removing,
    creating folders), and calls in `mnistzoo.files` such as write, flush and fsync.

    Args:
        act: The action, called with n.
        prepare: Called with n before that, in this process.

    Yields:
        n and the name of the step, once the child is dead. Ends when a child survives.
    """
    for number in itertools.count(1):
        prepare(number)
        name = _killed_at(number, act)
        if name is None:
            return
        yield number, name


def _killed_at(number: int, act: Callable[[int], object]) -> str | None:
    reader, writer = os.pipe()
    child = os.fork()
    if not child:
        _watch(number, writer)
        _run(lambda: act(number))
    os.close(writer)
    with os.fdopen(reader, "rb") as pipe:
        name = pipe.read().decode()
    ended = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    assert ended in (0, -signal.SIGKILL), f"the child ended with {ended} after {name}"
    assert bool(name) == (ended != 0)
    return name or None


def _watch(number: int, writer: int) -> None:
    steps = itertools.count(1)

    def step(name: str) -> None:
        if next(steps) == number:
            os.write(writer, name.encode())
            os.kill(os.getpid(), signal.SIGKILL)

    def audit(event: str, args: tuple) -> None:
        if event in CHANGES and not (event == "open" and _reads(args[2])):
            step(event)

    def profile(frame, event: str, called) -> None:
        in_files = event == "c_call" and frame.f_code.co_filename == files.__file__
        if in_files and called.__name__ in CALLS:
            step(called.__name__)

    sys.addaudithook(audit)
    sys.setprofile(profile)


def _reads(flags: int | None) -> bool:
    return not (flags or 0) & (os.O_WRONLY | os.O_RDWR | os.O_CREAT)


def _run(act: Callable[[], object]) -> None:
    """Run an action, and exit without cleaning up."""
    status = 1
    try:
        act()
        status = 0
    finally:
        if status:
            sys.excepthook(*sys.exc_info())
        os._exit(status)


def killed_after_bytes(count: int, act: Callable[[], object]) -> bool:
    """Run `act` in a child that dies when a file exceeds `count` bytes; return whether it did."""
    child = os.fork()
    if not child:
        signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
        resource.setrlimit(resource.RLIMIT_FSIZE, (count, count))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        _run(act)
    ended = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    assert ended in (0, -signal.SIGXFSZ), ended
    return ended != 0
