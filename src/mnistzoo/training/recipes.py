"""Training recipes, as frozen records."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta, Struct
from msgspec.structs import replace

from mnistzoo.architectures import TEACHER
from mnistzoo.errors import UnknownNameError

MAX_SEED = 2**32 - 1
"""The largest seed that every random generator takes."""

LARGEST = 10.0**30
"""The largest rate: float32, which optimizers compute in, holds no more than 3.4e38."""

Positive = Annotated[int, Meta(ge=1, le=2**31 - 1)]
Count = Annotated[int, Meta(ge=0, le=2**31 - 1)]
Rate = Annotated[float, Meta(gt=0, le=LARGEST)]
Bound = Annotated[float, Meta(ge=0, le=LARGEST)]
Fraction = Annotated[float, Meta(ge=0, le=1)]


class Augmentation(Struct, frozen=True, forbid_unknown_fields=True):
    """A random affine map for each image. Every magnitude is uniform between ± its bound.

    Attributes:
        degrees: Rotation.
        scale: Relative change of size, independent for each axis.
        shear: Horizontal shear, as a slope.
        translate: Shift along each axis, in pixels.
        zoom_probability: Probability of the study's zoom: the image is cropped to its central
            22×22 pixels and resized to 28×28.
        flip_probability: Probability of a mirror image, left to right.
    """

    degrees: Bound = 0.0
    scale: Annotated[float, Meta(ge=0, lt=1)] = 0.0
    shear: Bound = 0.0
    translate: Bound = 0.0
    zoom_probability: Fraction = 0.0
    flip_probability: Fraction = 0.0


class Recipe(Struct, frozen=True, forbid_unknown_fields=True):
    """How a model is trained by SGD.

    Attributes:
        name: The name that `--recipe` takes.
        epochs: Number of epochs.
        batch_size: Images in each step.
        learning_rate: The highest learning rate of the schedule.
        nesterov: Whether momentum is Nesterov's.
        weight_decay: Weight decay of parameters with two or more axes, except those that Muon
            trains. Biases and batch norm have none.
        one_cycle: Whether the learning rate rises to `learning_rate` along a cosine and falls to
            nearly zero along another (Smith and Topin 2018, arXiv:1708.07120). Otherwise it is
            divided by ten after 15 epochs.
        label_smoothing: Share of the label that is spread over all classes; has no effect with a
            teacher.
        ema_decay: Decay in each step of the EMA of the weights, which is then the trained model;
            None for no EMA. In a short run it decays faster: see `optim.limit_decay`.
        augmentation: The augmentation of the training images.
        he_init: Whether convolutions are initialized as in He et al. 2015 (arXiv:1502.01852),
            which keeps the variance through ReLUs. Without it, and without batch norm, seven
            layers start out dead. Otherwise torch's default initialization.
        momentum: Momentum of SGD; 0.9 in the study.
        muon_lr: The highest learning rate of convolution weights under `muon.Muon`; None trains
            them by SGD like all other parameters.
        images: Number of training images in an epoch, drawn anew each time; None for all.
        frozen_convs: Number of first convolutions, with their batch norm, that stop learning
            early, because they converge first (Brock et al. 2017, arXiv:1706.04983). This saves
            their backward pass.
        frozen_after: The share of all steps after which they stop learning.
        teacher: Architecture of the teacher. It is trained first, on the same images; the student
            then learns its output for the same augmented images in place of the labels (Hinton et
            al. 2015, arXiv:1503.02531; Beyer et al. 2022, arXiv:2106.05237). None trains on labels.
        temperature: The divisor of both models' logits before they are compared.
        pretrained: Whether training starts from the shipped MNIST weights.
        made_images: Number of images of `mnistzoo.data.world` that are trained on beside MNIST's.
        bits: Bits of the weights in the C header that the model is trained for: its weights and
            activations are rounded as there, and it is evaluated so. The teacher is the pretrained
            model. None trains for floating point.
    """

    name: str
    epochs: Positive
    batch_size: Positive
    learning_rate: Rate
    nesterov: bool
    weight_decay: Bound
    one_cycle: bool
    label_smoothing: Fraction
    ema_decay: Fraction | None
    augmentation: Augmentation
    he_init: bool
    momentum: Annotated[float, Meta(ge=0, lt=1)] = 0.9
    muon_lr: Rate | None = None
    images: Positive | None = None
    frozen_convs: Count = 0
    frozen_after: Fraction = 1.0
    teacher: str | None = None
    temperature: Rate = 2.0
    pretrained: bool = False
    made_images: Count = 0
    bits: Literal[8, 4] | None = None

    def epoch_size(self, num_images: int) -> int:
        """Return the number of images in an epoch, of so many training images."""
        return min(num_images, self.images or num_images)


DOCUMENTED = Recipe(
    name="documented",
    epochs=20,
    batch_size=64,
    learning_rate=0.01,
    nesterov=False,
    weight_decay=0.0,
    one_cycle=False,
    label_smoothing=0.0,
    ema_decay=None,
    augmentation=Augmentation(degrees=15.0, zoom_probability=0.1),
    he_init=False,
)
"""The study's training.

The study gives the learning rate, the momentum, the step after epoch 15, the rotation and the
center crop; for exp5 also 20 epochs of batch 64 (938 steps in its log). For the other models it
gives ranges (batch 32 to 128, 10 to 20 epochs); `_CHOSEN` holds our choices inside them. Rotation
and crop are one bilinear map here; the study applies one after the other.
"""

RECORD = Recipe(
    name="record",
    epochs=30,
    batch_size=64,
    learning_rate=0.07,
    nesterov=True,
    weight_decay=5e-4,
    one_cycle=True,
    label_smoothing=0.0,
    ema_decay=0.9995,
    augmentation=Augmentation(degrees=10.0, scale=0.1, shear=0.1, translate=1.5),
    he_init=True,
    teacher=TEACHER.name,
)
"""The training of the shipped weights.

Its settings were chosen on the last 10,000 training images, which those runs did not train on.
docs/development/ablations.md has the tables, with a command for each row. Batch size, weight decay
and the length of the EMA each helped exp5. The teacher then helped every model except exp1. Label
smoothing, fading augmentation and Muon added nothing. `_CHOSEN` holds what differs by model: the
length and weight decay of exp1 and the augmentation and length of exp3 were chosen the same way.
"""

FAST = Recipe(
    name="fast",
    epochs=1,
    batch_size=64,
    learning_rate=0.2,
    nesterov=True,
    weight_decay=1e-4,
    one_cycle=True,
    label_smoothing=0.0,
    ema_decay=0.95,
    augmentation=Augmentation(),
    he_init=True,
    muon_lr=0.09,
    images=48_000,
    frozen_convs=2,
    frozen_after=0.3,
)
"""99% of the test images in little time: one pass over 48,000 training images, not augmented.

It was tuned for exp5 on the last 10,000 training images; the table is in
docs/development/ablations.md. In so few steps Muon did better than SGD at any batch size and
learning rate tried. The first two convolutions take most of the time and have converged after 0.3
of the steps. The other models have no batch norm, which Muon needs here; `_CHOSEN` gives them two
epochs of SGD, untuned.
"""

WORLD = replace(
    RECORD,
    name="world",
    epochs=5,
    learning_rate=0.05,
    frozen_convs=2,
    frozen_after=0.3,
    teacher=None,
    pretrained=True,
    made_images=110_000,
)
"""The training of the weights named "world", for exp4 and exp5.

It continues from the MNIST weights, on MNIST and the images of `mnistzoo.data.world`.
"""

FINE_TUNE = Recipe(
    name="fine-tune",
    epochs=40,
    batch_size=32,
    learning_rate=0.02,
    nesterov=True,
    weight_decay=5e-4,
    one_cycle=True,
    label_smoothing=0.0,
    ema_decay=0.99,
    augmentation=Augmentation(degrees=10.0, scale=0.1, shear=0.1, translate=1.5),
    he_init=True,
)
"""Training on your own images from features that were trained before.

Its learning rate was chosen for exp5 on held-out training images of scikit-learn's digits.
"""

FASHION = Recipe(
    name="fashion",
    epochs=8,
    batch_size=128,
    learning_rate=0.1,
    nesterov=True,
    weight_decay=1e-4,
    one_cycle=True,
    label_smoothing=0.0,
    ema_decay=0.998,
    augmentation=Augmentation(translate=1.0, flip_probability=0.5),
    he_init=True,
    muon_lr=0.05,
)
"""Images that are no handwriting, from random weights: mirror images and small shifts.

It was tried, not tuned, for exp5 on the last 10,000 training images of Fashion-MNIST. `_CHOSEN`
trains the models without batch norm by SGD, untried.
"""

FOUR_BIT = Recipe(
    name="four-bit",
    epochs=2,
    batch_size=64,
    learning_rate=0.001,
    nesterov=True,
    weight_decay=1e-4,
    one_cycle=True,
    label_smoothing=0.0,
    ema_decay=0.98,
    augmentation=RECORD.augmentation,
    he_init=False,
    images=20_000,
    pretrained=True,
    bits=4,
)
"""The training of the weights named "four-bit", for C headers with weights of 4 bits.

It continues from the MNIST weights, for a few thousand images at a time.
"""

_STRONGER = Augmentation(degrees=14.0, scale=0.14, shear=0.14, translate=2.1)
"""1.4 times the augmentation of `RECORD`."""

_STRONG = Augmentation(degrees=12.0, scale=0.12, shear=0.12, translate=1.8)
"""1.2 times the augmentation of `RECORD`."""

_PLAIN = replace(FAST, epochs=2, muon_lr=None, images=None, frozen_convs=0, frozen_after=1.0)

_FASHION_SGD = replace(FASHION, muon_lr=None, learning_rate=0.03)

_CHOSEN = {
    ("documented", "exp1"): replace(DOCUMENTED, batch_size=128, epochs=10),
    ("documented", "exp2"): replace(DOCUMENTED, batch_size=128, epochs=10),
    ("documented", "exp3"): replace(DOCUMENTED, batch_size=32, epochs=10),
    ("record", "exp1"): replace(RECORD, learning_rate=0.05, epochs=50, teacher=None),
    ("record", "exp2"): replace(RECORD, learning_rate=0.03),
    ("record", "exp3"): replace(RECORD, learning_rate=0.03, epochs=40, augmentation=_STRONGER),
    ("record", "exp4"): replace(RECORD, learning_rate=0.03),
    ("record", TEACHER.name): replace(RECORD, epochs=14, augmentation=_STRONG, teacher=None),
    ("world", "exp4"): replace(WORLD, learning_rate=0.02),
    ("fashion", "exp1"): replace(_FASHION_SGD, learning_rate=0.05),
    **{("fashion", name): _FASHION_SGD for name in ("exp2", "exp3", "exp4")},
    ("fast", "exp1"): replace(_PLAIN, learning_rate=0.05),
    ("fast", "exp2"): replace(_PLAIN, learning_rate=0.03),
    ("fast", "exp3"): replace(_PLAIN, learning_rate=0.03),
    ("fast", "exp4"): replace(_PLAIN, learning_rate=0.03),
}

RECIPES = {
    recipe.name: recipe
    for recipe in (DOCUMENTED, RECORD, FAST, WORLD, FINE_TUNE, FASHION, FOUR_BIT)
}


def get_recipe(name: str, architecture: str) -> Recipe:
    """Return the recipe called `name` with the settings for an architecture.

    Raises:
        UnknownNameError: There is no such recipe.

    >>> get_recipe("documented", "exp1").batch_size, get_recipe("documented", "exp5").batch_size
    (128, 64)
    """
    if name not in RECIPES:
        raise UnknownNameError("recipe", name, RECIPES)
    return _CHOSEN.get((name, architecture), RECIPES[name])
