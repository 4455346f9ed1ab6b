"""Image folders with one subfolder for each class, as torchvision's `ImageFolder` reads them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from mnistzoo.data.idx import Split
from mnistzoo.errors import DataError
from mnistzoo.files import is_dir
from mnistzoo.images.folders import SUFFIXES, find_images, list_folder

_SPLITS: dict[Split, str] = {"train": "train", "test": "test"}
"""The subfolder of each split."""


def find_image_folders(folder: Path) -> dict[Split | None, dict[str, list[Path]]]:
    """Return the images of each class, by split; the split is None in a folder without splits.

    A folder has splits if it has the subfolders `train` and `test` with the classes inside.
    Classes are sorted by name. Hidden files and files with other suffixes are ignored.

    Raises:
        DataError: A class has no images.
        FileReadError: A folder cannot be read.
    """
    parts = {split: folder / name for split, name in _SPLITS.items()}
    if all(is_dir(part) and any(_subfolders(part)) for part in parts.values()):
        return {split: _classes(part) for split, part in parts.items()}
    return {None: _classes(folder)}


def _classes(folder: Path) -> dict[str, list[Path]]:
    classes = {
        path.name: list(map(Path, find_images(path))) for path in sorted(_subfolders(folder))
    }
    for name, images in classes.items():
        if not images:
            raise DataError(
                f"Expected images in each class, found none in {folder / name} "
                f"({SUFFIXES[0]} …). Add some, or remove the folder."
            )
    return classes


def _subfolders(folder: Path) -> Iterator[Path]:
    """Return the folders in a folder, except links to itself or to a folder that it is in."""
    inside = folder.resolve()
    found = (path for path in list_folder(folder) if path.is_dir())
    return (path for path in found if not inside.is_relative_to(path.resolve()))
