"""The confidence interval of an accuracy."""

from __future__ import annotations

import math


def wilson_interval(correct: int, total: int) -> tuple[float, float]:
    """Return the 95% interval of an accuracy (Wilson 1927, doi:10.1080/01621459.1927.10502953).

    >>> low, high = wilson_interval(95, 100)
    >>> round(low, 4), round(high, 4)
    (0.8882, 0.9785)

    Args:
        correct: Number of images classified correctly.
        total: Number of images, at least one.
    """
    z, fraction = 1.96, correct / total
    center = (fraction + z * z / (2 * total)) / (1 + z * z / total)
    spread = math.sqrt(fraction * (1 - fraction) / total + z * z / (4 * total * total))
    half = z / (1 + z * z / total) * spread
    return max(center - half, 0.0), min(center + half, 1.0)
