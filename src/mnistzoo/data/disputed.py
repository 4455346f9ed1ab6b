"""Test images whose labels are disputed. They are listed here, and count in every accuracy.

Northcutt, Athalye and Mueller (2021, "Pervasive Label Errors in Test Sets Destabilize Machine
Learning Benchmarks", arXiv:2103.14749) showed candidates for label errors to five people each, who
chose between the label, a model's guess, and neither. Their votes are published in
`mturk/mnist_mturk.json` of <https://github.com/cleanlab/label-errors>, commit
5457895eee26e49187de5c4d6617b9de6f172221. `DISPUTED` holds the 15 of its 100 MNIST images
whose label fewer than three people chose. The paper gives the same number.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Disputed:
    """A test image whose label most of five people did not choose.

    Attributes:
        index: Its index in the test set.
        label: Its label in MNIST.
        guess: The guess of the paper's model.
        for_label: How many of the five people chose the label.
        for_guess: How many chose the guess.
        for_neither: How many chose neither.
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
"""Indices of the disputed images in the test set."""
