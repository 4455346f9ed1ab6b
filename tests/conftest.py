"""What several test modules use."""

import subprocess
import sys

import pytest
import torch
from hypothesis import settings

import mnistzoo

settings.register_profile("untimed", deadline=None)  # a machine may be busy
settings.load_profile("untimed")
torch.set_num_threads(1)  # batches here are small: two threads would mostly wait for each other


@pytest.fixture(scope="session")
def test_images():
    """The 10,000 test images and their labels."""
    return mnistzoo.mnist(train=False)


@pytest.fixture(scope="session")
def normalized(test_images):
    """The first 256 test images as the networks take them, worked out from the definition."""
    return (test_images.images[:256, None].double() / 255 - 0.1307).div(0.3081).float()


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
