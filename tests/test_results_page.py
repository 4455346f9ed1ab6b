"""The pages Results and Ablations: tables, figures and sentences match the results."""

import csv
import json
import math
import re
import shlex
from collections import defaultdict
from pathlib import Path
from statistics import mean, stdev, variance

import pytest
from scipy.stats import t, ttest_ind
from typer.testing import CliRunner

import mnistzoo
from mnistzoo.architectures import ARCHITECTURES
from mnistzoo.cli import app, evaluate
from mnistzoo.cli import plot as plotting
from mnistzoo.plots import facts_of_fine_tuning
from mnistzoo.training.metrics import load_results
from mnistzoo.training.recipes import get_recipe

ROOT = Path(__file__).parent.parent
PAGE = (ROOT / "docs/explanation/results.md").read_text(encoding="utf8")

OWN_DATA = (ROOT / "docs/how-to/own-data.md").read_text(encoding="utf8")

TABLES = re.findall(r"<!-- mnistzoo (.*) -->\n((?:\|.*\n)*)<!-- end -->", PAGE)
FIGURES = re.findall(r"<!-- mnistzoo (plot .*) -o (\S+) -->\n!\[.+\]\((.+)\)", PAGE + OWN_DATA)


@pytest.fixture(scope="module")
def invoke():
    """Run commands in the repository's folder; each model is evaluated once for all of them."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(ROOT)
        measured = evaluate._evaluate(list(ARCHITECTURES), None, None, False)
        images = plotting._evaluate("exp1", None, None, False)[1]
        patch.setattr(evaluate, "_evaluate", lambda *_: measured)
        patch.setattr(plotting, "_evaluate", lambda name, *_: (measured[name], images))

        def run(command):
            result = CliRunner().invoke(app, shlex.split(command), catch_exceptions=False)
            assert result.exit_code == 0, result.output
            return result.stdout

        yield run


@pytest.mark.parametrize(("command", "shown"), TABLES, ids=[command for command, _ in TABLES])
def test_tables_are_what_the_commands_print(invoke, command, shown):
    """Each table of the page is the current output of the command above it."""
    assert shown == invoke(command)


@pytest.mark.parametrize(("command", "path", "link"), FIGURES, ids=[p for _, p, _ in FIGURES])
def test_figures_show_the_current_numbers(invoke, tmp_path, command, path, link):
    """Each figure carries the numbers that its command draws now, and is a small file."""
    image = pytest.importorskip("PIL.Image")
    pytest.importorskip("matplotlib", reason="an extra of the package")
    assert ROOT / path == (ROOT / "docs" / "explanation" / link).resolve()
    facts = json.loads(invoke(f"{command} -o {tmp_path / 'figure.png'} --format json"))
    del facts["file"]
    with image.open(ROOT / path) as figure:
        drawn = json.loads(figure.info["Description"])
    drawn, facts = flat(drawn), flat(facts)
    assert drawn.keys() == facts.keys()
    for name, value in facts.items():
        exact = isinstance(value, str | None)
        assert drawn[name] == (value if exact else pytest.approx(value, rel=1e-4, abs=1e-6)), name
    assert (ROOT / path).stat().st_size < 150_000


def flat(value, name=""):
    """Return the leaves of nested lists and dictionaries by their path."""
    if not isinstance(value, list | dict):
        return {name: value}
    items = value.items() if isinstance(value, dict) else enumerate(value)
    return {k: v for key, item in items for k, v in flat(item, f"{name}/{key}").items()}


def test_every_command_is_checked():
    """No comment with a command is missed by the tests above."""
    assert len(TABLES) + len(FIGURES) == (PAGE + OWN_DATA).count("<!-- mnistzoo ") == 10


def record_counts(folder):
    """Return the numbers of correct images of each model under `record`, by name."""
    found = defaultdict(list)
    for result in load_results(ROOT / folder):
        if result.recipe.name == "record":
            found[result.architecture].append(result.correct)
    return found


def test_every_run_is_there():
    """There are five seeds of exp5 and three of the others, and two of exp4 under `patient`."""
    assert {result.key for result in load_results(ROOT / "docs/results")} == {
        (name, recipe, seed)
        for name in mnistzoo.list_models()
        for recipe in ("documented", "record")
        for seed in range(5 if name == "exp5" else 3)
    } | {("exp4", "patient", seed) for seed in range(2)}


def test_the_page_states_the_gain_of_the_teacher():
    """Gains have their standard errors, and those that Welch's t-test distinguishes are named."""
    now, before = record_counts("docs/results"), record_counts("docs/results/earlier")
    order = "exp3", "exp2", "exp4", "exp1", "exp5"
    gains = []
    for name in order:
        gain = mean(now[name]) - mean(before[name])
        error = sum(variance(runs) / len(runs) for runs in (now[name], before[name])) ** 0.5
        gains.append(f"{gain:.0f} ± {error:.0f} for {name}")
    gains[0] = gains[0].replace(" for", " images for")
    text = " ".join(PAGE.split())
    assert f"gains {', '.join(gains[:-1])} and {gains[-1]}" in text
    tests = {name: ttest_ind(now[name], before[name], equal_var=False).pvalue for name in order}
    assert [name for name in sorted(order) if tests[name] < 0.05] == ["exp2", "exp4"]
    assert "Only the gains of exp2 and exp4" in text


def test_the_page_of_own_data_states_the_results_on_fashion_mnist():
    """It states the accuracy of each seed, and their mean, which reaches 91.0%."""
    runs = load_results(ROOT / "docs/results/fashion")
    assert [run.key for run in runs] == [("exp5", "fashion", seed) for seed in range(3)]
    assert {run.recipe for run in runs} == {get_recipe("fashion", "exp5")}
    *first, last = (f"{run.accuracy:.2%}" for run in runs)
    average = mean(run.accuracy for run in runs)
    text = " ".join(OWN_DATA.split())
    stated = f"{average:.2%} on the test images, the mean of three seeds"
    assert f"{stated} ({', '.join(first)} and {last})" in text
    assert average >= 0.91


def test_the_page_of_own_data_states_the_results_on_digits_of_8x8_pixels():
    """It states the mean of all seeds and their range, and what the averages of three read."""
    runs = load_results(ROOT / "docs/results/8x8")
    assert [run.key for run in runs] == [("exp5", "adapt", seed) for seed in range(9)]
    assert {run.recipe for run in runs} == {get_recipe("adapt", "exp5")}
    assert all(run.keep_classifier for run in runs)
    text = " ".join(OWN_DATA.split())
    correct = [run.correct for run in runs]
    average = mean(run.accuracy for run in runs)
    stated = f"{average:.2%}, the mean of nine seeds ({min(correct)} to {max(correct)} images)"
    assert stated in text
    lines = (ROOT / "docs/results/8x8/averages.csv").read_text(encoding="utf8").splitlines()
    rows = list(csv.DictReader(lines))
    averages = [int(row["correct"]) for row in rows]
    first, second, third = averages
    stated = f"{first} images for seeds 0 to 2, {second} for 3 to 5, and {third} for 6 to 8"
    assert f"{sum(averages) / sum(int(row['total']) for row in rows):.2%}: {stated}" in text


def test_the_page_of_own_data_states_the_gain_of_pretrained_features():
    """Its table has the accuracy of each run of the figure, under the recipe as it is."""
    found = facts_of_fine_tuning(load_results(ROOT / "docs/results/fine-tuning"))
    scratch, pretrained = (
        found[f"exp5, from {start}"] for start in ("scratch", "pretrained features")
    )
    rows = [
        f"| {one['images']:,} | {one['accuracy']:.2%} | {two['accuracy']:.2%} |"
        for one, two in zip(scratch, pretrained, strict=True)
    ]
    assert len(rows) == 3
    assert "\n".join(rows) in OWN_DATA
    recipe = get_recipe("fine-tune", "exp5")
    assert {run.recipe for run in load_results(ROOT / "docs/results/fine-tuning")} == {recipe}


def test_the_page_states_the_versions_of_torch():
    """The first runs under `documented` were made with another version of torch."""
    newer = set()
    for result in load_results(ROOT / "docs/results"):
        if result.versions["torch"] == "2.15.0":
            newer.add(result.key)
        else:
            assert result.versions["torch"] == "2.14.1"
    seeds = {(name, "documented", 0) for name in ARCHITECTURES}
    assert newer == seeds | {("exp1", "documented", seed) for seed in (1, 2)}


def test_the_page_of_ablations_states_the_noise():
    """The page says by how many images rows differ if only their seed differs."""

    def rows(name):
        return csv.DictReader(
            (ROOT / "docs" / "development" / name).read_text(encoding="utf8").splitlines()
        )

    found = defaultdict(list)
    for row in rows("ablations-teacher.csv"):
        kind = row["trained on"].split()[0]
        plain = row["arguments"] in ("", "`teacher=null`") and row["model"] != "teacher"
        if plain and row["correct"].isdigit():
            found[row["model"], kind, row["epochs"]].append(int(row["correct"]))
    apart = max(max(counts) - min(counts) for counts in found.values())
    runs = [
        [int(row[f"seed {seed}"]) for seed in range(3) if row[f"seed {seed}"]]
        for row in rows("ablations-fast-later.csv")
    ]
    fast = max(max(counts) - min(counts) for counts in runs)
    text = " ".join((ROOT / "docs/development/ablations.md").read_text(encoding="utf8").split())
    assert f"differ by up to {apart} images, or {fast} for the recipe `fast`" in text


def test_the_number_of_images_of_fast_follows_from_its_rule():
    """The page states the mean of the held-out runs, from which the rule computes the number."""
    folder = ROOT / "docs" / "development"
    page = (folder / "ablations.md").read_text(encoding="utf8")
    lines = (folder / "ablations-fast-44000.csv").read_text(encoding="utf8").splitlines()[1:]
    counts = [int(count) for line in lines for count in line.split(",")[1:]]
    assert len(counts) == 16
    assert f"The mean is {mean(counts):,.1f}" in page
    missing = max(0, math.ceil((9892 - mean(counts)) / 2))
    chosen = min(48_000, 44_000 + 2_000 * missing)
    assert f"the rule chooses {chosen:,}" in page
    assert get_recipe("fast", "exp5").images == chosen


@pytest.mark.parametrize(
    ("page", "runs", "dtype", "reached"),
    [
        ("fast.md", "fast.csv", "float32", True),
        ("fast.md", "fast.csv", "bfloat16", True),
        ("ablations.md", "ablations-fast-40000.csv", "float32", True),
        ("ablations.md", "ablations-fast-40000.csv", "bfloat16", False),
    ],
)
def test_the_time_to_99_percent_is_that_of_its_runs(page, runs, dtype, reached):
    """Each table is computed from its seeds, and its interval is above 99.0% where that is said."""
    page = (ROOT / "docs/development" / page).read_text(encoding="utf8")
    lines = (ROOT / "docs/development" / runs).read_text(encoding="utf8").splitlines()
    column = lines[0].split(",").index(dtype)
    runs = [line.split(",")[column : column + 2] for line in lines[1:]]
    accuracies = [float(accuracy.rstrip("%")) for accuracy, _ in runs]
    seconds = mean(float(value) for _, value in runs)
    middle = mean(accuracies)
    half = t.ppf(0.975, len(runs) - 1) * stdev(accuracies) / len(runs) ** 0.5
    row = next(line for line in page.splitlines() if line.startswith(f"| {dtype} |"))
    _, stated, interval, lowest, duration, documented, ratio = row.strip("| ").split(" | ")
    assert stated == f"{middle:.3f}%"
    bounds = [float(bound.rstrip("%")) for bound in interval.split(" to ")]
    assert bounds == pytest.approx([middle - half, middle + half], abs=0.0015)
    assert (bounds[0] > 99.0) == reached
    assert lowest == f"{min(accuracies):.2f}%"
    assert float(duration) == pytest.approx(seconds, abs=0.051)
    assert float(ratio) == pytest.approx(float(documented.split(",")[0]) / seconds, abs=0.06)
