"""Models of torchvision and timm, built without filling their weights."""

from __future__ import annotations

import warnings

import torch
import torchvision
from torch import nn
from torch.overrides import TorchFunctionMode

SMALL = {"googlenet": {"aux_logits": False}, "inception_v3": {}}


class Weightless(TorchFunctionMode):
    """Inside, `torch.empty`, from which layers make their weights, is on the meta device."""

    def __torch_function__(self, func, types, args=(), kwargs=None):
        kwargs = dict(kwargs or {})
        if func is torch.empty:
            kwargs["device"] = "meta"
        return func(*args, **kwargs)


def classifier(name):
    """Return a torchvision classifier in evaluation mode, its weights on the meta device."""
    options = {"init_weights": False, **SMALL[name]} if name in SMALL else {}
    with Weightless():
        return torchvision.models.get_model(name, **options).eval()


def segmenter(name, aux_loss=False):
    """Return a torchvision segmentation model in evaluation mode, on the meta device."""
    options = {} if name.startswith("lraspp") else {"aux_loss": aux_loss}
    with Weightless():
        build = torchvision.models.segmentation.__dict__[name]
        return build(weights=None, weights_backbone=None, **options).eval()


def from_timm(name):
    """Return a timm model in evaluation mode, its weights on the meta device."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # timm warns on import
        import timm
    with Weightless():
        return timm.create_model(name).eval()


def allocate(module):
    """Move the weights from the meta device into memory, uninitialized and in double precision."""
    for part in module.modules():
        for name, parameter in part._parameters.items():
            if parameter is not None and parameter.is_meta:
                data = torch.empty_like(parameter, device="cpu", dtype=torch.float64)
                part._parameters[name] = nn.Parameter(data)
    return module


def without_head(module):
    """Replace the classifier, which takes memory and no part in the test."""
    for name in ("classifier", "fc", "head"):
        if name in module._modules:
            setattr(module, name, nn.Identity())
    return module
