"""The tutorials that train or compile: every command runs as it stands.

Drawn letters take the place of photographs.
"""

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from mnistzoo.cli import app
from strokes import photograph, strokes

TUTORIALS = Path(__file__).parent.parent / "docs" / "tutorials"
PAGE = TUTORIALS / "teach-it-your-letters.md"

LETTERS = {
    "A": [[(0, 8), (3, 0), (6, 8)], [(1, 5), (5, 5)]],
    "H": [[(0, 0), (0, 8)], [(6, 0), (6, 8)], [(0, 4), (6, 4)]],
    "L": [[(1, 0), (1, 8), (6, 8)]],
    "X": [[(0, 0), (6, 8)], [(6, 0), (0, 8)]],
}
"""The lines of each letter, each a list of points."""


def write_photo(path, lines, random):
    """Write a photograph of a letter: another slant, size, place and light each time."""
    turn = random.normal(0, 0.12, (2, 2)) + np.eye(2)
    scale, place = random.uniform(7, 11), random.uniform(30, 60, 2)
    points = [[tuple(scale * turn @ point + place) for point in line] for line in lines]
    mask = strokes(180, 180, points, int(random.integers(5, 10)))
    light = np.linspace(*random.uniform(0.6, 0.95, 2), 180)[None] + random.normal(
        0, 0.01, (180, 180)
    )
    levels = photograph(mask, light, random.uniform(0.5, 0.9)).clip(0, 1)
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray((levels * 255).astype(np.uint8)).save(path)


@pytest.fixture
def desk(tmp_path, monkeypatch):
    """A folder as the page asks for: twenty photographs of each letter, five for the test."""
    random = np.random.default_rng(0)
    for letter, lines in LETTERS.items():
        for index in range(20):
            part = "test" if index < 5 else "train"
            write_photo(tmp_path / "letters" / part / letter / f"{index}.jpg", lines, random)
    write_photo(tmp_path / "new.jpg", LETTERS["X"], random)
    monkeypatch.chdir(tmp_path)


@pytest.mark.slow  # it trains
def test_the_page_leads_to_a_model_that_reads_the_letters(desk):
    """Every command of the page runs as it stands; the result reads letters, and is one file."""
    blocks = re.findall(r"^```sh\n(.*?)^```", PAGE.read_text("utf8"), re.DOTALL | re.M)
    printed = {}
    for line in "".join(blocks).splitlines():
        program, command, *words = shlex.split(line, comments=True)
        assert program == "mnistzoo"
        done = CliRunner().invoke(app, [command, *words], catch_exceptions=False)
        assert done.exit_code == 0, done.output
        printed[command] = done.stdout
    assert re.search(r"new\.jpg +X ", printed["predict"])
    options = ["--data", "letters", "--format", "json"]
    (row,) = json.loads(CliRunner().invoke(app, ["evaluate", "letters-net", *options]).stdout)
    assert row["total"] == 20
    assert row["accuracy"] >= 0.9
    page = Path("letters.html").read_text("utf8")
    assert all(f'"{letter}"' in page for letter in LETTERS)
    assert "<title>Our letters" in page


@pytest.mark.skipif(not shutil.which("cc"), reason="needs a C compiler")
def test_the_session_with_the_compiler_is_as_shown(tmp_path, monkeypatch):
    """The program of the page compiles against the header, and prints the shown digit."""
    text = (TUTORIALS / "one-file-and-a-microcontroller.md").read_text("utf8")
    (program,) = re.findall(r"^```c\n(.*?)^```", text, re.DOTALL | re.M)
    (session,) = re.findall(r"^```console\n(.*?)^```", text, re.DOTALL | re.M)
    monkeypatch.chdir(tmp_path)
    Path("main.c").write_text(program, encoding="utf8")
    exported = CliRunner().invoke(app, ["export", "exp5", "-o", "exp5.h"], catch_exceptions=False)
    assert exported.exit_code == 0
    lines = session.splitlines()
    commands = "\n".join(line.removeprefix("$ ") for line in lines if line.startswith("$ "))
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        ["sh", "-ec", commands],
        env={**os.environ, "PATH": path},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.splitlines() == [line for line in lines if not line.startswith("$ ")]
