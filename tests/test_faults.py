"""Real faults: processes killed at every step, full disks, many processes and threads at once."""

import json
import os
from itertools import groupby
from pathlib import Path

import pytest
from msgspec.structs import replace
from typer.testing import CliRunner

import mnistzoo
import warm
from mnistzoo.cli import app
from mnistzoo.data.mnist import Digits
from mnistzoo.errors import FileWriteError, TrainingError
from mnistzoo.export import export
from mnistzoo.training import inputs, loop
from mnistzoo.training.recipes import get_recipe
from mnistzoo.training.run import Run

pytestmark = pytest.mark.skipif(os.name != "posix", reason="needs fork and POSIX's signals")


@pytest.fixture
def found(tmp_path):
    """Run an action of `faulty.py` and return its findings."""

    def run(action):
        (tmp_path / "folder").mkdir()
        done = warm.run([Path(__file__).parent / "faulty.py", action, tmp_path / "folder"])
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    return run


def phases(values):
    """Return the values in order, without immediate repetitions."""
    return [value for value, _ in groupby(values)]


def test_save_killed_at_any_step(found):
    """A folder holds no model, the old one or the new one, never a mixture, and a retry works."""
    outcomes = found("save")
    steps, after, retried = zip(*outcomes, strict=True)
    assert steps.count("os.rename") == 8  # two saves of three files, and the weights once more
    assert steps.count("write") == 6
    assert phases(after) == ["FileReadError", "old", "new"]
    assert set(retried) == {"new"}


def test_save_killed_in_the_middle_of_a_write(found):
    """The old model stays, wherever in a file the write stops."""
    *cut, whole = found("save_midway")
    assert [outcome[1:] for outcome in cut] == [[True, "old"]] * 6
    assert whole[1:] == [False, "new"]


def test_training_killed_at_any_step(found):
    """No finished epoch is lost, weights are whole or absent, and a retry ends in the same bytes.

    A run of two epochs has four steps; `left` counts those that the retry takes.
    """
    outcomes = found("train")
    _, after, finished, left, same = zip(*outcomes, strict=True)
    assert phases(left) == [4, 2, 0]
    assert phases(after) == ["FileReadError", "whole"]
    assert phases(finished) == [False, True]
    assert all(same)


def test_export_killed_at_any_step(found):
    """The file is the old one or the new one, byte for byte."""
    steps, after = zip(*found("write_export"), strict=True)
    assert {"open", "write", "fsync", "os.rename"} <= set(steps)
    assert phases(after) == ["old", "new"]


def test_thirty_two_processes_in_one_folder(found):
    """Each load returns one of the saved models, while all save and load at once."""
    assert found("crowd") == ["0", "1", "2", "3"]


def test_forked_processes_predict_the_same(found):
    """A child predicts what its parent does, even after the parent has used threads."""
    assert found("fork") == [0, 0]


def test_threads_predict_the_same_at_once(found):
    """Sixteen threads make 512 predictions, equal to the last bit."""
    assert found("threads") == 0


@pytest.fixture
def pair():
    """Return two models of one architecture, and a function that lists which a folder holds."""
    models = {name: mnistzoo.exp1() for name in ("old", "new")}

    def held(folder):
        weight = mnistzoo.from_pretrained(folder).classifier.weight
        return [name for name, model in models.items() if weight.equal(model.classifier.weight)]

    return models["old"], models["new"], held


def fill(disk, left):
    """Fill a disk up to so many kB."""
    room = os.statvfs(disk)
    (disk / "ballast").write_bytes(bytes(room.f_bavail * room.f_bsize - left * 1024))


@pytest.mark.parametrize("size", [0, 4, 40, 84, 88])
def test_a_full_disk_keeps_the_old_model(size, small_disk, pair):
    """Saving without enough room is an error; the old model still loads, and no part is left.

    An exp1 fits into 88 kB.
    """
    old, new, held = pair
    folder = small_disk(400)
    old.save_pretrained(folder)
    fill(folder, size)
    before = sorted(path.name for path in folder.iterdir())
    if size < 88:
        with pytest.raises(FileWriteError, match="free space"):
            new.save_pretrained(folder)
        assert held(folder) == ["old"]
    else:
        new.save_pretrained(folder)
        assert held(folder) == ["new"]
    assert sorted(path.name for path in folder.iterdir()) == before


def test_a_read_only_disk_is_named(small_disk, pair):
    """Models still load; saving, training and exporting say that the disk is read-only."""
    old, new, held = pair
    disk = small_disk(400)
    old.save_pretrained(disk / "net")
    small_disk(400, disk=disk, writable=False)
    assert held(disk / "net") == ["old"]
    few = Run("exp1", replace(get_recipe("record", "exp1"), epochs=1))
    for write in (
        lambda: new.save_pretrained(disk / "net"),
        lambda: new.save_pretrained(disk / "other"),
        lambda: export(new, disk / "exp1.onnx"),
        lambda: loop.train_run(few, disk, on_batch=pytest.fail),
    ):
        with pytest.raises(FileWriteError, match="Choose a writable folder"):
            write()
    assert held(disk / "net") == ["old"]


def test_a_disk_that_fills_up_during_training(small_disk, monkeypatch):
    """The last checkpoint stays, and the run resumes from it once there is room."""
    few = Digits(*(tensor[:40] for tensor in mnistzoo.mnist(train=False)))
    monkeypatch.setattr(inputs, "mnist", lambda train: few)
    run = Run("exp1", replace(get_recipe("record", "exp1"), epochs=2, batch_size=20))
    disk, seen = small_disk(2000), []
    with pytest.raises(FileWriteError, match="No space left on device"):
        loop.train_run(run, disk, on_epoch=lambda *_: fill(disk, 0))
    (disk / "ballast").unlink()
    metrics = loop.train_run(run, disk, on_batch=lambda _, count: seen.append(count))
    assert len(seen) == 2
    names = sorted(path.name for path in disk.iterdir())
    assert names == ["README.md", "config.json", "metrics.json", "model.safetensors"]
    assert metrics.epochs[0].epoch == 1


@pytest.mark.parametrize("name", ["checkpoint.pt", "metrics.json"])
@pytest.mark.parametrize("content", [b"", b"[]", b"PK\3\4 no archive", b"\x80\2}q\0."])
def test_a_damaged_run_is_named(name, content, tmp_path, monkeypatch):
    """A file that no run wrote is an error that names it; it is not overwritten."""
    few = Digits(*(tensor[:40] for tensor in mnistzoo.mnist(train=False)))
    monkeypatch.setattr(inputs, "mnist", lambda train: few)
    (tmp_path / name).write_bytes(content)
    run = Run("exp1", replace(get_recipe("record", "exp1"), epochs=1))
    with pytest.raises(TrainingError, match=rf"{name} in .* is not what the run wrote"):
        loop.train_run(run, tmp_path)
    assert (tmp_path / name).read_bytes() == content


def test_export_says_in_one_line_that_the_disk_is_full(small_disk):
    """The error of the command has one line, and no file is left."""
    disk = small_disk(64)
    done = CliRunner().invoke(app, ["export", "exp1", "-o", str(disk / "exp1.onnx")])
    assert isinstance(done.exception, FileWriteError)
    assert "\n" not in str(done.exception)
    assert list(disk.iterdir()) == []


def test_int8_export_without_room_for_its_temporary_files(small_disk, tmp_path, monkeypatch):
    """The error for a full temporary folder names TMPDIR."""
    monkeypatch.setattr("tempfile.tempdir", str(small_disk(16)))
    with pytest.raises(FileWriteError, match="TMPDIR"):
        export(mnistzoo.exp1(pretrained=True), tmp_path / "exp1.onnx", bits=8)
    assert not (tmp_path / "exp1.onnx").exists()
