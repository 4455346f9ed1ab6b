"""Memory that PyTorch's profiler records while a model runs on the CPU, and models to measure."""

from __future__ import annotations

import gc

import torch
import torchvision
from torch import nn
from torch.profiler import ProfilerActivity, profile, record_function
from torch.utils._python_dispatch import TorchDispatchMode

from mnistzoo.analysis.tracing.containers import tensors_of
from mnistzoo.models import exp1, exp3, exp5

STEP = "one operator"


class Marked(TorchDispatchMode):
    """Inside, each operator is an event of the profile."""

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        with record_function(STEP):
            return func(*args, **(kwargs or {}))


def own_bytes(module):
    """Return the bytes of a model's parameters and buffers."""
    return sum(x.untyped_storage().nbytes() for x in (*module.parameters(), *module.buffers()))


def measure(module, shape, batch=1, training=False):
    """Return the most bytes allocated after an operator, and those within operators too.

    Both are above the parameters, buffers and input, which are there before.
    """
    module.train(training)
    images = torch.rand(batch, *shape)
    gc.collect()
    with (
        profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiled,
        torch.set_grad_enabled(training),
        Marked(),
    ):
        output = module(images)
        if training:
            torch.autograd.backward([x.sum() for x in tensors_of(output)])
    events = []
    waiting = list(profiled.profiler.kineto_results.experimental_event_tree())
    while waiting:
        event = waiting.pop()
        waiting += event.children
        if event.name == STEP:
            events.append((event.end_time_ns, 1, 0))
        elif event.name == "[memory]":
            events.append((event.start_time_ns, 0, event.extra_fields.alloc_size))
    now = held = peak = 0
    for _, is_end, size in sorted(events):
        now += size
        peak = max(peak, now)
        held = max(held, now) if is_end else held
    return held, peak


class Recurrent(nn.Module):
    """A recurrent layer and a classifier of its last step."""

    def __init__(self, kind):
        super().__init__()
        self.recurrent = kind(32, 64, num_layers=2, batch_first=True)
        self.classifier = nn.Linear(64, 10)

    def forward(self, x):  # noqa: D102 - torch's own method
        return self.classifier(self.recurrent(x)[0][:, -1])


class UNet(nn.Module):
    """Two levels down and up again, joined by concatenation."""

    def __init__(self):
        super().__init__()
        sizes = [(3, 16), (16, 32), (32, 64), (96, 32), (48, 16)]
        self.convs = nn.ModuleList(self._block(*size) for size in sizes)
        self.head = nn.Conv2d(16, 2, 1)

    def _block(self, size_in, size_out):
        conv = nn.Conv2d(size_in, size_out, 3, padding=1)
        return nn.Sequential(conv, nn.BatchNorm2d(size_out), nn.ReLU(inplace=True))

    def forward(self, x):  # noqa: D102 - torch's own method
        first = self.convs[0](x)
        second = self.convs[1](nn.functional.max_pool2d(first, 2))
        third = self.convs[2](nn.functional.max_pool2d(second, 2))
        up = nn.functional.interpolate(third, scale_factor=2)
        up = self.convs[3](torch.cat([up, second], 1))
        up = nn.functional.interpolate(up, scale_factor=2)
        return self.head(self.convs[4](torch.cat([up, first], 1)))


def _encoder():
    layer = nn.TransformerEncoderLayer(64, 4, 128, batch_first=True)
    return nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)


def _of_torchvision(name, **options):
    return lambda: torchvision.models.get_model(name, **options)


SMALL = {
    "exp1": (exp1, (1, 28, 28)),
    "exp3": (exp3, (1, 28, 28)),
    "exp5": (exp5, (1, 28, 28)),
    "LSTM": (lambda: Recurrent(nn.LSTM), (50, 32)),
    "GRU": (lambda: Recurrent(nn.GRU), (50, 32)),
    "transformer": (_encoder, (50, 64)),
    "U-Net": (UNet, (3, 64, 64)),
}
"""Models that take no time, with the shape of an image."""

_NO_WEIGHTS = {"weights": None, "weights_backbone": None}
MODELS = SMALL | {
    name: (_of_torchvision(name, **options), (3, side, side))
    for name, side, options in (
        ("alexnet", 96, {}),
        ("convnext_tiny", 96, {}),
        ("deeplabv3_mobilenet_v3_large", 96, _NO_WEIGHTS),
        ("densenet121", 96, {}),
        ("efficientnet_b0", 96, {}),
        ("googlenet", 96, {"aux_logits": False, "init_weights": False}),
        ("inception_v3", 299, {"init_weights": False}),
        ("maxvit_t", 224, {}),
        ("mnasnet0_5", 96, {}),
        ("mobilenet_v2", 96, {}),
        ("mobilenet_v3_large", 96, {}),
        ("regnet_y_400mf", 96, {}),
        ("resnet18", 96, {}),
        ("resnet50", 96, {}),
        ("shufflenet_v2_x0_5", 96, {}),
        ("squeezenet1_1", 96, {}),
        ("swin_t", 96, {}),
        ("swin_v2_t", 96, {}),
        ("vgg11", 96, {}),
        ("vit_b_32", 224, {}),
    )
}
MODELS["r3d_18"] = _of_torchvision("r3d_18"), (3, 8, 48, 48)
