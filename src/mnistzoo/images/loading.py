"""Load an image of any kind: a file, bytes, a PIL image, an array or a tensor.

Pillow's errors and warnings become this library's errors.
"""

from __future__ import annotations

import io
import os
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from mnistzoo.errors import FileReadError, ImageError, InputError, MnistZooError
from mnistzoo.images.grayscale import WORKING_SIDE, GrayLevels, gray_levels, shrink, shrink_factor

if TYPE_CHECKING:
    from typing import TypeGuard

    from PIL import Image
    from torch import Tensor

    ImageLike: TypeAlias = (
        str | os.PathLike[str] | bytes | bytearray | Image.Image | NDArray[Any] | Tensor
    )

MAX_PIXELS = 2**26
"""Largest image, in pixels: 67 megapixels, more than most cameras take. A file's header is enough
to refuse a larger one."""

MAX_BYTES = 2**28
"""Largest file, in bytes: an uncompressed RGBA image of `MAX_PIXELS` pixels."""

FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF", "PPM")
"""File formats that are read. Pillow's others start programs or do not hold photographs."""

_ORIENTATION = 0x0112
"""The EXIF tag of the camera's orientation."""

_TRANSPOSED = (5, 6, 7, 8)
"""Values of that tag that swap width and height."""

_GRAY_MODES = frozenset({"1", "L", "I", "F", "I;16", "I;16L", "I;16B"})
"""Modes of PIL images with one channel of gray levels."""


@dataclass(frozen=True)
class GrayscaleImage:
    """An image as gray levels, possibly scaled down.

    Attributes:
        levels: float32, shape `(height, width)`: 0 is black, 1 is white.
        size: Width and height of the original image in pixels, turned upright.
    """

    levels: GrayLevels
    size: tuple[int, int]


def load_grayscale(image: ImageLike) -> GrayscaleImage:
    """Return the gray levels of an image of any kind that `mnistzoo.transforms()` takes.

    Raises:
        FileReadError: A path is missing, or is not a readable file.
        ImageError: Bytes are not an image, are damaged, or the image is too large.
        InputError: An object has another type, or an array another shape, dtype or range.
    """
    from PIL import Image

    if isinstance(image, str) and image.startswith(("http://", "https://")):
        raise FileReadError(
            f"Cannot read {image}: URLs are not downloaded. Download the image and pass its path."
        )
    if isinstance(image, str | os.PathLike):
        return _from_path(Path(image))
    if isinstance(image, bytes | bytearray):
        return _from_stream(io.BytesIO(image), f"{len(image):,} bytes")
    if isinstance(image, Image.Image):
        with _translate_pillow_errors("PIL image"):
            return _from_pil(image)
    if is_tensor(image):
        return _from_array(_to_numpy(image), channel_axis=0)
    if isinstance(image, np.ndarray):
        return _from_array(image, channel_axis=2)
    raise InputError(
        "Expected a path, bytes, a PIL image, a NumPy array or a tensor, got "
        f"{type(image).__name__}. Pass one of these, or a list of them."
    )


def is_tensor(image: object) -> TypeGuard[Tensor]:
    """Return whether this is a torch tensor, without importing torch."""
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(image, torch.Tensor)


def _from_path(path: Path) -> GrayscaleImage:
    with open_image(path) as file:
        return _from_stream(file, str(path))


@contextmanager
def open_image(path: Path) -> Iterator[BinaryIO]:
    """Open an image file, and translate errors of the system.

    Raises:
        FileReadError: It is missing, or is not a readable file.
        ImageError: It is larger than `MAX_BYTES`.
    """
    try:
        if path.exists() and not path.is_file():
            raise FileReadError(
                f"Cannot read {path}: it is not a regular file. Pass the path of an image."
            )
        if path.stat().st_size > MAX_BYTES:
            raise ImageError(
                f"{path} is larger than {MAX_BYTES:,} bytes. Save the image at a smaller size."
            )
        with path.open("rb") as file:
            yield file
    except (OSError, ValueError) as error:
        if isinstance(error, MnistZooError):
            raise
        reason = getattr(error, "strerror", None) or error
        raise FileReadError(
            f"Cannot read {str(path)!r}: {reason}. Check the path and its permissions."
        ) from error


def _from_stream(stream: Any, name: str) -> GrayscaleImage:
    from PIL import Image

    with _translate_pillow_errors(name), Image.open(stream, formats=FORMATS) as image:
        size = image.size
        _check_size(*size)
        image.draft(None, (WORKING_SIDE, WORKING_SIDE))
        return _from_pil(image, size)


@contextmanager
def _translate_pillow_errors(name: str) -> Iterator[None]:
    """Silence Pillow's warnings, and raise its errors as this library's."""
    from PIL import Image, UnidentifiedImageError

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    except (ImageError, FileReadError):
        raise
    except InputError as error:
        raise ImageError(f"{name}: {error}") from error
    except UnidentifiedImageError as error:
        raise ImageError(
            f"{name}: not an image in a supported format ({', '.join(FORMATS)}). "
            "Save it as PNG or JPEG."
        ) from error
    except Image.DecompressionBombError as error:
        raise _too_large(str(error)) from error
    except Exception as error:  # Pillow's decoders raise nearly every built-in exception
        raise ImageError(
            f"{name}: the image cannot be decoded ({error}). It may be truncated or damaged."
        ) from error


def _check_size(width: int, height: int) -> None:
    if width * height > MAX_PIXELS:
        raise _too_large(f"{width:,}×{height:,}")
    if width * height == 0:
        raise ImageError(f"Expected an image with pixels, got one of {width}×{height}.")


def _too_large(got: str) -> ImageError:
    return ImageError(
        f"The image is too large: expected at most {MAX_PIXELS:,} pixels, got {got}. Shrink it."
    )


def _from_pil(image: Image.Image, size: tuple[int, int] | None = None) -> GrayscaleImage:
    """Return the gray levels of a PIL image; `size` is the original's if it was shrunk."""
    from PIL import ImageOps

    width, height = size or image.size
    _check_size(*image.size)
    if image.getexif().get(_ORIENTATION) in _TRANSPOSED:
        width, height = height, width
    image = _to_array_mode(ImageOps.exif_transpose(image))
    factor = shrink_factor(*image.size)
    if factor > 1 and image.mode in ("L", "RGB", "RGBA"):
        image = image.reduce(factor)
    return GrayscaleImage(shrink(gray_levels(np.asarray(image))), (width, height))


def _to_array_mode(image: Image.Image) -> Image.Image:
    """Return the image in a mode whose pixels NumPy can hold."""
    if image.has_transparency_data:
        return image.convert("RGBA")
    return image if image.mode in _GRAY_MODES else image.convert("RGB")


def _to_numpy(tensor: Tensor) -> NDArray[Any]:
    try:
        pixels: NDArray[Any] = tensor.detach().cpu().numpy()
    except (TypeError, RuntimeError, NotImplementedError):  # bfloat16, sparse, meta
        raise InputError(
            f"Cannot read pixels from a {tensor.dtype} {tensor.layout} tensor on {tensor.device}. "
            "Pass uint8 or float32 pixels."
        ) from None
    return pixels


def _from_array(array: NDArray[Any], channel_axis: Literal[0, 2]) -> GrayscaleImage:
    """Return the gray levels of an array whose channels, if any, are on this axis."""
    if array.ndim not in (2, 3) or (array.ndim == 3 and array.shape[channel_axis] not in (1, 3, 4)):
        form = "(channels, height, width)" if channel_axis == 0 else "(height, width, channels)"
        raise InputError(
            f"Expected one image of shape (height, width) or {form} with 1, 3 or 4 channels, got "
            f"{array.ndim} axes of lengths {array.shape}. Pass several images as a list."
        )
    array = np.moveaxis(array, channel_axis, 2) if array.ndim == 3 else array
    height, width = array.shape[:2]
    _check_size(width, height)
    return GrayscaleImage(shrink(gray_levels(array)), (width, height))
