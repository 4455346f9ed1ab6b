"""Time, memory and correctness of `analyze` beside other tools, on twelve models.

Run it by hand on Linux, on a quiet machine and one thread, in about ten minutes:
`pip install torchinfo ptflops calflops fvcore thop torchview torchscan`
`OMP_NUM_THREADS=1 python tests/benchmarks/peers.py docs/comparison.csv`

Each model has a process of its own. Tools take turns in it, after one call each to warm up. Time
is the median of seven turns' processor time; memory is what the process grows by. MACs are held to
PyTorch's own counter with attention written out, parameters to `numel`, receptive fields of the
last convolution to those of `analyze`, which the tests hold to gradients.
"""

from __future__ import annotations

import contextlib
import copy
import csv
import ctypes
import gc
import importlib
import io
import logging
import re
import subprocess
import sys
import time
import warnings
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

import torch
import torchvision.models as tv
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

import mnistzoo

ROUNDS = 7

TOLERANCE = 0.02
"""Tools may also count biases. A count that is off by more is wrong."""

COLUMNS = (
    *("model", "tool", "version", "milliseconds", "peak_mib"),
    *("macs", "macs_reference", "macs_right", "params", "params_right"),
    *("receptive_field", "receptive_field_reference", "receptive_field_right", "error"),
)


class UNet(nn.Module):
    """The U-Net of Ronneberger et al., padded, with batch norm and transposed convolutions."""

    WIDTHS = (64, 128, 256, 512, 1024)

    def __init__(self) -> None:
        super().__init__()
        widths = list(self.WIDTHS)
        self.down = nn.ModuleList(map(double_conv, [3, *widths], widths))
        self.up = nn.ModuleList(
            nn.ConvTranspose2d(a, b, 2, 2)
            for b, a in zip(widths[-2::-1], widths[:0:-1], strict=True)
        )
        self.merge = nn.ModuleList(map(double_conv, widths[:0:-1], widths[-2::-1]))
        self.pool, self.last = nn.MaxPool2d(2), nn.Conv2d(64, 2, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return a score for each class at each pixel."""
        maps = []
        for number, part in enumerate(self.down):
            x = part(self.pool(x) if number else x)
            maps.append(x)
        for up, merge, skipped in zip(self.up, self.merge, maps[-2::-1], strict=True):
            x = merge(torch.cat([skipped, up(x)], dim=1))
        return self.last(x)


def double_conv(before: int, after: int) -> nn.Sequential:
    """Return two convolutions with batch norm and ReLU."""
    layers: list[nn.Module] = []
    for channels in (before, after):
        conv = nn.Conv2d(channels, after, 3, padding=1, bias=False)
        layers += [conv, nn.BatchNorm2d(after), nn.ReLU(inplace=True)]
    return nn.Sequential(*layers)


IMAGE = (3, 224, 224)
MODELS: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...]]] = {
    "ResNet-50": (tv.resnet50, IMAGE),
    "MobileNetV3-large": (tv.mobilenet_v3_large, IMAGE),
    "EfficientNet-B0": (tv.efficientnet_b0, IMAGE),
    "VGG-16": (tv.vgg16, IMAGE),
    "DenseNet-121": (tv.densenet121, IMAGE),
    "Inception v3": (lambda: tv.inception_v3(init_weights=False), (3, 299, 299)),
    "ConvNeXt-T": (tv.convnext_tiny, IMAGE),
    "Swin-T": (tv.swin_t, IMAGE),
    "DeepLabV3": (lambda: tv.segmentation.deeplabv3_resnet50(weights_backbone=None), IMAGE),
    "ViT-B/16": (tv.vit_b_16, IMAGE),
    "R3D-18": (tv.video.r3d_18, (3, 16, 112, 112)),
    "U-Net": (UNet, IMAGE),
}


class Found(NamedTuple):
    """What a tool reports on a model; `None` for what it does not report."""

    macs: float | None = None
    params: int | None = None
    fields: dict[str, float] | None = None


def by_mnistzoo(model: nn.Module, shape: tuple[int, ...]) -> Found:
    analysis = mnistzoo.analyze(model, shape)
    fields = {row.path: max(f.size) for row in analysis if (f := row.receptive_field) and f.size}
    return Found(analysis.macs, analysis.num_params, fields)


def by_torchinfo(model: nn.Module, shape: tuple[int, ...]) -> Found:
    import torchinfo

    found = torchinfo.summary(model, (1, *shape), verbose=0, device="cpu")
    return Found(found.total_mult_adds, found.total_params)


def by_ptflops(model: nn.Module, shape: tuple[int, ...]) -> Found:
    import ptflops

    count = ptflops.get_model_complexity_info
    return Found(*count(model, shape, print_per_layer_stat=False, as_strings=False))


def by_calflops(model: nn.Module, shape: tuple[int, ...]) -> Found:
    from calflops import calculate_flops

    _, macs, params = calculate_flops(
        model=model, input_shape=(1, *shape), print_results=False, output_as_string=False
    )
    return Found(macs, params)


def by_fvcore(model: nn.Module, shape: tuple[int, ...]) -> Found:
    from fvcore.nn import FlopCountAnalysis, parameter_count

    found = FlopCountAnalysis(model, torch.zeros(1, *shape))
    return Found(found.total(), parameter_count(model)[""])


def by_thop(model: nn.Module, shape: tuple[int, ...]) -> Found:
    import thop

    return Found(*thop.profile(model, (torch.zeros(1, *shape),), verbose=False))


def by_torchscan(model: nn.Module, shape: tuple[int, ...]) -> Found:
    import torchscan

    found = torchscan.crawl_module(model, input_shape=shape)
    fields = {x["path"]: x["metrics"].get("receptive_field") for x in found["layers"]}
    known = {path: field["value"] for path, field in fields.items() if field and field["value"]}
    totals = found["totals"]
    return Found(totals["macs"]["value"], totals["parameters"]["value"], known)


def by_torchview(model: nn.Module, shape: tuple[int, ...]) -> Found:
    import torchview

    torchview.draw_graph(model, input_size=(1, *shape), device="cpu")
    return Found()


TOOLS = {
    "mnistzoo": by_mnistzoo,
    "torchinfo": by_torchinfo,
    "ptflops": by_ptflops,
    "calflops": by_calflops,
    "fvcore": by_fvcore,
    "thop": by_thop,
    "torchscan": by_torchscan,
    "torchview": by_torchview,
}


class Turns:
    """One tool on one model: what it found, and what each call took."""

    def __init__(self, tool: str, model: nn.Module, shape: tuple[int, ...]) -> None:
        shared = {id(x): x for x in (*model.parameters(), *model.buffers())}
        self.tool, self.shape = tool, shape
        self.model = copy.deepcopy(model, shared)  # some tools leave marks on a model
        self.found, self.error, self.seconds = Found(), "", list[float]()
        self.peak = 0.0

    def warm_up(self) -> None:
        """Call the tool once, for what it finds and the memory that it takes."""
        importlib.import_module(self.tool)
        gc.collect()
        ctypes.CDLL(None).malloc_trim(0)
        Path("/proc/self/clear_refs").write_text("5")  # resets the peak
        before = resident("VmRSS")
        try:
            self.found = self.call()
        except Exception as error:
            self.error = f"{type(error).__name__}: {error}".splitlines()[0][:100]
        self.peak = resident("VmHWM") - before

    def take(self) -> None:
        """Call the tool, and keep the seconds of processor time."""
        if not self.error:
            gc.collect()  # of what other tools left
            start = time.process_time()
            self.call()
            self.seconds.append(time.process_time() - start)

    def call(self) -> Found:
        """Return what the tool says, without what it prints."""
        with contextlib.redirect_stdout(io.StringIO()), torch.no_grad():
            return TOOLS[self.tool](self.model, self.shape)


def resident(kind: str) -> float:
    """Return a figure of this process's memory in MiB."""
    text = Path("/proc/self/status").read_text()
    return int(re.findall(rf"{kind}:\s+(\d+) kB", text)[0]) / 1024


def count_macs(model: nn.Module, shape: tuple[int, ...]) -> float:
    """Return the MACs that PyTorch counts, attention included."""
    model, counter = copy.deepcopy(model).to("meta"), FlopCounterMode(display=False)
    with torch.no_grad(), sdpa_kernel(SDPBackend.MATH), counter:
        model(torch.zeros(1, *shape, device="meta"))
    return counter.get_total_flops() / 2


def rows_of(name: str) -> list[dict[str, Any]]:
    """Return a row for each tool on one model."""
    build, shape = MODELS[name]
    model = build().eval()
    reference = count_macs(model, shape)
    params = sum(p.numel() for p in model.parameters())
    turns = [Turns(tool, model, shape) for tool in TOOLS]
    for turn in turns:
        turn.warm_up()
    for _ in range(ROUNDS):
        for turn in turns:
            turn.take()
    fields = turns[0].found.fields or {}
    last = [p for p, m in model.named_modules() if isinstance(m, nn.Conv2d | nn.Conv3d)][-1]
    rows = []
    for turn in turns:
        macs, count, theirs = turn.found
        row = dict.fromkeys(COLUMNS)
        row |= {"model": name, "tool": turn.tool, "version": version(turn.tool)}
        row |= {"milliseconds": (turn.seconds and f"{median(turn.seconds) * 1e3:.1f}") or ""}
        row |= {"peak_mib": f"{turn.peak:.0f}", "error": turn.error}
        if macs is not None:
            row |= {"macs": round(macs), "macs_reference": round(reference)}
            row |= {"macs_right": abs(macs / reference - 1) <= TOLERANCE}
        if count is not None:
            row |= {"params": int(count), "params_right": count == params}
        if theirs is not None:
            row |= {"receptive_field": theirs.get(last), "receptive_field_reference": fields[last]}
            row |= {"receptive_field_right": theirs.get(last) == fields[last]}
        rows.append(row)
    return rows


def main() -> None:
    """Measure one model, or each in a process of its own, and write the table."""
    warnings.simplefilter("ignore")
    logging.disable()
    torch.set_num_threads(1)
    target = sys.argv[1] if len(sys.argv) > 1 else ""
    if target in MODELS:
        writer = csv.DictWriter(sys.stdout, COLUMNS, lineterminator="\n")
        writer.writerows(rows_of(target))
        return
    if not target:
        sys.exit("usage: python tests/benchmarks/peers.py docs/comparison.csv")
    lines = [",".join(COLUMNS)]
    for name in MODELS:
        command = [sys.executable, __file__, name]
        made = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
        print(made, end="", flush=True)
        lines += made.splitlines()
    Path(target).write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
