"""Pages are read line by line: what touches is split, and what is not a digit is left out."""

from difflib import SequenceMatcher
from itertools import combinations
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFont

import mnistzoo
from lines import write_line
from mnistzoo.data.mnist import mnist
from mnistzoo.errors import WeightsError
from mnistzoo.images import detector, splitting
from mnistzoo.images.detector import digit_log_odds
from mnistzoo.images.preprocessing import DigitImage, find_digits, to_mnist
from mnistzoo.images.seams import find_seams
from mnistzoo.images.words import in_numbers
from mnistzoo.inference import load_model

HELD_OUT = slice(51_000, 60_000)
"""Training images on which the detector was not trained."""


@pytest.fixture(scope="module")
def digits():
    """Return training images, since test images decide nothing, and their labels."""
    images, labels = mnist(train=True)
    return images[HELD_OUT].numpy(), labels[HELD_OUT].numpy()


@pytest.fixture(scope="module")
def model():
    """Return the shipped exp5, without torch."""
    return load_model("exp5")


def typed(text, size=60):
    """Return a page with printed text."""
    page = Image.new("L", (40 * len(text) + 80, 120), 255)
    ImageDraw.Draw(page).text((40, 25), text, 0, ImageFont.load_default(size))
    return page


def test_lines_are_strings(model, digits):
    """A reading is a sequence of digits, and its text has a line for each row."""
    page = np.zeros((140, 200), np.uint8)
    places = [(10, 10), (10, 60), (10, 110), (90, 20), (90, 80)]
    for (top, left), digit in zip(places, digits[0], strict=False):
        page[top : top + 28, left : left + 28] = digit
    reading = model.read(page)
    expected = "".join(map(str, digits[1][:5]))
    assert reading.text == f"{expected[:3]}\n{expected[3:]}"
    assert [digit.name for digit in reading] == list(expected)
    assert [len(row) for row in reading.rows] == [3, 2]
    assert (reading[-1], len(reading)) == (reading.rows[1][1], 5)


def test_names_of_several_letters_are_separated(digits):
    """With longer names of classes, spaces separate the words."""
    named = mnistzoo.exp5(pretrained=True)
    named.labels = ("zero", "one", "two", "three", "four", *"56789")
    page = np.hstack([np.pad(digit, 6) for digit in digits[0][:3]])
    reading = named.read(page)
    assert reading.text == " ".join(named.labels[label] for label in digits[1][:3])
    assert [digit.is_digit for digit in reading] == [None] * 3


@pytest.mark.parametrize("text", ["V", "Y", "r", "Peter", "Street", "KEEP"])
def test_text_without_digits_is_an_empty_reading(model, text):
    """Letters are left out without an error, and shown when all is asked for."""
    page = typed(text)
    assert len(model.read(page)) == 0
    assert model.read(page).text == ""
    assert not all(digit.is_digit for digit in model.read(page, keep_all=True))


@pytest.mark.parametrize("size", [24, 48, 100])
def test_printed_numbers_are_read(model, size):
    """A printed 0 is a digit, though it resembles an O, and the lines of a date are left out."""
    page = Image.new("L", (8 * size, 2 * size), 255)
    font = ImageFont.load_default(size)
    ImageDraw.Draw(page).text((size // 2, size // 2), "2020-06-30", 0, font)
    assert model.read(page).text.replace(" ", "") == "20200630"


def test_digits_beside_a_word_are_kept(model, digits):
    """A word of text is left out as a whole, and a number beside it is not."""
    number = 255 - np.hstack([np.pad(digit, ((6, 6), (0, 0))) for digit in digits[0][:3]])
    enlarged = Image.fromarray(number).resize([2 * side for side in number.shape[::-1]])
    page = Image.new("L", (500, 120), 255)
    page.paste(typed("PEK"), (0, 0))
    page.paste(enlarged, (280, 20))
    assert model.read(page).text == "".join(map(str, digits[1][:3]))


def test_altered_weights_of_the_detector_are_refused(monkeypatch, tmp_path):
    """One changed bit fails the digest."""
    data = bytearray(detector.WEIGHTS.read_bytes())
    data[-1] ^= 1
    (tmp_path / "detector.safetensors").write_bytes(data)
    monkeypatch.setattr(detector, "WEIGHTS", tmp_path / "detector.safetensors")
    with pytest.raises(WeightsError, match="expected SHA-256"):
        detector.read_weights()


def test_digits_are_told_from_letters(digits):
    """Nearly all held-out digits are kept, and most printed letters are not digits."""
    kept = [digit_log_odds(digit) >= 0 for digit in digits[0][:300]]
    assert np.mean(kept) >= 0.97
    letters = [to_mnist(typed(letter)) for letter in "AEFHKMNPRTVWXYkmrw?+&#"]
    refused = [letter for letter in letters if digit_log_odds(letter) < 0]
    assert len(refused) >= 18, len(refused)


def test_words_of_text_are_left_out_as_a_whole():
    """A letter that looks like a digit is left out with its word, and one in a number is not."""
    pixels = np.zeros((28, 28), np.uint8)
    boxes = [(left, 0, left + 20, 30) for left in (0, 22, 44, 100, 122)]
    line = [DigitImage(pixels, box) for box in boxes]
    assert in_numbers(line, [-5, 2, 1, 3, 4]) == [False, False, False, True, True]
    assert in_numbers(line, [5, 5, -0.5, -0.1, -7]) == [True, True, False, False, False]


def test_pieces_of_letters_are_left_out():
    """Pieces cut from a larger part have to be more like digits than separate ones."""
    pixels = np.zeros((28, 28), np.uint8)
    boxes = [(left, 0, left + 20, 30) for left in (0, 20, 40)]
    for cut, kept in [(False, True), (True, False)]:
        line = [DigitImage(pixels, box, cut=cut) for box in boxes]
        assert in_numbers(line, [0.5, 1, 0.5]) == [kept] * 3
        assert in_numbers(line, [9, 8, 9]) == [True] * 3


def test_strokes_of_letters_are_left_out():
    """Narrow pieces count against their word if they were cut from a larger part."""
    pixels = np.zeros((28, 28), np.uint8)
    boxes = [(left, 0, left + 10, 30) for left in (0, 10, 20)]
    for cut, kept in [(False, True), (True, False)]:
        line = [DigitImage(pixels, box, cut=cut) for box in boxes]
        assert in_numbers(line, [9, 8, 9]) == [kept] * 3


def test_narrow_parts_are_split_only_among_digits(monkeypatch):
    """A narrow part that reads badly is split if half of the other parts read as digits."""
    monkeypatch.setattr(splitting, "split", lambda part, own, *_: [part] * (1 if own == 0 else 2))
    bad, poor = (SimpleNamespace(aspect=0.6, pixels=score) for score in (-2, -0.8))
    wide = SimpleNamespace(aspect=1.2, pixels=0)
    for line, pieces in [
        ([wide, bad], [wide, bad, bad]),
        ([wide, poor], [wide, poor]),
        ([wide, bad, bad, bad], [wide, bad, bad, bad]),
        ([bad], [bad]),
    ]:
        assert splitting.split_line(line, float, range(0)) == pieces


def test_a_small_x_height_does_not_separate_letters():
    """The gap between words is measured by the taller pieces of a line."""
    pixels = np.zeros((28, 28), np.uint8)
    boxes = [(0, 0, 30, 40), (40, 0, 64, 40), (66, 25, 80, 40), (82, 25, 96, 40)]
    line = [DigitImage(pixels, box) for box in boxes]
    assert in_numbers(line, [2, -3, -3, -3]) == [False] * 4


def test_surer_pieces_score_better():
    """A digit with log-odds of 12 scores better than one of 4 by more than a cut costs."""
    pixels = np.zeros((28, 28), np.uint8)
    scores = [
        splitting.digit_score(lambda _: [1.0] + [0.0] * 9, lambda _, odds=odds: odds)(pixels)
        for odds in (4.0, 12.0, 50.0)
    ]
    assert scores[1] - scores[0] > splitting.CUT_COST
    assert scores[2] == pytest.approx(0, abs=1e-9)


def test_lines_of_digits_are_read(model, digits):
    """Nine tenths of the digits of twenty lines are read in order, from wide to touching."""
    rng, right, total = np.random.default_rng(3), 0, 0
    for _ in range(20):
        page, text, _ = write_line(*digits, rng)
        found = model.read(page).text.replace("\n", "")
        blocks = SequenceMatcher(None, text, found, autojunk=False).get_matching_blocks()
        right += sum(block.size for block in blocks)
        total += len(text)
    assert right / total >= 0.9


def test_touching_digits_are_split(model, digits):
    """At least 25 of 30 pairs that overlap by two of MNIST's pixels are read as both digits."""
    read = 0
    for index in range(0, 60, 2):
        one, other = (image[:, image.any(0)] for image in digits[0][index : index + 2])
        page = np.zeros((48, one.shape[1] + other.shape[1] + 18), np.uint8)
        page[10:38, 10 : 10 + one.shape[1]] = one
        beside = page[10:38, 8 + one.shape[1] :][:, : other.shape[1]]
        np.maximum(beside, other, out=beside)
        large = Image.fromarray(255 - page).resize((3 * page.shape[1], 3 * page.shape[0]))
        read += model.read(large).text == "".join(map(str, digits[1][index : index + 2]))
    assert read >= 25


def test_seams_divide_the_foreground_differently():
    """No two seams have nearly the same foreground on their left, and they are in order."""
    page = Image.new("L", (150, 100))
    ImageDraw.Draw(page).ellipse((5, 5, 75, 95), outline=255, width=12)
    ImageDraw.Draw(page).ellipse((70, 5, 145, 95), outline=255, width=12)
    mask = np.asarray(page) > 127
    left = [np.arange(150) < seam[:, None] for seam in find_seams(mask)]
    shares = [np.count_nonzero(mask & part) / mask.sum() for part in left]
    assert shares == sorted(shares)
    assert min(abs(share - 0.5) for share in shares) < 0.1
    changed = [(one ^ other) & mask for one, other in combinations(left, 2)]
    assert min(map(np.count_nonzero, changed)) > 0.01 * mask.sum()


def test_seams_pass_between_strokes():
    """The seam between two slanted strokes crosses neither."""
    page = Image.new("L", (120, 100))
    ImageDraw.Draw(page).line([(50, 0), (20, 99)], 255, 8)
    ImageDraw.Draw(page).line([(90, 0), (60, 99)], 255, 8)
    mask = np.asarray(page) > 127
    seams = find_seams(mask)
    crossed = [mask[np.arange(100), seam.clip(0, 119)].sum() for seam in seams]
    between = [seam for seam, count in zip(seams, crossed, strict=True) if count < 5]
    assert any(30 < seam.mean() < 80 for seam in between)


def test_noise_takes_bounded_time(monkeypatch):
    """However many parts a page of noise has, only so many pieces of them are tried."""
    noise = np.random.default_rng(0).random((600, 600)) < 0.025
    image = Image.fromarray(np.where(noise, 0, 255).astype(np.uint8))
    scored = []
    monkeypatch.setattr(splitting, "MAX_PIECES", 100)
    lines = find_digits(image, lambda pixels: scored.append(pixels) or -1.0)
    assert len(scored) <= 100 + sum(map(len, lines))
    monkeypatch.setattr(splitting, "MAX_PIECES", 300)
    before, lines = len(scored), find_digits(image, lambda pixels: scored.append(pixels) or -1.0)
    assert len(scored) - before > 100 + sum(map(len, lines))
