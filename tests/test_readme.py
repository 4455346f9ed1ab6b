"""The README: its table is measured, its commands are those that CI runs.

`test_docs` runs its blocks.
"""

import re
from pathlib import Path

from typer.testing import CliRunner

from mnistzoo.cli import app

README = Path(__file__).parent.parent / "README.md"
TEXT = README.read_text(encoding="utf8")


def test_the_table_is_the_measured_one():
    """The README's table is what `mnistzoo list --format markdown` prints."""
    printed = CliRunner().invoke(app, ["list", "--format", "markdown"]).stdout
    shown = re.search(
        r"<!-- mnistzoo list --format markdown -->\n(.*?)<!-- end -->", TEXT, re.DOTALL
    )
    assert shown[1].strip() == printed.strip()


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
