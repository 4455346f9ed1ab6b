"""Random changes of whole batches of digits, from large canvases to images in MNIST format.

A batch is a float tensor of shape `(N, 1, H, W)`, 0 is background and 1 is foreground.
"""

from __future__ import annotations

import math

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
    return _change_width(_bend(digits, generator), int(_uniform(generator, -1.6, 2.6)))


def _uniform(generator: Generator, low: float, high: float, *shape: int) -> Tensor:
    """Return uniform numbers between two bounds."""
    return torch.rand(shape, generator=generator) * (high - low) + low


def _bend(digits: Tensor, generator: Generator) -> Tensor:
    """Sample each digit at positions that an affine map and a smooth displacement give."""
    count = len(digits)
    angle = torch.deg2rad(_uniform(generator, -DEGREES, DEGREES, count))
    slant = _uniform(generator, -SLANT, SLANT, count)
    stretch = _uniform(generator, -ASPECT / 2, ASPECT / 2, count).exp()
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
    changed = _dilate(digits, steps)
    kept = changed.sum((1, 2, 3)) > 0.5 * digits.sum((1, 2, 3))
    return torch.where(kept[:, None, None, None], changed, digits)


def _dilate(digits: Tensor, steps: int) -> Tensor:
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
    """Return digits reduced to 8 to 14 pixels and enlarged smoothly."""
    pixels = int(_uniform(generator, 8, 15))
    side = round(CANVAS * pixels / HEIGHT / _SHRINK)
    small = F.interpolate(digits, size=side, mode="area")
    large = F.interpolate(small, size=CANVAS, mode="bicubic", align_corners=False)
    if _uniform(generator, 0, 1) < 0.5:
        large = _cut(large, digits)
    return (large / large.amax((2, 3), keepdim=True).clamp(min=0.1)).sub(0.1).div(0.8).clamp(0, 1)


def _cut(blurred: Tensor, digits: Tensor) -> Tensor:
    """Return blurred digits without what is outside of their boxes, like scans cut to the digit."""
    place = torch.arange(CANVAS)
    for axis in (2, 3):
        first, end = (edge[:, None] for edge in _extent(digits, axis))
        inside = (place >= first) & (place < end)
        blurred = blurred * (inside[:, None, :, None] if axis == 2 else inside[:, None, None])
    return blurred


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


def degrade(images: Tensor, kind: str, generator: Generator) -> Tensor:
    """Return images, uint8 of shape `(N, 28, 28)`, after one of `DEGRADATIONS`."""
    changed = DEGRADATIONS[kind](images[:, None] / 255, generator)
    return (changed.clamp(0, 1) * 255).round().to(torch.uint8).squeeze(1)


def _add_noise(images: Tensor, generator: Generator) -> Tensor:
    strength = _uniform(generator, 0.05, 0.4, len(images), 1, 1, 1)
    return images + torch.randn(images.shape, generator=generator) * strength


def _add_impulse_noise(images: Tensor, generator: Generator) -> Tensor:
    """Replace random pixels by random levels (impulse noise)."""
    share = _uniform(generator, 0.02, 0.3, len(images), 1, 1, 1)
    grains = torch.rand(images.shape, generator=generator) < share
    return torch.where(grains, torch.rand(images.shape, generator=generator), images)


def _blur(images: Tensor, generator: Generator) -> Tensor:
    """Blur by an anisotropic Gaussian of random direction."""
    length, across = float(_uniform(generator, 0.4, 2.6)), float(_uniform(generator, 0.2, 1.2))
    angle = float(_uniform(generator, 0, math.pi))
    y, x = torch.meshgrid(2 * [torch.arange(-6.0, 7)], indexing="ij")
    along = x * math.cos(angle) + y * math.sin(angle)
    aside = y * math.cos(angle) - x * math.sin(angle)
    kernel = torch.exp(-((along / length) ** 2 + (aside / across) ** 2) / 2)
    blurred = F.conv2d(images, (kernel / kernel.sum())[None, None], padding=6)
    return blurred * _uniform(generator, 1.0, 1.5, len(images), 1, 1, 1)


def _scatter(images: Tensor, generator: Generator) -> Tensor:
    """Take each pixel from a random place nearby."""
    identity = torch.eye(2, 3).expand(len(images), 2, 3)
    grid = F.affine_grid(identity, list(images.shape), align_corners=False)
    moves = torch.randn(grid.shape, generator=generator) * float(_uniform(generator, 0.4, 1.5))
    return F.grid_sample(images, grid + moves * 2 / SIDE, align_corners=False)


def _relight(images: Tensor, generator: Generator) -> Tensor:
    """Reduce the contrast and add smooth, uneven light."""
    cells = int(_uniform(generator, 2, 15))
    light = torch.rand(len(images), 1, cells, cells, generator=generator)
    light = F.interpolate(light, size=SIDE, mode="bicubic", align_corners=False).clamp(0, 1)
    shape = (len(images), 1, 1, 1)
    uneven, floor = _uniform(generator, 0, 1, *shape), _uniform(generator, 0, 0.8, *shape)
    contrast = _uniform(generator, 0.25, 1, *shape)
    background = floor * (1 - uneven + uneven * light)
    return background + contrast * images * (1 - background * _uniform(generator, 0, 1, *shape))


def _add_lines(images: Tensor, generator: Generator) -> Tensor:
    """Draw one to four straight lines across, or segments of lines."""
    y, x = torch.meshgrid(2 * [torch.arange(float(SIDE))], indexing="ij")
    for _ in range(int(_uniform(generator, 1, 5))):
        angle = _uniform(generator, 0, math.pi, len(images), 1, 1, 1)
        offset = _uniform(generator, -13, 13, len(images), 1, 1, 1)
        center = _uniform(generator, -13, 13, len(images), 1, 1, 1)
        length = _uniform(generator, 2, 28, len(images), 1, 1, 1)
        width = _uniform(generator, 0.4, 1.3, len(images), 1, 1, 1)
        aside = (y - 13.5) * angle.cos() - (x - 13.5) * angle.sin() - offset
        along = (y - 13.5) * angle.sin() + (x - 13.5) * angle.cos() - center
        line = (width + 0.5 - aside.abs()).clamp(0, 1) * (along.abs() < length)
        images = torch.maximum(images, line * _uniform(generator, 0.5, 1, len(images), 1, 1, 1))
    return images


def _cover(images: Tensor, generator: Generator) -> Tensor:
    """Fill rectangles with a gray level, or invert them."""
    index = torch.arange(SIDE)
    for _ in range(int(_uniform(generator, 1, 4))):
        inside = torch.ones(len(images), 1, 1, 1, dtype=torch.bool)
        for axis in (2, 3):
            start = _uniform(generator, -8, SIDE, len(images), 1, 1, 1)
            end = start + _uniform(generator, 3, 20, len(images), 1, 1, 1)
            place = index.view(-1, 1) if axis == 2 else index
            inside = inside & (place >= start) & (place < end)
        gray = _uniform(generator, 0, 1, len(images), 1, 1, 1).expand_as(images)
        negative = _uniform(generator, 0, 1, len(images), 1, 1, 1) < 0.7
        images = torch.where(inside, torch.where(negative, 1 - images, gray), images)
    return images


def _move(images: Tensor, generator: Generator) -> Tensor:
    """Move, rotate, slant and shrink the whole image more than training does."""
    count = len(images)
    angle = torch.deg2rad(_uniform(generator, -28, 28, count))
    slant = _uniform(generator, -0.5, 0.5, count)
    zoom = _uniform(generator, -0.15, 0.5, count).exp()
    cos, sin = angle.cos() * zoom, angle.sin() * zoom
    x, y = (_uniform(generator, -4, 4, count) * 2 / SIDE for _ in range(2))
    maps = torch.stack([cos, slant * cos - sin, x, sin, slant * sin + cos, y], dim=1)
    grid = F.affine_grid(maps.view(count, 2, 3), list(images.shape), align_corners=False)
    return F.grid_sample(images, grid, align_corners=False)


def _hollow(images: Tensor, generator: Generator) -> Tensor:
    """Keep only the outlines of the strokes."""
    large = enlarge((images.squeeze(1) * 255).to(torch.uint8))
    level = float(_uniform(generator, 0.3, 0.7))
    width = int(_uniform(generator, 0, 3))
    solid = (large > level).float()
    ring = _dilate(solid, width) - _dilate(solid, -1)
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
