"""Results of finished runs: read, checked, summarized over seeds, and written as CSV."""

import csv
import io
import json
import re
import statistics
from pathlib import Path

import pytest
from typer.testing import CliRunner

from mnistzoo.cli import app
from mnistzoo.errors import DataError, FileReadError, InputError
from mnistzoo.records import to_json
from mnistzoo.training.metrics import load_results, read_result
from mnistzoo.training.summary import COLUMNS, summarize, to_csv
from samples import result

COMMITTED = Path(__file__).parent.parent / "docs/results"


def write(folder, made, **changes):
    """Write the metrics file of a run, with some fields changed."""
    path = folder / f"{made.architecture}-{made.recipe.name}-{made.seed}.json"
    path.write_text(json.dumps(json.loads(to_json(made)) | changes), encoding="utf8")
    return path


def test_results_are_read_as_written(tmp_path):
    """The runs of a folder come back equal, sorted by architecture, recipe and seed."""
    made = [result(seed=10), result(seed=2), result(recipe="record"), result(architecture="exp5")]
    for one in made:
        write(tmp_path, one)
    assert load_results(tmp_path) == [made[1], made[0], made[2], made[3]]


@pytest.mark.parametrize("path", sorted(COMMITTED.rglob("*.json")), ids=lambda path: path.stem)
def test_committed_results_are_what_is_written(path):
    """Each committed file has the name of its run, and says what its result is written as.

    Settings that are newer than the file have their defaults.
    """
    run = read_result(path)
    named = f"{run.architecture}-{run.recipe.name}-{run.seed}"
    assert path.parent.name == "fine-tuning" or path.stem == named
    assert run.split == "test"
    assert within(json.loads(path.read_bytes()), json.loads(to_json(run)))


def within(old, new):
    """Tell whether values are the same, apart from keys that the old one lacks."""
    if isinstance(old, dict):
        return all(key in new and within(old[key], new[key]) for key in old)
    return old == new


def test_summaries_are_those_of_the_statistics_module():
    """Mean, sd and range of accuracy are taken over the seeds; one seed has no sd."""
    correct = [9_955, 9_942, 9_961]
    runs = [result((0.9, right / 10_000), seed=seed) for seed, right in enumerate(correct)]
    several, one = summarize([*runs, result(architecture="exp5")])
    accuracies = [right / 10_000 for right in correct]
    assert several.seeds == 3
    assert several.mean == pytest.approx(sum(accuracies) / 3)
    assert several.sd == pytest.approx(statistics.variance(accuracies) ** 0.5)
    assert (several.min, several.max) == (0.9942, 0.9961)
    assert (one.model, one.seeds, one.sd) == ("exp5", 1, None)


@pytest.mark.parametrize(
    ("accuracies", "drop"),
    [
        ((0.5, 0.6, 0.7, 0.8, 0.9, 0.95), 0.0),  # it only rises
        ((0.5, 0.6, 0.9, 0.8, 0.9, 0.87), 0.1),  # the larger of two falls
        ((0.9, 0.1, 0.2, 0.3, 0.4, 0.5), 0.0),  # a fall within the first third
        ((0.5, 0.9, 0.2, 0.3, 0.4, 0.5), 0.0),  # a fall out of the first third
        ((0.5, 0.6, 0.7, 0.65, 0.64, 0.6), 0.05),  # one epoch's fall, not the whole way down
        ((0.9,), None),
        ((0.9, 0.8), 0.1),
    ],
)
def test_the_worst_drop_is_after_the_first_third(accuracies, drop):
    """The worst drop is the largest fall from one epoch to the next after the first third."""
    assert result(accuracies).worst_drop == drop


def test_a_summary_has_the_worst_drop_of_all_seeds():
    """The largest drop of any seed counts."""
    steady, falling = result((0.1, 0.2, 0.3)), result((0.1, 0.4, 0.3), seed=1)
    assert [s.worst_drop for s in summarize([steady, falling])] == [0.1]
    assert [s.worst_drop for s in summarize([result((0.5,))])] == [None]


@pytest.mark.parametrize(
    "other",
    [
        result(),
        result(seed=1, holdout=10_000),
        result(seed=1, total=9_000),
        result((0.7, 0.8, 0.9), seed=1),
    ],
    ids=["seed twice", "other images", "fewer images", "other settings"],
)
def test_only_repetitions_are_averaged(other):
    """Runs that differ in more than the seed, or repeat a seed, are refused."""
    with pytest.raises(InputError, match="exp1 with recipe documented"):
        summarize([result(), other])


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"architecture": "exp9"}, "no model 'exp9'"),
        ({"architecture": []}, "`$.architecture`"),
        ({"split": "train"}, "'train' - at `$.split`"),
        ({"split": "validation"}, "split 'test', got 'validation'"),
        ({"holdout": 5, "split": "validation"}, "total of 5, got 10000"),
        ({"correct": 10_001}, "at most 10000 correct images, got 10001"),
        ({"correct": "9000"}, "`$.correct`"),
        ({"correct": -1}, "`$.correct`"),
        ({"correct": 9_001}, "got 9001 of 10000"),
        ({"seed": True}, "`$.seed`"),
        ({"seed": 2**32}, "seed from 0 to 4294967295, got 4294967296"),
        ({"total": 0}, "`$.total`"),
        ({"nll": float("nan")}, "malformed"),
        ({"nll": None}, "`$.nll`"),
        ({"sha256": "0" * 63}, "`$.sha256`"),
        ({"epochs": []}, "epochs 1 to 2, got"),
        ({"epochs": 7}, "`$.epochs`"),
        ({"epochs": [{"epoch": 2}]}, "`$.epochs[0]`"),
        ({"recipe": {"name": "record"}}, "`$.recipe`"),
        ({"recipe": None}, "`$.recipe`"),
        ({"surprise": 1}, "`surprise`"),
    ],
)
def test_damage_is_named(tmp_path, changes, reason):
    """A value that no finished run has is one error that names the file and the field."""
    path = write(tmp_path, result(), **changes)
    with pytest.raises(DataError, match=re.escape(reason)) as caught:
        load_results(tmp_path)
    assert str(path) in str(caught.value)
    assert "Train again" in str(caught.value)


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "null", "[" * 100_000, '{"architecture": "exp1"}', "\xff"]
)
def test_other_files_are_refused(tmp_path, text):
    """Any other file with the name of a metrics file is the same error."""
    path = tmp_path / "odd.json"
    path.write_bytes(text.encode("latin1"))
    with pytest.raises(DataError, match=r"odd\.json is not the metrics of a finished run"):
        read_result(path)


def test_the_folder_of_one_run_is_read(tmp_path):
    """The metrics of a run folder are read; its config and hidden files are not."""
    (tmp_path / "._exp1.json").write_bytes(b"\0")
    write(tmp_path, result(seed=3)).rename(tmp_path / "metrics.json")
    (tmp_path / "config.json").write_text("{}")
    assert [found.seed for found in load_results(tmp_path)] == [3]


def test_an_empty_or_missing_folder_is_refused(tmp_path):
    """A folder without results is an error that names it; so is a folder in a file's place."""
    for folder in (tmp_path, tmp_path / "missing"):
        with pytest.raises(DataError, match="found none"):
            load_results(folder)
    (tmp_path / "x.json").mkdir()
    with pytest.raises(FileReadError, match=r"x\.json"):
        load_results(tmp_path)


def test_csv_reads_back():
    """There is a line for each run, in order, with its values."""
    runs = [result((0.1, 0.4, 0.3), seed=1), result((0.1, 0.2, 0.3))]
    rows = list(csv.DictReader(io.StringIO(to_csv(runs))))
    assert tuple(rows[0]) == COLUMNS
    assert [int(row["seed"]) for row in rows] == [0, 1]
    assert [float(row["worst_drop"]) for row in rows] == [0.0, 0.1]
    assert [float(row["accuracy"]) for row in rows] == [0.3, 0.3]
    assert {(row["recipe"], row["epochs"]) for row in rows} == {("documented", "3")}


def invoke(*args):
    """Run `results` and return its output."""
    result = CliRunner().invoke(app, ["results", *map(str, args)], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.stdout


def test_the_command_compares_with_the_study(tmp_path):
    """Each model and recipe has a row: mean ± sd, range, worst drop and the study's figure."""
    correct = [9_955, 9_942, 9_961]
    for seed, right in enumerate(correct):
        write(tmp_path, result((0.1, 0.4, 0.3, right / 10_000), architecture="exp5", seed=seed))
    write(tmp_path, result(recipe="record", holdout=10_000))
    rows = invoke(tmp_path, "--format", "markdown").splitlines()[2:]
    assert [[cell.strip() for cell in row.split("|")[1:-1]] for row in rows] == [
        ["exp1", "record", "1", "validation", "90.00%", "-", "0.00", "91.73%"],
        ["exp5", "documented", "3", "test", "99.53% ± 0.10", "99.42–99.61%", "10.00", "99.50%"],
    ]
    assert "99.53% ± 0.10" in invoke(tmp_path)


def test_the_command_prints_runs_or_summaries(tmp_path):
    """Three runs of one model are one summary, or three rows in seed order."""
    for seed in range(3):
        write(tmp_path, result(seed=seed))
    (summary,) = json.loads(invoke(tmp_path, "--format", "json"))
    assert (summary["model"], summary["seeds"], summary["mean"]) == ("exp1", 3, 0.9)
    assert invoke(tmp_path, "--runs", "--format", "csv") == to_csv(load_results(tmp_path))
