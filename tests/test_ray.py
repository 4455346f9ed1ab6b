"""A study on a real Ray cluster of two nodes on this machine, one of which is killed."""

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest

from mnistzoo.data.mnist import Digits
from mnistzoo.errors import InputError, MissingExtraError, TrainingError
from mnistzoo.files import sha256
from mnistzoo.training import runs
from mnistzoo.training.ray_engine import _task, _taught_by, on_ray
from mnistzoo.training.runs import train
from mnistzoo.training.study import grid, remaining

GRID = {"networks": ["exp1"], "recipes": ["record"], "seeds": [0, 1, 2]}
SHORT = {"epochs": 1, "holdout": 59_900}
"""One epoch of 100 images; the judging then takes seconds, in which a node can be killed."""


@pytest.fixture
def temporary(monkeypatch):
    """The folder of all temporary files, with a name short enough for Ray's sockets."""
    folder = Path(tempfile.mkdtemp(prefix="ray"))
    monkeypatch.setenv("TMPDIR", str(folder))
    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "0")
    monkeypatch.setenv("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")  # else Ray 2.52 warns
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def cluster(temporary):
    """A cluster of two nodes with one CPU each."""
    from ray.cluster_utils import Cluster

    made = Cluster()
    try:
        made.add_node(num_cpus=1, include_dashboard=False)
        made.add_node(num_cpus=1)
        yield made
    finally:
        made.shutdown()


@pytest.mark.filterwarnings(  # Ray 2.52 leaves a file open that it starts a node with
    "ignore:Exception ignored in:pytest.PytestUnraisableExceptionWarning"
)
def test_a_node_is_killed(tmp_path, temporary, cluster):
    """With a node killed in the middle of a run, each run ends up there, and is counted once.

    Its weights are those that `train` comes to on one thread.
    """
    out = tmp_path / "out"
    options = ["exp1", "--epochs", "1", "--holdout", "59900", "--format", "json"]
    command = [sys.executable, "-W", "error", "-m", "mnistzoo", "study", "-o", out, *options]
    streams = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    with subprocess.Popen([*command, "--ray", cluster.address], **streams) as study:
        end = time.monotonic() + 300
        while len(list(temporary.glob("mnistzoo-*/checkpoint.pt"))) < 2:  # one on each node
            assert time.monotonic() < end
            assert study.poll() is None, study.communicate()
            time.sleep(0.01)
        assert not list(out.glob("*.json"))
        raylet = cluster.list_all_nodes()[1].all_processes["raylet"][0].process
        os.kill(raylet.pid, signal.SIGKILL)
        alone = train(grid(**GRID, **SHORT)[0], tmp_path / "alone")
        printed, errors = study.communicate()
    assert study.returncode == 0, errors
    names = [f"exp1-record-{seed}" for seed in GRID["seeds"]]
    lines = [line for line in errors.splitlines() if line.startswith("exp1-")]
    assert sorted(line.split(":")[0] for line in lines) == names
    assert sorted(path.stem for path in out.glob("*.json")) == names
    assert json.loads(printed)[0]["seeds"] == 3
    found = [json.loads((out / f"{name}.json").read_text()) for name in names]
    for name, metrics in zip(names, found, strict=True):
        assert sha256((out / name / "model.safetensors").read_bytes()) == metrics["sha256"]
    assert [metrics["seed"] for metrics in found] == GRID["seeds"]
    assert found[0]["sha256"] == alone["sha256"]
    assert len(list(temporary.glob("mnistzoo-*"))) <= 1  # of the task that was killed
    assert remaining(grid(**GRID, **SHORT), out) == {}


def test_what_comes_back_from_a_node(monkeypatch, test_images):
    """The files of the run's own folder: of a teacher, trained in a folder inside, none."""
    few = Digits(*(tensor[:300] for tensor in test_images))
    monkeypatch.setattr(runs, "mnist", lambda train: few)
    (run,) = grid(["exp5"], ["record"], [0], epochs=1)
    assert run.teacher is not None
    files = _task(run)
    assert files.keys() == {"README.md", "config.json", "metrics.json", "model.safetensors"}
    assert json.loads(files["metrics.json"])["teacher"]["sha256"]


def test_a_teacher_goes_to_the_node(monkeypatch, test_images, tmp_path):
    """One that is finished here is not trained again there."""
    few = Digits(*(tensor[:300] for tensor in test_images))
    monkeypatch.setattr(runs, "mnist", lambda train: few)
    (run,) = grid(["exp5"], ["record"], [0], epochs=1)
    assert _taught_by(run, tmp_path) is None
    made = train(run.teacher, tmp_path / "teacher")
    there = json.loads(_task(run, _taught_by(run, tmp_path))["metrics.json"])["teacher"]
    assert there == {key: made[key] for key in there}  # to the last digit of its seconds


@pytest.mark.parametrize("address", ["", "local", "here", "ray://127.0.0.1:1", "127.0.0.1:"])
def test_what_is_no_address(tmp_path, address):
    """Anything but auto and HOST:PORT is an error that says so; no cluster is started."""
    with pytest.raises(InputError, match="auto or HOST:PORT"):
        next(on_ray({}, address=address))


@pytest.mark.parametrize("address", ["auto", "127.0.0.1:1", "127.0.0.1:99999", "[x]:1"])
def test_no_cluster_at_the_address(temporary, address):
    """Where no cluster answers, that is an error at once, in one line."""
    with pytest.raises(TrainingError, match=r"^there is no Ray cluster at .*ray start") as caught:
        next(on_ray({}, address=address))
    assert "\n" not in str(caught.value)


def test_without_ray(monkeypatch):
    """Without Ray the error names the extra to install."""
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(MissingExtraError, match=r"mnistzoo\[ray\]"):
        next(on_ray({}, address="auto"))
