"""Sphinx extension: write generated pages, parts and figures to `docs/_generated`.

What is in its folder `root` goes to the top of the site as it is.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import comparison
import drawings
import gallery
import model_page
import operators
import parts
from mnistzoo.data.mnist import mnist
from mnistzoo.export import export_page
from mnistzoo.models import get_model, list_models
from mnistzoo.storage.manifest import name_for_reading

STACK = (
    ("convolution 3", 3, 1),
    ("convolution 3", 3, 1),
    ("pool 2", 2, 2),
    ("convolution 3", 3, 1),
)
"""The layers that the page on receptive fields draws, along one axis."""

PARTS: dict[str, Callable[[], str]] = {
    "study": parts.study_figures,
    "recipes": parts.recipes,
    "modules": parts.modules,
    "commands": parts.commands,
    "peers": comparison.summary,
    "peers-details": comparison.details,
    "fonts": parts.fonts,
    "operators": operators.operators,
    "errors": operators.error_table,
    "list": lambda: parts.printed("list", "--format", "markdown"),
}


def setup(app: Any) -> dict[str, bool]:
    """Register `write` to run before pages are read."""
    (Path(app.srcdir) / "_generated" / "root").mkdir(parents=True, exist_ok=True)  # or Sphinx warns
    app.connect("builder-inited", lambda app: write(Path(app.srcdir) / "_generated"))
    return {"parallel_read_safe": True}


def write(folder: Path) -> None:
    """Write every generated page, part and figure."""
    shutil.rmtree(folder, ignore_errors=True)
    for name in ("models", "parts", "figures", "root"):
        (folder / name).mkdir(parents=True)
    for name, part in PARTS.items():
        (folder / "parts" / f"{name}.md").write_text(part(), encoding="utf8")
    for name in list_models():
        model_page.write(name, folder / "models")
    names = map(name_for_reading, reversed(list_models()))
    models = [get_model(name, pretrained=True) for name in names]
    export_page(models, folder / "root" / "digits.html", title="Draw a digit")
    _draw(folder / "figures")
    gallery.write(folder / "figures")


def _draw(folder: Path) -> None:
    """Draw the figures of the page on receptive fields."""
    model_page.save(drawings.cone(STACK, 12), folder / "cone.svg")
    digits, model = mnist(train=False), get_model("exp5", pretrained=True)
    image = digits.images[0].numpy()
    model_page.save(drawings.progression(model, image), folder / "progression.svg")
    model_page.effective(model, "features.conv5", folder / "effective.svg")
