"""A landscape that looks like a photograph. The gallery draws receptive fields over it."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]

SKY = ((0.98, 0.74, 0.48), (0.35, 0.52, 0.78))
"""At the horizon and at the top."""

RIDGES = ((0.50, 0.10, 0.75), (0.60, 0.13, 0.55), (0.72, 0.15, 0.33), (0.86, 0.12, 0.12))
"""Of each ridge, the nearest last: its height on the image, its roughness, its share of haze."""

GROUND = (0.10, 0.19, 0.22)


def noise(length: int, roughness: float, generator: np.random.Generator) -> Array:
    """Return noise whose amplitude falls with frequency, in -1 to 1: the outline of a mountain."""
    frequencies = np.fft.rfftfreq(length, 1 / length)
    amplitudes = np.where(frequencies > 0, np.maximum(frequencies, 1) ** -(2 - roughness), 0)
    phases = np.exp(2j * np.pi * generator.random(len(frequencies)))
    line: Array = np.fft.irfft(amplitudes * phases, length)
    highest: float = np.abs(line).max()
    return line / highest


def landscape(pixels: int = 448, seed: int = 7) -> Array:
    """Return an image of shape `(pixels, pixels, 3)` in 0 to 1. A seed gives one image."""
    generator = np.random.default_rng(seed)
    rows, columns = np.mgrid[0 : 1 : pixels * 1j, 0 : 1 : pixels * 1j]
    blend = np.clip(1 - rows / 0.62, 0, 1)[..., None] ** 0.8
    horizon, top = map(np.array, SKY)
    image: Array = horizon + (top - horizon) * blend
    distance = np.hypot(rows - 0.36, columns - 0.66)
    glow = np.exp(-((distance / 0.16) ** 2))[..., None]
    image = image + glow * (0.55 * np.array((1.0, 0.85, 0.6)) * (1.1 - image))
    image[distance < 0.052] = (1.0, 0.96, 0.86)
    for height, amplitude, haze in RIDGES:
        outline = height - amplitude * noise(pixels, 0.45, generator)
        depth = np.clip((rows - outline) / 0.35, 0, 1)[..., None]
        color = np.array(GROUND) * (1 - haze) + horizon * haze * (0.85 + 0.35 * depth)
        image = np.where((rows > outline)[..., None], color, image)
    grain = generator.normal(0, 0.012, image.shape)
    return np.clip(image + grain, 0, 1)
