"""The README: its table is measured, its commands are those that CI runs.

`test_docs` runs its blocks.
"""

import json
import re
import runpy
from pathlib import Path

import pytest
from PIL import Image
from typer.testing import CliRunner

import comparison
from mnistzoo.cli import app

ROOT = Path(__file__).parent.parent
README = ROOT / "README.md"
TEXT = README.read_text(encoding="utf8")


def test_the_table_is_the_measured_one():
    """The README's table is what `mnistzoo list --format markdown` prints."""
    printed = CliRunner().invoke(app, ["list", "--format", "markdown"]).stdout
    shown = re.search(
        r"<!-- mnistzoo list --format markdown -->\n(.*?)<!-- end -->", TEXT, re.DOTALL
    )
    assert shown[1].strip() == printed.strip()


def test_the_session_is_as_shown():
    """The commands at the top print what stands below each."""
    session = re.search(r"```console\n(.*?)```", TEXT, re.DOTALL)[1].split("$ mnistzoo ")[1:]
    assert len(session) == 2
    for command, *shown in map(str.splitlines, session):
        printed = CliRunner().invoke(app, command.split()).stdout
        assert [line.rstrip() for line in printed.splitlines()] == shown


def test_the_comparison_is_the_measured_one():
    """The table of other tools is made from the measured figures."""
    shown = re.search(
        r"<!-- python docs/_ext/comparison.py -->\n(.*?)<!-- end -->", TEXT, re.DOTALL
    )
    assert shown[1] == comparison.summary()


def test_the_errors_are_those_of_the_best_model(tmp_path):
    """The figure of wrong digits is what its command draws, for the most accurate weights."""
    pytest.importorskip("matplotlib", reason="an extra of the package")
    command = re.search(r"<!-- mnistzoo (plot errors ([\w.]+)) -o (\S+) -->", TEXT)
    target = str(tmp_path / "errors.png")
    drawn = CliRunner().invoke(app, [*command[1].split(), "-o", target, "--format", "json"]).stdout
    facts = json.loads(drawn)
    del facts["file"]
    with Image.open(ROOT / command[3]) as figure:
        assert json.loads(figure.info["Description"]).keys() == facts.keys()
    listed = json.loads(CliRunner().invoke(app, ["list", "--format", "json"]).stdout)
    assert command[2] == max(listed, key=lambda row: row["accuracy"])["model"]


def links(text):
    """Return the targets of all links and images."""
    return re.findall(r"""(?:\]\(|src=")([^)"]+)""", text)


def test_links_lead_somewhere():
    """Every relative link and image of the README is a file."""
    relative = [link for link in links(TEXT) if not link.startswith("https:")]
    assert len(relative) > 10
    assert [link for link in relative if not (ROOT / link.partition("#")[0]).exists()] == []


def test_a_release_has_absolute_links():
    """On PyPI every link of the README leads to the repository, and images to the files."""
    absolute = runpy.run_path(str(ROOT / "docs" / "absolute_links.py"))["absolute"]
    made = links(absolute(TEXT, "https://github.com/user/name", "v1"))
    assert len(made) == len(links(TEXT))
    assert all(link.startswith("https://github.com/user/name/") for link in made)
    assert {"blob", "raw"} == {link.split("/")[5] for link in made}


def test_images_are_small():
    """The README's images are below 400 kB each."""
    images = [link for link in links(TEXT) if link.endswith((".png", ".webp"))]
    assert len(images) == 3
    assert max((ROOT / image).stat().st_size for image in images) < 400_000


def test_two_commands_set_everything_up():
    """The README has exactly the two install commands that `.ci/run` reads from it."""
    commands = re.findall(r"^pip install .*$", TEXT, re.MULTILINE)
    assert commands == [
        "pip install . && mnistzoo evaluate",
        'pip install -e ".[test]" && pytest',
    ]


def test_it_is_short():
    """The README has at most 150 lines."""
    assert len(TEXT.splitlines()) <= 150
