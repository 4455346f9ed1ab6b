"""The training recipes, as data."""

from __future__ import annotations

from msgspec.structs import replace

from mnistzoo.architectures import TEACHER
from mnistzoo.errors import UnknownNameError
from mnistzoo.training.settings import Augmentation, Recipe

MAX_SEED = 2**32 - 1
"""The largest seed that every random generator takes."""

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
docs/development/ablations.md has the tables. Batch size, weight decay and the length of the EMA
each helped exp5. The teacher then helped every model except exp1. Label smoothing, fading
augmentation and Muon added nothing. `_CHOSEN` holds what differs by model; for exp1 and exp3 it was
chosen the same way.
"""

PATIENT = replace(
    RECORD,
    name="patient",
    epochs=90,
    augmentation=Augmentation(degrees=14.0, scale=0.14, shear=0.14, translate=2.1),
    stored_epochs=30,
)
"""`RECORD` with three times as many epochs and 1.4 times the augmentation (Beyer et al. 2022).

It was chosen for exp4 on the last 10,000 training images: see docs/development/ablations.md.
"""

FAST = Recipe(
    name="fast",
    epochs=1,
    batch_size=64,
    learning_rate=0.1,
    nesterov=True,
    weight_decay=1e-4,
    one_cycle=True,
    label_smoothing=0.2,
    ema_decay=0.95,
    augmentation=Augmentation(),
    he_init=True,
    muon_lr=0.06,
    images=44_000,
    frozen_convs=2,
    frozen_after=0.1,
    fold_frozen=True,
    crop=True,
)
"""99% test accuracy in little time: one epoch of 44,000 images, not augmented.

It was tuned for exp5 on the last 10,000 training images: see docs/development/ablations.md. In so
few steps Muon did better than SGD at any batch size and learning rate tried. The first two
convolutions take most of the time, so they are frozen after a tenth of the steps; freezing them
later makes no distinguishable difference. The other models have no batch norm, which Muon needs
here; `_CHOSEN` gives them two epochs of SGD, untuned.
"""

WORLD = replace(
    RECORD,
    name="world",
    epochs=12,
    learning_rate=0.05,
    crop=True,
    teacher=None,
    pretrained=True,
    pretrained_targets=2.0,
    synthetic_images=110_000,
)
"""The training of the weights named "world", for exp4 and exp5.

It continues from the MNIST weights, on MNIST and the images of `mnistzoo.data.world`. The MNIST
weights are also the teacher for MNIST's images. For exp5, exp4's world weights also teach the
synthetic images.
"""

FINE_TUNE = Recipe(
    name="fine-tune",
    epochs=60,
    batch_size=32,
    learning_rate=0.02,
    nesterov=True,
    weight_decay=5e-4,
    one_cycle=True,
    label_smoothing=0.0,
    ema_decay=0.99,
    augmentation=Augmentation(degrees=14.0, scale=0.14, shear=0.14, translate=2.1),
    he_init=True,
)
"""Training on your own images from trained weights, with a new classifier.

It was chosen for exp5 on held-out training images of scikit-learn's digits: first the learning
rate, then the number of epochs and the augmentation, which is 1.4 times that of `RECORD`.
"""

ADAPT = replace(
    FINE_TUNE,
    name="adapt",
    epochs=120,
    learning_rate=0.005,
    ema_decay=0.995,
    augmentation=Augmentation(degrees=20.0, scale=0.2, shear=0.2, translate=3.0),
)
"""Training on your own images from trained weights that have the same classes, chosen likewise."""

FASHION = Recipe(
    name="fashion",
    epochs=16,
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
"""Training on images other than handwriting, from random weights, with flips and small shifts.

It was tried for exp5 on 10,000 held-out training images of Fashion-MNIST, and not tuned. `_CHOSEN`
trains the models without batch norm by SGD, which was not tried.
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
"""The training of the weights named "four-bit", for C headers with 4 bits, from MNIST's weights."""

_STRONG = Augmentation(degrees=12.0, scale=0.12, shear=0.12, translate=1.8)  # 1.2 × `RECORD`'s
_TEACHER = replace(RECORD, epochs=14, augmentation=_STRONG, teacher=None)

_PLAIN = replace(
    FAST,
    epochs=2,
    label_smoothing=0.0,
    muon_lr=None,
    images=None,
    frozen_convs=0,
    frozen_after=1.0,
    fold_frozen=False,
    crop=False,
)

_FASHION_SGD = replace(FASHION, muon_lr=None, learning_rate=0.03)

_MIDDLE = ("exp2", "exp3", "exp4")

_CHOSEN = {
    ("documented", "exp1"): replace(DOCUMENTED, batch_size=128, epochs=10),
    ("documented", "exp2"): replace(DOCUMENTED, batch_size=128, epochs=10),
    ("documented", "exp3"): replace(DOCUMENTED, batch_size=32, epochs=10),
    ("record", "exp1"): replace(RECORD, learning_rate=0.05, epochs=50, teacher=None),
    ("record", "exp2"): replace(RECORD, learning_rate=0.03),
    ("record", "exp3"): replace(
        RECORD, learning_rate=0.03, epochs=40, augmentation=PATIENT.augmentation
    ),
    ("record", "exp4"): replace(RECORD, learning_rate=0.03),
    ("record", TEACHER.name): _TEACHER,
    ("patient", "exp1"): replace(PATIENT, learning_rate=0.05),
    **{("patient", name): replace(PATIENT, learning_rate=0.03) for name in _MIDDLE},
    ("patient", TEACHER.name): replace(_TEACHER, name="patient"),
    ("world", "exp4"): replace(WORLD, learning_rate=0.02),
    ("world", "exp5"): replace(
        WORLD,
        epochs=10,
        frozen_convs=1,
        frozen_after=0.25,
        fold_frozen=True,
        stored_epochs=3,
        pretrained_targets=5.0,
        synthetic_teacher="exp4.world",
        synthetic_images=170_000,
    ),
    ("fashion", "exp1"): replace(_FASHION_SGD, learning_rate=0.05),
    **{("fashion", name): _FASHION_SGD for name in _MIDDLE},
    ("fast", "exp1"): replace(_PLAIN, learning_rate=0.05),
    **{("fast", name): replace(_PLAIN, learning_rate=0.03) for name in _MIDDLE},
}

RECIPES = {
    recipe.name: recipe
    for recipe in (DOCUMENTED, RECORD, PATIENT, FAST, WORLD, FOUR_BIT, FINE_TUNE, ADAPT, FASHION)
}


def get_recipe(name: str, architecture: str) -> Recipe:
    """Return the recipe called `name` with the settings for an architecture.

    Raises:
        UnknownNameError: There is no such recipe.

    >>> get_recipe("documented", "exp1").batch_size, get_recipe("documented", "exp5").batch_size
    (128, 64)
    """
    if not isinstance(name, str) or name not in RECIPES:
        raise UnknownNameError("recipe", name, RECIPES)
    return _CHOSEN.get((name, architecture), RECIPES[name])
