"""A figure of the study beside ours, and the reasons for differences."""

from __future__ import annotations

from dataclasses import dataclass

WHY = {
    "rounded": "The study rounds to hundreds; the figures beside it are exact.",
    "training-images": "The study measured accuracy on training images: its log reads "
    "`59701/60000 (99.50%)`, and MNIST has 60,000 of them. Ours is accuracy on the 10,000 test "
    "images, with the bundled weights, which were trained with another recipe.",
    "gains": "These are differences between training accuracies (see the note on training images) "
    "of models trained with another recipe. The study subtracts correctly.",
    "other-weights": "Also on training images (the first 10,000, for speed), but with other "
    "weights: ours were trained with the recipe `record`; the study's are not published.",
    "one-pool": "The listing has one pool. A linear layer with 108 = 12×3×3 inputs needs a second "
    "one, after the fifth convolution.",
    "mebibytes": "The study's MB is 2^20 bytes, a mebibyte. It adds the input, the parameters and "
    "twice the outputs of every layer that has parameters, in float32.",
    "folded": "The study's table merges layers. Its `MaxPool2d-7` outputs 9×9, the feature map of "
    "the fourth convolution (the pool's is 11×11), and its `Conv2d-10` includes the second pool. "
    "Its `Conv2d-8` has the shapes of the fifth convolution and the receptive field of the "
    "fourth, 12×12. No layer has 20×20.",
    "left-out": "The study's table has six of the seven convolutions. The fourth one and its "
    "batch norm, 2,352 parameters, are missing.",
    "field": "A kernel of 3 adds 4 pixels at an effective stride of 2, so the fifth convolution "
    "has 12 + 4 = 16. At a stride of 4 it adds 8, so the sixth has 18 + 8 = 26. The study has 20 "
    "and 28.",
    "image": "The receptive field is 34 pixels wide, wider than the image. The study clips it to "
    "28. In fact 26 are read: the second pool reduces 7 rows to 3 and drops the last, so no later "
    "unit reads the last two rows and columns of pixels (see Receptive fields).",
    "least-memory": "exp1 needs the least memory. Among models of at least 99.5% accuracy it is "
    "exp4, which may be what is meant (see Choose a model).",
    "quickest": "exp1 has the fewest multiply-accumulates, so it trains fastest.",
    "loss": "A wrong prediction gives the true class a probability of at most one half, so it "
    "costs at least ln 2. The log's 299 wrong predictions alone cost more than the average it "
    "states. Its figure fits a sum of batch means divided by images: per image it is 64 times as "
    "large.",
}
"""Why a figure differs, by key. Figures that depend on the weights are in the tables only."""


@dataclass(frozen=True)
class Figure:
    """One figure.

    Attributes:
        what: Its name.
        documented: As the study prints it.
        computed: As the library computes it.
        why: A key of `WHY`, used where the two differ.
        agrees: Whether they agree. Default: whether the texts are equal.
    """

    what: str
    documented: str
    computed: str
    why: str = ""
    agrees: bool | None = None

    @property
    def holds(self) -> bool:
        """Whether the study's figure agrees with the computed one."""
        return self.documented == self.computed if self.agrees is None else self.agrees


@dataclass(frozen=True)
class LayerRow:
    """A row of the study's table of layers, and the layer of exp5 that it describes."""

    name: str
    path: str
    cells: tuple[Figure, ...]
