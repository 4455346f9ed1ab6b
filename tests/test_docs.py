"""What the docs state of the networks is what the library computes."""

import re
from pathlib import Path

from mnistzoo import zoo

DOCS = Path(__file__).parent.parent / "docs"


def test_which_one_is_answered_by_measured_numbers():
    """Each recommendation names the best network of its column, and the figure there."""
    rows = zoo.rows()
    accurate = [row for row in rows if row.accuracy >= 0.995]
    best = {
        "most accurate": max(rows, key=lambda row: row.accuracy),
        "fewest parameters": min(rows, key=lambda row: row.params),
        "fewest MACs: quick to train and to try": min(rows, key=lambda row: row.macs),
        "least memory": min(rows, key=lambda row: row.memory),
        "least memory at 99.5% or more": min(accurate, key=lambda row: row.memory),
    }
    figures = [
        lambda row: f"{row.accuracy:.2%}",
        lambda row: f"{row.params:,}",
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
    """Of exp3, exp1 takes a twentieth of the MACs, and loses a quarter of a point of accuracy."""
    one, three = (next(row for row in zoo.rows() if row.name == n) for n in ("exp1", "exp3"))
    assert round(three.macs / one.macs, -1) == 20
    assert round((three.accuracy - one.accuracy) * 400) == 1
