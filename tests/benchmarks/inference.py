"""Compare the speed of a model: eager, fused, compiled, exported; and the machine's peak.

Run by hand: `python tests/benchmarks/inference.py [MODEL] [SECONDS]`. All variants take turns in
short bursts, and the fastest burst of each counts, so other work on the machine disturbs least. For
each number of threads and images it prints microseconds per image, the ratio to eager, and the
share of the peak: the multiply-adds per second of a large float32 matrix product in torch. With one
thread, times are processor time, which other work disturbs less.
"""

import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import torch
from onnx import TensorProto, helper, numpy_helper

import mnistzoo
from mnistzoo.export import export
from mnistzoo.images.transforms import normalize

BURST = 0.01
"""Seconds. Shorter than a scheduler's time slice."""

Variant = Callable[[torch.Tensor], object]


def small_model() -> bytes:
    """Return a model like the ONNX model zoo's: conv-pool-conv-pool-linear, 5,994 parameters."""
    shapes = {"w1": (8, 1, 5, 5), "b1": (8,), "w2": (16, 8, 5, 5), "b2": (16,), "w3": (256, 10)}
    shapes |= {"b3": (10,)}
    rng = np.random.default_rng(0)
    constants = {n: rng.normal(0, 0.1, s).astype(np.float32) for n, s in shapes.items()}
    steps = [
        ("Conv", ["w1", "b1"], {"auto_pad": "SAME_UPPER", "kernel_shape": [5, 5]}),
        ("Relu", [], {}),
        ("MaxPool", [], {"kernel_shape": [2, 2], "strides": [2, 2]}),
        ("Conv", ["w2", "b2"], {"auto_pad": "SAME_UPPER", "kernel_shape": [5, 5]}),
        ("Relu", [], {}),
        ("MaxPool", [], {"kernel_shape": [3, 3], "strides": [3, 3]}),
        ("Flatten", [], {}),
        ("Gemm", ["w3", "b3"], {}),
    ]
    names = ["images", *(f"step{i}" for i in range(len(steps)))]
    nodes = [
        helper.make_node(operator, [names[i], *inputs], [names[i + 1]], **attributes)
        for i, (operator, inputs, attributes) in enumerate(steps)
    ]
    graph = helper.make_graph(
        nodes,
        "small",
        [helper.make_tensor_value_info("images", TensorProto.FLOAT, ["batch", 1, 28, 28])],
        [helper.make_tensor_value_info(names[-1], TensorProto.FLOAT, ["batch", 10])],
        [numpy_helper.from_array(array, name) for name, array in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model, full_check=True)
    return model.SerializeToString()


def session(model: bytes, threads: int) -> Variant:
    """Return a function that runs a model in ONNX Runtime."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    made = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    return lambda images: made.run(None, {"images": images.numpy()})


def variants(name: str, threads: int) -> dict[str, Variant]:
    """Return everything that takes turns, by name."""
    torch.set_num_threads(threads)
    model = mnistzoo.get_model(name, pretrained=True)
    with tempfile.TemporaryDirectory() as folder:
        plain, int8 = (
            export(model, Path(folder) / "model.onnx", bits=8 if int8 else 32).path.read_bytes()
            for int8 in (False, True)
        )
    return {
        "eager": model,
        "fused": model.fused(),
        "torch.compile": torch.compile(model),
        "ONNX Runtime": session(plain, threads),
        "ONNX Runtime, int8": session(int8, threads),
        "ONNX model zoo's class, ONNX Runtime": session(small_model(), threads),
    }


def burst(call: Callable[[], object], clock: Callable[[], float]) -> float:
    """Return the seconds of one call, averaged over about `BURST`."""
    start, calls = clock(), 0
    while clock() - start < BURST:
        call()
        calls += 1
    return (clock() - start) / calls


def fastest(
    calls: dict[str, Callable[[], object]],
    seconds: float,
    clock: Callable[[], float] = time.perf_counter,
) -> dict[str, float]:
    """Return the seconds of one call of each, the best of many bursts in turn."""
    for call in calls.values():
        call()
    best = dict.fromkeys(calls, float("inf"))
    end = time.perf_counter() + seconds * len(calls)
    while time.perf_counter() < end:
        for name, call in calls.items():
            best[name] = min(best[name], burst(call, clock))
    return best


def peak(seconds: float, clock: Callable[[], float]) -> float:
    """Return the multiply-adds per second of a large float32 matrix product."""
    left, right = torch.rand(768, 768), torch.rand(768, 768)
    return 768**3 / fastest({"product": lambda: left @ right}, seconds, clock)["product"]


def main(name: str = "exp5", seconds: str = "1") -> None:
    """Print the times for each number of threads and images."""
    images = normalize(mnistzoo.mnist(train=False).images[:256])
    macs = mnistzoo.get_model(name).summary().macs
    torch.set_grad_enabled(False)
    for threads in (1, 2):
        clock = time.process_time if threads == 1 else time.perf_counter
        made, most = variants(name, threads), peak(float(seconds), clock)
        print(f"\n{threads} thread(s): peak {most / 1e9:.1f} billion multiply-adds a second")
        for count in (1, 256):
            some = images[:count]
            best = fastest(
                {kind: partial(variant, some) for kind, variant in made.items()},
                float(seconds),
                clock,
            )
            print(f"{name}, {count} image(s) at once: µs per image, × eager, % of the peak")
            for kind, taken in best.items():
                ratio = best["eager"] / taken
                share = "" if "class" in kind else f"{macs * count / taken / most:7.0%}"
                print(f"  {kind:37}{taken * 1e6 / count:9.1f}{ratio:7.2f}{share}")


if __name__ == "__main__":
    main(*sys.argv[1:])
