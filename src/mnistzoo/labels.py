"""Names of a model's classes."""

from __future__ import annotations

from collections.abc import Sequence
from reprlib import repr as short_repr

from mnistzoo.errors import InputError


def class_names(labels: Sequence[str] | None, num_classes: int) -> tuple[str, ...]:
    """Return the names of a model's classes: its labels, or else their numbers.

    >>> class_names(None, 3)
    ('0', '1', '2')

    Raises:
        InputError: The labels are not one for each class.
    """
    if labels is None:
        return tuple(map(str, range(num_classes)))
    check_labels(labels, num_classes)
    return tuple(labels)


def check_labels(labels: Sequence[str], num_classes: int) -> None:
    """Check that labels name each class, and no two alike.

    >>> check_labels(("cat", "dog"), 2)

    Raises:
        InputError: There are more or fewer, or one is repeated, no string, or not printable.
    """
    if len(labels) != num_classes or len(set(labels)) != num_classes:
        raise InputError(
            f"Expected {num_classes} different labels, one for each class, got {len(set(labels))}. "
            "Set model.labels to the names of the classes, or to None."
        )
    for label in labels:
        if not isinstance(label, str) or not label.isprintable() or not 0 < len(label) <= 100:
            raise InputError(
                f"Expected labels that are strings of 1 to 100 printable characters, got "
                f"{short_repr(label)}. Rename the class."
            )
