"""From image files to rows of JSON: the work of one process or node."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple

from mnistzoo.errors import MnistZooError
from mnistzoo.images.loading import open_image
from mnistzoo.images.prediction import predict_pixels
from mnistzoo.images.preprocessing import CONVERSIONS
from mnistzoo.inference import NumpyModel

CHUNK_FILES = 16
"""The most files in a chunk."""

CHUNK_BYTES = 2**24
"""A chunk is full when the content that it carries has this many bytes."""


class File(NamedTuple):
    """An image file.

    Attributes:
        name: Its path, as the row states it.
        content: Its bytes, or the error of reading them; None to read it where it is predicted.
    """

    name: str
    content: bytes | MnistZooError | None = None


@dataclass(frozen=True)
class Predictor:
    """Predicts the digits in files.

    Attributes:
        model: The model.
        show: Whether rows also hold the model's 28×28 input, as `pixels`.
    """

    model: NumpyModel
    show: bool = False

    def rows(self, files: Iterable[File]) -> list[str]:
        """Return a row for each file: its prediction, or why it cannot be read."""
        return [self._row(file) for file in files]

    def _row(self, file: File) -> str:
        try:
            return _to_line(file.name, self._fields(file))
        except MnistZooError as error:
            return error_row(file.name, str(error))

    def _fields(self, file: File) -> dict[str, Any]:
        if isinstance(file.content, MnistZooError):
            raise file.content
        model = self.model
        image = file.name if file.content is None else file.content
        pixels = CONVERSIONS[model.style](image)
        (found,) = predict_pixels(model.classify, [pixels], model.labels, model.style)
        return asdict(found) | ({"pixels": pixels.tolist()} if self.show else {})


def read_file(name: str) -> File:
    """Return a file with its content, to be predicted on another machine."""
    try:
        with open_image(Path(name)) as file:
            return File(name, file.read())
    except MnistZooError as error:
        return File(name, error)


def error_row(name: str, error: str) -> str:
    """Return the row of a file without a prediction."""
    return _to_line(name, {"error": error})


def _to_line(name: str, fields: dict[str, Any]) -> str:
    return json.dumps({"file": name} | fields) + "\n"


def to_chunks(files: Iterable[File]) -> Iterator[list[File]]:
    """Group files into chunks, which are limited in number and bytes."""
    chunk: list[File] = []
    size = 0
    for file in files:
        chunk.append(file)
        size += len(file.content) if isinstance(file.content, bytes) else 0
        if len(chunk) == CHUNK_FILES or size >= CHUNK_BYTES:
            yield chunk
            chunk, size = [], 0
    if chunk:
        yield chunk
