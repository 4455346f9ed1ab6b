"""Finding ink and drawing it anew, on pictures whose ink is known because it was drawn here."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageDraw
from scipy import ndimage

from mnistzoo.errors import ImageError
from mnistzoo.images.components import find_components
from mnistzoo.images.grouping import main_digit
from mnistzoo.images.rendering import _center, _normalize_strokes, render
from mnistzoo.images.segmentation import (
    Foreground,
    _background_statistics,
    _contrast,
    _has_flat_background,
    _has_two_levels,
    segment,
)

COUNT = st.integers(0, 300)


def pen(height, width, lines, thick):
    """Where lines, each a list of points, put ink on a page: bool, `(height, width)`."""
    page = Image.new("L", (width, height))
    for line in lines:
        ImageDraw.Draw(page).line(line, fill=255, width=thick, joint="curve")
    return np.asarray(page) > 127


SEVEN = [[(60, 60), (140, 60), (90, 180)]]


def common(one, other):
    """The share of all ink that is ink in both."""
    return np.count_nonzero(one & other) / np.count_nonzero(one | other)


def photograph(ink, paper, strength):
    """A page with ink that takes away so much of the paper's light; float32."""
    return np.asarray(paper * (1 - strength * ink), dtype=np.float32)


@pytest.mark.parametrize("strength", [0.021, 0.1, 0.9])
@pytest.mark.parametrize("brightness", [0.4, 1.0])
def test_ink_on_even_paper_is_found_to_the_pixel(strength, brightness):
    """From two hundredths of the paper's light on; all of it is of the typical density."""
    ink = pen(240, 200, SEVEN, 9)
    found = segment(photograph(ink, brightness, strength))
    assert np.array_equal(found.mask, ink)
    assert found.density.dtype == np.float32
    assert np.allclose(found.density[ink], 1, atol=1e-4)
    assert np.allclose(found.density[~ink], 0, atol=1e-4)


def test_ink_darker_than_most_is_as_dense():
    """Density ends at one, and paper that is lighter than most has none."""
    ink, levels = pen(240, 200, SEVEN, 9), np.full((240, 200), 0.8, np.float32)
    levels[ink] = 0.4
    levels[60:64, 80:90], levels[200:220, 20:60] = 0.0, 0.9
    found = segment(levels)
    assert found.density.min() == 0
    assert found.density.max() == 1
    assert found.density[61, 85] == 1


def test_soft_edges_stay_where_rules_are_taken_away():
    """The half-dark pixels beside a stroke are kept; those beside a rule go with it."""
    ink = pen(300, 256, SEVEN, 9)
    levels = 1 - 0.6 * ndimage.gaussian_filter(ink.astype(np.float32), 1.0)
    plain = segment(levels).density
    ruled = levels.copy()
    ruled[250:252] = 0.4
    ruled[[249, 252]] = 0.85
    density = segment(ruled).density
    assert np.count_nonzero((plain > 0.05) & (plain < 0.45)) > 100
    assert np.abs(density[:240] - plain[:240]).max() < 0.02
    assert density[240:].max() < 0.02


def test_fainter_ink_is_none():
    """Below two hundredths there is nothing."""
    with pytest.raises(ImageError):
        segment(photograph(pen(240, 200, SEVEN, 9), 0.8, 0.018))


@pytest.mark.parametrize("side", [12, 40, 90, 380, 600])
@pytest.mark.parametrize("light", [False, True])
def test_ink_is_what_is_less(side, light):
    """In pictures of any size, the lesser of two levels is ink, be it dark or light."""
    ink = np.zeros((side, side), bool)
    ink[side // 4 : side // 2, side // 3 : side // 2] = True
    levels = np.where(ink, 0.2, 0.9).astype(np.float32)
    found = segment(1 - levels if light else levels)
    assert common(found.mask, ink) > (0.9 if side > 384 else 0.999)


def shades(kind):
    """Paper under uneven light, 300 × 260."""
    y, x = np.mgrid[0:1:300j, 0:1:260j]
    if kind == "slope":
        return 0.35 + 0.55 * (0.7 * x + 0.3 * y)
    if kind == "edge":
        return np.where(x + 0.3 * y < 0.55, 0.85, 0.5)
    return 0.9 - 0.5 * np.hypot(x - 0.5, y - 0.5)


@pytest.mark.parametrize(
    ("kind", "light"),
    [("slope", False), ("edge", False), ("lamp", False), ("slope", True), ("edge", True)],
)
def test_ink_under_uneven_light(kind, light):
    """Slopes, the edge of a shadow and a lamp's falling off are paper, strokes on them ink."""
    ink = pen(300, 260, [[(70, 90), (180, 80), (110, 230)]], 10)
    paper = shades(kind)
    levels = photograph(ink, paper, 0.6)
    if light:
        levels = np.asarray(np.where(ink, 0.95, 0.75 * paper - 0.1), dtype=np.float32)
    assert common(segment(levels).mask, ink) > (0.75 if light else 0.85)


def test_only_paper_without_grain_or_shade_has_flat_background():
    """A drawing enlarged has flat paper; a board whose grain is cut off at black has not."""
    chalk = pen(300, 260, SEVEN, 9)
    drawn = np.asarray(Image.fromarray(chalk).convert("L").resize((60, 70), Image.Resampling.BOX))
    enlarged = np.asarray(Image.fromarray(drawn).resize((260, 300)), dtype=np.float32) / 255
    grain = np.random.default_rng(0).normal(0.01, 0.03, chalk.shape)
    board = np.clip(0.6 * chalk + grain, 0, 1).astype(np.float32)
    assert np.mean(board == 0) > 0.3
    half = np.where(np.arange(260) < 160, 0.9, 0.6) * (1 - 0.5 * chalk)
    assert [_has_flat_background(levels, 0, 1) for levels in (enlarged, board, half)] == [
        True,
        False,
        False,
    ]


def pixels_of(counts):
    """A picture with so many pixels of each level."""
    return np.repeat(np.float32(list(counts)), list(counts.values()))


@pytest.mark.parametrize(("ink", "clean"), [(0.3, True), (0.5, False), (0.55, False)])
def test_two_levels_are_clean_only_far_apart(ink, clean):
    """In a scan or a drawing the ink has less than half the light of the paper."""
    assert _has_two_levels(pixels_of({ink: 80, 1.0: 3520}), ink, 1.0) == clean


@given(dark=COUNT, darkish=COUNT, between=COUNT, lightish=COUNT, light=COUNT)
def test_little_lies_between_clean_levels(dark, darkish, between, lightish, light):
    """Fewer pixels than are ink lie in the middle half, its ends left out."""
    counts = {0.0: dark, 0.25: darkish, 0.5: between, 0.75: lightish, 1.0: light}
    clean = between < min(dark + darkish, lightish + light)
    assert _has_two_levels(pixels_of(counts), 0.0, 1.0) == clean


@pytest.mark.parametrize(("ink", "paper"), [(0.1, 0.9), (0.75, 0.25), (0.0, 1.0), (1.0, 0.125)])
def test_contrast_is_a_share_of_the_papers_light(ink, paper):
    """In a small picture, of the light that dark ink takes away; light ink is turned over first."""
    levels = np.full((28, 28), paper, np.float32)
    levels[8:20, 12:16] = ink
    taken = (paper - ink) / paper if ink < paper else (ink - paper) / (1 - paper)
    expected = np.where(levels == np.float32(ink), taken, 0)
    np.testing.assert_allclose(_contrast(levels), expected, atol=1e-6)


@pytest.mark.parametrize(
    ("side", "length", "found"), [(128, 13, 1), (128, 12, 2), (127, 13, 2), (300, 30, 1)]
)
def test_what_lies_along_the_edge_of_a_page_is_no_ink(side, length, found):
    """From 128 pixels on, where something else is a tenth as long as the picture."""
    mask = np.zeros((side, side), bool)
    mask[:, :3] = True
    mask[50 : 50 + length, 60:65] = True
    assert len(find_components(Foreground(mask.astype(np.float32), mask, 1.0))[1]) == found


@pytest.mark.parametrize(("low", "high", "flat"), [(0.0, 0.02, False), (0.0, 0.03, True)])
def test_flat_paper_needs_ink(low, high, flat):
    """Where all is within the least contrast there is none."""
    assert _has_flat_background(pixels_of({1.0: 900, 0.5: 100}), low, high) == flat


@given(paper=COUNT, near=COUNT, far=COUNT, apart=COUNT, rest=st.integers(0, 60))
def test_flat_paper_has_one_level(paper, near, far, apart, rest):
    """Its share of all pixels, of those near it, and the largest other level bound what is flat."""
    levels = {100: paper, 104: near, 105: far, 126: apart} | {150 + i: 1 for i in range(rest)}
    if max(levels, key=levels.get) != 100 or list(levels.values()).count(paper) > 1:
        return
    whole = sum(levels.values())
    flat = paper > 0.15 * whole and paper > 0.7 * (paper + near) and apart < 0.25 * paper
    if apart == 0:
        flat = flat and (1 if rest else 0) < 0.25 * paper
    pixels = pixels_of({level / 255: count for level, count in levels.items()})
    assert _has_flat_background(pixels, 0.0, 1.0) == flat


@pytest.mark.parametrize(
    ("grey", "rows", "kept"),
    [(0.6, 33, True), (0.6, 32, False), (0.3, 17, True), (0.3, 16, False), (0.75, 60, False)],
)
def test_grey_levels_of_wide_strokes_stay_where_half_is_grey(grey, rows, kept):
    """Beside 32 rows of ink: rows between a quarter and three quarters as dark outweigh half."""
    density = np.concatenate([np.full((32, 64), 1.0), np.full((rows, 64), grey)])
    drawn = _normalize_strokes(density.astype(np.float32))
    as_it_is = np.pad(np.clip((density - 0.1) / 0.8, 0, 1), 16)
    assert np.allclose(drawn, as_it_is, atol=1e-6) == kept


@pytest.mark.parametrize(("row", "column"), [(0, 0), (19, 19), (0, 19), (10, 9)])
def test_a_digit_heavy_at_one_end_stays_whole(row, column):
    """Its centre of mass goes to the middle as far as the picture reaches."""
    digit = np.zeros((20, 20), np.float32)
    digit[row, column] = 1
    drawn = np.argwhere(_center(digit))
    expected = [side + min(max(14 - side, 0), 8) for side in (row, column)]
    assert drawn.tolist() == [expected]


@pytest.mark.parametrize("share", [0.0, 0.1, 0.3])
def test_paper_and_its_grain_are_those_of_the_lower_tail(share):
    """Of a normal distribution, its mean and its deviation, nearly so with ink beside it."""
    rng = np.random.default_rng(0)
    contrast = rng.normal(0.05, 0.02, 40_000)
    contrast[: int(share * 40_000)] = 0.8
    paper, grain = _background_statistics(contrast.astype(np.float32))
    assert paper == pytest.approx(0.05, abs=0.02 * (0.02 + 2 * share))
    assert grain == pytest.approx(0.02, rel=0.03 + share)


@pytest.mark.parametrize("grain", [0.01, 0.03])
def test_grain_is_no_ink(grain):
    """Noise alone has no ink; strokes of ten deviations of it are found in it."""
    noise = np.random.default_rng(0).normal(0, grain, (300, 260))
    with pytest.raises(ImageError):
        find_components(segment(np.asarray(0.7 + noise, dtype=np.float32)))
    ink = pen(300, 260, [[(70, 90), (180, 80), (110, 230)]], 10)
    levels = photograph(ink, 0.7, 10 * grain / 0.7) + noise
    assert common(segment(levels.astype(np.float32)).mask, ink) > 0.8


def redrawn(ink, strength=0.8):
    """The 28×28 picture that is made of the main digit on a page, from 0 to 1."""
    found = segment(photograph(ink, 0.9, strength))
    labelled, pieces = find_components(found)
    return render(found, labelled, main_digit(pieces)) / 255


def stroke_width(picture):
    """The width of strokes in pixels: ink over the length of its middle line, nearly."""
    fine = np.kron(picture, np.ones((8, 8))) > 0.5
    inside = ndimage.distance_transform_edt(fine)
    return 4 * np.median(inside[fine]) / 8


@pytest.mark.parametrize("scale", [1, 2, 5])
@pytest.mark.parametrize("thick", [1, 2, 4, 8, 12, 24])
def test_strokes_are_as_wide_as_mnists(scale, thick):
    """Hairlines and broad pens come out 2 to 4 wide; the box is 20 long."""
    seven = [[(x * scale, y * scale) for x, y in SEVEN[0]]]
    seen = redrawn(pen(240 * scale, 200 * scale, seven, thick * scale))
    assert 1.5 < stroke_width(seen) < 4.5
    rows, columns = (np.flatnonzero(seen.max(axis) > 0.5) for axis in (1, 0))
    assert np.ptp(rows) + 1 in (19, 20)
    assert np.ptp(columns) + 1 < 20
    assert ndimage.center_of_mass(seen) == pytest.approx((14, 14), abs=0.6)
    assert seen.max() > 0.95


def test_shape_is_kept():
    """A digit twice as high as wide stays so, and one twice as wide as high."""
    for height, width, expected in ((200, 100, (20, 10)), (100, 200, (10, 20))):
        ink = np.zeros((300, 300), bool)
        ink[50 : 50 + height, 50 : 50 + width] = True
        ink[50 + 20 : 30 + height, 50 + 20 : 30 + width] = False
        seen = redrawn(ink) > 0.5
        assert (
            np.ptp(np.flatnonzero(seen.any(1))) + 1,
            np.ptp(np.flatnonzero(seen.any(0))) + 1,
        ) == pytest.approx(expected, abs=1)


def test_strokes_lie_where_they_lay():
    """The drawing, brought back to the page, covers the ink, for a pen of usual width."""
    ink = pen(240, 200, SEVEN, 16)
    seen = redrawn(ink)
    rows, columns = (np.flatnonzero(ink.any(axis)) for axis in (1, 0))
    side = max(np.ptp(rows), np.ptp(columns)) + 1
    theirs = ndimage.zoom(
        ink[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1] * 1.0, 20 / side
    )
    box = seen[np.ix_((seen > 0.5).any(1), (seen > 0.5).any(0))]
    height, width = (min(a, b) for a, b in zip(box.shape, theirs.shape, strict=True))
    assert common(box[:height, :width] > 0.5, theirs[:height, :width] > 0.5) > 0.75


def test_other_pieces_are_left_out():
    """Only the pieces asked for are drawn, also where others lie inside their box."""
    ink = pen(240, 200, [*SEVEN, [(60, 150), (80, 150)]], 9)
    found = segment(photograph(ink, 0.9, 0.8))
    labelled, pieces = find_components(found)
    assert [piece.area for piece in pieces] == sorted((p.area for p in pieces), reverse=True)
    assert len(pieces) == 2
    alone = render(found, labelled, pieces[:1])
    assert np.abs(alone / 255 - redrawn(pen(240, 200, SEVEN, 9))).max() < 0.05
    assert np.abs(render(found, labelled, pieces) / 255.0 - alone / 255.0).max() > 0.5


def test_parts_are_pieces_of_ink_without_specks():
    """Pieces touch at corners too; what is shorter than 3 of 100 of the picture's side is dust."""
    ink = np.zeros((200, 100), bool)
    ink[20:120, 30:40] = ink[120:140, 40:50] = True
    ink[150:156, 70] = True
    ink[180:185, 70:75] = True
    labelled, found = find_components(segment(photograph(ink, 0.9, 0.8)))
    assert [(part.box, part.area) for part in found] == [
        ((30, 20, 50, 140), 1200),
        ((70, 150, 71, 156), 6),
    ]
    assert np.count_nonzero(labelled == found[0].label) == 1200
