"""Images of the official test set whose label people dispute, listed and never left out.

Northcutt, Athalye and Mueller 2021, "Pervasive Label Errors in Test Sets Destabilize Machine
Learning Benchmarks" (arXiv:2103.14749), had candidates for label errors judged by five people each,
who chose between the label, what a model guessed in its place, and neither. Their votes are
published: `mturk/mnist_mturk.json` in <https://github.com/cleanlab/label-errors>, commit
5457895eee26e49187de5c4d6617b9de6f172221. Of the 100 images of MNIST there, `DISPUTED` holds those
whose label fewer than three of five chose: 15, the number that the paper gives.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Disputed:
    """A test image whose label most of five people did not choose.

    Attributes:
        index: its number in the test set, from 0.
        label: what MNIST says that it shows.
        guess: what the paper's model said.
        for_label: how many of the five chose the label.
        for_guess: how many chose the guess.
        for_neither: how many chose neither.
    """

    index: int
    label: int
    guess: int
    for_label: int
    for_guess: int
    for_neither: int


DISPUTED = (
    Disputed(947, 8, 9, 0, 5, 0),
    Disputed(1621, 0, 6, 2, 3, 0),
    Disputed(1901, 9, 4, 2, 3, 0),
    Disputed(2130, 4, 9, 2, 2, 1),
    Disputed(2462, 2, 0, 0, 4, 1),
    Disputed(2597, 5, 3, 0, 4, 1),
    Disputed(2654, 6, 1, 0, 2, 3),
    Disputed(3520, 6, 4, 2, 0, 3),
    Disputed(3558, 5, 0, 1, 4, 0),
    Disputed(5937, 5, 3, 1, 3, 1),
    Disputed(6651, 0, 6, 0, 5, 0),
    Disputed(6783, 1, 6, 2, 3, 0),
    Disputed(8527, 4, 9, 2, 2, 1),
    Disputed(9679, 6, 3, 2, 0, 3),
    Disputed(9729, 5, 6, 2, 3, 0),
)

INDICES = tuple(image.index for image in DISPUTED)
