"""A figure of the study beside ours, and the reasons why the two differ."""

from __future__ import annotations

from dataclasses import dataclass

WHY = {
    "rounded": "The study rounds to hundreds; the figures beside it are exact.",
    "training-images": "The study's accuracies are no test-set figures. Its log reads "
    "`59701/60000 (99.50%)`: that is accuracy on the 60,000 *training* images. Ours is on the "
    "10,000 official test images, with the weights that ship, which have another recipe.",
    "gains": "Differences of accuracies that are themselves of another kind (see the note on "
    "training images), and of networks trained otherwise. The study's own subtractions are right.",
    "other-weights": "Training images too (the first 10,000, to be quick), but other weights: "
    "ours were trained with the `record` recipe, the study's are not published.",
    "one-pool": "The listing has one pool. With one pool the linear layer would not have 108 "
    "inputs: 12×3×3 needs a second one behind the fifth convolution.",
    "mebibytes": "The study's MB is 2^20 bytes, a mebibyte. Counted are the input, the parameters "
    "and twice the outputs of every layer that has parameters, in float32.",
    "folded": "The study's table folds layers into one another: its `MaxPool2d-7` ends in 9×9, "
    "which is the fourth convolution's map, not the pool's (11×11), and its `Conv2d-10` takes in "
    "the second pool. Its `Conv2d-8` has the fifth convolution's shapes with the fourth one's "
    "receptive field, 12×12; 20×20 is no layer's.",
    "left-out": "The rows of the study's table are seven convolutions less one: the fourth one "
    "and its batch norm, 2,352 parameters, are missing.",
    "field": "Kernel 3 at an effective stride of 2 adds 4 pixels to the fourth convolution's 12, "
    "and at a stride of 4 it adds 8. The study's 20 and 28 are not what these layers compute.",
    "image": "A unit's window is 34 pixels wide, wider than the image. The study clips it to 28. "
    "Not even that is seen: the second pool takes 7 rows to 3 and drops the last, so no unit "
    "behind it ever sees the last two rows and columns of pixels (see Receptive fields).",
    "least-memory": "exp1 needs the least memory; of the networks above 99.5 % it is exp4, which "
    "may be what is meant (see Which one).",
    "quickest": "exp1 has the fewest multiply-accumulates, and so trains quickest.",
    "loss": "A wrong answer gives the right class a probability of at most a half, so it costs at "
    "least ln 2; the 299 wrong answers of the log alone cost more than it states for all images. "
    "The log's figure fits a sum of batch means divided by images: 64 times as much per image.",
}
"""Why a figure differs, by key. What changes with the weights stands in the tables, not here."""


@dataclass(frozen=True)
class Figure:
    """One figure.

    Attributes:
        what: in words.
        documented: as printed in the study.
        computed: what the library gives for the same.
        why: a key of `WHY`, used where the two differ.
        agrees: whether they say the same; as texts unless given.
    """

    what: str
    documented: str
    computed: str
    why: str = ""
    agrees: bool | None = None

    @property
    def holds(self) -> bool:
        """Whether the study's figure is what is computed."""
        return self.documented == self.computed if self.agrees is None else self.agrees


@dataclass(frozen=True)
class LayerRow:
    """A row of the study's table of layers, and the layer of exp5 that it describes."""

    name: str
    path: str
    cells: tuple[Figure, ...]
