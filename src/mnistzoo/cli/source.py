"""The network that a command is given: by its name, or in a folder."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mnistzoo.models.convnet import ConvNet

METAVAR = "NETWORK|FOLDER"
HELP = "A name from `mnistzoo list`, or a folder that `train`, `pull` or `save_pretrained` wrote."


def is_folder(source: str) -> bool:
    """Whether a folder is meant: it has the form of a path, or is there, and is no network's name.

    A misspelt name is thus an error that tells the nearest name, not one about a missing folder.
    """
    from mnistzoo.files import is_dir
    from mnistzoo.models import list_models

    path = Path(source)
    return source not in list_models() and (len(path.parts) > 1 or is_dir(path))


def load(source: str) -> ConvNet:
    """A network of the zoo with its shipped weights, or a folder's.

    Raises:
        UnknownNameError: there is no such network.
        FileReadError: there is no such folder, or it lacks a file.
        WeightsError: what was read is altered, foreign or incomplete.
    """
    from mnistzoo.errors import FileReadError
    from mnistzoo.files import is_dir
    from mnistzoo.models import from_pretrained, get_model

    if is_folder(source):
        if not is_dir(source):
            raise FileReadError(
                f"there is no folder {source}; name one that `train`, `pull` or `save_pretrained` "
                f"wrote. A repository of the Hub is pulled first: mnistzoo pull {source} FOLDER."
            )
        return from_pretrained(Path(source))
    return get_model(source, pretrained=True)
