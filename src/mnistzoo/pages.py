"""Pages in one file: templates, data inside them, and the colors that they share."""

from __future__ import annotations

import json
from collections.abc import Mapping
from importlib.resources import files

PALETTE = (files("mnistzoo") / "palette.css").read_text("utf8")
"""Style sheet with the colors of light and dark pages, and of buttons and headings."""


def fill(template: str, parts: Mapping[str, str]) -> str:
    """Return a template with the parts that it names between at signs.

    >>> fill("<title>@TITLE@</title>", {"TITLE": "exp5"})
    '<title>exp5</title>'
    """
    head, *rest = template.split("@")
    return "".join([head, *(parts.get(part, part) for part in rest)])


def to_inert_json(value: object) -> str:
    """Return JSON that cannot end the script element around it."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).replace("<", "\\u003c")
