"""Escape and measure text for a terminal."""

import unicodedata

_CONTROL = {code: repr(chr(code))[1:-1] for code in (*range(32), *range(127, 160))}


def escape_control(text: str) -> str:
    r"""Escape control characters, which file names may contain.

    >>> print(escape_control("two\nlines"))
    two\nlines
    """
    return text.translate(_CONTROL)


def display_width(text: str) -> int:
    """Return the number of terminal columns that a text takes.

    >>> display_width("layer"), display_width("数字")
    (5, 4)
    """
    if text.isascii():
        return len(text)
    widths = {"W": 2, "F": 2}
    return sum(
        widths.get(unicodedata.east_asian_width(each), 1)
        for each in text
        if unicodedata.category(each) not in ("Mn", "Me", "Cf")
    )
