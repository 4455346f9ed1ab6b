"""docs/results.md: its tables are what the commands print, its figures what they would draw."""

import csv
import json
import re
import shlex
from collections import defaultdict
from pathlib import Path
from statistics import mean, variance

import pytest
from scipy.stats import ttest_ind
from typer.testing import CliRunner

import mnistzoo
from mnistzoo.architectures import ARCHITECTURES
from mnistzoo.cli import app, evaluate
from mnistzoo.cli import plot as plotting
from mnistzoo.training.metrics import load_results
from mnistzoo.training.summary import summarize

ROOT = Path(__file__).parent.parent
PAGE = (ROOT / "docs/results.md").read_text(encoding="utf8")

TABLES = re.findall(r"<!-- mnistzoo (.*) -->\n((?:\|.*\n)*)<!-- end -->", PAGE)
FIGURES = re.findall(r"<!-- mnistzoo (plot .*) -o (\S+) -->\n!\[.+\]\((.+)\)", PAGE)


@pytest.fixture(scope="module")
def invoke():
    """Run a command in the repository's folder, with each network evaluated once for all."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(ROOT)
        measured = evaluate._evaluate(None)
        images = plotting._evaluate("exp1")[1]
        patch.setattr(evaluate, "_evaluate", lambda _: measured)
        patch.setattr(plotting, "_evaluate", lambda name: (measured[name], images))

        def run(command):
            result = CliRunner().invoke(app, shlex.split(command), catch_exceptions=False)
            assert result.exit_code == 0, result.output
            return result.stdout

        yield run


@pytest.mark.parametrize(("command", "shown"), TABLES, ids=[command for command, _ in TABLES])
def test_tables_are_what_the_commands_print(invoke, command, shown):
    """Each table of the page is what the command above it prints now."""
    assert shown == invoke(command)


@pytest.mark.parametrize(("command", "path", "link"), FIGURES, ids=[p for _, p, _ in FIGURES])
def test_figures_are_of_the_numbers_there_are(invoke, tmp_path, command, path, link):
    """Each picture carries the facts that its command would draw now, and is small."""
    image = pytest.importorskip("PIL.Image")
    pytest.importorskip("matplotlib", reason="an extra of the package")
    assert ROOT / path == ROOT / "docs" / link
    facts = json.loads(invoke(f"{command} -o {tmp_path / 'figure.png'} --format json"))
    del facts["file"]
    with image.open(ROOT / path) as picture:
        drawn = json.loads(picture.info["Description"])
    drawn, facts = flat(drawn), flat(facts)
    assert drawn.keys() == facts.keys()
    for name, value in facts.items():
        exact = isinstance(value, str | None)
        assert drawn[name] == (value if exact else pytest.approx(value, rel=1e-4, abs=1e-6)), name
    assert (ROOT / path).stat().st_size < 150_000


def flat(value, name=""):
    """The leaves of nested lists and dictionaries by their place."""
    if not isinstance(value, list | dict):
        return {name: value}
    items = value.items() if isinstance(value, dict) else enumerate(value)
    return {k: v for key, item in items for k, v in flat(item, f"{name}/{key}").items()}


def test_the_page_has_all_of_them():
    """No comment with a command goes unchecked."""
    assert len(TABLES) + len(FIGURES) == PAGE.count("<!-- mnistzoo ") == 9


def test_every_run_is_there():
    """Five seeds of exp5 and three of the others, under both recipes, as the page says."""
    runs = {result.key for result in load_results(ROOT / "docs/results")}
    assert runs == {
        (network, recipe, seed)
        for network in mnistzoo.list_models()
        for recipe in ("documented", "record")
        for seed in range(5 if network == "exp5" else 3)
    }


def test_what_is_said_of_the_aims():
    """The page names the networks whose mean is below what was asked for, and those below aims."""
    means = {
        row.network: round(row.mean, 9)
        for row in summarize(load_results(ROOT / "docs/results"))
        if row.recipe == "record"
    }

    def below(name):
        line = re.search(rf"^\| {name} \|(.*)\|$", PAGE, re.MULTILINE)
        bars = [float(cell.strip(" %")) / 100 for cell in line[1].split("|")]
        short = [network for network, bar in zip(means, bars, strict=True) if means[network] < bar]
        return ", ".join(short) or "none"

    assert f'Below "at least": {below("at least")}. Below the aim: {below("aim")}.' in PAGE


def test_what_is_said_of_the_gain():
    """The page says how many images more the means are than before the teacher, and how surely."""
    now, before = (
        {
            name: [
                result.correct
                for result in load_results(ROOT / folder)
                if (result.architecture, result.recipe.name) == (name, "record")
            ]
            for name in ARCHITECTURES
        }
        for folder in ("docs/results", "docs/results/earlier")
    )
    order = "exp3", "exp2", "exp4", "exp1", "exp5"
    told = []
    for name in order:
        gain = mean(now[name]) - mean(before[name])
        error = sum(variance(runs) / len(runs) for runs in (now[name], before[name])) ** 0.5
        told.append(f"{gain:.0f} ± {error:.0f} for {name}")
    told[0] = told[0].replace(" for", " images for")
    assert f"worth {', '.join(told[:-1])} and {told[-1]}" in " ".join(PAGE.split())
    tests = {name: ttest_ind(now[name], before[name], equal_var=False).pvalue for name in order}
    assert {name for name, p in tests.items() if p < 0.05} == {"exp2", "exp4"}


def test_three_networks_are_not_told_apart():
    """As "Which one?" says: the ranges over the seeds overlap, each with each."""
    runs = [
        result for result in load_results(ROOT / "docs/results") if result.recipe.name == "record"
    ]
    ranges = []
    for name in ("exp2", "exp4", "exp5"):
        correct = [result.correct for result in runs if result.architecture == name]
        ranges.append((min(correct), max(correct)))
    assert max(low for low, _ in ranges) <= min(high for _, high in ranges)


def test_versions_are_told():
    """As the page says: the first runs under `documented` were made with another torch."""
    newer = set()
    for path in (ROOT / "docs/results").glob("*.json"):
        run = json.loads(path.read_text())
        if run["versions"]["torch"] == "2.15.0":
            newer.add((run["architecture"], run["recipe"]["name"], run["seed"]))
        else:
            assert run["versions"]["torch"] == "2.14.1"
    seeds = {(name, "documented", 0) for name in ARCHITECTURES}
    assert newer == seeds | {("exp1", "documented", seed) for seed in (1, 2)}


def test_noise_is_what_seeds_do():
    """The page of levers says how far apart rows of one recipe are that differ in their seed."""

    def rows(name):
        return csv.DictReader((ROOT / "docs" / name).read_text(encoding="utf8").splitlines())

    found = defaultdict(list)
    for row in rows("levers-teacher.csv"):
        kind = "answers" if row["trained on"].startswith("the answers of teacher") else "labels"
        plain = row["arguments"] in ("", "`teacher=null`") and row["network"] != "teacher"
        if plain and row["correct"].isdigit():
            found[row["network"], kind, row["epochs"]].append(int(row["correct"]))
    apart = max(max(counts) - min(counts) for counts in found.values())
    runs = [
        [int(row[f"seed {seed}"]) for seed in range(3) if row[f"seed {seed}"]]
        for row in rows("levers-fast-later.csv")
    ]
    fast = max(max(counts) - min(counts) for counts in runs)
    text = (ROOT / "docs/levers.md").read_text(encoding="utf8")
    assert f"up to {apart} images, and {fast} for the recipe `fast`" in " ".join(text.split())
