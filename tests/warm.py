"""Python programs that start at once: forks of a process that has already imported torch.

`start` and `run` stand for `subprocess.Popen` and `subprocess.run`. They take the arguments of the
Python interpreter: `["-c", code]`, `["-m", module]` or a script, after `-W` options. A program has
its own environment, working directory and streams, and obeys Ctrl+C even where the tests themselves
run in the background. Tests of what is imported, or of how the interpreter starts, need a real
process.
"""

import atexit
import functools
import gc
import importlib
import json
import os
import runpy
import select
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import traceback
import types
import warnings
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO, NoReturn

PRELOADED = ("torch", "safetensors.torch", "cv2", "PIL.Image", "typer")
"""Slow to import, and independent of the environment. `mnistzoo` is not one: copies are tested."""

STATUS = struct.Struct("i")


class Program:
    """A running program. Its output is kept in files, so it never waits for a reader."""

    def __init__(self, report: int, streams: Sequence[IO]) -> None:
        self._report, self._streams, self._texts = report, streams, []
        self.pid, self.returncode = self._read(), None

    def _read(self) -> int:
        return STATUS.unpack(os.read(self._report, STATUS.size))[0]

    def wait(self, timeout: float | None = None) -> int:
        """Return the exit status; negative for the signal that ended the program."""
        if self.returncode is None:
            if not select.select([self._report], [], [], timeout)[0]:
                raise subprocess.TimeoutExpired(f"program {self.pid}", timeout)
            self.returncode = self._read()
            os.close(self._report)
        return self.returncode

    def poll(self) -> int | None:
        """Return the exit status, or None while the program runs."""
        try:
            return self.wait(0)
        except subprocess.TimeoutExpired:
            return None

    def send_signal(self, number: int) -> None:
        """Send a signal, unless the program has ended."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        """End it at once."""
        self.send_signal(signal.SIGKILL)

    def communicate(self, timeout: float | None = None) -> tuple[str, str]:
        """Wait for the end; return what was written on stdout and stderr."""
        self.wait(timeout)
        for stream in self._streams:
            with stream:
                stream.seek(0)
                self._texts.append(stream.read())
        self._streams = ()
        return tuple(self._texts)


@functools.cache
def _server() -> tuple[subprocess.Popen, socket.socket]:
    ours, theirs = socket.socketpair()
    with theirs:
        command = [sys.executable, __file__, str(theirs.fileno())]
        server = subprocess.Popen(
            command,
            pass_fds=[theirs.fileno()],
            start_new_session=True,
            env={**os.environ, "OMP_NUM_THREADS": "1"},  # a process with threads cannot be forked
        )
    return server, ours


def close() -> None:
    """End the process that programs are forked from, if it was started."""
    if _server.cache_info().currsize:
        server, connection = _server()
        connection.close()
        server.wait()
        _server.cache_clear()


def start(
    args: Sequence[object],
    *,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    streams: Sequence[IO | int] = (),
) -> Program:
    """Start a program.

    Args:
        args: what follows `python` on a command line.
        env: its environment; default: the one of this process.
        cwd: its working directory; default: the one of this process.
        streams: its stdin, stdout and stderr; default: no input, and files that
            `Program.communicate` reads.
    """
    request = {
        "args": [str(arg) for arg in args],
        "env": dict(os.environ if env is None else env),
        "cwd": str(cwd or Path.cwd()),
    }
    kept = [] if streams else [tempfile.TemporaryFile("w+") for _ in "oe"]  # noqa: SIM115
    report, to_report = os.pipe()
    with tempfile.TemporaryFile("w+") as asked, Path(os.devnull).open() as nothing:
        json.dump(request, asked)
        asked.seek(0)
        given = [asked, to_report, *(streams or [nothing, *kept])]
        files = [file if isinstance(file, int) else file.fileno() for file in given]
        socket.send_fds(_server()[1], [b"."], files)
    os.close(to_report)
    return Program(report, kept)


def run(
    args: Sequence[object], *, env: Mapping[str, str] | None = None, cwd: Path | None = None
) -> subprocess.CompletedProcess:
    """Run a program to its end."""
    program = start(args, env=env, cwd=cwd)
    out, err = program.communicate()
    return subprocess.CompletedProcess(list(args), program.returncode, out, err)


# The rest of this module runs in the process that is forked.


def _serve(connection: socket.socket) -> None:
    """Fork a program for each request, until the other end of the connection is closed."""
    with connection:
        while True:
            message, files, _, _ = socket.recv_fds(connection, 1, 5)
            with suppress(ChildProcessError):
                while os.waitpid(-1, os.WNOHANG)[0]:  # so that their CPU time is counted
                    pass
            if not message:
                return
            if not os.fork():
                connection.close()
                _watch(*files)
            for file in files:
                os.close(file)


def _watch(asked: int, report: int, *streams: int) -> NoReturn:
    """Fork the program itself; report its number, then its exit status."""
    if not (child := os.fork()):
        os.close(report)
        for number, file in enumerate(streams):
            os.dup2(file, number)
            os.close(file)
        with open(asked) as file:
            _become(**json.load(file))
    for file in streams:
        os.close(file)
    os.write(report, STATUS.pack(child))
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    os.write(report, STATUS.pack(status))
    os._exit(0)


def _become(args: list[str], env: dict[str, str], cwd: str) -> NoReturn:
    """Set up what the interpreter would set up, run the program, and exit."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    os.chdir(cwd)
    replaced = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    added = filter(None, env.get("PYTHONPATH", "").split(os.pathsep))
    sys.path[1:] = [*added, *(place for place in sys.path[1:] if place not in replaced)]
    os.environ.clear()
    os.environ.update(env)
    tempfile.tempdir = None  # it may name a folder of the test that started the server
    status = 1
    try:
        _execute(*args)
        status = 0
    except SystemExit as stop:
        status = stop.code if isinstance(stop.code, int) else int(stop.code is not None)
        if isinstance(stop.code, str):
            sys.stderr.write(stop.code + "\n")
    except BaseException:
        traceback.print_exc()
    threading._shutdown()
    atexit._run_exitfuncs()
    sys.stdout.flush()
    os._exit(status)  # to take the interpreter down would cost more than most programs do


def _execute(kind: str, *rest: str) -> None:
    """Run code, a module or a script as `__main__`; before that, options of warnings."""
    if kind == "-W":
        action, *command = rest
        sys.warnoptions.append(action)
        warnings.simplefilter(action)
        _execute(*command)
    elif kind == "-c":
        sys.path[0], sys.argv = "", ["-c", *rest[1:]]
        main = sys.modules["__main__"] = types.ModuleType("__main__")
        exec(compile(rest[0], "<string>", "exec"), main.__dict__)
    elif kind == "-m":
        sys.path[0], sys.argv = str(Path.cwd()), list(rest)
        runpy.run_module(rest[0], run_name="__main__", alter_sys=True)
    else:
        sys.path[0], sys.argv = str(Path(kind).parent), [kind, *rest]
        runpy.run_path(kind, run_name="__main__")


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the tests end this process, not a terminal
    for name in PRELOADED:
        importlib.import_module(name)
    gc.freeze()  # so that collections in a program do not copy what it shares
    _serve(socket.socket(fileno=int(sys.argv[1])))
