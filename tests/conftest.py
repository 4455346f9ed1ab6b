"""Fixtures of several test modules, and how the tests are run: see `pytest_*`."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
import uuid
from contextlib import suppress
from pathlib import Path

import pytest
import torch
from hypothesis import settings

import mnistzoo
import warm
from mnistzoo.data.mnist import Digits

settings.register_profile("untimed", deadline=None)  # a machine may be busy
settings.load_profile("untimed")
torch.set_num_threads(1)  # batches here are small: two threads would mostly wait for each other

TESTS = Path(__file__).parent
ROOT = TESTS.parent

SLOWEST = (
    *("test_study.py", "test_hub_failures.py", "test_faults.py", "test_adding.py", "test_page.py"),
    *("test_runs.py", "test_export.py", "test_zoo.py", "test_results_page.py"),
    "test_torchvision.py",
)
"""Run first, so that no worker is left with one of them when the others are done."""

MARK = "MNISTZOO_TEST_RUN"
"""Environment variable by which processes that the tests start can be found, however deep."""


def pytest_addoption(parser):
    """Add `--site`, a documentation that is already built; see `test_site.py`."""
    parser.addoption("--site", help="where sphinx-build has put the documentation")


def pytest_ignore_collect(collection_path):
    """Skip the helpers beside the tests: `--doctest-modules` would import them."""
    path = collection_path
    helper = path.suffix == ".py" and not path.name.startswith("test_") and TESTS in path.parents
    return True if helper else None


def pytest_xdist_auto_num_workers(config):
    """Run a single file without workers, which would take longer to start than most files take."""
    return 0 if len(config.args) == 1 and ".py" in config.args[0] else None


def pytest_configure(config):
    """Mark all processes to come, and let them be interrupted even if a shell forbids it."""
    os.environ["MNISTZOO_CACHE"] = ""  # each test reads its own files
    if not hasattr(config, "workerinput"):
        os.environ[MARK] = uuid.uuid4().hex
    if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:  # so in a shell's background
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.hookimpl(wrapper=True, tryfirst=True)  # after pytest-randomly has shuffled
def pytest_collection_modifyitems(config, items):
    """Let the slowest files come first where several workers share the work."""
    yield
    if hasattr(config, "workerinput"):
        order = {name: place for place, name in enumerate(SLOWEST)}
        items.sort(key=lambda item: order.get(item.path.name, len(order)))


def _started():
    """Return the processes of this run apart from this one, by number."""
    mark, found = f"{MARK}={os.environ[MARK]}".encode(), {}
    for place in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):  # it has ended, or belongs to another user
            if mark in (place / "environ").read_bytes().split(b"\0"):
                command = (place / "cmdline").read_bytes().replace(b"\0", b" ")
                found[int(place.name)] = command.decode(errors="replace")
    return found


@pytest.hookimpl(trylast=True)  # after the workers have ended
def pytest_sessionfinish(session):
    """Fail, and kill it, if a process that a test has started is still there."""
    if hasattr(session.config, "workerinput"):
        return
    end = time.monotonic() + 60
    while (left := _started()) and time.monotonic() < end:
        time.sleep(0.1)
    for pid, command in left.items():
        os.kill(pid, signal.SIGKILL)
        session.config.get_terminal_writer().line(f"\nleft running: {pid} {command}", red=True)
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


@pytest.fixture(scope="session", autouse=True)
def _programs():
    """End the process that programs are forked from."""
    yield
    warm.close()


@pytest.fixture(scope="session")
def test_images():
    """The 10,000 test images and their labels."""
    return mnistzoo.mnist(train=False)


@pytest.fixture(scope="session")
def normalized(test_images):
    """The first 256 test images as models take them, computed from the definition."""
    return (test_images.images[:256, None].double() / 255 - 0.1307).div(0.3081).float()


def _printed(done):
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="session")
def few(test_images):
    """The first 100 test images and their labels."""
    return Digits(*(tensor[:100] for tensor in test_images))


@pytest.fixture
def small_mnist(monkeypatch, few):
    """Let runs train on 100 images in place of MNIST."""
    monkeypatch.setattr("mnistzoo.training.inputs.mnist", lambda train: few)


@pytest.fixture
def python():
    """Run Python code in another process and return what it prints."""
    return lambda code, *args: _printed(warm.run(["-W", "error", "-c", code, *args]))


@pytest.fixture
def new_python():
    """Do the same in an interpreter that has imported nothing yet."""

    def run(code, *args):
        command = [sys.executable, "-W", "error", "-c", code, *args]
        return _printed(subprocess.run(command, capture_output=True, text=True, check=False))

    return run


@pytest.fixture
def small_disk(tmp_path):
    """Mount a disk of so many kB, writable or not; all are unmounted after the test."""
    disks = []

    def mount(size, *, writable=True, disk=None):
        options = f"size={size}k" if disk is None else "remount"
        place = disk or tmp_path / f"disk-{len(disks)}"
        place.mkdir(exist_ok=True)
        options += "" if writable else ",ro"
        command = ["mount", "-t", "tmpfs", "-o", options, "mnistzoo", place]
        if subprocess.run(command, capture_output=True, check=False).returncode:
            pytest.skip("mounting a disk needs Linux and the right to")
        disks.append(place)
        return place

    yield mount
    for place in set(disks):
        subprocess.run(["umount", "--lazy", place], check=True)


@pytest.fixture(autouse=True)
def _same_random_numbers():
    torch.manual_seed(0)


class Added:
    """A copy of the package with one more model."""

    def __init__(self, folder):
        self.folder = folder
        for part in ("src", "weights", "docs/_ext", "docs/development/adding"):
            shutil.copytree(ROOT / part, folder / part, ignore=shutil.ignore_patterns("*.pyc"))
        source = folder / "src" / "mnistzoo" / "architectures.py"
        row = (ROOT / "docs" / "development" / "adding" / "row.txt").read_text("utf8")
        before, rows = source.read_text("utf8").split("_ROWS = (\n")
        own, after = rows.split("\n)\n", 1)
        source.write_text(f"{before}_ROWS = (\n{own}\n{row})\n{after}", encoding="utf8")

    def python(self, *args):
        """Run Python with the copy in place of the package and return what it prints."""
        environment = {**os.environ, "PYTHONPATH": str(self.folder / "src")}
        return _printed(warm.run(args, env=environment, cwd=self.folder))

    def commands(self, *lines):
        """Run commands in one process and return what each prints on stdout."""
        code = (
            "import json, shlex, sys\n"
            "from typer.testing import CliRunner\nfrom mnistzoo.cli import app\n"
            "outs = [CliRunner().invoke(app, shlex.split(line), catch_exceptions=False)\n"
            "        for line in sys.argv[1:]]\n"
            "assert not any(out.exit_code for out in outs), [out.output for out in outs]\n"
            "print(json.dumps([out.stdout for out in outs]))"
        )
        return json.loads(self.python("-c", code, *lines))


@pytest.fixture(scope="session")
def added(tmp_path_factory):
    """A copy of the package after the steps of `docs/development/adding.md`.

    The row and the script are the page's own; training takes 500 images only, and no teacher.
    """
    made = Added(tmp_path_factory.mktemp("added"))
    made.commands(
        "train exp6 --recipe documented --output runs/exp6-0 --epochs 1 --validation 59500"
    )
    made.python("docs/development/adding/adopt.py", "exp6", "runs/exp6-0")
    return made
