"""Pages of the documentation: their code runs, and their figures are computed."""

import re
import shlex
from pathlib import Path

import pytest
import typer
from PIL import Image

import mnistzoo
import operators
import package_diagram as diagram
import reasons
import study
from mnistzoo import errors, zoo
from mnistzoo.analysis.operators.registry import OPERATORS
from mnistzoo.architectures import ARCHITECTURES
from mnistzoo.cli import app
from mnistzoo.storage.robustness import robustness

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"
PAGES = [ROOT / "README.md", *sorted(p for p in DOCS.rglob("*.md") if "_generated" not in p.parts)]
OFFLINE = [page for page in PAGES if page.name != "hub.md"]  # tests/hub runs that one


BLOCK = re.compile(r"^```python\n(.*?)^```$(?:\n\n```text\n(.*?)^```$)?", re.DOTALL | re.MULTILINE)
"""A Python block, and what it prints if that follows."""


def blocks(page, language):
    """Return the fenced blocks of one language."""
    return re.findall(rf"^```{language}\n(.*?)^```", page.read_text("utf8"), re.DOTALL | re.M)


@pytest.fixture
def desk(tmp_path, monkeypatch, test_images):
    """A working folder with the files that the pages mention."""
    monkeypatch.chdir(tmp_path)
    digits = 255 - test_images.images[:3]
    Image.fromarray(digits[0].numpy()).resize((280, 280)).save("photo.png")
    page = Image.new("L", (500, 160), 255)
    for place, digit in enumerate(digits):
        page.paste(Image.fromarray(digit.numpy()).resize((112, 112)), (20 + 160 * place, 24))
    page.save("page.png")
    return tmp_path


@pytest.mark.parametrize(
    "page",
    [p for p in OFFLINE if blocks(p, "python")],
    ids=lambda page: page.relative_to(ROOT).as_posix(),
)
def test_python_blocks_run(page, desk, capsys):
    """The Python blocks of a page run in order, and print what the page says."""
    if page.stem in ("timm", "transformers"):
        pytest.importorskip(page.stem, reason="its page needs it")
    if page.name == "export.md":
        from mnistzoo.export import export

        export(mnistzoo.exp5(pretrained=True), "exp5.onnx")
    names = {}
    for block, output in BLOCK.findall(page.read_text("utf8")):
        exec(compile(block, page.name, "exec"), names)
        printed = capsys.readouterr().out.splitlines()
        if output:
            assert [line.rstrip() for line in printed] == output.splitlines()
            continue
        promised = re.findall(r"^ *print\(.*\)\s+# (.*)$", block, re.MULTILINE)
        assert len(printed) == len(promised)
        for line, comment in zip(printed, promised, strict=True):
            assert comment in line


def shell_lines():
    """Yield each line of the pages' shell blocks, without comments."""
    for page in PAGES:
        for block in blocks(page, "sh"):
            for line in block.splitlines():
                yield pytest.param(
                    shlex.split(line, comments=True),
                    id=f"{page.parent.name}/{page.name}: {line}"[:70],
                )


@pytest.mark.parametrize("words", list(shell_lines()))
def test_shell_lines_are_understood(words):
    """Our commands accept the options shown, and the scripts that are named exist."""
    if "mnistzoo" in words:
        command, words = typer.main.get_command(app), words[words.index("mnistzoo") + 1 :]
        while hasattr(command, "commands"):
            command, words = command.commands[words[0]], words[1:]
        command.make_context("mnistzoo", words)  # exits on wrong usage
    for word in words:
        if word.endswith((".py", ".c")):
            assert (ROOT / word).exists()


def test_which_one_is_answered_by_measured_numbers():
    """Each recommendation names the best model of its column, with its figure."""
    rows = zoo.rows()
    accurate = [row for row in rows if row.accuracy >= 0.995]
    best = {
        "highest accuracy": max(rows, key=lambda row: row.accuracy),
        "fewest parameters": min(rows, key=lambda row: row.num_params),
        "fewest MACs: quick to train and to try": min(rows, key=lambda row: row.macs),
        "smallest memory footprint": min(rows, key=lambda row: row.footprint_mib),
        "smallest memory footprint at 99.5% or more": min(
            accurate, key=lambda row: row.footprint_mib
        ),
    }
    figures = [
        lambda row: f"{row.accuracy:.2%}",
        lambda row: f"{row.num_params:,}",
        lambda row: f"{row.macs:,}",
        *[lambda row: f"{row.footprint_mib:.2f} MiB"] * 2,
    ]
    wanted = [
        (use, f"{row.model} · {row.title}", figure(row))
        for (use, row), figure in zip(best.items(), figures, strict=True)
    ]
    page = (DOCS / "how-to" / "choose-a-model.md").read_text(encoding="utf8")
    assert re.findall(r"^\| (.*?) \| (exp\d.*?) \| (.*?) \|$", page, re.MULTILINE) == wanted


@pytest.fixture(scope="module")
def figures():
    """All figures of the page about the study."""
    return study.figures()


def test_every_difference_from_the_study_has_a_reason(figures):
    """The page explains each figure that differs, and no reason is without a figure."""
    assert {figure.why for figure in figures if not figure.holds} <= set(reasons.WHY)
    assert {figure.why for figure in figures if figure.why} == set(reasons.WHY)


def test_documented_figures_stand_beside_measured_ones(figures):
    """The page compares the documented parameters and accuracy of every model."""
    shown = {(figure.what, figure.documented, figure.computed) for figure in figures}
    rows = {row.model: row for row in zoo.rows()}
    for name, row in ARCHITECTURES.items():
        params, accuracy = f"{row.documented_num_params:,}", f"{row.documented_accuracy:.2%}"
        assert (f"{name}: parameters", params, f"{rows[name].num_params:,}") in shown
        assert (f"{name}: test accuracy", accuracy, f"{rows[name].accuracy:.2%}") in shown


def test_the_table_of_layers_is_wrong_where_it_is_known_to_be():
    """Only the listed cells of the study's table of layers differ from exp5."""
    cells = [figure for row in study.layers() for figure in row.cells]
    assert [figure.what for figure in cells if not figure.holds] == [
        "MaxPool2d-7: output",
        *("Conv2d-8: receptive field", "BatchNorm2d-9: receptive field"),
        *("Conv2d-10: input", "Conv2d-10: receptive field", "BatchNorm2d-11: receptive field"),
        *("Conv2d-12: receptive field", "BatchNorm2d-13: receptive field"),
        "Linear-14: receptive field",
    ]


def test_the_diagram_is_what_the_imports_say():
    """The drawing has every part on its layer, and its arrows lead down to all that is imported."""
    drawing, imports = diagram.svg(), diagram.imports()
    heights = {name: int(y) for y, name in re.findall(r'y="(\d+)">(\w+)<', drawing)}
    rows = sorted({*heights.values()})
    floors = [{name for name, y in heights.items() if y == row} for row in rows]
    assert floors == diagram.layers()
    arrows = {part: set() for part in imports}
    for part, other in re.findall(r'data-from="(\w+)" data-to="(\w+)"', drawing):
        assert heights[part] < heights[other]
        arrows[part].add(other)
    assert all(diagram.reachable(p, arrows) == diagram.reachable(p, imports) for p in imports)


def questions():
    """Yield the rows of the table of questions in the page on design."""
    page = (DOCS / "development" / "design.md").read_text("utf8")
    yield from re.findall(r"^\| (Where .*\?) \| `(.*)` \| `(.*)` \|$", page, re.MULTILINE)


def test_the_page_on_design_knows_where_things_are():
    """Each of the ten questions names a file that defines what the answer says."""
    assert len(list(questions())) == 10
    for question, file, name in questions():
        source = (ROOT / "src" / "mnistzoo" / file).read_text("utf8")
        assert re.search(rf"^ *(def |class |){name}\b( =|:|\()", source, re.MULTILINE), question


def test_every_error_has_an_entry():
    """The page on troubleshooting has a heading for each exception, in the module's order."""
    page = (DOCS / "how-to" / "troubleshooting.md").read_text("utf8")
    public = [name for name in vars(errors) if name.endswith("Error") and name != "MnistZooError"]
    assert re.findall(r"^## (.*)$", page, re.MULTILINE) == public


def test_every_operator_is_listed():
    """The reference names each operator once, with what its rule reads, and no rule beside."""
    listed = re.findall(r"`([\w:]+)`", operators.operators())
    libraries = ("aten::", "torchvision::")  # other tests register operators of their own
    own = [name.removeprefix("aten::") for name in OPERATORS if name.startswith(libraries)]
    assert sorted(listed) == sorted(own)
    records = [
        record for family in operators.FAMILIES.values() for record in family.OPERATORS.values()
    ]
    assert {operators.rule_name(record) for record in records} == set(operators.READS)


def test_every_error_is_in_the_reference():
    """The table of errors links to the entry of each."""
    page = (DOCS / "how-to" / "troubleshooting.md").read_text("utf8")
    linked = re.findall(r"^\| \[`(\w+)`\]", operators.error_table(), re.MULTILINE)
    assert linked == re.findall(r"^## (.*)$", page, re.MULTILINE)


def test_cards_have_the_corruptions_of_the_page():
    """The accuracies in model cards are those of the page, which a benchmark measured."""
    page = (DOCS / "explanation" / "world.md").read_text("utf8").partition("## Corruptions")[2]
    header, _, *rows = re.findall(r"^\| (.*) \|$", page, re.MULTILINE)
    columns = {name: robustness(name) for name in header.split(" | ")[1:]}
    for row in rows[:-1]:  # the last is the mean
        corruption, *cells = row.split(" | ")
        assert cells == [f"{column[corruption]:.2%}" for column in columns.values()]
    assert all(len(column) == len(rows) - 1 for column in columns.values())
