"""Datasets of your own: image folders, IDX files, arrays, and torch datasets, in one form."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias, get_args

import numpy as np
import torch
from torch import Tensor

from mnistzoo.architectures import INPUT_SHAPE, Style
from mnistzoo.data.cache import (
    Entry,
    cache_folder,
    digest_files,
    digest_images,
    read_entry,
    write_entry,
)
from mnistzoo.data.idx import Split
from mnistzoo.data.labeled import to_labels
from mnistzoo.data.sources import (
    RawDataset,
    distinct,
    from_arrays,
    from_folder,
    from_torch,
    to_array,
)
from mnistzoo.data.strokes import check_style, sampling_step
from mnistzoo.errors import DataError, FileReadError, ImageError, InputError, check_callable
from mnistzoo.files import check_path, sha256
from mnistzoo.images.preprocessing import CONVERSIONS, to_gray

Source: TypeAlias = Any
"""What `load_dataset` takes."""

OnImage = Callable[[int, int], object]
"""Called with the number of images read so far, and the total."""


class Skipped(NamedTuple):
    """An image that could not be read.

    Attributes:
        name: Its path, or its index in the dataset.
        reason: What is wrong with it.
    """

    name: str
    reason: str


@dataclass(frozen=True, eq=False)
class ImageDataset:
    """Labeled images in memory, as models take them before normalization.

    Attributes:
        images: uint8, shape `(N, 28, 28)`.
        labels: int64, shape `(N,)`: indices into `classes`.
        classes: The name of each class.
        skipped: The images that could not be read.
        style: How the images became 28×28 pixels.
    """

    images: Tensor
    labels: Tensor
    classes: tuple[str, ...]
    skipped: tuple[Skipped, ...] = ()
    style: Style = "plain"

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def digest(self) -> str:
        """The SHA-256 of the classes, labels and images, as 64 hexadecimal digits."""
        tensors = [tensor.contiguous().numpy().tobytes() for tensor in (self.labels, self.images)]
        return sha256(b"\0".join(["\0".join(self.classes).encode(), *tensors]))

    def take(self, indices: Tensor) -> ImageDataset:
        """Return the images at some indices (int64), with all classes."""
        return replace(self, images=self.images[indices], labels=self.labels[indices])


def load_dataset(
    source: Source,
    *,
    split: Split = "test",
    style: Style | None = None,
    strict: bool = False,
    on_image: OnImage = lambda done, total: None,
) -> ImageDataset:
    """Read labeled images of any kind and size into memory.

    The source is one of these:

    - the path of a folder with one subfolder of images for each class, or with such folders named
      `train` and `test`;
    - the path of a folder of IDX files, the format in which MNIST, EMNIST, Fashion-MNIST and
      KMNIST are published, compressed or not;
    - a pair (images, labels) of arrays or tensors;
    - a map-style `torch.utils.data.Dataset` of pairs (image, label);
    - a `datasets.Dataset` of Hugging Face with the columns `image` and `label`.

    Classes are named by their subfolders, by the dataset's attribute `classes` or its feature
    `label`, by EMNIST's table of characters, or else by the numbers that are their labels.

    Converted image files are cached by the digest of all files, so a changed file is converted
    again. The environment variable `MNISTZOO_CACHE` names the folder (default:
    `~/.cache/mnistzoo`).

    >>> import mnistzoo
    >>> images, labels = mnistzoo.mnist(train=False)
    >>> dataset = mnistzoo.load_dataset((images[:500], labels[:500]))
    >>> len(dataset), dataset.images.shape, dataset.classes[:3]
    (500, torch.Size([500, 28, 28]), ('0', '1', '2'))

    Args:
        source: The images and their labels.
        split: The part to read, if the folder has one for training and one for tests. Other
            sources have no splits.
        style: "mnist" finds the one character in each image and redraws it in MNIST format, as
            `model.predict` does. "plain" only converts to gray levels and 28×28 pixels; use it for
            images other than handwriting. Default: "mnist" for image files, "plain" for the rest.
            A style that is clearly wrong for the images gives a `UserWarning`.
        strict: Raise the error of the first image that cannot be read, instead of skipping it.
        on_image: Called after each image with the number of images read so far, and the total.

    Raises:
        FileReadError: The folder is missing or cannot be read.
        DataError: There are fewer than two classes, a class without a readable image, damaged or
            oversized IDX files, or splits with different classes.
        InputError: An argument has another type, labels are out of range, or numbers and shapes
            are not those of images.
        ImageError: An image cannot be read, and `strict` is true.
    """
    check_callable("on_image", on_image)
    if isinstance(source, ImageDataset):
        return source
    if style not in (None, *get_args(Style)) or split not in get_args(Split):
        raise InputError(
            f"Expected the style 'mnist' or 'plain' and the split 'train' or 'test', got {style!r} "
            f"and {split!r}. Correct them."
        )
    default: Style = "plain"
    if isinstance(source, str | os.PathLike):
        check_path(source)
        found, default = from_folder(Path(source), split)
    elif isinstance(source, tuple | list) and len(source) == 2:
        found = from_arrays(to_array(source[0]), to_labels(source[1]))
    else:
        found = from_torch(source)
    if found.classes is not None:
        _check_classes(found.classes)
    read, warning = _read_cached(found, style or default, strict, on_image)
    if warning is not None:
        warnings.warn(warning, stacklevel=2)
    return read


def _check_classes(classes: tuple[str, ...]) -> None:
    if len(set(classes)) < len(classes):
        raise DataError("Expected a name of its own for each class. Rename those that share one.")
    if len(classes) < 2:
        raise DataError(
            f"Expected two classes or more, got {len(classes)} ({', '.join(classes)}). Add images "
            "of another class."
        )


def _read_cached(
    found: RawDataset, style: Style, strict: bool, on_image: OnImage
) -> tuple[ImageDataset, str | None]:
    """Convert a dataset or read it from the cache. Return it and a warning about its style."""
    images, total = found.images, found.total
    if isinstance(images, Tensor) and style == "plain" and images.shape[1:] == INPUT_SHAPE[1:]:
        on_image(total, total)
        labels = torch.tensor(found.labels)
        read = ImageDataset(images, labels, found.classes or (), style=style)
        return read, check_style(images[:: sampling_step(total)].numpy(), style)
    folder = cache_folder() if found.files else None
    if folder is None:
        return _read(found, style, strict, on_image)
    key = _key(found, style)
    entry = read_entry(folder, key)
    if entry is not None and not (strict and entry.skipped):
        on_image(total, total)
        return _from_entry(entry, found.classes or (), style), entry.warning
    read, warning = _read(found, style, strict, on_image)
    if _key(found, style) == key:  # else a file changed while it was read
        skipped = [(name, reason) for name, reason in read.skipped]
        pixels = read.images.numpy().tobytes()
        write_entry(folder, key, Entry(pixels, read.labels.tolist(), skipped, warning))
    return read, warning


def _key(found: RawDataset, style: Style) -> str:
    """Return the digest of the files, or of what was read from them, which may be older."""
    if isinstance(found.images, Tensor):
        return digest_images(found.images.numpy(), found.labels, style)
    return digest_files(found.files, style)


def _from_entry(entry: Entry, classes: tuple[str, ...], style: Style) -> ImageDataset:
    """Return the dataset in a cache entry."""
    images = torch.frombuffer(bytearray(entry.images), dtype=torch.uint8)
    skipped = tuple(Skipped(*each) for each in entry.skipped)
    return ImageDataset(
        images.view(-1, *INPUT_SHAPE[1:]), torch.tensor(entry.labels), classes, skipped, style
    )


def _read(
    found: RawDataset, style: Style, strict: bool, on_image: OnImage
) -> tuple[ImageDataset, str | None]:
    images, total = found.images, found.total
    if isinstance(images, Tensor):
        images = ((f"image {index}", image / 255) for index, image in enumerate(images))
    kept, pixels, skipped, samples = [], [], [], []
    for index, (name, image) in enumerate(images):
        try:
            pixels.append(CONVERSIONS[style](image))
            kept.append(found.labels[index])
            if index % sampling_step(total) == 0:
                samples.append(to_gray(image))
        except (ImageError, FileReadError) as error:
            if strict:
                text = str(error)
                raise ImageError(text if name in text else f"{name}: {text}") from error
            skipped.append(Skipped(name, str(error)))
        on_image(index + 1, total)
    classes, labels = found.classes, kept
    for label in sorted(set(found.labels) - set(kept)):
        raise DataError(
            f"Expected images of each class, but none of {classes[label] if classes else label} "
            f"can be read. The first error: {skipped[0].reason}"
        )
    if classes is None:
        numbers, labels = distinct(torch.tensor(kept))
        classes = tuple(map(str, numbers))
        _check_classes(classes)
    converted = torch.from_numpy(np.stack(pixels))
    read = ImageDataset(converted, torch.tensor(labels), classes, tuple(skipped), style)
    return read, check_style(samples, style)
