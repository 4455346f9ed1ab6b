"""Every error that mnistzoo raises on purpose.

Each derives from `MnistZooError` and from the built-in that a caller would expect, and its message
says what was expected, what was got, and what to do.
"""

from __future__ import annotations

from collections.abc import Iterable


class MnistZooError(Exception):
    """The base of every error below."""


class InputError(MnistZooError, ValueError):
    """A tensor, number or option of the wrong shape, dtype or range."""


class UnknownNameError(MnistZooError, ValueError):
    """A network, layer, recipe or column that does not exist."""

    def __init__(self, kind: str, name: str, known: Iterable[str]) -> None:
        super().__init__(kind, name, tuple(known))  # what a copy in another process is made from

    def __str__(self) -> str:
        from difflib import get_close_matches  # only a mistake needs it

        kind, name, known = self.args
        nearest = get_close_matches(str(name), known, n=1, cutoff=0.4)
        hint = f"did you mean {nearest[0]!r}?" if nearest else f"choose from: {', '.join(known)}."
        return f"there is no {kind} {name!r}; {hint}"


class ImageError(InputError):
    """A picture that cannot be read, or that holds no digit."""


class DataError(MnistZooError, ValueError):
    """A data file that is missing, cut short or altered."""


class WeightsError(MnistZooError, ValueError):
    """A weight file, config or manifest that is altered, foreign or incomplete."""


class FileReadError(MnistZooError, OSError):
    """A file that is missing or cannot be read."""


class FileWriteError(MnistZooError, OSError):
    """A file that could not be written; nothing of it is left behind."""


class TrainingError(MnistZooError, RuntimeError):
    """A training run that cannot start or has diverged."""


class UnknownOperatorError(MnistZooError, NotImplementedError):
    """An operator whose window is not known; the analysis never guesses."""


class AnalysisError(MnistZooError, RuntimeError):
    """A network that cannot be traced, or whose windows do not line up."""


class HubError(MnistZooError, OSError):
    """The Hub, or what it answered, cannot be used."""


class DemoError(MnistZooError, OSError):
    """The page to draw on cannot be served."""


class MissingExtraError(MnistZooError, ImportError):
    """A feature whose optional dependencies are not installed."""

    def __init__(self, feature: str, extra: str) -> None:
        super().__init__(feature, extra)  # what a copy in another process is made from

    def __str__(self) -> str:
        feature, extra = self.args
        return (
            f"{feature} needs packages that are not installed; "
            f'install them with: pip install "mnistzoo[{extra}]"'
        )
