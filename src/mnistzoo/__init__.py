"""Receptive fields, MACs and memory of any PyTorch model, and five small MNIST models.

Names are imported on first use, so that `mnistzoo --help` does not import torch. Little else is
imported here, since Ctrl+C is handled only once `mnistzoo.__main__` runs.
"""

from __future__ import annotations

from mnistzoo._version import __version__ as __version__

TYPE_CHECKING = False  # type checkers take it for true, and `typing` takes long to import
if TYPE_CHECKING:
    from typing import Any

    from mnistzoo import analysis as analysis
    from mnistzoo import errors as errors
    from mnistzoo import export as export
    from mnistzoo import models as models
    from mnistzoo import plots as plots
    from mnistzoo.analysis import Analysis as Analysis
    from mnistzoo.analysis import EffectiveReceptiveField as EffectiveReceptiveField
    from mnistzoo.analysis import ReceptiveField as ReceptiveField
    from mnistzoo.analysis import analyze as analyze
    from mnistzoo.analysis import effective_receptive_field as effective_receptive_field
    from mnistzoo.analysis import num_params as num_params
    from mnistzoo.analysis import receptive_field as receptive_field
    from mnistzoo.data.datasets import ImageDataset as ImageDataset
    from mnistzoo.data.datasets import load_dataset as load_dataset
    from mnistzoo.data.mnist import mnist as mnist
    from mnistzoo.errors import MnistZooError as MnistZooError
    from mnistzoo.evaluation import Evaluation as Evaluation
    from mnistzoo.evaluation import evaluate as evaluate
    from mnistzoo.images.prediction import Digit as Digit
    from mnistzoo.images.prediction import Prediction as Prediction
    from mnistzoo.images.prediction import Reading as Reading
    from mnistzoo.images.transforms import normalize as normalize
    from mnistzoo.images.transforms import transforms as transforms
    from mnistzoo.models import ConvNet as ConvNet
    from mnistzoo.models import average as average
    from mnistzoo.models import exp1 as exp1
    from mnistzoo.models import exp2 as exp2
    from mnistzoo.models import exp3 as exp3
    from mnistzoo.models import exp4 as exp4
    from mnistzoo.models import exp5 as exp5
    from mnistzoo.models import from_pretrained as from_pretrained
    from mnistzoo.models import get_model as get_model
    from mnistzoo.models import list_models as list_models
    from mnistzoo.training.train import train as train

_MODULES = ("analysis", "errors", "export", "models", "plots")

_HOMES = {
    "analysis": (
        *("Analysis", "EffectiveReceptiveField", "ReceptiveField", "analyze"),
        *("effective_receptive_field", "num_params", "receptive_field"),
    ),
    "data.datasets": ("ImageDataset", "load_dataset"),
    "data.mnist": ("mnist",),
    "errors": ("MnistZooError",),
    "evaluation": ("Evaluation", "evaluate"),
    "images.transforms": ("normalize", "transforms"),
    "models": (
        *("ConvNet", "average", "exp1", "exp2", "exp3", "exp4", "exp5"),
        *("from_pretrained", "get_model", "list_models"),
    ),
    "images.prediction": ("Digit", "Prediction", "Reading"),
    "training.train": ("train",),
}
_HOME = {name: module for module, names in _HOMES.items() for name in names}

__all__ = ["__version__", *_MODULES, *_HOME]  # noqa: PLE0604 - they are strings


if not TYPE_CHECKING:  # otherwise a type checker would accept any name

    def __getattr__(name: str) -> Any:
        from importlib import import_module

        if name in _MODULES:
            return import_module(f"mnistzoo.{name}")
        if name in _HOME:
            return getattr(import_module(f"mnistzoo.{_HOME[name]}"), name)
        raise AttributeError(f"module 'mnistzoo' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
