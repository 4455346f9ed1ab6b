"""Tell digits from everything else: letters, signs, shapes, clothes, noise.

The detector is a small model of its own, so it is the same whichever model reads the digit.
`python tests/benchmarks/detector.py` trains it and sets its threshold.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mnistzoo.architectures import Architecture, Conv, Pool
from mnistzoo.errors import WeightsError
from mnistzoo.files import read_bytes, sha256
from mnistzoo.forward import Layer, classify, feature_maps, read_layers

DETECTOR = Architecture("detector", (Conv(8), Pool(), Conv(16), Pool(), Conv(32)), batch_norm=True)
"""Two classes: anything else, and a digit."""

WEIGHTS = Path(__file__).with_name("detector.safetensors")
"""The file with its weights, which comes with the package."""

SHA256 = "18ee371657a14986cdb754a6b667219ddc97b51edcb30f2a0da87c35963d32d5"
"""SHA-256 of the file."""


def digit_log_odds(image: NDArray[np.uint8]) -> float:
    """Return the log-odds that an image shows a digit; from 0 on it counts as one.

    They are shifted so that about 99% of held-out digits reach 0.

    Args:
        image: In MNIST format, uint8 of shape `(28, 28)`.
    """
    convolutions, classifier = _layers()
    *_, maps = feature_maps(DETECTOR, convolutions, image[None])
    other, digit = classify(classifier, maps)[0].tolist()
    return float(digit - other)


def read_weights() -> dict[str, NDArray[Any]]:
    """Read the state dict of the detector.

    Raises:
        FileReadError: The file is missing.
        WeightsError: It is not the file that `SHA256` describes.
    """
    from safetensors.numpy import load

    data = read_bytes(WEIGHTS, limit=2**20)
    if sha256(data) != SHA256:
        raise WeightsError(
            f"{WEIGHTS} was altered: expected SHA-256 {SHA256}, got {sha256(data)}. "
            "Install mnistzoo again."
        )
    return dict(load(data))


@cache
def _layers() -> tuple[tuple[Layer, ...], Layer]:
    return read_layers(DETECTOR, read_weights())
