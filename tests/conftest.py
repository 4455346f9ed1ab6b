"""What several test modules use."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from hypothesis import settings

import mnistzoo
from mnistzoo.data.mnist import Digits

settings.register_profile("untimed", deadline=None)  # a machine may be busy
settings.load_profile("untimed")
torch.set_num_threads(1)  # batches here are small: two threads would mostly wait for each other


def pytest_addoption(parser):
    """`--site` names a documentation that is built already; see `test_site.py`."""
    parser.addoption("--site", help="where sphinx-build has put the documentation")


@pytest.fixture(scope="session")
def test_images():
    """The 10,000 test images and their labels."""
    return mnistzoo.mnist(train=False)


@pytest.fixture(scope="session")
def normalized(test_images):
    """The first 256 test images as the networks take them, worked out from the definition."""
    return (test_images.images[:256, None].double() / 255 - 0.1307).div(0.3081).float()


@pytest.fixture(scope="session")
def few(test_images):
    """The first 100 test images and their labels."""
    return Digits(*(tensor[:100] for tensor in test_images))


@pytest.fixture
def small_mnist(monkeypatch, few):
    """Let runs train on 100 images in place of MNIST."""
    monkeypatch.setattr("mnistzoo.training.runs.mnist", lambda train: few)


@pytest.fixture
def python():
    """Run Python code in a process of its own and give what it prints."""

    def run(code: str, *args: str) -> str:
        done = subprocess.run(
            [sys.executable, "-W", "error", "-c", code, *args],
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    return run


@pytest.fixture
def small_disk(tmp_path):
    """Mount a disk of so many kB, writable or not; all are gone after the test."""
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


ROOT = Path(__file__).parent.parent


class Added:
    """A copy of the package, with a network more."""

    def __init__(self, folder):
        self.folder = folder
        for part in ("src", "weights", "docs/_ext", "docs/adding"):
            shutil.copytree(ROOT / part, folder / part, ignore=shutil.ignore_patterns("*.pyc"))
        source = folder / "src" / "mnistzoo" / "architectures.py"
        row = (ROOT / "docs" / "adding" / "row.txt").read_text("utf8")
        before, rows = source.read_text("utf8").split("_ROWS = (\n")
        own, after = rows.split("\n)\n", 1)
        source.write_text(f"{before}_ROWS = (\n{own}\n{row})\n{after}", encoding="utf8")

    def python(self, *args):
        """Run Python with the copy in place of the package, and give what it prints."""
        done = subprocess.run(
            [sys.executable, *map(str, args)],
            capture_output=True,
            text=True,
            check=False,
            cwd=self.folder,
            env={**os.environ, "PYTHONPATH": str(self.folder / "src"), "OMP_NUM_THREADS": "1"},
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    def commands(self, *lines):
        """Run commands in one process, and give what each prints on stdout."""
        code = (
            "import json, sys\nfrom typer.testing import CliRunner\nfrom mnistzoo.cli import app\n"
            "outs = [CliRunner().invoke(app, line.split(), catch_exceptions=False)\n"
            "        for line in sys.argv[1:]]\n"
            "assert not any(out.exit_code for out in outs), [out.output for out in outs]\n"
            "print(json.dumps([out.stdout for out in outs]))"
        )
        return json.loads(self.python("-c", code, *lines))


@pytest.fixture(scope="session")
def added(tmp_path_factory):
    """`docs/adding.md` done to a copy of the package: the row put in, trained, adopted.

    It is trained on 500 images only, without a teacher; the row and the script are the page's own.
    """
    made = Added(tmp_path_factory.mktemp("added"))
    made.commands("train exp6 --recipe documented --output runs/exp6-0 --epochs 1 --holdout 59500")
    made.python("docs/adding/adopt.py", "exp6", "runs/exp6-0")
    return made
