"""Models that a command names: of this zoo, of other libraries, or the user's own."""

from __future__ import annotations

import sys
from collections.abc import Callable
from importlib import import_module
from inspect import signature
from typing import TYPE_CHECKING, Any, TypeGuard

from mnistzoo.architectures import BUILDABLE, INPUT_SHAPE
from mnistzoo.cli import source as source_of
from mnistzoo.errors import FileReadError, InputError, MnistZooError, UnknownNameError

if TYPE_CHECKING:
    from pathlib import Path

    from PIL import Image
    from torch import Tensor, nn

    from mnistzoo.analysis.tracing.arguments import Inputs

MODES = {1: "L", 3: "RGB"}
"""Pillow's name for images with as many channels."""

IMAGENET = {"mean": (0.485, 0.456, 0.406), "std": (0.229, 0.224, 0.225)}
"""Mean and standard deviation of ImageNet's channels, by the names that timm has for them."""

MAX_TOKENS = 128
"""Length of the token IDs that a model of transformers is analyzed with by default."""


def load(model: str, pretrained: bool = False) -> nn.Module:
    """Load the model named on the command line.

    Args:
        model: The name or folder.
        pretrained: Load a model of this zoo with its weights. A folder always has weights, other
            libraries provide none.

    Raises:
        UnknownNameError: torchvision, timm or the zoo has no such model.
        InputError: The name has another form, or is not that of a model.
    """
    source, colon, name = model.partition(":")
    if not colon and source_of.is_folder(model):
        return source_of.load(model)
    if not colon:
        _check_name(model)
        from mnistzoo.models import get_model

        return get_model(model, pretrained=pretrained and model in source_of.known_names())
    made = _SOURCES[source](name) if source in _SOURCES else _call(source, name)
    if not _is_module(made):
        raise InputError(
            f"Expected {model} to be a torch.nn.Module or to return one, got "
            f"{type(made).__name__}. Name a callable that needs no arguments."
        )
    return made


def _check_name(name: str) -> None:
    """Refuse a name that the zoo does not have; it may be one of another library."""
    try:
        source_of.check_names([name], [*BUILDABLE, *source_of.known_names()])
    except UnknownNameError as error:
        hint = f" For models of other libraries: torchvision:{name}, timm:{name}." if name else ""
        raise InputError(f"{error}{hint}") from None


def _from_torchvision(name: str) -> object:
    models: Any = import_module("torchvision.models")
    if name not in models.list_models():
        raise UnknownNameError("torchvision model", name, models.list_models())
    takes = signature(models.get_model_builder(name)).parameters
    options = {"weights_backbone": None} if "weights_backbone" in takes else {}
    made: object = models.get_model(name, weights=None, **options)
    return made


def _from_timm(name: str) -> object:
    timm = _import("timm", name)
    if name.partition(".")[0] not in timm.list_models():  # a tag of weights may follow
        raise UnknownNameError("timm model", name, timm.list_models())
    made: object = timm.create_model(name, pretrained=False)
    return made


def _from_transformers(name: str) -> object:
    """Build a model from its class's default configuration, with random weights."""
    transformers = _import("transformers", name)
    kind = getattr(transformers, name, None)
    if kind is None:
        raise UnknownNameError("transformers class", name, dir(transformers))
    configuration = getattr(kind, "config_class", None)
    if configuration is None:
        raise InputError(
            f"Expected a class with a default configuration, got transformers.{name}. Name a "
            "model's own class, such as transformers:BertModel."
        )
    return kind(configuration())


def _import(library: str, name: str) -> Any:
    try:
        return import_module(library)
    except ImportError:
        raise InputError(
            f"{library}:{name} needs {library}, which is not installed. Install it with: "
            f"pip install {library}"
        ) from None


def default_inputs(model: str, module: nn.Module, batch_size: int) -> Inputs:
    """Return the inputs that a model of this name is made for.

    Raises:
        InputError: The library does not say.
    """
    if ":" not in model:
        return INPUT_SHAPE
    if model.startswith("transformers:"):
        return _transformers_inputs(module, batch_size)
    known = getattr(module, "pretrained_cfg", None) if model.startswith("timm:") else None
    return tuple((known or {}).get("input_size", (3, 224, 224)))


def _transformers_inputs(module: Any, batch_size: int) -> Inputs:
    """Return token IDs or the shape of an image, as the configuration says."""
    config, name = module.config, module.main_input_name
    if name == "pixel_values":
        size = getattr(config, "image_size", 224)
        sides = (size, size) if isinstance(size, int) else tuple(size)
        return {name: (getattr(config, "num_channels", 3), *sides)}
    if name == "input_ids":
        length = min(MAX_TOKENS, getattr(config, "max_position_embeddings", None) or MAX_TOKENS)
        others = ["decoder_input_ids"] if getattr(config, "is_encoder_decoder", False) else []
        made = {key: token_ids(batch_size, length) for key in [name, *others]}
        if "attention_mask" in signature(module.forward).parameters:  # or some look for padding
            made["attention_mask"] = token_ids(batch_size, length) + 1
        return made
    raise InputError(
        f"Expected a model that reads input_ids or pixel_values, got one that reads {name}. Pass "
        f"its shape: --input {name}=…"
    )


def load_image(model: str, module: Any, shape: tuple[int, ...], path: Path) -> Tensor:
    """Read an image as a batch of one for a model.

    Models of this zoo get MNIST's format. Others get an image of the input's size, normalized as
    timm says, or else as ImageNet's images are.

    Raises:
        InputError: The model does not take images of 1 or 3 channels.
        ImageError: The image shows no digit, for a model of this zoo.
        FileReadError: The image cannot be read.
    """
    if ":" not in model:
        from mnistzoo.images.transforms import transforms

        return transforms()(path)[None]
    if len(shape) != 3 or shape[0] not in MODES:
        raise InputError(
            f"Expected a model of gray or color images for --image, got inputs of shape {shape}. "
            "Leave out --image."
        )
    functional: Any = import_module("torchvision.transforms.functional")  # has no type hints
    channels, *size = shape
    image = functional.to_tensor(_open(path, MODES[channels]))
    known = getattr(module, "pretrained_cfg", {})
    mean, std = (list(known.get(name, value))[:channels] for name, value in IMAGENET.items())
    batch: Tensor = functional.normalize(functional.resize(image[None], size), mean, std)
    return batch


def _open(path: Path, mode: str) -> Image.Image:
    from PIL import Image

    try:
        return Image.open(path).convert(mode)
    except Exception as error:  # Pillow's decoders raise nearly every built-in exception
        raise FileReadError(f"Cannot read {path}: {error}. Name a PNG or JPEG.") from error


def token_ids(batch_size: int, *shape: int) -> Any:
    """Return an example of token IDs."""
    import torch

    return torch.zeros(batch_size, *shape, dtype=torch.long)


def _call(module: str, name: str) -> object:
    """Call a function or return a module, importing from the working directory too."""
    sys.path.insert(0, "")
    try:
        value = import_module(module)
        for part in name.split("."):
            value = getattr(value, part)
        return value() if callable(value) and not _is_module(value) else value
    except MnistZooError:
        raise
    except (Exception, SystemExit) as error:  # a script may exit when it is imported
        reason = (str(error) or type(error).__name__).splitlines()[0]
        remedy = "Check both names, and that it needs no arguments."
        if module.endswith(".py"):
            remedy = f"Name the module, not its file: {module[:-3].replace('/', '.')}:{name}."
        raise InputError(
            f"Expected package.module:callable that returns a model, got {module}:{name} "
            f"({reason}). {remedy}"
        ) from error
    finally:
        sys.path.remove("")


def _is_module(value: object) -> TypeGuard[nn.Module]:
    from torch import nn

    return isinstance(value, nn.Module)


_SOURCES: dict[str, Callable[[str], object]] = {
    "torchvision": _from_torchvision,
    "timm": _from_timm,
    "transformers": _from_transformers,
}
