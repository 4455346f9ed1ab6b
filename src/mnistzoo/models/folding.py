"""Batch norm folded into the convolutions before it, for networks that no longer train."""

from __future__ import annotations

from collections import OrderedDict
from typing import cast

from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval


def fold_batch_norm(features: nn.Sequential) -> nn.Sequential:
    """The same layers for inference, names kept, in fewer passes over memory.

    Each `BatchNorm2d` goes into the weights and the bias of the convolution before it, and each
    ReLU works in place.

    Args:
        features: in evaluation mode; its layers that need no change are shared, not copied.
    """
    layers: OrderedDict[str, nn.Module] = OrderedDict()
    for name, layer in features.named_children():
        if isinstance(layer, nn.BatchNorm2d):
            before, conv = layers.popitem()
            layers[before] = fuse_conv_bn_eval(cast(nn.Conv2d, conv), layer)
        elif isinstance(layer, nn.ReLU):
            layers[name] = nn.ReLU(inplace=True)
        else:
            layers[name] = layer
    return nn.Sequential(layers).eval()
