"""Opening a picture of any kind: a file, bytes, a PIL image, an array or a tensor.

Everything that Pillow may raise or warn of ends here, as one of this library's own errors.
"""

from __future__ import annotations

import io
import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from mnistzoo.errors import FileReadError, ImageError, InputError, MnistZooError
from mnistzoo.images.grayscale import WORKING_SIDE, GrayLevels, gray_levels, shrink, shrink_factor

if TYPE_CHECKING:
    from PIL import Image

    ImageLike: TypeAlias = (
        str | os.PathLike[str] | bytes | bytearray | Image.Image | NDArray[Any] | Tensor
    )

MAX_PIXELS = 2**26
"""Larger pictures are refused from their header: 67 megapixels, more than most cameras take."""

MAX_BYTES = 2**28
"""Files beyond this are refused: an uncompressed picture of `MAX_PIXELS` pixels takes no more."""

FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF", "PPM")
"""What is read from files. Pillow's others start other programs or hold no photographs."""

_ORIENTATION, _SIDEWAYS = 0x0112, (5, 6, 7, 8)
"""The EXIF tag of how the camera was held, and its values that swap width and height."""

_GREY_MODES = frozenset({"1", "L", "I", "F", "I;16", "I;16L", "I;16B"})


@dataclass(frozen=True)
class GrayscaleImage:
    """A picture as grey levels, perhaps smaller than it was.

    Attributes:
        levels: float32, shape `(height, width)`, from 0 (black) to 1 (white).
        size: width and height of the picture itself, turned upright, in its own pixels.
    """

    levels: GrayLevels
    size: tuple[int, int]


def load_grayscale(picture: ImageLike) -> GrayscaleImage:
    """The grey levels of a picture of any kind that `mnistzoo.transforms()` documents.

    Raises:
        FileReadError: a path that is missing, or is not a readable file.
        ImageError: bytes that are no picture or half of one, a picture that is too large.
        InputError: an object of another kind, an array of another shape, dtype or range.
    """
    from PIL import Image

    if isinstance(picture, str | os.PathLike):
        return _from_path(Path(picture))
    if isinstance(picture, bytes | bytearray):
        return _from_stream(io.BytesIO(picture), f"{len(picture):,} bytes")
    if isinstance(picture, Image.Image):
        with _pillow("the PIL image"):
            return _from_image(picture)
    if isinstance(picture, Tensor):
        return _from_array(_channels_last(picture), "(channels, height, width)")
    if isinstance(picture, np.ndarray):
        return _from_array(picture, "(height, width, channels)")
    raise InputError(
        "expected a path, bytes, a PIL image, a NumPy array or a tensor, or a list of them, "
        f"got {type(picture).__name__}."
    )


def _from_path(path: Path) -> GrayscaleImage:
    try:
        if path.exists() and not path.is_file():
            raise FileReadError(
                f"cannot read {path}: it is not a regular file; name the pictures themselves."
            )
        if path.stat().st_size > MAX_BYTES:
            raise ImageError(
                f"{path} is larger than the {MAX_BYTES:,} bytes that a picture may take; "
                "save it smaller."
            )
        with path.open("rb") as file:
            return _from_stream(file, str(path))
    except (OSError, ValueError) as error:
        if isinstance(error, MnistZooError):
            raise
        reason = getattr(error, "strerror", None) or error
        raise FileReadError(
            f"cannot read {str(path)!r}: {reason}; check the path and its permissions."
        ) from error


def _from_stream(stream: Any, name: str) -> GrayscaleImage:
    from PIL import Image

    with _pillow(name), Image.open(stream, formats=FORMATS) as image:
        size = image.size
        _check_size(*size)
        image.draft(None, (WORKING_SIDE, WORKING_SIDE))
        return _from_image(image, size)


@contextmanager
def _pillow(name: str) -> Iterator[None]:
    """Pillow at work on a picture: its warnings silenced, its errors turned into ours."""
    from PIL import Image, UnidentifiedImageError

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    except MnistZooError:
        raise
    except UnidentifiedImageError as error:
        raise ImageError(
            f"{name}: not a picture in a format that is read ({', '.join(FORMATS)}); "
            "save it as PNG or JPEG."
        ) from error
    except Image.DecompressionBombError as error:
        raise _too_large(str(error)) from error
    except Exception as error:  # Pillow's decoders raise nearly every built-in exception
        raise ImageError(
            f"{name}: the picture cannot be decoded ({error}); it may be cut short or damaged."
        ) from error


def _check_size(width: int, height: int) -> None:
    if width * height > MAX_PIXELS:
        raise _too_large(f"{width:,}×{height:,} pixels")
    if width * height == 0:
        raise ImageError(f"the picture has no pixels: it is {width}×{height}.")


def _too_large(got: str) -> ImageError:
    return ImageError(
        f"the picture is too large: expected at most {MAX_PIXELS:,} pixels, got {got}; shrink it."
    )


def _from_image(image: Image.Image, size: tuple[int, int] | None = None) -> GrayscaleImage:
    """The grey levels of a PIL image; `size` is that of the picture before it was shrunk."""
    from PIL import ImageOps

    width, height = size or image.size
    _check_size(*image.size)
    if image.getexif().get(_ORIENTATION) in _SIDEWAYS:
        width, height = height, width
    image = _plain(ImageOps.exif_transpose(image))
    factor = shrink_factor(*image.size)
    if factor > 1 and image.mode in ("L", "RGB", "RGBA"):
        image = image.reduce(factor)
    return GrayscaleImage(shrink(gray_levels(np.asarray(image))), (width, height))


def _plain(image: Image.Image) -> Image.Image:
    """The same picture in a mode whose pixels NumPy can hold."""
    if image.has_transparency_data:
        return image.convert("RGBA")
    if image.mode in _GREY_MODES:
        return image
    return image.convert("RGB")


def _channels_last(tensor: Tensor) -> NDArray[Any]:
    if tensor.ndim == 3:
        tensor = tensor.movedim(0, 2)
    try:
        pixels: NDArray[Any] = tensor.detach().cpu().numpy()
    except (TypeError, RuntimeError, NotImplementedError):  # bfloat16, sparse, meta
        raise InputError(
            f"cannot take pixels from a {tensor.dtype} {tensor.layout} tensor on {tensor.device}; "
            "give uint8 or float32 pixels."
        ) from None
    return pixels


def _from_array(array: NDArray[Any], form: str) -> GrayscaleImage:
    if array.ndim not in (2, 3) or (array.ndim == 3 and array.shape[2] not in (1, 3, 4)):
        raise InputError(
            f"expected one picture of shape (height, width) or {form} with 1, 3 or 4 channels, "
            f"got {array.ndim} axes of lengths {array.shape}; hand several pictures over as a list."
        )
    height, width = array.shape[:2]
    _check_size(width, height)
    return GrayscaleImage(shrink(gray_levels(array)), (width, height))
