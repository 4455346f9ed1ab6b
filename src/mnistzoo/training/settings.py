"""The settings of a recipe: what they are, how they are checked, and changed by name."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Any, Literal

from msgspec import Meta, Struct, ValidationError, convert, to_builtins

from mnistzoo.errors import InputError

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
    """The settings of a training run.

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
        fold_frozen: Whether their batch norm then uses its running statistics and is folded into
            them, which saves time. Otherwise it keeps using the statistics of each batch.
        crop: Whether to crop the rows and columns that the model does not read, which saves time.
            Batch norm's statistics are then over fewer positions.
        teacher: Architecture of the teacher. It is trained first, on the same images; the student
            then learns its output for the same augmented images in place of the labels (Hinton et
            al. 2015, arXiv:1503.02531; Beyer et al. 2022, arXiv:2106.05237). None trains on labels.
        stored_epochs: Number of epochs whose augmented images are kept on disk with the teacher's
            logits, and repeated by later epochs, which saves the teacher's time; 50 MB each for
            MNIST's images. 0 augments every epoch.
        temperature: The divisor of both models' logits before they are compared.
        pretrained: Whether training starts from the shipped MNIST weights.
        pretrained_targets: Weight of the divergence from the pretrained model, in place of the
            labels, for MNIST's own images, so that training on synthetic ones changes less of what
            the model has learned (Li and Hoiem 2016, arXiv:1606.09282); 0 trains on labels.
        synthetic_teacher: Name of shipped weights, such as `exp4.world`, that also teach the
            synthetic images: half of the divergence from them is added to the cross-entropy of
            images that they classify correctly. None trains these on labels alone.
        synthetic_images: Number of images that `mnistzoo.data.world` adds to the training images.
        bits: Bits of a weight in the C header that the model is trained for. This is
            quantization-aware training: weights and activations are rounded as in the header, also
            in evaluation, and the pretrained model is the teacher. None trains for floating point.
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
    fold_frozen: bool = False
    crop: bool = False
    teacher: str | None = None
    stored_epochs: Count = 0
    temperature: Rate = 2.0
    pretrained: bool = False
    pretrained_targets: Bound = 0.0
    synthetic_teacher: str | None = None
    synthetic_images: Count = 0
    bits: Literal[8, 4] | None = None

    def epoch_size(self, num_images: int) -> int:
        """Return the number of images in an epoch, given the number of training images."""
        return min(num_images, self.images or num_images)


def change_settings(recipe: Recipe, settings: Iterable[str]) -> Recipe:
    """Return a recipe with settings changed, each given as `FIELD=VALUE`.

    Fields are those of `Recipe`, except its name, and of `Augmentation`. `null` stands for None.

    Raises:
        InputError: There is no such field, or the value is out of range.

    >>> from mnistzoo.training.recipes import FAST
    >>> change_settings(FAST, ["learning_rate=0.1", "degrees=5"]).augmentation.degrees
    5.0
    """
    fields: dict[str, Any] = to_builtins(recipe)
    for setting in settings:
        name, equals, value = setting.partition("=")
        place = fields["augmentation"] if name in fields["augmentation"] else fields
        known = sorted((fields | fields["augmentation"]).keys() - {"name", "augmentation"})
        if not equals or name not in known:
            raise InputError(
                f"Expected FIELD=VALUE with a field of {', '.join(known)}, got {setting!r}."
            )
        place[name] = None if value == "null" else value
    return _convert(fields, strict=False)


def check_recipe(recipe: Recipe) -> None:
    """Check that each setting has the right type, is in its range, and suits the others.

    Raises:
        InputError: One does not.
    """
    try:
        fields = to_builtins(recipe)
    except TypeError as error:
        raise InputError(f"Expected a recipe of plain numbers: {error}. Convert them.") from error
    _check_together(_convert(fields, strict=True))


def _check_together(recipe: Recipe) -> None:
    if recipe.bits and recipe.frozen_convs:
        raise InputError(
            f"Expected frozen_convs of 0 with bits, got {recipe.frozen_convs}: rounded layers are "
            "trained together. Set one of them only."
        )
    if recipe.stored_epochs and not (recipe.teacher or recipe.pretrained_targets):
        raise InputError(
            f"Expected a teacher for {recipe.stored_epochs} stored epochs, got none. "
            "Name one, set pretrained_targets, or set stored_epochs to 0."
        )
    if recipe.pretrained_targets and (not recipe.pretrained or recipe.teacher or recipe.bits):
        raise InputError(
            f"Expected pretrained_targets with pretrained, and without a teacher or bits, got "
            f"pretrained={recipe.pretrained}, teacher={recipe.teacher} and bits={recipe.bits}. "
            "Set pretrained_targets to 0, or correct the others."
        )
    if recipe.synthetic_teacher is not None and not recipe.pretrained_targets:
        raise InputError(
            f"Expected pretrained_targets with the synthetic teacher {recipe.synthetic_teacher}, "
            "got 0. Set pretrained_targets above 0, or synthetic_teacher to null."
        )


def _convert(fields: dict[str, Any], *, strict: bool) -> Recipe:
    try:
        return convert(fields, Recipe, strict=strict)
    except ValidationError as error:
        expected, _, place = str(error).partition(" - at `$.")
        name = place.removesuffix("`").removeprefix("augmentation.")
        raise InputError(f"{name} of the recipe: {expected}. Correct the setting.") from error
