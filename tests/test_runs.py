"""Runs in folders: what they leave there, how they resume, and what they refuse."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from msgspec import to_builtins
from msgspec.structs import replace
from safetensors.torch import load, save

import mnistzoo
from mnistzoo.errors import FileWriteError, InputError, TrainingError
from mnistzoo.evaluation import evaluate
from mnistzoo.files import sha256
from mnistzoo.storage.manifest import read_manifest
from mnistzoo.storage.state_dict import read_metadata, read_state_dict
from mnistzoo.training import inputs, loop, state
from mnistzoo.training.metrics import read_result
from mnistzoo.training.recipes import get_recipe
from mnistzoo.training.run import Run
from mnistzoo.training.state import TrainingState

FILES = ["README.md", "config.json", "metrics.json", "model.safetensors"]


@pytest.fixture(scope="module")
def run():
    """Describe a run of exp5 that learns from exp1, of two epochs each."""
    return Run("exp5", replace(get_recipe("record", "exp5"), epochs=2, teacher="exp1"))


@pytest.fixture(scope="module")
def finished(run, few, tmp_path_factory):
    """Train the run, and return its folder and the epochs that were reported."""
    folder, seen = tmp_path_factory.mktemp("runs") / "finished", []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(inputs, "mnist", lambda train: few)
        loop.train_run(
            run, folder, on_epoch=lambda run, row: seen.append((run.architecture, row.epoch))
        )
    return folder, seen


def test_a_run_leaves_a_model_and_metrics(run, finished, few):
    """The folder holds the model that the metrics describe, ready to load, and no checkpoint."""
    folder, _ = finished
    assert sorted(path.name for path in folder.iterdir()) == sorted([*FILES, "exp1"])
    result = read_result(folder / "metrics.json")
    assert result.run == run
    assert result.sha256 == sha256((folder / "model.safetensors").read_bytes())
    assert evaluate(mnistzoo.from_pretrained(folder), few).correct == result.correct
    provenance = read_metadata(folder / "model.safetensors")
    assert (provenance["recipe"], provenance["seed"]) == ("record", 0)


def test_a_teacher_is_a_run_of_its_own(run, finished, tmp_path, small_mnist):
    """A teacher is trained first, in a folder inside, and is the same when trained by itself."""
    folder, seen = finished
    assert seen == [("exp1", 1), ("exp1", 2), ("exp5", 1), ("exp5", 2)]
    assert sorted(path.name for path in (folder / "exp1").iterdir()) == FILES
    alone = loop.train_run(run.teacher, tmp_path)
    recorded = read_result(folder / "metrics.json").teacher
    assert recorded.sha256 == alone.sha256
    assert recorded.sha256 == sha256((folder / "exp1" / "model.safetensors").read_bytes())
    assert (recorded.correct, recorded.nll) == (alone.correct, alone.nll)


@pytest.mark.parametrize("last", [("exp1", 1), ("exp1", 2), ("exp5", 1)])
def test_an_interrupted_run_resumes_to_the_same_digest(run, finished, tmp_path, small_mnist, last):
    """A run interrupted during its teacher's training, after it or in its own ends the same."""

    def interrupt(run, row):
        if (run.architecture, row.epoch) == last:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        loop.train_run(run, tmp_path, on_epoch=interrupt)
    seen = []
    resumed = loop.train_run(
        run, tmp_path, on_epoch=lambda run, row: seen.append((run.architecture, row.epoch))
    )
    assert seen[-2:] == [("exp5", 1), ("exp5", 2)]
    whole = read_result(finished[0] / "metrics.json")
    assert resumed.sha256 == whole.sha256
    assert resumed.teacher.sha256 == whole.teacher.sha256
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted([*FILES, "exp1"])


def test_stored_epochs_are_repeated_and_removed(run, few, tmp_path, small_mnist, monkeypatch):
    """The teacher reads each image once per stored epoch, and later epochs still differ.

    An interrupted run ends with the same digest, a damaged file is refused, and the files are gone
    once the run has finished.
    """
    run = replace(run, recipe=replace(run.recipe, epochs=5, stored_epochs=2))
    asked, ask = [], TrainingState.teacher_logits
    monkeypatch.setattr(
        TrainingState,
        "teacher_logits",
        lambda self, images, *more: asked.append(len(images)) or ask(self, images, *more),
    )
    whole = loop.train_run(run, tmp_path / "whole")
    assert sum(asked) == 2 * len(few.labels)
    assert len({row.loss for row in whole.epochs}) == 5

    def interrupt(run, row):
        if (run.architecture, row.epoch) == ("exp5", 3):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        loop.train_run(run, tmp_path / "resumed", on_epoch=interrupt)
    stored = tmp_path / "resumed" / "epochs"
    assert sorted(path.name for path in stored.iterdir()) == ["0.safetensors", "1.safetensors"]
    kept = (stored / "1.safetensors").read_bytes()
    floats = {name: tensor.float() for name, tensor in load(kept).items()}
    for damaged in (kept[:-1], save(floats)):
        (stored / "1.safetensors").write_bytes(damaged)
        with pytest.raises(TrainingError, match=r"epochs/1.safetensors in .* Delete the folder"):
            loop.train_run(run, tmp_path / "resumed")
    (stored / "1.safetensors").write_bytes(kept)
    assert loop.train_run(run, tmp_path / "resumed").sha256 == whole.sha256
    assert sorted(path.name for path in stored.parent.iterdir()) == sorted([*FILES, "exp1"])


def test_stored_epochs_need_a_teacher(run):
    """A recipe without a teacher refuses them."""
    with pytest.raises(InputError, match="a teacher for 2 stored epochs"):
        replace(run, recipe=replace(run.recipe, teacher=None, stored_epochs=2))


def test_two_runs_in_one_folder(run, tmp_path, small_mnist):
    """A second `train` in a folder is refused while the first is at work, and not afterward."""
    alone, refused = run.teacher, []

    def try_again(*_):
        with pytest.raises(TrainingError, match="Another process is training in"):
            loop.train_run(alone, tmp_path, on_batch=pytest.fail)
        refused.append(True)

    first = loop.train_run(alone, tmp_path, on_epoch=try_again)
    assert len(refused) == 2
    assert loop.train_run(alone, tmp_path, on_batch=pytest.fail) == first


def test_a_run_that_ends_in_the_shipped_weights(tmp_path, small_mnist, monkeypatch):
    """A run with the shipped weights writes the shipped file, and a card with its accuracy."""
    shipped = mnistzoo.exp1(pretrained=True)
    monkeypatch.setattr(TrainingState, "result", property(lambda self: shipped))
    recipe = replace(get_recipe("record", "exp1"), epochs=1)
    assert loop.train_run(Run("exp1", recipe), tmp_path).sha256 == read_manifest()["exp1"].sha256
    assert f"{read_manifest()['exp1'].accuracy:.2%}" in (tmp_path / "README.md").read_text()


def test_a_folder_of_another_run_is_refused(run, finished):
    """Another seed or setting in the same folder is refused, and the error says what differs."""
    recipe = run.recipe
    turned = replace(recipe.augmentation, degrees=5.0)
    for other, message in (
        (replace(run, seed=1), "run, with seed 0, not 1. Choose another folder"),
        (replace(run, recipe=replace(recipe, epochs=3)), "run, with epochs 2, not 3. Choose"),
        (replace(run, recipe=replace(recipe, augmentation=turned)), "degrees 10.0, not 5.0."),
    ):
        with pytest.raises(TrainingError, match=message):
            loop.train_run(other, finished[0])


CHANGES = {
    "metrics.json": lambda data: json.dumps(
        {key: value for key, value in json.loads(data).items() if key != "nll"}
    ).encode(),
    "config.json": lambda data: data.replace(b"exp1", b"exp2").replace(b"exp5", b"exp2"),
    "model.safetensors": lambda data: data[:-1] + b"\0",
}
"""A change to each file of a run: a field removed, another model named, a byte altered."""


@pytest.mark.parametrize("name", list(CHANGES))
@pytest.mark.parametrize("part", ["", "exp1"])
def test_changed_files_are_refused(run, finished, tmp_path, small_mnist, part, name):
    """Altered or missing files of a run or its teacher are refused, and the error names them."""
    folder = tmp_path / "changed"
    shutil.copytree(finished[0], folder)
    if part:
        (folder / "metrics.json").unlink()  # so that the teacher is needed again
    path = folder / part / name
    path.write_bytes(CHANGES[name](path.read_bytes()))
    what = name if name == "metrics.json" else "The model"
    refused = f"{what} in {path.parent} is not what the run wrote there. Delete the folder"
    with pytest.raises(TrainingError, match=refused):
        loop.train_run(run, folder)
    if name != "metrics.json":
        path.unlink()
        with pytest.raises(TrainingError, match=refused):
            loop.train_run(run, folder)


def test_a_folder_that_cannot_be_written_is_refused(run):
    """The run fails before its first step."""
    with pytest.raises(FileWriteError, match="Choose a writable folder"):
        loop.train_run(run.teacher, Path("/proc/mnistzoo"), on_batch=pytest.fail)


def test_a_holdout_never_reads_the_test_images(monkeypatch):
    """With a holdout, the two parts are the training images, in order, and nothing else."""

    def training_only(train):
        assert train
        return mnistzoo.mnist(train=True)

    monkeypatch.setattr(inputs, "mnist", training_only)
    read = inputs.mnist_inputs(10_000)
    training, held_out = read.training, read.evaluation
    everything = mnistzoo.mnist(train=True)
    assert torch.equal(torch.cat([training.images, held_out.images]), everything.images)
    assert torch.equal(torch.cat([training.labels, held_out.labels]), everything.labels)
    assert len(held_out.labels) == 10_000


TOGETHER = """
import sys
from pathlib import Path

import msgspec
import torch

from mnistzoo.data.mnist import Digits, mnist
from mnistzoo.training import inputs, loop, state
from mnistzoo.training.distributed import process_group
from mnistzoo.training.run import Run

state.autocast_dtype = lambda device: torch.float32
few = Digits(*(tensor[:100] for tensor in mnist(train=False)))
inputs.mnist = lambda train: few
run = msgspec.json.decode(sys.argv[1], type=Run)
with process_group():
    loop.train_run(run, Path(sys.argv[2]))
"""


def test_two_processes_train_one_model(few, tmp_path, small_mnist, monkeypatch):
    """Under torchrun, two processes end in the weights of one process, up to rounding.

    Without batch norm, the mean of their gradients is that of the whole batch, even for a last
    batch of one image more for one of them. A convolution that is frozen halfway changes nothing.
    Both train the teacher and learn from the file that the first one wrote.
    """
    monkeypatch.setattr(state, "autocast_dtype", lambda device: torch.float32)
    recipe = replace(get_recipe("record", "exp1"), epochs=2, batch_size=97, teacher="exp1")
    run = Run("exp1", replace(recipe, frozen_convs=1, frozen_after=0.5))
    assert len(few.labels) % run.recipe.batch_size == 3
    script = tmp_path / "together.py"
    script.write_text(TOGETHER)
    description = json.dumps(to_builtins(run))
    command = [*("-m", "torch.distributed.run"), "--standalone", "--nproc-per-node", "2", script]
    done = subprocess.run(
        [sys.executable, *command, description, tmp_path / "together"],
        check=False,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert "FutureWarning" not in done.stderr
    alone, together = (
        loop.train_run(run, tmp_path / "alone"),
        read_result(tmp_path / "together" / "metrics.json"),
    )
    assert (alone.processes, together.processes) == (1, 2)
    teacher = (tmp_path / "together" / "exp1" / "model.safetensors").read_bytes()
    assert together.teacher.sha256 == sha256(teacher)
    assert together.epochs[0].loss == pytest.approx(alone.epochs[0].loss, rel=1e-3)
    one, two = (read_state_dict(tmp_path / p / "model.safetensors") for p in ("alone", "together"))
    for name, tensor in one.items():
        torch.testing.assert_close(two[name], tensor, atol=1e-4, rtol=1e-3)
