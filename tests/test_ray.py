"""A study on a real Ray cluster of two nodes on this machine, one of which is killed."""

import json
import os
import pickle
import shutil
import signal
import sys
import tempfile
import time
from pathlib import Path

import pytest
from msgspec.structs import replace
from PIL import Image

import mnistzoo
import warm
from mnistzoo.bulk.predictor import File, Predictor
from mnistzoo.errors import ClusterError, InputError, MissingExtraError
from mnistzoo.files import sha256
from mnistzoo.inference import load_model
from mnistzoo.training import loop
from mnistzoo.training.metrics import parse_result, read_result
from mnistzoo.training.ray_engine import run_on_ray, teacher_files, train_remotely
from mnistzoo.training.study import grid, remaining

NO_INPUTS = pickle.dumps(None)
"""Runs read MNIST by themselves."""


@pytest.fixture
def temporary(monkeypatch):
    """Use a folder for all temporary files whose name is short enough for Ray's sockets."""
    folder = Path(tempfile.mkdtemp(prefix="ray"))
    monkeypatch.setenv("TMPDIR", str(folder))
    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "0")
    monkeypatch.setenv("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")  # Ray 2.52 warns without it
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def cluster(temporary):
    """Start a cluster of two nodes with one CPU each."""
    from ray.cluster_utils import Cluster

    made = Cluster()
    try:
        made.add_node(num_cpus=1, include_dashboard=False)
        made.add_node(num_cpus=1)
        yield made
    finally:
        made.shutdown()


@pytest.mark.slow
@pytest.mark.filterwarnings(  # Ray 2.52 leaves a file open that it starts a node with
    "ignore:Exception ignored in:pytest.PytestUnraisableExceptionWarning"
)
def test_a_node_is_killed(tmp_path, temporary, cluster):
    """With a node killed during a run, each run has one result, with the weights of `train`.

    An epoch has 100 images; evaluation on 59,900 then leaves time to kill the node.
    """
    out = tmp_path / "out"
    made = grid(["exp1"], ["record"], [0, 1], epochs=1, holdout=59_900)
    options = ["exp1", "--seed", "0", "--seed", "1", "--epochs", "1", "--validation", "59900"]
    command = ["-W", "error", "-m", "mnistzoo", "study", "-o", out, *options]
    study = warm.start([*command, "--format", "json", "--ray", cluster.address])
    try:
        end = time.monotonic() + 300
        while len(list(temporary.glob("mnistzoo-*/checkpoint.pt"))) < 2:  # one on each node
            assert time.monotonic() < end
            assert study.poll() is None, study.communicate()
            time.sleep(0.01)
        assert not list(out.glob("*.json"))
        raylet = cluster.list_all_nodes()[1].all_processes["raylet"][0].process
        os.kill(raylet.pid, signal.SIGKILL)
        printed, errors = study.communicate()
    finally:
        study.kill()
        study.communicate()
    assert study.returncode == 0, errors
    names = ["exp1-record-0", "exp1-record-1"]
    lines = [line for line in errors.splitlines() if line.startswith("exp1-")]
    assert sorted(line.split(":")[0] for line in lines) == names
    assert sorted(path.stem for path in out.glob("*.json")) == names
    assert json.loads(printed)[0]["seeds"] == 2
    results = [read_result(out / f"{name}.json") for name in names]
    for name, result in zip(names, results, strict=True):
        assert sha256((out / name / "model.safetensors").read_bytes()) == result.sha256
    assert [result.run for result in results] == made
    assert len(list(temporary.glob("mnistzoo-*"))) <= 1  # of the task that was killed
    assert remaining(made, out) == {}
    assert loop.train_run(made[0], tmp_path / "alone").sha256 == results[0].sha256


@pytest.mark.slow
@pytest.mark.filterwarnings(  # as above
    "ignore:Exception ignored in:pytest.PytestUnraisableExceptionWarning"
)
def test_a_node_is_killed_while_it_predicts(tmp_path, cluster, few):
    """With a node killed, each file has one row, in order: that of a run on this machine."""
    folder, out = tmp_path / "images", tmp_path / "x.jsonl"
    folder.mkdir()
    for index in range(300):
        image = Image.fromarray(255 - few.images[index % 100].numpy())
        image.resize((200, 200)).save(folder / f"{index:03}.png")
    (folder / "150.png").write_text("not an image")
    command = ["-m", "mnistzoo", "predict", folder, "-o", out, "--ray", cluster.address]
    program = warm.start(command)
    try:
        while not (out.exists() and out.read_bytes().count(b"\n") > 32):
            assert program.poll() is None, program.communicate()
            time.sleep(0.01)
        raylet = cluster.list_all_nodes()[1].all_processes["raylet"][0].process
        os.kill(raylet.pid, signal.SIGKILL)
        assert out.read_bytes().count(b"\n") < 300
        printed, errors = program.communicate()
    finally:
        program.kill()
        program.communicate()
    assert program.returncode == 1, errors  # a file is not an image
    assert printed == f"{out}: 300 files, 1 of them cannot be read\n"
    rows = [json.loads(line) for line in out.read_text().splitlines()]
    files = [str(folder / f"{index:03}.png") for index in range(300)]
    assert [row["file"] for row in rows] == files
    assert [index for index, row in enumerate(rows) if "error" in row] == [150]
    expected = Predictor(load_model("exp5.world")).rows(map(File, files[:20]))
    assert rows[:20] == [json.loads(line) for line in expected]


@pytest.mark.slow
@pytest.mark.filterwarnings(  # as above
    "ignore:Exception ignored in:pytest.PytestUnraisableExceptionWarning"
)
def test_own_images_reach_every_node(tmp_path, cluster, few):
    """A study of a folder trains on both nodes, with the weights of `train` on this machine."""
    for index in range(60):
        place = tmp_path / "images" / str(int(few.labels[index]) % 3)
        place.mkdir(parents=True, exist_ok=True)
        Image.fromarray(few.images[index].numpy()).save(place / f"{index}.png")
    options = ["--pretrained", "--epochs", "1", "--data", tmp_path / "images"]
    seeds = ["--seed", "0", "--seed", "1", "-o", tmp_path / "out", "--ray", cluster.address]
    done = warm.run(["-W", "error", "-m", "mnistzoo", "study", "exp1", *options, *seeds])
    assert done.returncode == 0, done.stderr
    for seed in 0, 1:
        alone = mnistzoo.train(
            "exp1", tmp_path / "images", pretrained=True, epochs=1, seed=seed
        ).result
        found = read_result(tmp_path / "out" / f"exp1-fine-tune-{seed}.json")
        assert (found.sha256, found.run) == (alone.sha256, alone.run)
        assert found.dataset.num_train == 60


def test_files_go_to_a_node_and_back(tmp_path, small_mnist):
    """A task returns the files of its own run; a teacher that has finished is not trained again."""
    (run,) = grid(["exp1"], ["record"], [0], epochs=1)
    run = replace(run, recipe=replace(run.recipe, teacher="exp1"))
    assert teacher_files(run, tmp_path) is None
    files = train_remotely(run, NO_INPUTS)
    assert files.keys() == {"README.md", "config.json", "metrics.json", "model.safetensors"}
    made = loop.train_run(run.teacher, tmp_path / "exp1")
    again = train_remotely(run, NO_INPUTS, teacher_files(run, tmp_path))
    teacher = parse_result(again["metrics.json"], "metrics").teacher
    assert teacher.sha256 == parse_result(files["metrics.json"], "metrics").teacher.sha256
    assert teacher.seconds == made.seconds  # to the last digit


@pytest.mark.parametrize("address", ["", "local", "here", "ray://127.0.0.1:1", "127.0.0.1:"])
def test_other_addresses_are_refused(address):
    """An address other than auto and HOST:PORT is an error, and no cluster is started."""
    with pytest.raises(InputError, match="auto or HOST:PORT"):
        next(run_on_ray({}, address=address))


@pytest.mark.parametrize("address", ["127.0.0.1:1", "127.0.0.1:99999", "[x]:1"])
def test_an_address_without_a_cluster_is_refused(temporary, address):
    """If no cluster answers, that is an error at once, in one line."""
    with pytest.raises(ClusterError, match=r"^There is no Ray cluster at .*ray start") as caught:
        next(run_on_ray({}, address=address))
    assert "\n" not in str(caught.value)


def test_a_missing_ray_is_named(monkeypatch):
    """Without Ray, the error names the extra to install."""
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(MissingExtraError, match=r"mnistzoo\[ray\]"):
        next(run_on_ray({}, address="auto"))
