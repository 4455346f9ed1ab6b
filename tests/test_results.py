"""Results of finished runs: read, summed up over seeds, and written as CSV."""

import csv
import io
import json
import statistics
from dataclasses import asdict, replace
from pathlib import Path

import pytest
from typer.testing import CliRunner

from mnistzoo.cli import app
from mnistzoo.errors import DataError, FileReadError, InputError
from mnistzoo.training.metrics import Epoch, Result, load_results, read_result
from mnistzoo.training.recipes import get_recipe
from mnistzoo.training.summary import COLUMNS, summarize, to_csv

COMMITTED = Path(__file__).parent.parent / "docs/results"


def result(accuracies=(0.8, 0.9), *, network="exp1", recipe="documented", seed=0):
    """A run with these accuracies after its epochs."""
    epochs = tuple(Epoch(n, 0.1, 0.9, accuracy) for n, accuracy in enumerate(accuracies, 1))
    used = replace(get_recipe(recipe, network), epochs=len(epochs))
    correct = round(accuracies[-1] * 10_000)
    return Result(network, used, seed, "test", correct, 10_000, 0.1, 5.0, epochs, "0" * 64)


def write(folder, made, **changes):
    """The metrics file that training would have left."""
    path = folder / f"{made.network}-{made.recipe.name}-{made.seed}.json"
    path.write_text(json.dumps(asdict(made) | changes), encoding="utf8")
    return path


def test_what_is_written_is_what_is_read(tmp_path):
    """The runs of a folder come back equal, sorted by network, recipe and seed."""
    made = [result(seed=10), result(seed=2), result(recipe="record"), result(network="exp5")]
    for one in made:
        write(tmp_path, one)
    assert load_results(tmp_path) == [made[1], made[0], made[2], made[3]]


def test_settings_of_another_version(tmp_path):
    """A recipe's setting that is not known is passed over where it was off, and named where on."""
    made = result()
    off, on = (asdict(made)["recipe"] | {"warm": warm} for warm in (False, True))
    assert read_result(write(tmp_path, made, recipe=off)) == made
    with pytest.raises(DataError, match="settings that are not known: warm"):
        read_result(write(tmp_path, made, recipe=on))


def test_committed_results_hold_together():
    """Each committed file has the name of its run, and its last epoch is what it came to."""
    for path in COMMITTED.glob("*.json"):
        run = read_result(path)
        assert path.stem == f"{run.network}-{run.recipe.name}-{run.seed}"
        assert run.epochs[-1].accuracy == run.accuracy
        assert run.split == "test"


def test_the_summary_is_that_of_the_statistics_module():
    """Mean, sd, smallest and largest accuracy are those of the seeds; one seed has no sd."""
    correct = [9_955, 9_942, 9_961]
    runs = [result((0.9, right / 10_000), seed=seed) for seed, right in enumerate(correct)]
    several, one = summarize([*runs, result(network="exp5")])
    accuracies = [right / 10_000 for right in correct]
    assert several.seeds == 3
    assert several.mean == pytest.approx(sum(accuracies) / 3)
    assert several.sd == pytest.approx(statistics.variance(accuracies) ** 0.5)
    assert (several.min, several.max) == (0.9942, 0.9961)
    assert (one.network, one.seeds, one.sd) == ("exp5", 1, None)


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
    """The worst drop is the largest fall between neighbouring epochs after the first third."""
    assert result(accuracies).worst_drop == drop


def test_the_summary_has_the_worst_drop_of_all_seeds():
    """One seed that falls is enough."""
    steady, falling = result((0.1, 0.2, 0.3)), result((0.1, 0.4, 0.3), seed=1)
    assert [s.worst_drop for s in summarize([steady, falling])] == [0.1]
    assert [s.worst_drop for s in summarize([result((0.5,))])] == [None]


@pytest.mark.parametrize(
    "other",
    [
        result(),
        replace(result(seed=1), split="validation"),
        replace(result(seed=1), total=9_999),
        result((0.7, 0.8, 0.9), seed=1),
    ],
    ids=["seed twice", "other images", "fewer images", "other settings"],
)
def test_only_repetitions_are_averaged(other):
    """Runs that differ in more than the seed, or a seed that is there twice, are refused."""
    with pytest.raises(InputError, match="exp1 under documented"):
        summarize([result(), other])


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"network": "exp9"}, "no network 'exp9'"),
        ({"network": []}, "unhashable"),
        ({"split": "train"}, "neither test nor validation"),
        ({"correct": 10_001}, "correct is 10001, expected 0 to 10000"),
        ({"correct": "9000"}, "correct is '9000'"),
        ({"correct": 9_001}, "correct is 9001 of 10000, and the last epoch's accuracy 0.9"),
        ({"seed": True}, "seed is True"),
        ({"seed": 2**32}, "seed is 4294967296, expected 0 to 4294967295"),
        ({"total": 0}, "total is 0"),
        ({"nll": float("nan")}, "nll is nan"),
        ({"nll": None}, "nll is None"),
        ({"epochs": []}, "expected 2 epochs, got 0"),
        ({"epochs": 7}, "not iterable"),
        ({"epochs": [{"epoch": 2}]}, "epoch is 2, expected 1"),
        ({"recipe": {"name": "record"}}, "'augmentation' is missing"),
        ({"recipe": {"name": "secret", "augmentation": {}}}, "no recipe 'secret'"),
        ({"recipe": None}, "NoneType"),
    ],
)
def test_damage_is_named(tmp_path, changes, reason):
    """A value that a finished run cannot have is one error that names the file and the value."""
    path = write(tmp_path, result(), **changes)
    with pytest.raises(DataError, match=reason) as caught:
        load_results(tmp_path)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "null", "[" * 100_000, '{"network": "exp1"}', "\xff"]
)
def test_what_is_no_metrics_file_is_named(tmp_path, text):
    """Anything else with the name of a metrics file is the same error, however odd."""
    path = tmp_path / "odd.json"
    path.write_bytes(text.encode("latin1"))
    with pytest.raises(DataError, match=r"odd\.json is not the metrics of a finished run"):
        read_result(path)


def test_the_folder_of_one_run(tmp_path):
    """Its metrics are read, not the network's config; hidden files are not looked at."""
    (tmp_path / "._exp1.json").write_bytes(b"\0")
    write(tmp_path, result(seed=3)).rename(tmp_path / "metrics.json")
    (tmp_path / "config.json").write_text("{}")
    assert [found.seed for found in load_results(tmp_path)] == [3]


def test_an_empty_or_missing_folder_is_an_error(tmp_path):
    """No results is an error that names the folder; so is a folder with a run's name."""
    for folder in (tmp_path, tmp_path / "missing"):
        with pytest.raises(DataError, match="found none"):
            load_results(folder)
    (tmp_path / "x.json").mkdir()
    with pytest.raises(FileReadError, match=r"x\.json"):
        load_results(tmp_path)


def test_csv_reads_back():
    """A line for each run, in order, with the values of the runs."""
    runs = [result((0.1, 0.4, 0.3), seed=1), result((0.1, 0.2, 0.3))]
    rows = list(csv.DictReader(io.StringIO(to_csv(runs))))
    assert tuple(rows[0]) == COLUMNS
    assert [int(row["seed"]) for row in rows] == [0, 1]
    assert [float(row["worst_drop"]) for row in rows] == [0.0, 0.1]
    assert [float(row["accuracy"]) for row in rows] == [0.3, 0.3]
    assert {(row["recipe"], row["epochs"]) for row in rows} == {("documented", "3")}


def invoke(*args):
    """Run `results` and give what it printed."""
    result = CliRunner().invoke(app, ["results", *map(str, args)], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.stdout


def test_the_command_compares_with_the_study(tmp_path):
    """Each model and recipe has a row: mean ± sd, range, worst drop and the study's figure."""
    correct = [9_955, 9_942, 9_961]
    for seed, right in enumerate(correct):
        write(tmp_path, result((0.1, 0.4, 0.3, right / 10_000), network="exp5", seed=seed))
    write(tmp_path, replace(result(recipe="record"), split="validation"))
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
    assert (summary["network"], summary["seeds"], summary["mean"]) == ("exp1", 3, 0.9)
    assert invoke(tmp_path, "--runs", "--format", "csv") == to_csv(load_results(tmp_path))
