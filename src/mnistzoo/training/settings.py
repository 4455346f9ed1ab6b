"""The settings of a recipe: checked, and changed by name."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from msgspec import ValidationError, convert, to_builtins

from mnistzoo.errors import InputError
from mnistzoo.training.recipes import FINE_TUNE, RECORD, Recipe


def default_recipe(pretrained: bool) -> str:
    """Return the name of the recipe for a run that names none."""
    return FINE_TUNE.name if pretrained else RECORD.name


def change_settings(recipe: Recipe, settings: Iterable[str]) -> Recipe:
    """Return a recipe with settings changed, each given as `FIELD=VALUE`.

    Fields are those of `Recipe`, except its name, and of `Augmentation`. `null` stands for None.

    Raises:
        InputError: There is no such field, or the value is out of range.

    >>> from mnistzoo.training.recipes import FAST
    >>> change_settings(FAST, ["learning_rate=0.1", "degrees=5"]).augmentation.degrees
    5.0
    """
    fields: dict[str, Any] = to_builtins(recipe)
    for setting in settings:
        name, equals, value = setting.partition("=")
        place = fields["augmentation"] if name in fields["augmentation"] else fields
        known = sorted((fields | fields["augmentation"]).keys() - {"name", "augmentation"})
        if not equals or name not in known:
            raise InputError(
                f"Expected FIELD=VALUE with a field of {', '.join(known)}, got {setting!r}."
            )
        place[name] = None if value == "null" else value
    return _convert(fields, strict=False)


def check_recipe(recipe: Recipe) -> None:
    """Check that each setting has the right type and is in its range.

    Raises:
        InputError: One is not.
    """
    try:
        fields = to_builtins(recipe)
    except TypeError as error:
        raise InputError(f"Expected a recipe of plain numbers: {error}. Convert them.") from error
    _convert(fields, strict=True)


def _convert(fields: dict[str, Any], *, strict: bool) -> Recipe:
    try:
        return convert(fields, Recipe, strict=strict)
    except ValidationError as error:
        expected, _, place = str(error).partition(" - at `$.")
        name = place.removesuffix("`").removeprefix("augmentation.")
        raise InputError(f"{name} of the recipe: {expected}. Correct the setting.") from error
