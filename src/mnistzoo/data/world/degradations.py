"""Random degradations of whole batches of images in MNIST format."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Generator, Tensor

from mnistzoo.data.world.distortions import dilate, enlarge, uniform
from mnistzoo.data.world.pen import CANVAS, HEIGHT
from mnistzoo.images.rendering import BOX, SIDE


def degrade(images: Tensor, kind: str, generator: Generator) -> Tensor:
    """Return images, uint8 of shape `(N, 28, 28)`, after one of `DEGRADATIONS`."""
    changed = DEGRADATIONS[kind](images[:, None] / 255, generator)
    return (changed.clamp(0, 1) * 255).round().to(torch.uint8).squeeze(1)


def _add_noise(images: Tensor, generator: Generator) -> Tensor:
    strength = uniform(generator, 0.05, 0.4, len(images), 1, 1, 1)
    return images + torch.randn(images.shape, generator=generator) * strength


def _add_impulse_noise(images: Tensor, generator: Generator) -> Tensor:
    """Replace random pixels by random levels (impulse noise)."""
    share = uniform(generator, 0.02, 0.3, len(images), 1, 1, 1)
    grains = torch.rand(images.shape, generator=generator) < share
    return torch.where(grains, torch.rand(images.shape, generator=generator), images)


def _blur(images: Tensor, generator: Generator) -> Tensor:
    """Blur by an anisotropic Gaussian of random direction."""
    length, across = float(uniform(generator, 0.4, 2.6)), float(uniform(generator, 0.2, 1.2))
    angle = float(uniform(generator, 0, math.pi))
    y, x = torch.meshgrid(2 * [torch.arange(-6.0, 7)], indexing="ij")
    along = x * math.cos(angle) + y * math.sin(angle)
    aside = y * math.cos(angle) - x * math.sin(angle)
    kernel = torch.exp(-((along / length) ** 2 + (aside / across) ** 2) / 2)
    blurred = F.conv2d(images, (kernel / kernel.sum())[None, None], padding=6)
    return blurred * uniform(generator, 1.0, 1.5, len(images), 1, 1, 1)


def _scatter(images: Tensor, generator: Generator) -> Tensor:
    """Take each pixel from a random place nearby."""
    identity = torch.eye(2, 3).expand(len(images), 2, 3)
    grid = F.affine_grid(identity, list(images.shape), align_corners=False)
    moves = torch.randn(grid.shape, generator=generator) * float(uniform(generator, 0.4, 1.5))
    return F.grid_sample(images, grid + moves * 2 / SIDE, align_corners=False)


def _relight(images: Tensor, generator: Generator) -> Tensor:
    """Reduce the contrast and add smooth, uneven light."""
    cells = int(uniform(generator, 2, 15))
    light = torch.rand(len(images), 1, cells, cells, generator=generator)
    light = F.interpolate(light, size=SIDE, mode="bicubic", align_corners=False).clamp(0, 1)
    shape = (len(images), 1, 1, 1)
    uneven, floor = uniform(generator, 0, 1, *shape), uniform(generator, 0, 0.8, *shape)
    contrast = uniform(generator, 0.25, 1, *shape)
    background = floor * (1 - uneven + uneven * light)
    return background + contrast * images * (1 - background * uniform(generator, 0, 1, *shape))


def _add_lines(images: Tensor, generator: Generator) -> Tensor:
    """Draw one to four straight lines across, or segments of lines."""
    y, x = torch.meshgrid(2 * [torch.arange(float(SIDE))], indexing="ij")
    for _ in range(int(uniform(generator, 1, 5))):
        angle = uniform(generator, 0, math.pi, len(images), 1, 1, 1)
        offset = uniform(generator, -13, 13, len(images), 1, 1, 1)
        center = uniform(generator, -13, 13, len(images), 1, 1, 1)
        length = uniform(generator, 2, 28, len(images), 1, 1, 1)
        width = uniform(generator, 0.4, 1.3, len(images), 1, 1, 1)
        aside = (y - 13.5) * angle.cos() - (x - 13.5) * angle.sin() - offset
        along = (y - 13.5) * angle.sin() + (x - 13.5) * angle.cos() - center
        line = (width + 0.5 - aside.abs()).clamp(0, 1) * (along.abs() < length)
        images = torch.maximum(images, line * uniform(generator, 0.5, 1, len(images), 1, 1, 1))
    return images


def _cover(images: Tensor, generator: Generator) -> Tensor:
    """Fill rectangles with a gray level, or invert them."""
    index = torch.arange(SIDE)
    for _ in range(int(uniform(generator, 1, 4))):
        inside = torch.ones(len(images), 1, 1, 1, dtype=torch.bool)
        for axis in (2, 3):
            start = uniform(generator, -8, SIDE, len(images), 1, 1, 1)
            end = start + uniform(generator, 3, 20, len(images), 1, 1, 1)
            place = index.view(-1, 1) if axis == 2 else index
            inside = inside & (place >= start) & (place < end)
        gray = uniform(generator, 0, 1, len(images), 1, 1, 1).expand_as(images)
        negative = uniform(generator, 0, 1, len(images), 1, 1, 1) < 0.7
        images = torch.where(inside, torch.where(negative, 1 - images, gray), images)
    return images


def _move(images: Tensor, generator: Generator) -> Tensor:
    """Move, rotate, slant and shrink the whole image more than training does."""
    count = len(images)
    angle = torch.deg2rad(uniform(generator, -28, 28, count))
    slant = uniform(generator, -0.5, 0.5, count)
    zoom = uniform(generator, -0.15, 0.5, count).exp()
    cos, sin = angle.cos() * zoom, angle.sin() * zoom
    x, y = (uniform(generator, -4, 4, count) * 2 / SIDE for _ in range(2))
    maps = torch.stack([cos, slant * cos - sin, x, sin, slant * sin + cos, y], dim=1)
    grid = F.affine_grid(maps.view(count, 2, 3), list(images.shape), align_corners=False)
    return F.grid_sample(images, grid, align_corners=False)


def _hollow(images: Tensor, generator: Generator) -> Tensor:
    """Keep only the outlines of the strokes."""
    large = enlarge((images.squeeze(1) * 255).to(torch.uint8))
    level = float(uniform(generator, 0.3, 0.7))
    width = int(uniform(generator, 0, 3))
    solid = (large > level).float()
    ring = dilate(solid, width) - dilate(solid, -1)
    margin = (CANVAS - round(SIDE * HEIGHT / BOX / 2) * 2) // 2
    return F.interpolate(ring[..., margin:-margin, margin:-margin], size=SIDE, mode="area") * 1.6


DEGRADATIONS = {
    "noise": _add_noise,
    "grains": _add_impulse_noise,
    "blur": _blur,
    "scatter": _scatter,
    "light": _relight,
    "lines": _add_lines,
    "cover": _cover,
    "move": _move,
    "hollow": _hollow,
}
"""Generic degradations by name; none is one of MNIST-C's corruptions."""
