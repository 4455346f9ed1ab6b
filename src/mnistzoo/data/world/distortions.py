"""Random changes of batches of digits on large canvases, and their conversion to MNIST format.

A batch is a float tensor of shape `(N, 1, CANVAS, CANVAS)`, 0 is background and 1 is foreground.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Generator, Tensor

from mnistzoo.data.world.pen import CANVAS, HEIGHT
from mnistzoo.images.rendering import BOX, SIDE

DEGREES, SLANT, ASPECT, ELASTIC = 12.0, 0.4, 0.3, 0.035
"""Bounds of the rotation, of the slant (a slope) and of the logarithm of the aspect ratio; and the
standard deviation of the elastic displacement, as a share of the canvas."""

_SHRINK = 0.85
"""Factor by which digits shrink before they are distorted, so that they stay on the canvas."""

_SUPERSAMPLING = 4


def enlarge(images: Tensor) -> Tensor:
    """Return MNIST images, uint8 of shape `(N, 28, 28)`, on the canvas."""
    side = round(SIDE * HEIGHT / BOX / 2) * 2
    large = F.interpolate(images[:, None] / 255, size=side, mode="bicubic", align_corners=False)
    return F.pad(large.clamp(0, 1), [(CANVAS - side) // 2] * 4)


def distort(digits: Tensor, generator: Generator) -> Tensor:
    """Rotate, slant, stretch and bend each digit, and change the width of its strokes."""
    return _change_width(_bend(digits, generator), int(uniform(generator, -1.6, 2.6)))


def uniform(generator: Generator, low: float, high: float, *shape: int) -> Tensor:
    """Return random numbers in [low, high), float32 of the given shape."""
    return torch.rand(shape, generator=generator) * (high - low) + low


def _bend(digits: Tensor, generator: Generator) -> Tensor:
    """Sample each digit at positions that an affine map and a smooth displacement give."""
    count = len(digits)
    angle = torch.deg2rad(uniform(generator, -DEGREES, DEGREES, count))
    slant = uniform(generator, -SLANT, SLANT, count)
    stretch = uniform(generator, -ASPECT / 2, ASPECT / 2, count).exp()
    cos, sin, nil = angle.cos(), angle.sin(), torch.zeros(count)
    row_x = torch.stack([cos * stretch, (slant * cos - sin) / stretch, nil], dim=1)
    row_y = torch.stack([sin * stretch, (slant * sin + cos) / stretch, nil], dim=1)
    maps = torch.stack([row_x, row_y], dim=1)
    grid = F.affine_grid(maps / _SHRINK, list(digits.shape), align_corners=False)
    bends = torch.randn(count, 2, 5, 5, generator=generator) * ELASTIC * 2
    smooth = F.interpolate(bends, size=digits.shape[-2:], mode="bicubic", align_corners=False)
    return F.grid_sample(digits, grid + smooth.permute(0, 2, 3, 1), align_corners=False)


def _change_width(digits: Tensor, steps: int) -> Tensor:
    """Dilate or erode the strokes. Digits that would dissolve keep their width."""
    changed = dilate(digits, steps)
    kept = changed.sum((1, 2, 3)) > 0.5 * digits.sum((1, 2, 3))
    return torch.where(kept[:, None, None, None], changed, digits)


def dilate(digits: Tensor, steps: int) -> Tensor:
    """Dilate the foreground by some pixels, or erode it by a negative number of pixels."""
    sign, changed = (1 if steps > 0 else -1), digits
    for step in range(abs(steps)):
        if step % 2:  # a square and a cross in turn approximate a disk
            changed = sign * F.max_pool2d(sign * changed, 3, stride=1, padding=1)
        else:
            rows = F.max_pool2d(sign * changed, (3, 1), stride=1, padding=(1, 0))
            columns = F.max_pool2d(sign * changed, (1, 3), stride=1, padding=(0, 1))
            changed = sign * torch.maximum(rows, columns)
    return changed


def coarsen(digits: Tensor, generator: Generator) -> Tensor:
    """Reduce digits to 8 to 14 pixels and enlarge them smoothly.

    Half of the batches are then cropped to each digit's bounding box, like tight scans.
    """
    pixels = int(uniform(generator, 8, 15))
    side = round(CANVAS * pixels / HEIGHT / _SHRINK)
    small = F.interpolate(digits, size=side, mode="area")
    large = F.interpolate(small, size=CANVAS, mode="bicubic", align_corners=False)
    if uniform(generator, 0, 1) < 0.5:
        large = large * _box_masks(digits)
    return (large / large.amax((2, 3), keepdim=True).clamp(min=0.1)).sub(0.1).div(0.8).clamp(0, 1)


def _box_masks(digits: Tensor) -> Tensor:
    """Return a mask of each digit's bounding box, bool, shape `(N, 1, CANVAS, CANVAS)`."""
    (left, right), (top, bottom) = (
        [edge.view(-1, 1, 1, 1) for edge in _extent(digits, axis)] for axis in (3, 2)
    )
    x, y = torch.arange(CANVAS), torch.arange(CANVAS)[:, None]
    return (left <= x) & (x < right) & (top <= y) & (y < bottom)


def to_format(digits: Tensor) -> Tensor:
    """Convert canvases to MNIST format, uint8 of shape `(N, 28, 28)`.

    As in `images.rendering`, the longer side of each digit's box is scaled to 20 pixels, and its
    center of mass moves to pixel 14.
    """
    (left, right), (top, bottom) = _extent(digits, 3), _extent(digits, 2)
    low, high = torch.stack([left, top], dim=1), torch.stack([right, bottom], dim=1)
    half = (high - low).amax(1) / 2
    side = BOX * _SUPERSAMPLING
    steps = (torch.arange(side) + 0.5) / side * 2 - 1
    places = (low + high)[..., None] / 2 + half[:, None, None] * steps  # pixels, (N, 2, 80)
    x, y = (places * 2 / CANVAS - 1).unbind(1)
    grid = torch.stack([x[:, None].expand(-1, side, -1), y[..., None].expand(-1, -1, side)], dim=-1)
    boxes = F.avg_pool2d(F.grid_sample(digits, grid, align_corners=False), _SUPERSAMPLING)
    return _center((boxes.squeeze(1) * 255).round().to(torch.uint8))


def _extent(digits: Tensor, axis: int) -> tuple[Tensor, Tensor]:
    """Return the first and last pixel (exclusive) of each digit's foreground along an axis."""
    used = (digits > 0.5).any(5 - axis).squeeze(1).float()
    return used.argmax(1).float(), used.shape[1] - used.flip(1).argmax(1).float()


def _center(boxes: Tensor) -> Tensor:
    """Return 28×28 images with the center of mass of each box at pixel 14."""
    mass, index = boxes.float() + 1e-6, torch.arange(BOX)
    total = mass.sum((1, 2))
    images = torch.zeros(len(boxes), SIDE, SIDE, dtype=torch.uint8)
    corners = [
        (SIDE / 2 - (mass.sum(other) * index).sum(1) / total).round().clamp(0, SIDE - BOX).long()
        for other in (2, 1)
    ]
    top, left = (corner[:, None] + index for corner in corners)
    images[torch.arange(len(boxes))[:, None, None], top[:, :, None], left[:, None]] = boxes
    return images
