"""Read lines of digits as people write them: `python tests/benchmarks/reading.py`.

Postcodes, dates, sums of money and telephone numbers are composed of MNIST's training images that
no development has used, with spacing from wide to touching. `--tune` composes them of other
training images, for setting the thresholds of `mnistzoo.images.splitting`. Printed words of the
fonts of `tests/nondigits.py` have no digits to read; `--tune` takes other fonts and words.
"""

from __future__ import annotations

import argparse
import importlib
import sys
from collections.abc import Sequence
from difflib import SequenceMatcher
from pathlib import Path

import numpy as np

from mnistzoo.data.mnist import mnist
from mnistzoo.inference import NumpyModel, load_model

sys.path.insert(0, str(Path(__file__).parent.parent))
write_line = importlib.import_module("lines").write_line
nondigits = importlib.import_module("nondigits")


def main() -> None:
    """Print the shares of digits and of touching pairs that are read correctly."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", nargs="?", default="exp5")
    parser.add_argument("--count", type=int, default=500)
    parser.add_argument("--tune", action="store_true")
    options = parser.parse_args()
    data, start = mnist(train=True), 40_000 if options.tune else 50_000
    images, labels = (part[start : start + 10_000].numpy() for part in data)
    rng, model = np.random.default_rng(options.tune), load_model(options.model)
    right = total = apart = pairs = exact = flagged = 0
    for _ in range(options.count):
        page, text, touching = write_line(images, labels, rng)
        reading = model.read(page)
        matched = matched_places(text, reading.text.replace("\n", ""))
        right, total = right + len(matched), total + len(text)
        exact += reading.text == text
        apart += sum(place in matched and place + 1 in matched for place in touching)
        pairs, flagged = pairs + len(touching), flagged + any(d.touching for d in reading)
    print(f"digits: {right:,} of {total:,} ({right / total:.1%})")
    print(f"touching pairs: {apart} of {pairs} ({apart / max(pairs, 1):.1%})")
    print(f"lines without a fault: {exact} of {options.count}; flagged as touching: {flagged}")
    if options.tune:
        printed(model, nondigits.TUNING, nondigits.TUNING_WORDS)
    else:
        printed(model, nondigits.HELD_OUT, nondigits.WORDS)


def printed(model: NumpyModel, fonts: Sequence[str], words: Sequence[str]) -> None:
    """Print how many printed words and numbers are read correctly."""
    pages = [nondigits.typed(word, font, 60) for font in fonts for word in words]
    empty = sum(len(model.read(page)) == 0 for page in pages)
    print(f"printed words read as empty: {empty} of {len(pages)}")
    pages = [
        (text, nondigits.typed(text, font, 60)) for font in fonts for text in nondigits.NUMBERS
    ]
    digits = str.maketrans("", "", "-. ")
    right = sum(model.read(page).text == text.translate(digits) for text, page in pages)
    print(f"printed numbers read correctly: {right} of {len(pages)}")


def matched_places(text: str, found: str) -> set[int]:
    """Return which digits of a text were read, as its alignment with what was read says."""
    blocks = SequenceMatcher(None, text, found, autojunk=False).get_matching_blocks()
    return {block.a + place for block in blocks for place in range(block.size)}


if __name__ == "__main__":
    main()
