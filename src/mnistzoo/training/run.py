"""The description of a training run: everything that determines its weights."""

from __future__ import annotations

from operator import index
from typing import Literal

from msgspec import Struct
from msgspec.structs import force_setattr, replace

from mnistzoo.architectures import BUILDABLE
from mnistzoo.errors import InputError, UnknownNameError
from mnistzoo.training.recipes import MAX_SEED, Recipe, get_recipe

NUM_TRAIN, NUM_TEST = 60_000, 10_000
"""The numbers of images in MNIST; `data.mnist` has them too, but imports torch."""

Split = Literal["test", "validation"]


class Run(Struct, frozen=True, forbid_unknown_fields=True):
    """One training run; equal runs on the same kind of machine give the same weights.

    Attributes:
        architecture: A name that `get_model` takes.
        recipe: How the model is trained.
        seed: Seed of the initial weights, the order of the images and the augmentation, 0 to
            2³² − 1.
        holdout: Number of training images that are held out, from the end. The model is evaluated
            on them, and the test images are never read. 0 to 59,999.

    Raises:
        UnknownNameError: There is no such architecture.
        InputError: The seed, the number of held-out images or of epochs is out of range.

    >>> from mnistzoo.training.recipes import get_recipe
    >>> run = Run("exp5", get_recipe("record", "exp5"), seed=1, holdout=10_000)
    >>> run.num_images, run.split, run.teacher.architecture
    (50000, 'validation', 'teacher')
    """

    architecture: str
    recipe: Recipe
    seed: int = 0
    holdout: int = 0

    def __post_init__(self) -> None:
        if self.architecture not in BUILDABLE:
            raise UnknownNameError("model", self.architecture, BUILDABLE)
        for name in ("seed", "holdout"):  # NumPy integers cannot be serialized
            force_setattr(self, name, index(getattr(self, name)))
        if not 0 <= self.seed <= MAX_SEED:
            raise InputError(f"Expected a seed from 0 to {MAX_SEED}, got {self.seed}.")
        if self.recipe.epochs < 1:
            raise InputError(f"Expected one epoch or more, got {self.recipe.epochs}.")
        if not 0 <= self.holdout < NUM_TRAIN:
            raise InputError(
                f"Expected a holdout of 0 to {NUM_TRAIN - 1:,} of the {NUM_TRAIN:,} training "
                f"images, got {self.holdout:,}."
            )

    @property
    def num_images(self) -> int:
        """The number of images in an epoch."""
        left = NUM_TRAIN - self.holdout + self.recipe.made_images
        return min(left, self.recipe.images or left)

    @property
    def split(self) -> Split:
        """The images that the model is evaluated on: "test", or "validation" with a holdout."""
        return "validation" if self.holdout else "test"

    @property
    def total(self) -> int:
        """The number of images that the model is evaluated on."""
        return self.holdout or NUM_TEST

    @property
    def teacher(self) -> Run | None:
        """The run that trains the recipe's teacher: same seed and images, no more epochs."""
        if self.recipe.teacher is None:
            return None
        recipe = get_recipe(self.recipe.name, self.recipe.teacher)
        recipe = replace(recipe, epochs=min(recipe.epochs, self.recipe.epochs))
        return Run(self.recipe.teacher, recipe, self.seed, self.holdout)
