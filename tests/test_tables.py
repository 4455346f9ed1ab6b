"""Every format of a table reads back to the same cells."""

from __future__ import annotations

import csv
import io
import re
from collections import defaultdict
from html.parser import HTMLParser

import pytest
from rich.console import Console

from mnistzoo.cli import console
from mnistzoo.tables import Table

TABLE = Table(
    columns=("layer", "kind", "parameters", "share"),
    rows=[("a|b", "<Conv>", 1234567, "7 %"), ("c", "", None, "0.5 %")],
    caption="1,234,567 parameters & more",
    text_columns=2,
)
CELLS = [["a|b", "<Conv>", "1,234,567", "7 %"], ["c", "", "", "0.5 %"]]


def test_cells_are_readable():
    """Whole numbers have their thousands grouped, and `None` is empty."""
    assert TABLE.cells() == CELLS


def test_control_characters_are_escaped():
    """A name with a newline or a terminal's escape sequence stays in its row."""
    table = Table(("file",), [("new\nline",), ("\x1b[2J",)])
    assert table.cells() == [["new\\nline"], ["\\x1b[2J"]]
    assert len(table.to_markdown().splitlines()) == 4


def test_csv_reads_back_to_plain_numbers():
    """CSV holds numbers that a program can parse, and no caption."""
    header, *rows = csv.reader(io.StringIO(TABLE.to_csv()))
    assert header == list(TABLE.columns)
    assert rows == [["a|b", "<Conv>", "1234567", "7 %"], ["c", "", "", "0.5 %"]]


def test_markdown_reads_back_to_the_cells():
    """A header, the alignment of each column, a line per row, and the caption below."""
    table, caption = TABLE.to_markdown().split("\n\n")
    lines = [line[2:-2].split(" | ") for line in table.splitlines()]
    assert lines[0] == list(TABLE.columns)
    assert lines[1] == ["---", "---", "---:", "---:"]
    assert lines[2:] == [[cell.replace("|", "\\|") for cell in row] for row in CELLS]
    assert caption == f"{TABLE.caption}\n"


def test_csv_holds_the_records():
    """A table with records writes those: names, plain numbers, and JSON for lists."""
    records = [{"path": "a", "share": 0.07, "size": [3, 3]}, {"path": "", "share": None, "size": 1}]
    table = Table(("layer", "share"), [("a", "7 %"), ("", "-")], records=records)
    rows = list(csv.DictReader(io.StringIO(table.to_csv())))
    assert rows[0] == {"path": "a", "share": "0.07", "size": "[3, 3]"}
    assert rows[1] == {"path": "", "share": "", "size": "1"}
    assert "7 %" in table.to_markdown()


def test_latex_reads_back_to_the_cells():
    """Between the rules of booktabs there is a line per row, and special characters are escaped."""
    text = Table(TABLE.columns, TABLE.rows, r"50% of $x_1^2$ & {a}~\b").to_latex()
    head, body = (part.split("\n")[1:-1] for part in re.split(r"\\(?:mid|bottom)rule", text)[:2])
    rows = [line.removesuffix(r" \\").split(" & ") for line in (*head[-1:], *body)]
    assert rows == [
        [cell.replace("%", r"\%") for cell in row] for row in [list(TABLE.columns), *CELLS]
    ]
    assert r"\begin{tabular}{lrrr}" in text
    escaped = r"50\% of \$x\_1\textasciicircum{}2\$ \& \{a\}\textasciitilde{}\textbackslash{}b"
    assert rf"\caption{{{escaped}}}" in text
    assert "caption" not in Table(TABLE.columns, TABLE.rows).to_latex()


def test_wide_characters_take_two_columns():
    """Columns line up in a terminal, whatever the script; combining marks take no column."""
    table = Table(("class", "images"), [("数字", 10), ("e\u0301", 5), ("digit", 7)])
    assert str(table).splitlines()[1:] == ["数字       10", "e\u0301           5", "digit       7"]


def test_text_is_aligned():
    """Text aligns left, numbers align right, and lines have no trailing spaces."""
    assert str(TABLE) == (
        "layer  kind    parameters  share\n"
        "a|b    <Conv>   1,234,567    7 %\n"
        "c                          0.5 %\n"
        "1,234,567 parameters & more"
    )


def test_a_terminal_shows_the_same_alignment():
    """Rich draws the same cells: text starts where its column does, numbers end there."""
    console = Console(width=200, record=True, file=io.StringIO())
    console.print(TABLE)
    lines = [line.rstrip() for line in console.export_text().splitlines()]
    header, _, *rows = lines[:4]
    for row, cells in zip(rows, CELLS, strict=True):
        assert row.split() == [word for cell in cells for word in cell.split()]
        assert row[header.index("layer") :].startswith(cells[0])
        assert row[: header.index("share") + len("share")].endswith(cells[3])
    assert " ".join(lines[4:]) == TABLE.caption


class Page(HTMLParser):
    """The text of a page by the tag that it stands in."""

    def __init__(self):
        super().__init__()
        self.open, self.found = [], defaultdict(list)

    def handle_starttag(self, tag, attrs):  # noqa: D102 - the parser's own method
        self.open.append(tag)

    def handle_endtag(self, tag):  # noqa: D102 - as above
        assert self.open.pop() == tag

    def handle_data(self, data):  # noqa: D102 - as above
        self.found[self.open[-1]].append(data)


@pytest.mark.parametrize("caption", [TABLE.caption, ""])
def test_html_reads_back_to_the_cells(caption):
    """A notebook shows header, cells and caption; markup in them is escaped."""
    page = Page()
    page.feed(Table(TABLE.columns, TABLE.rows, caption)._repr_html_())
    assert page.open == []
    assert page.found.pop("caption", [""]) == [caption]
    assert page.found == {
        "th": list(TABLE.columns),
        "td": [cell for row in CELLS for cell in row if cell],
    }


@pytest.mark.parametrize("width", [20, 80, 200])
def test_a_narrow_terminal_cuts_no_number(width):
    """Whatever the width, the cells of a row are all there; only long text is wrapped."""
    rows = [("a layer", 37_752_832, "224×224 (global)", "word " * 20)] * 2
    table = Table(("name", "parameters", "receptive field", "notes"), rows)
    needed = Console(width=10_000).measure(table).minimum
    console = Console(width=max(width, needed), record=True, file=io.StringIO())
    console.print(table)
    text = console.export_text()
    assert text.count("37,752,832") == text.count("224×224 (global)") == 2
    assert text.count("word") == 40


@pytest.mark.parametrize(
    "table",
    [
        Table(("model", "parameters", "receptive field"), [("exp4 · Deep", 17054, "34×34")]),
        Table(("file", "class"), [("a.png", "7"), ("b[bold].png", None)], text_columns=2),
        Table(("a", "b"), []),
        Table(("a b c", "d"), [("x" * 30, "y" * 40)]),
        Table(("class", "images"), [("數字", 10), ("e\u0301", 5), ("digit", 7)]),
    ],
)
def test_simple_tables_are_printed_as_by_rich(table, capsys):
    """A table that fits is printed without rich, and looks the same."""
    console._print_rich(table)
    expected = [line.rstrip() for line in capsys.readouterr().out.splitlines()]
    assert console._print_simple(table)
    assert capsys.readouterr().out.splitlines() == expected


@pytest.mark.parametrize(
    "table",
    [
        Table(("a",), [("x " * 41,)]),
        Table(("a",), [("x",)], caption="b"),
    ],
)
def test_other_tables_need_rich(table):
    """Long lines and captions are left to rich."""
    assert not console._print_simple(table)
