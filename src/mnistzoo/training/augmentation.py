"""Augmentation of a whole batch at once: one random affine map for each image."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Generator, Tensor

from mnistzoo.training.recipes import Augmentation

CROP = 22 / 28
"""The part of each side that the study's centre crop keeps."""


def warp(images: Tensor, maps: Tensor) -> Tensor:
    """Each image under its own affine map, sampled bilinearly.

    Beyond its border an image is continued by its outermost pixels, which in MNIST are paper.

    Args:
        images: float, shape `(N, 1, H, W)`.
        maps: shape `(N, 2, 3)`, as `affine_maps` gives them.

    Returns:
        A tensor of the same shape as `images`.
    """
    grid = F.affine_grid(maps, list(images.shape), align_corners=False)
    return F.grid_sample(images, grid, padding_mode="border", align_corners=False)


def affine_maps(count: int, side: int, augmentation: Augmentation, generator: Generator) -> Tensor:
    """Random maps from places in the result to places in the image, shape `(count, 2, 3)`.

    Each magnitude is drawn uniformly from ± its bound in `augmentation`. Places are in the
    coordinates of `torch.nn.functional.affine_grid`, -1 to 1 across the image of `side` pixels.
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
    return torch.stack([row_x, row_y], dim=1)
