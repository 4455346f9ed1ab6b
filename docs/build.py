"""Update the tables and figures of pages: `python docs/build.py [PAGE]...`.

Run each command in a comment of the page, in the repository's folder. Its output replaces the lines
up to `<!-- end -->`; a `plot` command writes its figure.
"""

import re
import shlex
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent
PAGES = (ROOT / "docs/explanation/results.md", ROOT / "README.md")

TABLE = re.compile(r"<!-- ((?:mnistzoo|python) .*) -->\n(?:\|.*\n)*<!-- end -->")
FIGURE = re.compile(r"<!-- (mnistzoo plot .*) -->")


def run(command: str) -> str:
    """Return what a command of this installation prints."""
    script = command.startswith("python ")
    arguments = [sys.executable, *(["-m"] * (not script)), *shlex.split(command)[script:]]
    return subprocess.run(arguments, cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True).stdout


def build(page: Path) -> None:
    """Run the commands of a page and update it."""
    text = page.read_text(encoding="utf8")
    for command in FIGURE.findall(text):
        run(command)
    text = TABLE.sub(lambda found: f"<!-- {found[1]} -->\n{run(found[1])}<!-- end -->", text)
    page.write_text(text, encoding="utf8")


if __name__ == "__main__":
    for page in map(Path, sys.argv[1:] or PAGES):
        build(page)
