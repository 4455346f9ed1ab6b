"""Names of a model's classes."""

from __future__ import annotations

from torch import nn

from mnistzoo.storage.model_folder import check_labels


def class_names(model: nn.Module, num_classes: int) -> tuple[str, ...]:
    """Return the names of a model's classes: its `labels`, or else their numbers.

    >>> import mnistzoo
    >>> class_names(mnistzoo.exp1(num_classes=3), 3)
    ('0', '1', '2')

    Raises:
        InputError: The labels are not one for each class.
    """
    labels = getattr(model, "labels", None)
    if not isinstance(labels, list | tuple):
        return tuple(map(str, range(num_classes)))
    check_labels(labels, num_classes)
    return tuple(labels)
