"""Augmentation of a whole batch at once: one random map for each image."""

from __future__ import annotations

import math
from functools import cache

import torch
import torch.nn.functional as F
from torch import Generator, Tensor

from mnistzoo.training.recipe import Augmentation

CROP = 22 / 28
"""The part of each side that the study's centre crop keeps."""


NODES = 6
"""Along each side of the grid that elastic distortion draws its shifts for."""


def sampling_grids(
    count: int, side: int, augmentation: Augmentation, generator: Generator
) -> Tensor:
    """Where each pixel of the result is taken from, shape `(count, side, side, 2)`.

    Places are in the coordinates of `torch.nn.functional.grid_sample`, x before y, -1 to 1 across
    the image of `side` pixels.
    """
    maps = affine_maps(count, side, augmentation, generator)
    grids = F.affine_grid(maps, [count, 1, side, side], align_corners=False)
    return grids + bends(count, side, augmentation, generator) if augmentation.elastic else grids


def bends(count: int, side: int, augmentation: Augmentation, generator: Generator) -> Tensor:
    """Random smooth shifts in the units of `sampling_grids`, shape `(count, side, side, 2)`.

    The shifts of `NODES` × `NODES` places are drawn from a normal distribution; bicubic
    interpolation along one axis and then the other gives those between.
    """
    nodes = torch.randn(count, 2, NODES, NODES, generator=generator)
    between = _interpolation(side)
    fine = between @ (nodes * (augmentation.elastic * 2 / side)) @ between.T
    return fine.permute(0, 2, 3, 1)


@cache
def _interpolation(side: int) -> Tensor:
    """The weights of `NODES` values in each of `side` places from the first to the last."""
    single = torch.eye(NODES)[None, :, :, None]
    made = F.interpolate(single, (side, 1), mode="bicubic", align_corners=True)
    return made[0, :, :, 0].T


def warp(images: Tensor, grids: Tensor) -> Tensor:
    """Each image sampled bilinearly at its own places.

    Beyond its border an image is continued by its outermost pixels, which in MNIST are paper.

    Args:
        images: float, shape `(N, 1, H, W)`.
        grids: shape `(N, H, W, 2)`, as `sampling_grids` gives them.

    Returns:
        A tensor of the same shape as `images`.
    """
    return F.grid_sample(images, grids, padding_mode="border", align_corners=False)


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
