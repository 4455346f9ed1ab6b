"""Augmentation of a whole batch at once: a random affine map for each image."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Generator, Tensor

from mnistzoo.training.settings import Augmentation

CROP = 22 / 28
"""The share of each side that the study's center crop keeps."""


def warp(images: Tensor, maps: Tensor) -> Tensor:
    """Apply an affine map to each image, sampled bilinearly.

    Out-of-image samples repeat the border pixels, which are background in MNIST.

    Args:
        images: Float, shape `(N, 1, H, W)`.
        maps: Shape `(N, 2, 3)`, from `affine_maps`.

    Returns:
        The warped images, of the same shape.
    """
    if torch.equal(maps, torch.eye(2, 3, device=maps.device).expand_as(maps)):
        return images  # grid_sample would take time to copy them
    grid = F.affine_grid(maps, list(images.shape), align_corners=False)
    return F.grid_sample(images, grid, padding_mode="border", align_corners=False)


def affine_maps(count: int, side: int, augmentation: Augmentation, generator: Generator) -> Tensor:
    """Draw random affine maps from output to input positions, shape `(count, 2, 3)`.

    Each magnitude is uniform between ± its bound in `augmentation`. Positions are in the
    coordinates of `torch.nn.functional.affine_grid`: -1 to 1 across an image of `side` pixels.
    """
    angle, scale_x, scale_y, shear, shift_x, shift_y = (
        torch.rand(6, count, generator=generator) * 2 - 1
    )
    angle = angle * math.radians(augmentation.degrees)
    scale_x, scale_y = 1 + scale_x * augmentation.scale, 1 + scale_y * augmentation.scale
    shear = shear * augmentation.shear
    zoomed = torch.rand(count, generator=generator) < augmentation.zoom_probability
    zoom = torch.where(zoomed, CROP, 1.0)
    cos, sin = torch.cos(angle) * zoom, torch.sin(angle) * zoom
    shift = augmentation.translate * 2 / side
    row_x = torch.stack([cos * scale_x, (shear * cos - sin) * scale_y, shift_x * shift], dim=1)
    row_y = torch.stack([sin * scale_x, (shear * sin + cos) * scale_y, shift_y * shift], dim=1)
    maps = torch.stack([row_x, row_y], dim=1)
    if augmentation.flip_probability:  # otherwise nothing is drawn: all past runs can be repeated
        flipped = torch.rand(count, generator=generator) < augmentation.flip_probability
        maps[flipped, :, 0] *= -1
    return maps
