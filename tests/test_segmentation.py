"""Foreground and its components are found on pages whose foreground is known."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from scipy import ndimage

from mnistzoo.errors import ImageError
from mnistzoo.images.components import Labels, find_components
from mnistzoo.images.segmentation import (
    Foreground,
    _background_statistics,
    _contrast,
    _has_flat_background,
    _has_two_levels,
    segment,
)
from strokes import SEVEN, overlap, photograph, strokes

COUNT = st.integers(0, 300)

LARGE = [[(70, 90), (180, 80), (110, 230)]]
"""The lines of a 7 on a page 300 high and 260 wide."""


@pytest.mark.parametrize("contrast", [0.021, 0.1, 0.9])
@pytest.mark.parametrize("brightness", [0.4, 1.0])
def test_in_even_light_the_foreground_is_found_to_the_pixel(contrast, brightness):
    """From 2 % contrast on, its density is 1, and the background's is 0."""
    mask = strokes(240, 200, SEVEN, 9)
    found = segment(photograph(mask, brightness, contrast))
    assert np.array_equal(found.mask, mask)
    assert found.density.dtype == np.float32
    assert np.allclose(found.density, mask, atol=1e-4)


def test_fainter_foreground_is_not_found():
    """Below 2 % contrast there is nothing."""
    with pytest.raises(ImageError):
        segment(photograph(strokes(240, 200, SEVEN, 9), 0.8, 0.018))


def test_density_lies_between_0_and_1():
    """Foreground darker than most has density 1, background lighter than most 0."""
    levels = photograph(strokes(240, 200, SEVEN, 9), 0.8, 0.5)
    levels[60:64, 80:90], levels[200:220, 20:60] = 0.0, 0.9
    density = segment(levels).density
    assert density[61, 85] == density.max() == 1
    assert density[210, 40] == density.min() == 0


def test_soft_edges_of_strokes_stay_on_ruled_paper():
    """Gray pixels beside a stroke are kept; those beside a ruled line are removed with it."""
    mask = strokes(300, 256, SEVEN, 9)
    levels = 1 - 0.6 * ndimage.gaussian_filter(mask.astype(np.float32), 1.0)
    plain = segment(levels).density
    levels[250:252] = 0.4
    levels[[249, 252]] = 0.85
    density = segment(levels).density
    assert np.count_nonzero((plain > 0.05) & (plain < 0.45)) > 100
    assert np.abs(density[:240] - plain[:240]).max() < 0.02
    assert density[240:].max() < 0.02


@pytest.mark.parametrize("side", [12, 40, 90, 380, 600])
@pytest.mark.parametrize("light", [False, True])
def test_the_rarer_level_is_foreground(side, light):
    """In an image of any size, the rarer of two levels is foreground, be it dark or light."""
    mask = np.zeros((side, side), bool)
    mask[side // 4 : side // 2, side // 3 : side // 2] = True
    levels = np.where(mask, 0.2, 0.9).astype(np.float32)
    found = segment(1 - levels if light else levels)
    assert overlap(found.mask, mask) > (0.9 if side > 384 else 0.999)


def uneven_light(kind):
    """Return the light on a page 300 high and 260 wide."""
    y, x = np.mgrid[0:1:300j, 0:1:260j]
    if kind == "slope":
        return 0.35 + 0.55 * (0.7 * x + 0.3 * y)
    if kind == "shadow":
        return np.where(x + 0.3 * y < 0.55, 0.85, 0.5)
    return 0.9 - 0.5 * np.hypot(x - 0.5, y - 0.5)


@pytest.mark.parametrize(
    ("kind", "inverted"),
    [("slope", False), ("shadow", False), ("lamp", False), ("slope", True), ("shadow", True)],
)
def test_uneven_light_is_background(kind, inverted):
    """Strokes are found on a slope, across the edge of a shadow, and in a lamp's light."""
    mask, light = strokes(300, 260, LARGE, 10), uneven_light(kind)
    levels = photograph(mask, light, 0.6)
    if inverted:
        levels = np.asarray(np.where(mask, 0.95, 0.75 * light - 0.1), dtype=np.float32)
    assert overlap(segment(levels).mask, mask) > (0.75 if inverted else 0.85)


@pytest.mark.parametrize("noise", [0.01, 0.03])
def test_noise_is_background(noise):
    """Noise alone shows no digit; strokes of ten standard deviations are found in it."""
    grain = np.random.default_rng(0).normal(0, noise, (300, 260))
    with pytest.raises(ImageError):
        find_components(segment(np.asarray(0.7 + grain, dtype=np.float32)))
    mask = strokes(300, 260, LARGE, 10)
    levels = photograph(mask, 0.7, 10 * noise / 0.7) + grain
    assert overlap(segment(levels.astype(np.float32)).mask, mask) > 0.8


def test_a_flat_background_has_neither_noise_nor_shade():
    """Enlarged line art has a flat background; clipped noise or a shadow is not flat."""
    mask = strokes(300, 260, SEVEN, 9)
    drawn = np.asarray(Image.fromarray(mask).convert("L").resize((60, 70), Image.Resampling.BOX))
    enlarged = np.asarray(Image.fromarray(drawn).resize((260, 300)), dtype=np.float32) / 255
    noise = np.random.default_rng(0).normal(0.01, 0.03, mask.shape)
    board = np.clip(0.6 * mask + noise, 0, 1).astype(np.float32)
    assert np.mean(board == 0) > 0.3
    shadow = np.where(np.arange(260) < 160, 0.9, 0.6) * (1 - 0.5 * mask)
    flat = [_has_flat_background(levels, 0, 1) for levels in (enlarged, board, shadow)]
    assert flat == [True, False, False]


def pixels_of(counts):
    """Return an image with so many pixels of each level."""
    return np.repeat(np.float32(list(counts)), list(counts.values()))


@pytest.mark.parametrize(("high", "flat"), [(0.02, False), (0.03, True)])
def test_a_flat_background_needs_contrast(high, flat):
    """If all levels are within the least contrast, there is no foreground."""
    assert _has_flat_background(pixels_of({1.0: 900, 0.5: 100}), 0.0, high) == flat


@given(mode=COUNT, near=COUNT, far=COUNT, apart=COUNT, rest=st.integers(0, 60))
def test_a_flat_background_has_one_level(mode, near, far, apart, rest):
    """The mode of a flat background is sharp, and no other level is nearly as frequent."""
    levels = {100: mode, 104: near, 105: far, 126: apart} | {150 + i: 1 for i in range(rest)}
    if max(levels, key=levels.get) != 100 or list(levels.values()).count(mode) > 1:
        return
    second = max(apart, 1 if rest else 0)
    frequent, sharp = mode > 0.15 * sum(levels.values()), mode > 0.7 * (mode + near)
    pixels = pixels_of({level / 255: count for level, count in levels.items()})
    assert _has_flat_background(pixels, 0.0, 1.0) == (frequent and sharp and second < 0.25 * mode)


@pytest.mark.parametrize(("foreground", "clean"), [(0.3, True), (0.5, False), (0.55, False)])
def test_two_levels_lie_far_apart(foreground, clean):
    """In a scan or a drawing, the foreground has less than half of the background's light."""
    levels = pixels_of({foreground: 80, 1.0: 3520})
    assert _has_two_levels(levels, foreground, 1.0) == clean


@given(dark=COUNT, darkish=COUNT, between=COUNT, lightish=COUNT, light=COUNT)
def test_little_lies_between_two_levels(dark, darkish, between, lightish, light):
    """Fewer pixels lie in the middle half, its ends excluded, than in the foreground."""
    counts = {0.0: dark, 0.25: darkish, 0.5: between, 0.75: lightish, 1.0: light}
    clean = between < min(dark + darkish, lightish + light)
    assert _has_two_levels(pixels_of(counts), 0.0, 1.0) == clean


@pytest.mark.parametrize(
    ("foreground", "background"), [(0.1, 0.9), (0.75, 0.25), (0.0, 1.0), (1.0, 0.125)]
)
def test_contrast_is_a_share_of_the_backgrounds_light(foreground, background):
    """Light foreground is inverted first."""
    levels = np.full((28, 28), background, np.float32)
    levels[8:20, 12:16] = foreground
    available = background if foreground < background else 1 - background
    share = abs(background - foreground) / available
    expected = np.where(levels == np.float32(foreground), share, 0)
    np.testing.assert_allclose(_contrast(levels), expected, atol=1e-6)


@pytest.mark.parametrize("share", [0.0, 0.1, 0.3])
def test_the_backgrounds_statistics_ignore_the_foreground(share):
    """The median and the noise are nearly those of the background alone."""
    contrast = np.random.default_rng(0).normal(0.05, 0.02, 40_000)
    contrast[: int(share * 40_000)] = 0.8
    median, noise = _background_statistics(contrast.astype(np.float32))
    assert median == pytest.approx(0.05, abs=0.02 * (0.02 + 2 * share))
    assert noise == pytest.approx(0.02, rel=0.03 + share)


def test_components_are_connected_and_not_noise():
    """Pixels connect at corners, too; below 3 % of the longer side a component is noise."""
    mask = np.zeros((200, 100), bool)
    mask[20:120, 30:40] = mask[120:140, 40:50] = True
    mask[150:156, 70] = True
    mask[180:185, 70:75] = True
    foreground = segment(photograph(mask, 0.9, 0.8))
    found = find_components(foreground)
    assert [(component.box, component.area) for component in found] == [
        ((30, 20, 50, 140), 1200),
        ((70, 150, 71, 156), 6),
    ]
    assert np.count_nonzero(foreground.labels.pixels == found[0].label) == 1200


@pytest.mark.parametrize(
    ("side", "length", "count"), [(128, 13, 1), (128, 12, 2), (127, 13, 2), (300, 30, 1)]
)
def test_a_dark_border_is_dropped_from_a_page(side, length, count):
    """From 128 pixels on, if another component is a tenth as long as the image."""
    mask = np.zeros((side, side), bool)
    mask[:, :3] = True
    mask[50 : 50 + length, 60:65] = True
    assert len(find_components(Foreground(mask.astype(np.float32), mask, 1.0))) == count


@pytest.mark.parametrize("shape", [(0, 5), (5, 0), (0, 0)])
def test_an_empty_mask_is_an_error(shape):
    """OpenCV would end the process."""
    with pytest.raises(ImageError, match="No digit was found"):
        Labels.from_mask(np.zeros(shape, np.bool_))
