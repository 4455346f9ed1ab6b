"""The pages of the documentation: what they show runs, and their figures are computed."""

import re
import shlex
from pathlib import Path

import pytest
import typer
from PIL import Image

import documented
import mnistzoo
import reasons
from mnistzoo import zoo
from mnistzoo.architectures import ARCHITECTURES
from mnistzoo.cli import app

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"
PAGES = [ROOT / "README.md", *sorted(DOCS.glob("*.md"))]
OFFLINE = [page for page in PAGES if page.name != "hub.md"]  # tests/hub runs that one


def blocks(page, language):
    """The fenced blocks of one language."""
    return re.findall(rf"^```{language}\n(.*?)^```", page.read_text("utf8"), re.DOTALL | re.M)


@pytest.fixture
def desk(tmp_path, monkeypatch, test_images):
    """A working folder with the files that the pages speak of."""
    monkeypatch.chdir(tmp_path)
    digits = 255 - test_images.images[:3]
    Image.fromarray(digits[0].numpy()).resize((280, 280)).save("photo.png")
    page = Image.new("L", (500, 160), 255)
    for place, digit in enumerate(digits):
        page.paste(Image.fromarray(digit.numpy()).resize((112, 112)), (20 + 160 * place, 24))
    page.save("page.png")
    return tmp_path


@pytest.mark.parametrize(
    "page", [p for p in OFFLINE if blocks(p, "python")], ids=lambda page: page.name
)
def test_python_blocks_run(page, desk, capsys):
    """A page's Python blocks run one after the other, and print what their comments promise."""
    if page.name == "export.md":
        from mnistzoo.export import export

        export(mnistzoo.exp5(pretrained=True), "exp5.onnx")
    names = {}
    for block in blocks(page, "python"):
        exec(compile(block, page.name, "exec"), names)
        promised = re.findall(r"^print\(.*\)\s+# (.*)$", block, re.MULTILINE)
        printed = capsys.readouterr().out.splitlines()
        assert len(printed) == len(promised)
        for line, comment in zip(printed, promised, strict=True):
            assert comment in line


def shell_lines():
    """Each line of the pages' shell blocks, comments taken off."""
    for page in PAGES:
        for block in blocks(page, "sh"):
            for line in block.splitlines():
                yield pytest.param(shlex.split(line, comments=True), id=f"{page.name}: {line}"[:70])


@pytest.mark.parametrize("words", list(shell_lines()))
def test_shell_lines_are_understood(words):
    """Commands of ours take the options shown, and scripts that are named are there."""
    if "mnistzoo" in words:
        command, words = typer.main.get_command(app), words[words.index("mnistzoo") + 1 :]
        while hasattr(command, "commands"):
            command, words = command.commands[words[0]], words[1:]
        command.make_context("mnistzoo", words)  # exits on wrong usage
    for word in words:
        if word.endswith((".py", ".c")):
            assert (ROOT / word).exists()


def test_which_one_is_answered_by_measured_numbers():
    """Each recommendation names the best network of its column, and the figure there."""
    rows = zoo.rows()
    accurate = [row for row in rows if row.accuracy >= 0.995]
    best = {
        "most accurate": max(rows, key=lambda row: row.accuracy),
        "fewest parameters": min(rows, key=lambda row: row.num_params),
        "fewest MACs: quick to train and to try": min(rows, key=lambda row: row.macs),
        "least memory": min(rows, key=lambda row: row.memory),
        "least memory at 99.5% or more": min(accurate, key=lambda row: row.memory),
    }
    figures = [
        lambda row: f"{row.accuracy:.2%}",
        lambda row: f"{row.num_params:,}",
        lambda row: f"{row.macs:,}",
        *[lambda row: f"{row.memory:.2f} MiB"] * 2,
    ]
    wanted = [
        (use, row.name, figure(row))
        for (use, row), figure in zip(best.items(), figures, strict=True)
    ]
    page = (DOCS / "which.md").read_text(encoding="utf8")
    assert re.findall(r"^\| (.*?) \| (exp\d) \| (.*?) \|$", page, re.MULTILINE) == wanted


def test_the_comparison_with_the_study_holds():
    """Of exp3, exp1 takes a twentieth of the MACs, and loses a quarter of a point at most."""
    one, three = (next(row for row in zoo.rows() if row.name == n) for n in ("exp1", "exp3"))
    assert round(three.macs / one.macs, -1) == 20
    assert three.accuracy - one.accuracy <= 0.0025


@pytest.fixture(scope="module")
def figures():
    """All figures of *Documented and computed*."""
    return documented.figures()


def test_every_difference_from_the_study_has_a_reason(figures):
    """Where a figure is not the study's the page says why; no reason is without a figure."""
    assert {figure.why for figure in figures if not figure.holds} <= set(reasons.WHY)
    assert {figure.why for figure in figures if figure.why} == set(reasons.WHY)


def test_every_documented_figure_of_a_network_is_gone_through(figures):
    """The parameters and the accuracy that a row of data documents stand beside the measured."""
    shown = {(figure.what, figure.documented, figure.computed) for figure in figures}
    rows = {row.name: row for row in zoo.rows()}
    for name, row in ARCHITECTURES.items():
        params, accuracy = f"{row.documented_num_params:,}", f"{row.documented_accuracy:.2%}"
        assert (f"{name}: parameters", params, f"{rows[name].num_params:,}") in shown
        assert (f"{name}: test accuracy", accuracy, f"{rows[name].accuracy:.2%}") in shown


def test_the_table_of_layers_is_wrong_where_it_is_known_to_be():
    """Of the study's table of 14 layers, these cells are not what exp5 computes, and no others."""
    cells = [figure for row in documented.layers() for figure in row.cells]
    assert len(cells) == 56
    assert [figure.what for figure in cells if not figure.holds] == [
        "MaxPool2d-7: output",
        *("Conv2d-8: receptive field", "BatchNorm2d-9: receptive field"),
        *("Conv2d-10: input", "Conv2d-10: receptive field", "BatchNorm2d-11: receptive field"),
        *("Conv2d-12: receptive field", "BatchNorm2d-13: receptive field"),
        "Linear-14: receptive field",
    ]
