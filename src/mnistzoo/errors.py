"""Every error that mnistzoo raises on purpose, and the check of a callback.

Each one derives from `MnistZooError` and from the built-in error that a caller would expect. Its
message says what was expected, what was given, and what to do.
"""

from __future__ import annotations

from collections.abc import Iterable

MAX_NAMES = 40
"""The most names that an error lists."""


class MnistZooError(Exception):
    """Base class of every error in this module.

    >>> import mnistzoo
    >>> try:
    ...     mnistzoo.get_model("exp55")
    ... except mnistzoo.MnistZooError as error:
    ...     print(error)
    There is no model 'exp55'. Did you mean 'exp5'?
    """


class InputError(MnistZooError, ValueError):
    """A tensor, number or option of the wrong shape, dtype or range."""


class ArgumentError(MnistZooError, TypeError):
    """An argument that a function does not take."""


class UnknownNameError(MnistZooError, ValueError):
    """A model, layer, recipe or column that does not exist."""

    def __init__(self, kind: str, name: str, known: Iterable[str]) -> None:
        super().__init__(kind, name, tuple(dict.fromkeys(known)))  # unpickled from these arguments

    def __str__(self) -> str:
        from difflib import get_close_matches  # only needed on a mistake

        kind, name, known = self.args
        nearest = get_close_matches(str(name), known, n=1, cutoff=0.4)
        more = ", …" if len(known) > MAX_NAMES else "."
        choices = f"Choose from: {', '.join(known[:MAX_NAMES])}{more}"
        hint = f"Did you mean {nearest[0]!r}?" if nearest else choices
        return f"There is no {kind} {name!r}. {hint}"


class ImageError(InputError):
    """An image that cannot be read, or that holds no digit."""


class DataError(MnistZooError, ValueError):
    """A data file that is missing, truncated or altered."""


class WeightsError(MnistZooError, ValueError):
    """A weights file, config or manifest that is altered, foreign or incomplete."""


class FileReadError(MnistZooError, OSError):
    """A file that is missing or cannot be read."""


class FileWriteError(MnistZooError, OSError):
    """A file that could not be written. Nothing partial is left behind."""


class TrainingError(MnistZooError, RuntimeError):
    """A training run that cannot start or has diverged."""


class ClusterError(MnistZooError, RuntimeError):
    """A Ray cluster that cannot be reached, or processes that cannot be started."""


class UnknownOperatorError(MnistZooError, NotImplementedError):
    """An operator without a rule. The analysis never guesses."""


class AnalysisError(MnistZooError, RuntimeError):
    """A module that cannot be traced, or whose branches do not line up."""


class ValuesNeededError(AnalysisError):
    """An operator needs the values of a tensor that depends on the input."""


class HubError(MnistZooError, OSError):
    """The Hub cannot be reached, rejects a request, or sends an invalid response."""


class MissingExtraError(MnistZooError, ImportError):
    """A feature whose optional dependencies are not installed."""

    def __init__(self, feature: str, extra: str) -> None:
        super().__init__(feature, extra)  # unpickled from these arguments

    def __str__(self) -> str:
        feature, extra = self.args
        return (
            f"{feature} needs packages that are not installed. "
            f'Install them: pip install "mnistzoo[{extra}]", or ".[{extra}]" in a checkout.'
        )


def check_callable(name: str, value: object) -> None:
    """Check that an argument is a function.

    Raises:
        InputError: It cannot be called.
    """
    if not callable(value):
        raise InputError(f"Expected {name} to be a function, got {value!r}. Pass a function.")
