"""Images that are not digits: shapes, silhouettes, noise, touching digits, and printed words.

Printed numbers are here too, in the same fonts as the words.
"""

from __future__ import annotations

import string
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from mnistzoo.data.world import fonts
from mnistzoo.data.world.pen import CANVAS

Pixels = NDArray[np.uint8]

LETTERS = "".join(sorted(set(string.ascii_letters) - set("OoIlSsZzBbGgqi"))) + "+?!=&@#*$€<>~"
"""Letters and signs that are not written like a digit. A percent sign has two zeros in it."""

PUNCTUATION = ".,;:-_=+*\"'^~?&#@"

FOLDER = Path("/usr/share/fonts")

TRAINING = tuple(
    f"{folder}-{style}.{kind}"
    for folder, kind, styles in [
        ("truetype/dejavu/DejaVuSans", "ttf", ("Bold", "Oblique", "ExtraLight")),
        ("truetype/liberation/LiberationSans", "ttf", ("Regular", "Bold", "Italic")),
        ("truetype/liberation/LiberationSerif", "ttf", ("Regular", "Bold", "Italic")),
        ("truetype/liberation/LiberationMono", "ttf", ("Regular", "Bold")),
        ("truetype/open-sans/OpenSans", "ttf", ("Regular", "Bold", "Light", "Italic")),
        ("truetype/crosextra/Caladea", "ttf", ("Regular", "Bold", "Italic")),
        ("truetype/lato/Lato", "ttf", ("Regular", "Bold", "Thin")),
        ("opentype/cantarell/Cantarell", "otf", ("Regular", "Bold", "Light")),
    ]
    for style in styles
)
"""Printed fonts of the training, sans and serif: Debian's fonts-dejavu-core, fonts-dejavu-extra,
fonts-liberation, fonts-open-sans, fonts-crosextra-caladea, fonts-lato, fonts-cantarell."""

HELD_OUT = (
    "truetype/roboto/unhinted/RobotoTTF/Roboto-Regular.ttf",
    "truetype/crosextra/Carlito-Regular.ttf",
    "opentype/ebgaramond/EBGaramond12-Regular.otf",
    "truetype/freefont/FreeSerif.ttf",
)
"""Printed fonts for the evaluation, of families that the training lacks: Debian's
fonts-roboto-unhinted, fonts-crosextra-carlito, fonts-ebgaramond, fonts-freefont-ttf."""

TUNING = (
    "truetype/dejavu/DejaVuSerif.ttf",
    "truetype/liberation/LiberationSansNarrow-Regular.ttf",
    "truetype/dustin/Dustismo_Roman.ttf",
    "truetype/nanum/NanumGothicLight.ttf",
)
"""Printed fonts to choose settings on, which neither the training nor the evaluation has: Debian's
fonts-dejavu-core, fonts-liberation, fonts-dustin, fonts-nanum-extra."""

WORDS = (
    "Berlin",
    "Paper",
    "Number",
    "Office",
    "Friday",
    "Simon",
    "Market",
    "left",
    "over",
    "from",
    "Open",
    "MILK",
)
"""Words in which `read` should find no digit, in each font."""

TUNING_WORDS = (
    "Hamburg",
    "Table",
    "Minute",
    "Street",
    "Monday",
    "Simple",
    "Winter",
    "right",
    "under",
    "with",
    "Close",
    "SOIL",
)
"""Words like them, to choose settings on."""

NUMBERS = ("01847", "2020-06-30", "35.20", "96714", "11", "0800 253 149")
"""Printed numbers, whose digits `read` should find."""


def typed(text: str, font: str, size: int, shade: int = 0) -> Pixels:
    """Return a page with a line of printed text, dark on white."""
    style = ImageFont.truetype(FOLDER / font, size)
    page = Image.new("L", (int(style.getlength(text)) + 2 * size, 2 * size), 255)
    ImageDraw.Draw(page).text((size, size // 3), text, shade, style)
    return np.asarray(page)


def word(rng: np.random.Generator) -> Pixels:
    """Return a page with a random word: letters that are not like digits, or punctuation."""
    return _printed(PUNCTUATION if rng.random() < 0.15 else LETTERS, rng)


def joined_letters(rng: np.random.Generator) -> Pixels:
    """Return a page with two to four small letters in a handwriting font, which may join them."""
    letters = [letter for letter in LETTERS if letter.islower()]
    text = "".join(rng.choice(letters, int(rng.integers(2, 5))))
    font = fonts.TRAINING[rng.integers(len(fonts.TRAINING))]
    return typed(text, font.file, int(rng.integers(30, 120)))


def number(rng: np.random.Generator) -> Pixels:
    """Return a page with a random number."""
    return _printed(string.digits, rng)


def _printed(signs: str, rng: np.random.Generator) -> Pixels:
    text = "".join(rng.choice(list(signs), int(rng.integers(1, 7))))
    font = TRAINING[rng.integers(len(TRAINING))]
    size = int(np.exp(rng.uniform(np.log(20), np.log(150))))
    page = typed(text, font, size, int(rng.integers(0, 140)))
    if rng.random() < 0.3:
        noisy = cv2.GaussianBlur(page, None, size / 60) + rng.normal(0, 6, page.shape)
        page = np.asarray(noisy.clip(0, 255), np.uint8)
    return page


def shape(rng: np.random.Generator) -> Pixels:
    """Return a polygon, a star, an arrow or a scribble, drawn with a pen."""
    canvas, sides = np.zeros((CANVAS, CANVAS), np.uint8), int(rng.integers(2, 9))
    radius = rng.uniform(8, 26, sides) if rng.random() < 0.5 else np.full(sides, 22)
    angles = np.sort(rng.uniform(0, 2 * np.pi, sides))
    if rng.random() < 0.5:
        angles = np.arange(sides) * 2 * np.pi * rng.integers(1, 4) / sides + rng.uniform(0, 6)
    around = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    points = np.int32(CANVAS / 2 + radius[:, None] * around)
    closed, width = bool(rng.random() < 0.6), int(rng.integers(3, 8))
    if rng.random() < 0.3:
        start = tuple(points[rng.integers(sides)].tolist())
        cv2.line(canvas, start, (int(rng.integers(15, 65)), int(rng.integers(15, 65))), 255, width)
    cv2.polylines(canvas, [points], closed, 255, width)
    return canvas


def touching_digits(digits: Pixels, rng: np.random.Generator) -> tuple[Pixels, list[Pixels]]:
    """Return two digits or three that touch, and each of them, on the canvas."""
    whole, left = np.zeros((CANVAS, 2 * CANVAS), np.uint8), 10
    parts = []
    for image in digits[rng.integers(0, len(digits), rng.integers(2, 4))]:
        columns = np.flatnonzero(image.any(0))
        crop = image[:, columns[0] : columns[-1] + 1]
        drawn, top = np.zeros_like(whole), 26 + int(rng.integers(-2, 3))
        drawn[top : top + 28, left : left + crop.shape[1]] = crop
        parts.append(drawn)
        left += crop.shape[1] - int(rng.integers(0, 4))
    return np.maximum.reduce(parts), parts


def pair(digits: Pixels, rng: np.random.Generator) -> Pixels:
    """Return two digits, or three, that touch, on the canvas."""
    whole, _ = touching_digits(digits, rng)
    columns = np.flatnonzero(whole.any(0))
    scale = min(1, 50 / (np.ptp(columns) + 1))
    middle = (columns[0] + columns[-1] + 1) / 2
    place = cv2.getRotationMatrix2D((middle, 40), 0, scale)
    place[0, 2] += CANVAS / 2 - middle
    return np.asarray(cv2.warpAffine(whole, place, (CANVAS, CANVAS)), np.uint8)


def silhouette(rng: np.random.Generator) -> Pixels:
    """Return a garment-like patch: a few overlapping solid parts with texture, 28×28."""
    side, levels = 112, np.zeros((112, 112), np.float32)
    for _ in range(int(rng.integers(1, 5))):
        corners = np.int32(rng.uniform(6, side - 6, (int(rng.integers(3, 6)), 2)))
        if rng.random() < 0.5:
            center, axes = tuple(map(int, rng.integers(30, 82, 2))), rng.integers(10, 50, 2)
            cv2.ellipse(levels, center, tuple(map(int, axes)), 0, 0, 360, rng.uniform(0.3, 1), -1)
        else:
            cv2.fillPoly(levels, [cv2.convexHull(corners)], rng.uniform(0.3, 1))
    if rng.random() < 0.5:
        levels = np.maximum(levels, levels[:, ::-1])
    texture = cv2.GaussianBlur(rng.normal(0, 1, levels.shape), None, rng.uniform(1, 6))
    levels *= 1 + rng.uniform(0, 0.4) * texture / texture.std()
    small = cv2.resize(levels.clip(0, 1), (28, 28), interpolation=cv2.INTER_AREA)
    return np.asarray(small * 255, np.uint8)


def noise(rng: np.random.Generator) -> Pixels:
    """Return blurred noise, 64×64."""
    levels = cv2.GaussianBlur(rng.normal(0, 1, (64, 64)), None, rng.uniform(0.8, 6))
    return np.asarray(np.clip(128 + 80 * levels / levels.std(), 0, 255), np.uint8)
