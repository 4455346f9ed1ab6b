"""An analysis leaves a module as it was, whatever its `forward` does."""

from __future__ import annotations

import copy
import gc
import multiprocessing
import time
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from threading import Event, Lock, Thread

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from mnistzoo import MnistZooError, analyze, receptive_field
from mnistzoo.analysis.tracing.meta_copies import MetaCopies
from mnistzoo.analysis.tracing.module_state import preserve_module_state
from mnistzoo.analysis.tracing.tracer import LayoutTracer
from mnistzoo.errors import AnalysisError


class Restless(nn.Module):
    """A model that changes itself in every way while it runs, and may then raise."""

    def __init__(self, raises=False):
        super().__init__()
        self.conv = nn.Conv2d(1, 2, 3)
        self.norm = nn.BatchNorm2d(2, momentum=None)
        self.dropout = nn.Dropout()
        self.register_buffer("steps", torch.zeros((), dtype=torch.long))
        self.register_buffer("mean", torch.zeros(2))
        self.plain, self.seen, self.raises = torch.zeros(3), [], raises

    def forward(self, x):  # noqa: D102 - torch's own method
        y = self.dropout(self.norm(self.conv(x)))
        self.steps += 1
        self.mean.mul_(0.9).add_(y.mean((0, 2, 3)))
        self.plain[0] = 1
        self.seen.append(y)
        self.last = y
        self.register_buffer("more", torch.ones(2))
        self.conv.weight.requires_grad_(False)
        self.conv.weight.requires_grad_(True)
        torch.rand(1)
        if self.raises and int(self.steps) == 1:
            raise KeyError("on purpose")
        return y


def _state(module):
    """Return a module's attributes by identity."""
    return {
        path: (
            {key: id(value) for key, value in part.__dict__.items()},
            {key: list(map(id, v)) for key, v in part.__dict__.items() if isinstance(v, list)},
            {key: list(v) for key, v in part.__dict__.items() if isinstance(v, dict)},
            part.training,
        )
        for path, part in module.named_modules()
    }


LAYERS = {
    "conv": lambda: nn.Conv2d(2, 2, 3, padding=1),
    "norm": lambda: nn.BatchNorm2d(2),
    "instance": lambda: nn.InstanceNorm2d(2, track_running_stats=True),
    "dropout": nn.Dropout,
    "relu": lambda: nn.ReLU(inplace=True),
    "spectral": lambda: nn.utils.parametrizations.spectral_norm(nn.Conv2d(2, 2, 1)),
    "weight norm": lambda: nn.utils.parametrizations.weight_norm(nn.Conv2d(2, 2, 1)),
    "too deep": lambda: nn.Conv2d(3, 2, 1),
}


@settings(deadline=None, max_examples=25)
@given(
    st.lists(st.sampled_from(sorted(LAYERS)), min_size=1, max_size=5),
    st.booleans(),
    st.sampled_from([torch.float16, torch.float32, torch.float64]),
)
def test_modules_are_left_as_they_were(names, training, dtype):
    """Attributes, hooks, modes, values and random numbers are as before, errors or not."""
    module = nn.Sequential(*(LAYERS[name]() for name in names)).train(training).to(dtype)
    module[0].train(not training)
    before, values = _state(module), copy.deepcopy(module.state_dict())
    random = torch.get_rng_state()
    try:
        analyze(module, (2, 6, 6))
    except MnistZooError:
        assert "too deep" in names
    assert _state(module) == before
    assert all(torch.equal(value, values[key]) for key, value in module.state_dict().items())
    assert torch.equal(torch.get_rng_state(), random)
    assert not nn.modules.module._global_forward_hooks
    assert not nn.modules.module._global_forward_pre_hooks


@pytest.mark.parametrize("raises", [False, True])
def test_a_model_that_changes_itself_is_restored(raises):
    """Counters, lists, new buffers and attributes are as before, also after an exception."""
    module = Restless(raises)
    before, values = _state(module), copy.deepcopy(module.state_dict())
    if raises:
        with pytest.raises(AnalysisError, match=r"KeyError.*Restless"):
            analyze(module, (1, 6, 6))
    else:
        assert analyze(module, (1, 6, 6)).receptive_field.size == (3, 3)
    assert _state(module) == before
    assert module.plain.tolist() == [0, 0, 0]
    assert all(torch.equal(value, values[key]) for key, value in module.state_dict().items())


def test_lazy_and_meta_modules():
    """A lazy module stays uninitialized, and one on the meta device stays there."""
    lazy = nn.Sequential(nn.LazyConv2d(4, 3), nn.ReLU(), nn.LazyBatchNorm2d(), nn.Flatten())
    lazy.append(nn.LazyLinear(5))
    analysis = analyze(lazy, (3, 8, 8))
    assert [row.num_params for row in analysis] == [3 * 9 * 4 + 4, 0, 8, 0, 4 * 36 * 5 + 5]
    assert isinstance(lazy[0], nn.LazyConv2d)
    assert lazy[0].has_uninitialized_params()
    filled = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU()).to("meta")
    assert receptive_field(filled, (3, 8, 8)).size == (3, 3)
    assert all(parameter.is_meta for parameter in filled.parameters())


def _tensors(module):
    return [*module.parameters(), *module.buffers()]


def test_meta_copies_replace_the_floats_of_a_module():
    """Meta copies have the same dtypes, and the module's own tensors return afterward."""
    lazy = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.LazyConv2d(4, 3)).double()
    lazy.append(nn.LazyBatchNorm2d(dtype=torch.float16))
    lazy[0].bias.requires_grad_(False)
    before = _tensors(lazy)
    with preserve_module_state(lazy):
        MetaCopies(keep=torch.empty(0)).replace_in(lazy)
        exchanged = _tensors(lazy)
    for made, found in zip(exchanged, before, strict=True):
        assert (made.dtype, made.requires_grad) == (found.dtype, found.requires_grad)
    assert all(tensor.is_meta for tensor in exchanged if tensor.is_floating_point())
    assert all(x is y for x, y in zip(_tensors(lazy), before, strict=True))
    assert not any(tensor.is_meta for tensor in lazy[:2].state_dict().values())


class Caching(nn.Module):
    """A model that keeps its results in nested containers."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(1, 2, 3)
        self.cache = {"layer": {"keys": []}}
        self.lists, self.last = [[]], deque([1, 2], maxlen=2)
        self.names = {"one", "two"}

    def forward(self, x):  # noqa: D102 - torch's own method
        y = self.conv(x)
        self.cache["layer"]["keys"].append(y)
        self.cache["new"] = self.cache.pop("layer")
        self.lists[0].append(y)
        self.last.append(y)
        self.names.add("three")
        return y


def test_nested_containers_are_restored():
    """Nested containers hold the same objects as before, and no tensor of the trace."""
    module = Caching()
    inner, lists = module.cache["layer"], module.lists[0]
    analyze(module, (1, 8, 8))
    assert module.cache == {"layer": {"keys": []}}
    assert module.cache["layer"] is inner
    assert module.lists[0] is lists == []
    assert module.last == deque([1, 2])
    assert module.names == {"one", "two"}


class Replacing(nn.Module):
    """A model that replaces the data of its tensors, and stops their gradients."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(1, 2, 3)
        self.register_buffer("scale", torch.ones(2))

    def forward(self, x):  # noqa: D102 - torch's own method
        self.scale.data = self.scale.data * 0.9
        self.conv.bias.requires_grad_(False)
        with torch.profiler.record_function("here"):
            return self.conv(x)


def test_data_and_gradients_are_restored():
    """A buffer has its own data afterward, and a parameter requires its gradient."""
    module = Replacing()
    scale = module.scale
    analyze(module, (1, 8, 8))
    assert module.scale is scale
    assert scale.tolist() == [1.0, 1.0]
    assert module.conv.bias.requires_grad


def test_a_trace_leaves_no_reference_cycle():
    """The memory of a trace is free as soon as it ends."""
    gc.collect()
    gc.disable()
    try:
        analyze(nn.Conv2d(1, 2, 3), (1, 8, 8))
        assert not any(type(x) is LayoutTracer for x in gc.get_objects())
    finally:
        gc.enable()


@pytest.mark.filterwarnings("ignore:.*weight_norm")
@pytest.mark.parametrize("part", ["lock", "generator", "weight norm"])
def test_a_model_that_cannot_be_copied(part):
    """Locks, generators and weight norms are no obstacle, since nothing is copied."""
    module = nn.Sequential(nn.Linear(3, 4), nn.LSTM(4, 5))
    if part == "weight norm":
        module[0] = nn.utils.weight_norm(module[0])
        module(torch.rand(2, 6, 3))
    else:
        module.own = Lock() if part == "lock" else (x for x in ())
    before = _state(module)
    assert analyze(module, (6, 3)).macs == 6 * (3 * 4 + 4 * 5 * (4 + 5))
    assert _state(module) == before


def test_large_activations_are_not_allocated():
    """A model whose activations would fill terabytes is analyzed."""
    module = nn.Sequential(nn.Conv2d(8, 8, 3), nn.Conv2d(8, 8, 3)).to("meta")
    assert analyze(module, (8, 100_000, 100_000)).macs > 10**13


class Slow(nn.Module):
    """A model that lets other threads run while it does."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(1, 2, 3)

    def forward(self, x):  # noqa: D102 - torch's own method
        time.sleep(0.01)
        return self.conv(x)


def test_several_threads_may_analyze_one_model():
    """Each has the same result, and the model stays in training mode."""
    module = Slow().train()
    expected = analyze(module, (1, 8, 8)).to_dict()
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda _: analyze(module, (1, 8, 8)).to_dict(), range(8)))
    assert found == [expected] * 8
    assert all(part.training for part in module.modules())


@pytest.mark.skipif("fork" not in multiprocessing.get_all_start_methods(), reason="no fork")
def test_a_process_forked_during_a_trace_may_analyze():
    """The child does not wait for a thread that it does not have, and collects garbage."""
    inside, rest = Event(), Event()

    class Waiting(nn.Module):
        def forward(self, x):
            inside.set()
            rest.wait(1)
            return x

    thread = Thread(target=analyze, args=(Waiting(), (4,)))
    thread.start()
    inside.wait()
    child = multiprocessing.get_context("fork").Process(target=_analyze_in_child)
    child.start()
    thread.join()
    child.join(20)
    child.kill()
    child.join()
    assert child.exitcode == 0


def _analyze_in_child():
    assert gc.isenabled()
    assert analyze(nn.Linear(4, 2), (4,)).macs == 8
