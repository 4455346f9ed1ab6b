"""Where the images of a dataset come from: a folder, arrays, or a torch dataset."""

from __future__ import annotations

import reprlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from mnistzoo.architectures import Style
from mnistzoo.data import idx
from mnistzoo.data.idx import Split
from mnistzoo.data.image_folder import find_image_folders
from mnistzoo.data.labeled import to_tensor
from mnistzoo.errors import DataError, FileReadError, InputError
from mnistzoo.files import is_dir
from mnistzoo.images.grayscale import WHITES


class RawDataset(NamedTuple):
    """A dataset whose images are still to be converted.

    Attributes:
        images: A tensor of them, or the name of each with the image.
        labels: The label of each image that has been taken from `images`, at least.
        classes: Names of the labels from 0, or None to name each label by its number.
        total: Number of images.
        files: The files that all of this is read from; empty if it is in memory.
    """

    images: Tensor | Iterable[tuple[str, Any]]
    labels: Sequence[int]
    classes: tuple[str, ...] | None
    total: int
    files: tuple[Path, ...] = ()


def from_folder(folder: Path, split: Split) -> tuple[RawDataset, Style]:
    """Return the dataset in a folder of images or IDX files, and the style that suits it."""
    if not is_dir(folder):
        raise FileReadError(
            f"There is no folder {folder}. Name one with a subfolder of images for each class, or "
            "with IDX files; pass arrays as a pair (images, labels)."
        )
    parts = idx.find_idx(folder)
    if parts:
        return _from_idx(parts, split), "plain"
    folders = find_image_folders(folder)
    classes = folders[split if split in folders else None]
    _check_splits(*(tuple(each) for each in folders.values()))
    if not classes:
        raise DataError(
            f"Expected a subfolder of images for each class, or IDX files such as "
            f"train-images-idx3-ubyte.gz, in {folder}. Found neither."
        )
    labels = [label for label, files in enumerate(classes.values()) for _ in files]
    files = tuple(file for files in classes.values() for file in files)
    images = ((str(file), file) for file in files)
    return RawDataset(images, labels, tuple(classes), len(labels), files), "mnist"


def has_splits(folder: Path) -> bool:
    """Return whether a folder has a split for training and one for tests.

    Raises:
        DataError, FileReadError: See `mnistzoo.load_dataset`.
    """
    return is_dir(folder) and len(idx.find_idx(folder) or find_image_folders(folder)) == 2


def _from_idx(parts: dict[Split, idx.IDXPart], split: Split) -> RawDataset:
    part = parts.get(split) or next(iter(parts.values()))
    labels = {each: idx.read_labels(each) for each in parts.values()}
    _check_splits(*(tuple(map(str, distinct(each)[0])) for each in labels.values()))
    found = from_arrays(idx.read_images(part), labels[part], idx.read_names(part))
    return found._replace(files=(part.images, part.labels))


def from_arrays(images: Tensor, labels: Tensor, names: dict[int, str] | None = None) -> RawDataset:
    """Return the dataset of some images and labels; labels without a name are named by number."""
    if len(images) != len(labels):
        raise InputError(
            f"Expected a label for each image, got {len(images):,} images and "
            f"{len(labels):,} labels. Drop the surplus ones."
        )
    numbers, indices = distinct(labels)
    classes = tuple((names or {}).get(number, str(number)) for number in numbers)
    return RawDataset(images, indices, classes, len(indices))


def distinct(labels: Tensor) -> tuple[list[int], list[int]]:
    """Return the distinct labels, ascending, and the index of each label among them."""
    numbers, indices = np.unique(labels.numpy(), return_inverse=True)
    return numbers.tolist(), indices.tolist()


def to_array(values: Any) -> Tensor:
    """Return images as uint8 of shape `(N, height, width)` or `(N, channels, height, width)`."""
    images = to_tensor(values, "images").cpu()
    if isinstance(values, np.ndarray) and images.ndim == 4 and images.shape[-1] in (1, 3, 4):
        images = images.movedim(-1, 1)
    if images.ndim == 4 and images.shape[1] == 1:
        images = images.squeeze(1)
    if images.ndim not in (3, 4) or not images.numel():
        raise InputError(
            "Expected one or more images of shape (N, height, width), or (N, height, width, "
            f"channels), got {tuple(images.shape)}. Reshape the array."
        )
    images = images if images.dtype == torch.uint8 else images.float()
    low, high = (float(bound) for bound in images.aminmax())
    white = next((white for white in WHITES if high <= white), None)
    if not low >= 0 or white is None:
        raise InputError(
            f"Expected pixels between 0 and 1, 255 or 65,535, got {low:g} to {high:g}. "
            "Pass the images before they are normalized."
        )
    if images.dtype == torch.uint8 and white > 1:
        return images.clone()  # later changes to the source do not reach the dataset
    return (images.float() * (255 / white)).round().to(torch.uint8)


def from_torch(dataset: Any) -> RawDataset:
    """Return a map-style dataset of torch, or one of Hugging Face, which returns mappings."""
    foreign = isinstance(dataset, Tensor | np.ndarray | dict | list | tuple | bytes)
    if foreign or not hasattr(dataset, "__getitem__") or not hasattr(dataset, "__len__"):
        raise InputError(
            "Expected the path of a folder, a pair (images, labels), or a dataset with a length "
            f"and indices, got {type(dataset).__name__}. Pass one of these."
        )
    if not len(dataset):
        raise InputError("Expected a dataset with images, got an empty one.")
    classes = _class_names(dataset)
    labels: list[int] = []
    images = _take(dataset, labels, None if classes is None else len(classes))
    return RawDataset(images, labels, classes, len(dataset))


def _class_names(dataset: Any) -> tuple[str, ...] | None:
    """Return the names that a dataset of torchvision or Hugging Face gives its labels."""
    names, features = getattr(dataset, "classes", None), getattr(dataset, "features", None)
    if isinstance(features, Mapping):
        names = getattr(features.get("label"), "names", names)
    if isinstance(names, list | tuple) and all(isinstance(name, str) for name in names):
        return tuple(names)
    return None


def _take(dataset: Any, labels: list[int], num_classes: int | None) -> Iterator[tuple[str, Any]]:
    """Yield the images of a torch dataset one by one, and collect their labels."""
    for index in range(len(dataset)):
        try:
            item = dataset[index]
            image, label = (item["image"], item["label"]) if isinstance(item, Mapping) else item
        except Exception as error:  # a foreign dataset may raise anything
            raise InputError(
                f"Expected a pair (image, label), or a mapping with the keys image and label, at "
                f"index {index} of the dataset, got another item or an error: "
                f"{' '.join(str(error).split())}. Rename its columns, or wrap it."
            ) from error
        labels.append(_to_number(label, index, num_classes))
        yield f"image {index}", image


def _to_number(label: Any, index: int, num_classes: int | None) -> int:
    """Return the label of a torch dataset as an integer, checked."""
    try:
        number = int(label)
        valid = number == label and 0 <= number < (num_classes or 2**63)
    except (TypeError, ValueError, ArithmeticError, RuntimeError):  # such as one-hot labels
        valid = False
    if not valid:
        last = f" to {num_classes - 1}, one for each of its classes" if num_classes else ""
        shown = reprlib.repr(label.tolist() if hasattr(label, "tolist") else label)
        raise InputError(
            f"Expected labels that are whole numbers from 0{last}, got {shown} at index {index} "
            "of the dataset. Number the classes from 0, and list their names in dataset.classes."
        )
    return number


def _check_splits(*splits: tuple[str, ...]) -> None:
    """Refuse a training and a test split with different classes."""
    different = sorted(set(splits[0]) ^ set(splits[-1]))
    if different:
        raise DataError(
            f"Expected the same classes in train and test, got {', '.join(different[:5])} in one "
            "of them only. Add images, or remove the class."
        )
