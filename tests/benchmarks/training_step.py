"""Profile a training step of exp5: each kind of layer's share of the time, and its speed.

Run by hand. The environment variables restrict the kernels to AVX2 and one thread:

    OMP_NUM_THREADS=1 ONEDNN_MAX_CPU_ISA=AVX2 ATEN_CPU_CAPABILITY=avx2 \
        python tests/benchmarks/training_step.py

It times a step of the recipe `documented` in float32. Each layer is called alone, forward and
backward, in processor time; the fastest of several turns counts. Peak is the speed of a
convolution with 256 channels in the same process.
"""

import time
from collections import defaultdict
from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor, nn

import mnistzoo
from mnistzoo.models.convnet import ConvNet
from mnistzoo.training.loop import train_step
from mnistzoo.training.recipes import get_recipe
from mnistzoo.training.run import Run
from mnistzoo.training.state import TrainingState

RECIPE = get_recipe("documented", "exp5")
TURNS, CALLS = 20, 3
Calls = dict[tuple[str, str], Callable[[], object]]


def fastest(calls: Calls) -> dict[tuple[str, str], float]:
    """Return the processor time of each call in seconds. The calls take turns."""
    best = dict.fromkeys(calls, float("inf"))
    for _ in range(TURNS):
        for key, call in calls.items():
            call()
            start = time.process_time()
            for _ in range(CALLS):
                call()
            best[key] = min(best[key], (time.process_time() - start) / CALLS)
    return best


def backward(layer: nn.Module, images: Tensor) -> tuple[Callable[[], object], int]:
    """Return a call of the layer's backward pass, and the number of gradients it computes."""
    output = layer(images)
    wanted = [tensor for tensor in (images, *layer.parameters()) if tensor.requires_grad]
    gradients = sum(tensor.ndim == 4 for tensor in wanted)
    slope = torch.randn_like(output)
    return partial(torch.autograd.grad, output, wanted, slope, retain_graph=True), gradients


def peak() -> float:
    """Return the operations per second of a convolution with many channels."""
    layer = nn.Conv2d(256, 256, 3).to(memory_format=torch.channels_last)
    images = torch.randn(8, 256, 30, 30).to(memory_format=torch.channels_last)
    with torch.no_grad():
        seconds = fastest({("peak", ""): partial(layer, images)})[("peak", "")]
        return 2 * layer(images).numel() * layer.weight[0].numel() / seconds


def layers(model: ConvNet, images: Tensor) -> tuple[Calls, dict[str, int]]:
    """Return a call of each layer in each direction, and the operations of convolutions by row."""
    calls: Calls = {}
    operations: dict[str, int] = defaultdict(int)
    for name, layer in model.features.named_children():
        kind = type(layer).__name__
        back, gradients = backward(layer, images)
        calls |= {(f"{kind}, forward", name): partial(layer, images)}
        calls |= {(f"{kind}, backward", name): back}
        output = layer(images).detach()
        if isinstance(layer, nn.Conv2d):
            once = 2 * output.numel() * layer.weight[0].numel()
            operations[f"{kind}, forward"] += once
            operations[f"{kind}, backward"] += once * gradients
        images = output.requires_grad_()
    return calls, operations


def training_step() -> Callable[[], object]:
    """Return a call of a whole step on the first images."""
    trainer = TrainingState(Run("exp5", RECIPE), mnistzoo.mnist(train=True))
    trainer.dtype = torch.float32
    trainer.start_epoch()
    count = RECIPE.batch_size
    maps = torch.eye(2, 3).expand(count, 2, 3) * 0.99  # not the identity, which is skipped
    return partial(train_step, trainer, torch.arange(count), maps, count)


def main() -> None:
    """Print a row for each kind of layer, forward and backward."""
    model = mnistzoo.exp5().to(memory_format=torch.channels_last)
    images = torch.randn(RECIPE.batch_size, 1, 28, 28).to(memory_format=torch.channels_last)
    calls, operations = layers(model, images)
    times = fastest({("step", ""): training_step(), **calls})
    whole, best = times.pop(("step", "")), peak()
    seconds: dict[str, float] = defaultdict(float)
    for (row, _), value in times.items():
        seconds[row] += value
    seconds["data, loss, optimizer, overhead"] = whole - sum(seconds.values())
    print(f"{torch.get_num_threads()} threads, {torch.backends.cpu.get_cpu_capability()}")
    print(f"step of {len(images)} images: {whole * 1e3:.1f} ms; peak {best / 1e9:.0f} GFLOP/s")
    print("| layers | ms | share of the step | GFLOP/s | share of the peak |")
    print("| --- | ---: | ---: | ---: | ---: |")
    for row, value in seconds.items():
        speed = operations.get(row, 0) / value
        rate = f"{speed / 1e9:.0f} | {speed / best:.0%}" if speed else "|"
        print(f"| {row} | {value * 1e3:.2f} | {value / whole:.0%} | {rate} |")


if __name__ == "__main__":
    main()
