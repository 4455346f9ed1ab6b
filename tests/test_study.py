"""Studies: which runs remain, what an interruption leaves behind, and what fails alone."""

import csv
import json
import os
import shutil
import signal
import time
from contextlib import suppress
from pathlib import Path

import pytest
import torch
from msgspec.structs import replace
from PIL import Image
from typer.testing import CliRunner

import mnistzoo
import warm
from mnistzoo.cli import app
from mnistzoo.data.mnist import Digits
from mnistzoo.errors import (
    DataError,
    FileWriteError,
    InputError,
    TrainingError,
    UnknownNameError,
)
from mnistzoo.files import sha256
from mnistzoo.storage.state_dict import read_state_dict
from mnistzoo.training import inputs, loop, recipes
from mnistzoo.training.local_engine import run_locally
from mnistzoo.training.metrics import Result, read_result
from mnistzoo.training.study import grid, remaining, train_runs

RESULTS = Path(__file__).parents[1] / "docs" / "results"

COMMAND = """
import warnings

from msgspec.structs import replace

from mnistzoo.data.mnist import Digits, mnist
from mnistzoo.training import inputs, loop, recipes

warnings.filterwarnings("ignore", "unclosed file", ResourceWarning)  # of an interrupted import
few = Digits(*(tensor[:200] for tensor in mnist(train=False)))
inputs.mnist = lambda train: few
diverging = replace(recipes.RECORD, learning_rate=1e30, teacher=None)
recipes._CHOSEN["record", "exp2"] = diverging

if __name__ == "__main__":
    from mnistzoo.cli import main

    main()
"""
"""The command line where MNIST has 200 images and exp2 diverges, in every process of a study."""


@pytest.fixture
def start(tmp_path):
    """Start a study by `COMMAND`, with a holdout of 100 images."""
    script = tmp_path / "command.py"
    script.write_text(COMMAND)
    started = []

    def start(out, *options):
        command = ["-W", "error", script, "study", "-o", out, "--validation", "100", *options]
        started.append(warm.start(command))
        return started[-1]

    yield start
    for process in started:
        process.kill()
        process.communicate()


def wait_for(condition, process):
    """Return the result of a condition as soon as it holds, while a process is running."""
    end = time.monotonic() + 300
    while not (found := condition()):
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < end
        time.sleep(0.01)
    return found


def workers(study):
    """List the processes that train for a running study: its server's children."""
    return [pid for server in children(study.pid) for pid in children(server)]


def children(pid):
    """List the children of a process that were forked by a server."""
    listed = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [child for child in listed if is_worker(child)]


def is_worker(pid):
    """Tell whether a process still is a server, or one that it forked."""
    try:
        return b"multiprocessing.forkserver" in Path(f"/proc/{pid}/cmdline").read_bytes()
    except (FileNotFoundError, ProcessLookupError):
        return False


def state(out):
    """Return the digest and time of each result."""
    paths = sorted(out.glob("*.json"))
    return {path.name: (sha256(path.read_bytes()), path.stat().st_mtime_ns) for path in paths}


def check_whole(out):
    """Check that every file of a study that has its final name is complete."""
    for path in [*out.glob("*.json"), *out.glob("*/metrics.json")]:
        folder = path.parent if path.name == "metrics.json" else path.with_suffix("")
        weights = (folder / "model.safetensors").read_bytes()
        assert sha256(weights) == read_result(path).sha256
    for path in out.glob("*/*.safetensors"):
        read_state_dict(path)
    for path in out.glob("*/checkpoint.pt"):
        torch.load(path, weights_only=True)


def test_an_interrupted_study_resumes(tmp_path, start, monkeypatch, test_images):
    """A study that is killed or interrupted loses nothing finished, and its processes end.

    A second study in its folder is refused. Started again, it ends in the weights of `train`, and
    does not write finished results anew. A process that is killed is replaced; a run that diverges
    is reported and stops no other.
    """
    out, options = tmp_path / "out", ["--seed", "0", "--seed", "1", "--epochs", "12"]
    study = start(out, "exp1", *options, "--jobs", "2")
    wait_for(lambda: list(out.glob("*/checkpoint.pt")), study)
    processes = [*children(study.pid), *workers(study)]
    study.kill()
    study.communicate()
    end = time.monotonic() + 300
    while any(map(is_worker, processes)):
        assert time.monotonic() < end
        time.sleep(0.01)
    check_whole(out)

    study = start(out, "exp1", *options, "--jobs", "1")
    wait_for(lambda: list(out.glob("*.json")), study)
    for pid in [*workers(study), *children(study.pid), study.pid]:  # as a terminal does
        with suppress(ProcessLookupError):
            os.kill(int(pid), signal.SIGINT)
    _, errors = study.communicate()
    assert study.returncode == 130, errors
    assert "Traceback" not in errors
    finished = state(out)
    assert len(finished) == 1
    assert "mnistzoo: Interrupted." in errors.splitlines()[-1]
    assert "keeps 1 of 2 results" in errors.splitlines()[-1]
    check_whole(out)

    study = start(out, "exp1", "exp2", *options, "--jobs", "2", "--format", "json")
    for pid in wait_for(lambda: workers(study), study):
        os.kill(int(pid), signal.SIGKILL)
    todo = remaining(grid(["exp1"], ["record"], [0, 1], epochs=12, holdout=100), out)
    with pytest.raises(FileWriteError, match="nother process is"):
        next(train_runs(todo, pytest.fail))
    printed, errors = study.communicate()
    assert study.returncode == 1, errors
    assert errors.count("The loss of exp2 is nan") == 2
    check_whole(out)
    assert finished.items() <= state(out).items()
    assert state(out).keys() == {"exp1-record-0.json", "exp1-record-1.json"}
    (summary,) = json.loads(printed)
    assert (summary["model"], summary["seeds"]) == ("exp1", 2)
    rows = list(csv.DictReader((out / "study.csv").read_text().splitlines()))
    assert [row["seed"] for row in rows] == ["0", "1"]
    with Image.open(out / "curves.png") as image:
        drawn = json.loads(image.info["Description"])["runs"]
    assert [(run["model"], run["seed"]) for run in drawn] == [("exp1", 0), ("exp1", 1)]
    more = Digits(*(tensor[:200] for tensor in test_images))
    monkeypatch.setattr(inputs, "mnist", lambda train: more)
    result = read_result(out / "exp1-record-1.json")
    assert loop.train_run(result.run, tmp_path / "alone").sha256 == result.sha256


def test_a_grid_has_each_run_once():
    """Architectures × recipes × seeds, without duplicates, with the epochs asked for."""
    made = grid(["exp1", "exp5", "exp1"], ["record", "documented"], [0, 1, 0], epochs=3)
    assert len(made) == len(set(made)) == 2 * 2 * 2
    assert {run.recipe.epochs for run in made} == {3}
    assert {run.recipe.epochs for run in grid(["exp5"], ["documented"], [0])} == {20}


@pytest.mark.parametrize(("architecture", "recipe"), [("exp6", "record"), ("exp1", "recrod")])
def test_a_grid_of_unknown_names_is_refused(architecture, recipe):
    """A misspelled name is an error before anything is trained."""
    with pytest.raises(UnknownNameError, match="Did you mean"):
        grid([architecture], [recipe], [0])


def test_only_runs_without_a_result_remain(tmp_path):
    """Each of them has a folder of its own."""
    shutil.copy(RESULTS / "exp1-record-0.json", tmp_path)
    left = remaining(grid(["exp1"], ["record"], [0, 1]), str(tmp_path))
    assert {folder: run.seed for folder, run in left.items()} == {tmp_path / "exp1-record-1": 1}


def test_a_finished_run_without_a_result_is_published(tmp_path):
    """A run interrupted between its metrics and the study's result is not trained again."""
    folder = tmp_path / "exp1-record-0"
    folder.mkdir()
    shutil.copy(RESULTS / "exp1-record-0.json", folder / "metrics.json")
    with pytest.raises(TrainingError, match=r"The model in .* is not what the run wrote"):
        remaining(grid(["exp1"], ["record"], [0]), tmp_path)
    mnistzoo.exp1(pretrained=True).save_pretrained(folder)
    (tmp_path / "._exp1-record-0.json").write_text("a hidden file of someone else's")
    assert remaining(grid(["exp1"], ["record"], [0]), tmp_path) == {}
    assert (tmp_path / "exp1-record-0.json").exists()


@pytest.mark.parametrize("place", ["exp1-record-0.json", "exp1-record-0/metrics.json"])
@pytest.mark.parametrize("other", [{"epochs": 1}, {"holdout": 10_000}])
def test_a_folder_of_another_study_is_refused(tmp_path, place, other):
    """Results with other epochs or another holdout are refused, even of another seed."""
    (tmp_path / place).parent.mkdir(exist_ok=True)
    shutil.copy(RESULTS / "exp1-record-0.json", tmp_path / place)
    with pytest.raises(TrainingError, match="Choose another folder"):
        remaining(grid(["exp1"], ["record"], [0, 1], **other), tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == [place.split("/")[0]]


@pytest.mark.parametrize(
    ("architectures", "shared"), [("exp1 exp1", "exp1"), ("exp4 exp5", "teacher")]
)
def test_two_runs_cannot_share_a_folder(tmp_path, architectures, shared):
    """Runs, or teachers, with other epochs than those in the same folder are refused."""
    first, second = (
        grid([name], ["record"], [0], epochs=n)[0]
        for n, name in enumerate(architectures.split(), 1)
    )
    assert len(remaining([first, first], tmp_path)) == 1
    with pytest.raises(InputError, match=f"two for {shared}-record-0"):
        remaining([first, second], tmp_path)


def test_a_result_under_another_name_is_refused(tmp_path):
    """A result whose run does not match its file name belongs to neither run."""
    shutil.copy(RESULTS / "exp1-record-0.json", tmp_path / "exp1-record-1.json")
    with pytest.raises(TrainingError, match=r"another run: exp1-record-0\. Remove"):
        remaining(grid(["exp1"], ["record"], [1]), tmp_path)


def test_a_damaged_result_is_named(tmp_path):
    """A truncated result is an error that names it, and is not overwritten."""
    text = (RESULTS / "exp1-record-0.json").read_text()
    (tmp_path / "exp1-record-0.json").write_text(text[:-100])
    with pytest.raises(DataError, match=r"exp1-record-0\.json"):
        remaining(grid(["exp1"], ["record"], [0]), tmp_path)


@pytest.mark.parametrize(
    "options",
    [
        ["--jobs", "2", "--ray", "auto"],
        ["--seed", "x"],
        ["--seed", "9" * 5000],
        ["--jobs", "0"],
    ],
)
def test_wrong_usage_is_refused(tmp_path, options):
    """Two engines, seeds that are not numbers, and no jobs are wrong usage."""
    result = CliRunner().invoke(app, ["study", "-o", str(tmp_path / "out"), *options])
    assert result.exit_code == 2
    assert not (tmp_path / "out").exists()


def test_an_engine_without_jobs_is_refused(tmp_path):
    """No jobs would never end, and are an error."""
    with pytest.raises(InputError, match="one job or more, got 0"):
        next(run_locally({tmp_path: grid(["exp1"], ["record"], [0])[0]}, jobs=0))


@pytest.fixture
def engine(monkeypatch):
    """Return an engine that trains in this process, and the names of the folders it trained in.

    The teacher of every run is exp1.
    """
    trained = []

    def engine(folders):
        for folder, run in folders.items():
            trained.append(folder.name)
            try:
                loop.train_run(run, folder)
            except TrainingError as error:
                yield folder, error
            else:
                yield folder, None

    return engine, trained


def with_teacher(*architectures, epochs=2):
    """Describe runs of architectures that have exp1 for a teacher."""
    return [
        replace(run, recipe=replace(run.recipe, teacher="exp1"))
        for run in grid(architectures, ["record"], [0], epochs=epochs)
    ]


def test_a_teacher_is_trained_once(tmp_path, small_mnist, engine):
    """Runs of one seed share their teacher, and are what `train` makes of them."""
    train, trained = engine
    made = with_teacher("exp4", "exp5")
    results = dict(train_runs(remaining(made, tmp_path), train))
    assert trained == ["exp1-record-0", "exp4-record-0", "exp5-record-0"]
    teacher = read_result(tmp_path / "exp1-record-0" / "metrics.json")
    for result in results.values():
        assert result.teacher.sha256 == teacher.sha256
        assert result.teacher.seconds == teacher.seconds
    alone = loop.train_run(made[1], tmp_path / "alone")
    assert results[tmp_path / "exp5-record-0"].sha256 == alone.sha256


def test_a_teacher_that_fails(tmp_path, small_mnist, engine, monkeypatch):
    """The runs that need the teacher report its error; the others are trained."""
    diverging = replace(recipes.get_recipe("record", "exp1"), learning_rate=1e30)
    monkeypatch.setitem(recipes._CHOSEN, ("record", "exp1"), diverging)
    train, trained = engine
    made = [*with_teacher("exp4", "exp5"), *grid(["exp2"], ["fast"], [0])]
    outcomes = dict(train_runs(remaining(made, tmp_path), train))
    assert trained == ["exp1-record-0", "exp2-fast-0"]
    for name in "exp4-record-0", "exp5-record-0":
        assert "The loss of exp1 is" in str(outcomes[tmp_path / name])
    assert isinstance(outcomes[tmp_path / "exp2-fast-0"], Result)


def test_a_teacher_of_another_study(tmp_path, small_mnist, engine):
    """A teacher of other epochs, or a damaged one, fails the runs that need it, and no others."""
    train, trained = engine
    (shorter,), (longer,) = (with_teacher("exp5", epochs=n) for n in (1, 2))
    other, place = grid(["exp2"], ["fast"], [0], epochs=1)[0], tmp_path / "exp1-record-0"
    folders = {tmp_path / "exp5-record-0": longer, tmp_path / "exp2-fast-0": other}
    loop.train_run(shorter.teacher, place)
    outcomes = dict(train_runs(folders, train))
    assert trained == ["exp2-fast-0"]
    assert isinstance(outcomes[tmp_path / "exp2-fast-0"], Result)
    error = str(outcomes[tmp_path / "exp5-record-0"])
    assert "exp1-record-0 holds another run, with epochs 1, not 2" in error
    shutil.rmtree(place)
    loop.train_run(longer.teacher, place)
    (place / "config.json").unlink()
    ((_, error),) = train_runs({tmp_path / "exp5-record-0": longer}, train)
    assert "is not what the run wrote there" in str(error)
    assert not (tmp_path / "exp5-record-0").exists()
