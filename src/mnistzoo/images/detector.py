"""Tell digits from everything else: letters, signs, shapes, clothes, noise.

The detector is a small model of its own, so it is the same whichever model reads the digit.
`python tests/benchmarks/detector.py` trains it and sets its threshold.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mnistzoo.architectures import Architecture, Conv, Pool
from mnistzoo.forward import Layer, classify, feature_maps, read_layers

DETECTOR = Architecture("detector", (Conv(12), Pool(), Conv(24), Pool(), Conv(32)), batch_norm=True)
"""Two classes: anything else, and a digit."""

WEIGHTS = Path(__file__).with_name("detector.safetensors")
"""Where its weights are; they come with the package."""


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


@cache
def _layers() -> tuple[tuple[Layer, ...], Layer]:
    from safetensors.numpy import load_file

    return read_layers(DETECTOR, load_file(WEIGHTS))
