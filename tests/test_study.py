"""Studies: what is left to do, what a kill leaves behind, and what comes out in the end."""

import csv
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from PIL import Image
from typer.testing import CliRunner

import mnistzoo
from mnistzoo.cli import app
from mnistzoo.data.mnist import Digits
from mnistzoo.errors import DataError, InputError, TrainingError, UnknownNameError
from mnistzoo.files import sha256
from mnistzoo.storage.state_dict import load_state_dict
from mnistzoo.training import recipes as recipe
from mnistzoo.training import runs
from mnistzoo.training.local_engine import local
from mnistzoo.training.metrics import Result
from mnistzoo.training.study import carry_out, grid, remaining
from mnistzoo.training.trainer import Run

DOCUMENTS = Path(__file__).parents[1] / "docs" / "results"

COMMAND = """
from dataclasses import replace

from mnistzoo.data.mnist import Digits, mnist
from mnistzoo.training import runs
from mnistzoo.training import recipes as recipe

few = Digits(*(tensor[:300] for tensor in mnist(train=False)))
runs.mnist = lambda train: few
diverging = replace(recipe.RECORD, learning_rate=1e30, teacher=None)
recipe._CHOSEN["record", "exp2"] = diverging

if __name__ == "__main__":
    from mnistzoo.cli import main

    main()
"""
"""The command line where MNIST has 300 images and exp2 diverges, in every process of a study."""


@pytest.fixture
def start(tmp_path):
    """Start the command of `COMMAND`, with a holdout of 100 images."""
    script = tmp_path / "command.py"
    script.write_text(COMMAND)
    started = []

    def start(*args):
        command = [sys.executable, "-W", "error", script, *args, "--holdout", "100"]
        streams = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
        one_thread = {**os.environ, "OMP_NUM_THREADS": "1"}  # as the runs of a study have
        started.append(subprocess.Popen(command, env=one_thread, **streams))
        return started[-1]

    yield start
    for process in started:
        process.kill()
        process.communicate()


def wait_for(condition):
    """What `condition` gives, as soon as it gives anything."""
    end = time.monotonic() + 300
    while not (found := condition()):
        assert time.monotonic() < end
        time.sleep(0.005)
    return found


def workers(study):
    """The processes that train for a running study: its children, but for the resource tracker."""
    children = Path(f"/proc/{study.pid}/task/{study.pid}/children").read_text().split()
    return [pid for pid in children if b"--multiprocessing-fork" in command_of(pid)]


def command_of(pid):
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except (FileNotFoundError, ProcessLookupError):
        return b""


def state(out):
    """Digest and time of each result."""
    paths = sorted(out.glob("*.json"))
    return {path.name: (sha256(path.read_bytes()), path.stat().st_mtime_ns) for path in paths}


def check_whole(out):
    """Whatever in a study's folder has a name to load it by is whole."""
    for path in [*out.glob("*.json"), *out.glob("*/metrics.json")]:
        metrics = json.loads(path.read_text())
        folder = path.parent if path.name == "metrics.json" else path.with_suffix("")
        weights = folder / "model.safetensors"
        assert sha256(weights.read_bytes()) == metrics["sha256"]
    for path in out.glob("*/*.safetensors"):
        load_state_dict(path)
    for path in out.glob("*/checkpoint.pt"):
        torch.load(path, weights_only=True)


def test_a_grid_has_each_run_once():
    """Networks × recipes × seeds, whatever is named twice, with the epochs that were asked for."""
    runs = grid(["exp1", "exp5", "exp1"], ["record", "documented"], [0, 1, 0], epochs=3)
    assert len(runs) == len(set(runs)) == 2 * 2 * 2
    assert {run.recipe.epochs for run in runs} == {3}
    assert {run.recipe.epochs for run in grid(["exp5"], ["documented"], [0])} == {20}


@pytest.mark.parametrize(("network", "recipe"), [("exp6", "record"), ("exp1", "recrod")])
def test_a_grid_of_unknown_names(network, recipe):
    """A misspelt network or recipe is an error before anything is trained."""
    with pytest.raises(UnknownNameError, match="Did you mean"):
        grid([network], [recipe], [0])


def test_what_has_a_result_is_not_left_to_do(tmp_path):
    """Only runs without a result remain, each with a folder of its own."""
    shutil.copy(DOCUMENTS / "exp1-record-0.json", tmp_path)
    left = remaining(grid(["exp1"], ["record"], [0, 1]), tmp_path)
    assert {folder: run.seed for folder, run in left.items()} == {tmp_path / "exp1-record-1": 1}


def test_a_run_cut_off_before_its_result(tmp_path):
    """A folder with weights and metrics, but no result beside it, is finished: nothing is lost."""
    folder = tmp_path / "exp1-record-0"
    folder.mkdir()
    shutil.copy(DOCUMENTS / "exp1-record-0.json", folder / "metrics.json")
    with pytest.raises(TrainingError, match=r"the network in .* is not what the run wrote"):
        remaining(grid(["exp1"], ["record"], [0]), tmp_path)
    mnistzoo.exp1(pretrained=True).save_pretrained(folder)
    (tmp_path / "._exp1-record-0.json").write_text("not of a run")
    assert remaining(grid(["exp1"], ["record"], [0]), tmp_path) == {}
    assert (tmp_path / "exp1-record-0.json").exists()


@pytest.mark.parametrize("place", ["exp1-record-0.json", "exp1-record-0/metrics.json"])
@pytest.mark.parametrize("other", [{"epochs": 1}, {"holdout": 10_000}])
def test_a_folder_of_another_study(tmp_path, place, other):
    """Other epochs or another holdout are refused, also where the result is of another seed."""
    (tmp_path / place).parent.mkdir(exist_ok=True)
    shutil.copy(DOCUMENTS / "exp1-record-0.json", tmp_path / place)
    with pytest.raises(TrainingError, match="choose another folder"):
        remaining(grid(["exp1"], ["record"], [0, 1], **other), tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == [place.split("/")[0]]


def test_two_runs_of_one_name(tmp_path):
    """Runs, or teachers, that differ in more than network, recipe and seed need two folders."""
    (short,), (long,) = (grid(["exp1"], ["record"], [0], epochs=n) for n in (1, 2))
    assert len(remaining([short, short], tmp_path)) == 1
    with pytest.raises(InputError, match="two for exp1-record-0"):
        remaining([short, long], tmp_path)
    (short,), (long,) = (
        grid([name], ["record"], [0], epochs=n) for name, n in (("exp4", 1), ("exp5", 2))
    )
    with pytest.raises(InputError, match="two for teacher-record-0"):
        remaining([short, long], tmp_path)


def test_a_result_under_another_name(tmp_path):
    """A result that is not the run its name says counts for neither."""
    shutil.copy(DOCUMENTS / "exp1-record-0.json", tmp_path / "exp1-record-1.json")
    with pytest.raises(TrainingError, match="another run"):
        remaining(grid(["exp1"], ["record"], [1]), tmp_path)


def test_a_damaged_result(tmp_path):
    """A result that was cut short is an error that names it, and is not trained over."""
    text = (DOCUMENTS / "exp1-record-0.json").read_text()
    (tmp_path / "exp1-record-0.json").write_text(text[:-100])
    with pytest.raises(DataError, match=r"exp1-record-0\.json"):
        remaining(grid(["exp1"], ["record"], [0]), tmp_path)


@pytest.mark.parametrize(
    "options",
    [
        ["--jobs", "2", "--ray", "auto"],
        ["--seeds", "0,x"],
        ["--seeds", "9" * 5000],
        ["--jobs", "0"],
    ],
)
def test_wrong_usage(tmp_path, options):
    """One engine, whole seeds, and at least one job: anything else is wrong usage."""
    result = CliRunner().invoke(app, ["study", str(tmp_path / "out"), *options])
    assert result.exit_code == 2
    assert not (tmp_path / "out").exists()


def test_killed_and_started_again(tmp_path, start):
    """Killed at any moment, a study loses nothing finished, and leaves nothing half-written.

    Its processes go with it. Started again it comes to the weights that `train` comes to, and
    what was finished is not written again.
    """
    out = tmp_path / "out"
    options = ["--networks", "exp1", "--seeds", "0,1,2", "--epochs", "25", "--jobs", "2"]
    finished = {}
    for pattern in "*/checkpoint.pt", "*/model.safetensors", "*.json":
        seen = set(out.glob(pattern))
        study = start("study", out, *options)
        wait_for(lambda seen=seen, pattern=pattern: set(out.glob(pattern)) - seen)
        children = workers(study)
        study.send_signal(signal.SIGKILL)
        wait_for(lambda children=children: not any(map(command_of, children)))
        check_whole(out)
        assert finished.items() <= state(out).items()
        finished = state(out)
    assert 1 <= len(finished) < 3
    study = start("study", out, *options, "--json")
    printed, _ = study.communicate()
    assert study.returncode == 0
    check_whole(out)
    assert finished.items() <= state(out).items()
    assert len(state(out)) == json.loads(printed)[0]["seeds"] == 3
    rows = list(csv.DictReader((out / "study.csv").read_text().splitlines()))
    assert [row["seed"] for row in rows] == ["0", "1", "2"]
    with Image.open(out / "curves.png") as picture:
        drawn = json.loads(picture.info["Description"])["runs"]
    assert [(network, seed) for network, _, seed, _ in drawn] == [("exp1", n) for n in range(3)]
    alone = start("train", "exp1", "--seed", "2", "--epochs", "25", "--out", tmp_path / "alone")
    alone.communicate()
    metrics = json.loads((tmp_path / "alone" / "metrics.json").read_text())
    assert json.loads((out / "exp1-record-2.json").read_text())["sha256"] == metrics["sha256"]


def test_a_killed_process_and_a_run_that_fails(tmp_path, start):
    """A process that is killed is replaced; a run that diverges is reported, and stops no other."""
    out = tmp_path / "out"
    options = ["--networks", "exp1,exp2", "--seeds", "0", "--epochs", "25", "--jobs", "2"]
    study = start("study", out, *options)
    wait_for(lambda: list(out.glob("exp1-record-0/checkpoint.pt")))
    for pid in workers(study):
        os.kill(int(pid), signal.SIGKILL)
    printed, errors = study.communicate()
    assert study.returncode == 1
    assert state(out).keys() == {"exp1-record-0.json"}
    check_whole(out)
    lines = sorted(line for line in errors.splitlines() if line.startswith("exp"))
    assert [line.split(":")[0] for line in lines] == ["exp1-record-0", "exp2-record-0"]
    assert "the loss of exp2 became nan" in lines[1]
    cells = {line.split()[0]: line.split() for line in printed.splitlines() if "exp" in line}
    assert "(1," in cells["exp1"]  # one seed
    assert "(1," not in cells["exp2"]


def test_a_teacher_is_trained_once(tmp_path, start):
    """Runs of one seed share it, also when the study was killed; it is what `train` comes to."""
    out = tmp_path / "out"
    options = ["--epochs", "3", "--seeds", "0", "--jobs", "2"]
    study = start("study", out, "--networks", "exp3,exp5", *options)
    wait_for((out / "teacher-record-0" / "checkpoint.pt").exists)
    study.send_signal(signal.SIGKILL)
    study.communicate()
    study = start("study", out, "--networks", "exp3,exp5", *options)
    _, errors = study.communicate()
    assert study.returncode == 0, errors
    assert state(out).keys() == {"exp3-record-0.json", "exp5-record-0.json"}
    teachers = [json.loads((out / name).read_text())["teacher"] for name in state(out)]
    made = json.loads((out / "teacher-record-0" / "metrics.json").read_text())
    assert all(teacher == {key: made[key] for key in teacher} for teacher in teachers)
    start("train", "exp5", "--epochs", "3", "--out", tmp_path / "alone").communicate()
    alone = json.loads((tmp_path / "alone" / "metrics.json").read_text())
    assert alone["teacher"]["sha256"] == made["sha256"]
    assert json.loads((out / "exp5-record-0.json").read_text())["sha256"] == alone["sha256"]


def test_two_studies_in_one_folder(tmp_path, start):
    """The second is refused while the first is at work."""
    out = tmp_path / "out"
    options = ["--networks", "exp1", "--seeds", "0", "--epochs", "5000"]
    first = start("study", out, *options)
    wait_for(lambda: list(out.glob("exp1-record-0/checkpoint.pt")))
    _, errors = (second := start("study", out, *options)).communicate()
    assert first.poll() is None
    assert second.returncode == 1
    assert "another process is at work there" in errors


def test_a_teacher_of_another_study(tmp_path, monkeypatch, test_images):
    """Of other epochs, or damaged, it fails the runs that have it, and no others."""
    few = Digits(*(tensor[:100] for tensor in test_images))
    monkeypatch.setattr(runs, "mnist", lambda train: few)
    (shorter,), (longer,) = (grid(["exp5"], ["record"], [0], epochs=n) for n in (1, 2))
    other, place = Run("exp1", replace(longer.recipe, teacher=None)), tmp_path / "teacher-record-0"
    runs.train(shorter.teacher, place)

    def outcome():
        tried = []
        folders = {tmp_path / "exp5-record-0": longer, tmp_path / "exp1-record-0": other}
        outcomes = carry_out(folders, lambda left: tried.extend(left) or [])
        ((folder, error),) = outcomes
        assert folder.name == "exp5-record-0"
        assert [folder.name for folder in tried] == ["exp1-record-0"]
        assert not folder.exists()
        return str(error)

    assert "teacher-record-0 holds another run, with epochs 1, not 2" in outcome()
    shutil.rmtree(place)
    runs.train(longer.teacher, place)
    (place / "config.json").unlink()
    assert "is not what the run wrote there" in outcome()


def test_no_jobs(tmp_path):
    """An engine that would never end says so."""
    with pytest.raises(InputError, match="one job or more, got 0"):
        next(local({tmp_path: grid(["exp1"], ["record"], [0])[0]}, jobs=0))


def test_a_teacher_that_fails(tmp_path, monkeypatch, test_images):
    """The runs that have it are reported with its error, once each; the others are trained."""
    few = Digits(*(tensor[:100] for tensor in test_images))
    monkeypatch.setattr(runs, "mnist", lambda train: few)
    diverging = replace(recipe.get_recipe("record", "teacher"), learning_rate=1e30)
    monkeypatch.setitem(recipe._CHOSEN, ("record", "teacher"), diverging)
    trained = []

    def engine(folders):
        for folder, run in folders.items():
            trained.append(folder.name)
            try:
                runs.train(run, folder)
            except TrainingError as error:
                yield folder, error
            else:
                yield folder, None

    grid_ = grid(["exp1", "exp3", "exp5"], ["record"], [0], epochs=3)
    outcomes = {
        folder.name: outcome for folder, outcome in carry_out(remaining(grid_, tmp_path), engine)
    }
    assert trained == ["teacher-record-0", "exp1-record-0"]
    assert outcomes.keys() == {"exp1-record-0", "exp3-record-0", "exp5-record-0"}
    for name in "exp3-record-0", "exp5-record-0":
        assert "the loss of teacher became" in str(outcomes[name])
    assert isinstance(outcomes["exp1-record-0"], Result)
