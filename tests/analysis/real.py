"""Real networks, built without the work of filling their weights."""

from __future__ import annotations

import warnings

import torch
import torchvision
from torch import nn
from torch.overrides import TorchFunctionMode

SMALL = {"googlenet": {"aux_logits": False}, "inception_v3": {}}


class Weightless(TorchFunctionMode):
    """Inside, `torch.empty`, which layers make their weights with, makes them on `meta`."""

    def __torch_function__(self, func, types, args=(), kwargs=None):
        kwargs = dict(kwargs or {})
        if func is torch.empty:
            kwargs["device"] = "meta"
        return func(*args, **kwargs)


def classifier(name):
    """A classification network of torchvision in evaluation mode; its weights are on `meta`."""
    options = {"init_weights": False, **SMALL[name]} if name in SMALL else {}
    with Weightless():
        return torchvision.models.get_model(name, **options).eval()


def segmenter(name, aux_loss=False):
    """A segmentation network of torchvision in evaluation mode; its weights are on `meta`."""
    options = {} if name.startswith("lraspp") else {"aux_loss": aux_loss}
    with Weightless():
        build = torchvision.models.segmentation.__dict__[name]
        return build(weights=None, weights_backbone=None, **options).eval()


def from_timm(name):
    """A network of timm in evaluation mode; its weights are on `meta`."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # timm's own, on being imported
        import timm
    with Weightless():
        return timm.create_model(name).eval()


def filled(module):
    """The same network with its weights in memory, not initialised."""
    for part in module.modules():
        for name, parameter in part._parameters.items():
            if parameter is not None and parameter.is_meta:
                data = torch.empty_like(parameter, device="cpu", dtype=torch.float64)
                part._parameters[name] = nn.Parameter(data)
    return module


def without_head(module, *names):
    """The same network without the parts named, which take memory and no part in the test."""
    for name in names:
        setattr(module, name, nn.Identity())
    return module
