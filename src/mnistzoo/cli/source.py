"""The model and the dataset that a command is given."""

from __future__ import annotations

import warnings
from collections.abc import Collection, Iterable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from mnistzoo.architectures import ARCHITECTURES
from mnistzoo.cli.console import print_error, progress
from mnistzoo.cli.options import StyleName
from mnistzoo.errors import FileReadError, InputError, UnknownNameError
from mnistzoo.files import is_dir, name_error
from mnistzoo.storage.manifest import join_name, name_for_reading, read_manifest, split_name

if TYPE_CHECKING:
    from mnistzoo.data.datasets import ImageDataset
    from mnistzoo.data.idx import Split
    from mnistzoo.inference import NumpyModel
    from mnistzoo.models.convnet import ConvNet
    from mnistzoo.training.inputs import Splits


MAX_NAMED = 20
"""The largest number of skipped images that are named; the others are only counted."""


def title(name: str) -> str:
    """Return a model's name with its title: "exp5 · Deep CNN + BatchNorm"."""
    return ARCHITECTURES[name].display_name if name in ARCHITECTURES else name


def known_names() -> list[str]:
    """Return the names of models, and of their weights: "exp5" and "exp5.world"."""
    return list(dict.fromkeys([*ARCHITECTURES, *read_manifest()]))


def with_weights(source: str, weights: str | None, *, reading: bool = False) -> str:
    """Return the name of a model with the weights that `--weights` chooses.

    Args:
        source: The name of a model, or a folder, which has no other weights.
        weights: Name of the weights. None: as `source` says.
        reading: Choose the weights for photographs and drawings by default.

    Raises:
        UnknownNameError: The model has no such weights.
        InputError: `source` is a folder.
    """
    if weights is None:
        return name_for_reading(source) if reading and not is_folder(source) else source
    if is_folder(source):
        raise InputError(f"Expected a model of the zoo with --weights, got the folder {source}.")
    check_names([source], known_names())
    name = join_name(split_name(source)[0], weights)
    check_names([name], known_names())
    return name


def check_names(names: Iterable[str], known: Collection[str] = ARCHITECTURES) -> None:
    """Refuse a name that is not in `known`, before torch is imported.

    Raises:
        UnknownNameError: A name is unknown; the message suggests the nearest.
    """
    for name in names:
        if name not in known:
            raise UnknownNameError("model", name, known)


def is_folder(source: str) -> bool:
    """Return whether `source` is meant as a folder.

    It is one if it exists or looks like a path, so that a misspelled name is not reported as a
    missing folder.
    """
    if not source or source in known_names():
        return False
    return len(Path(source).parts) > 1 or is_dir(source)


def check(source: str) -> None:
    """Refuse a source that names neither a model nor an existing folder.

    Raises:
        UnknownNameError: There is no such model.
        FileReadError: There is no such folder.
    """
    if not is_folder(source):
        check_names([source], known_names())
    elif not is_dir(Path(source)):
        raise FileReadError(
            f"There is no folder {source}. Name one that `train`, `pull` or `save_pretrained` "
            "wrote. To use a repository of the Hub, run `mnistzoo pull user/name -o FOLDER` first."
        )


def check_data(folder: Path | None) -> None:
    """Refuse a dataset's folder that does not exist, before torch is imported.

    Raises:
        FileReadError: There is no such folder.
    """
    if folder is not None and not is_dir(folder):
        raise FileReadError(
            f"There is no folder {folder}. Name one with a subfolder of images for each class, or "
            "with IDX files."
        )


def load_arrays(source: str) -> NumpyModel:
    """Load a model as NumPy arrays, without importing torch.

    Raises:
        UnknownNameError, FileReadError, WeightsError: As for `load`.
    """
    check(source)
    from mnistzoo.inference import load_folder, load_model

    return load_folder(source) if is_folder(source) else load_model(source)


def load(source: str) -> ConvNet:
    """Load a model of the zoo with its pretrained weights, or the model in a folder.

    Raises:
        UnknownNameError: There is no such model.
        FileReadError: There is no such folder, or it lacks a file.
        WeightsError: The files are altered, foreign or incomplete.
    """
    check(source)
    from mnistzoo.models import from_pretrained, get_model

    if is_folder(source):
        return from_pretrained(Path(source))
    return get_model(source, pretrained=True)


def load_splits(folder: Path, style: StyleName | None, *, strict: bool = False) -> Splits:
    """Read the training images of a dataset, and its test images if it has a test split.

    Raises:
        MnistZooError: See `mnistzoo.load_dataset`.
    """
    from mnistzoo.training import train

    return train.load_splits(folder, None, partial(load_data, style=style, strict=strict))


def style_for(model: ConvNet, style: StyleName | None) -> StyleName | None:
    """Return the requested style, or "plain" for a model that was trained with it."""
    return StyleName.plain if style is None and model.style == "plain" else style


def load_data(
    folder: Path, style: StyleName | None, *, split: Split = "test", strict: bool = False
) -> ImageDataset:
    """Read a dataset with a progress bar. Report skipped images and a wrong style on stderr.

    Raises:
        MnistZooError: See `mnistzoo.load_dataset`.
    """
    from mnistzoo.data.datasets import load_dataset

    with progress("images") as bar, warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", UserWarning)
        task = bar.add_task(f"reading {folder}", total=None)
        found = load_dataset(
            folder,
            split=split,
            style=None if style is None else style.value,
            strict=strict,
            on_image=lambda done, total: bar.update(task, completed=done, total=total),
        )
    for warning in caught:
        print_error(warning.message)
    for name, reason in found.skipped[:MAX_NAMED]:
        print_error(f"skipped {name_error(name, reason)}")
    if found.skipped:
        count, kept = len(found.skipped), len(found)
        print_error(f"skipped {count:,} of {count + kept:,} images")
    return found
