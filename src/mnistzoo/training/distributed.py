"""Several processes that train one model together, started by `torchrun`."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
import torch.distributed as dist


@contextmanager
def process_group() -> Iterator[None]:
    """Join the processes that `torchrun` started; a single process joins nothing.

    They communicate by NCCL if each has a GPU, else by gloo.
    """
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        yield
        return
    dist.init_process_group("nccl" if device().type == "cuda" else "gloo")
    try:
        yield
    finally:
        dist.destroy_process_group()


def device() -> torch.device:
    """Return this process's GPU, or the CPU if there is none."""
    if torch.cuda.is_available():
        return torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0")))
    return torch.device("cpu")


def autocast_dtype(device: torch.device) -> torch.dtype:
    """Return bfloat16 if the device multiplies it faster than float32, else float32.

    Many processors emulate bfloat16. Intel's with AVX-512 BF16 but without AMX multiply it
    natively, and still train these models faster in float32 (`tests/benchmarks/training.py`). The
    choice depends on the device alone, so that a run can be repeated.
    """
    if device.type == "cuda":
        faster = torch.cuda.is_bf16_supported(including_emulation=False)
    else:
        # older releases do not report capabilities; float32 is right on every processor
        able: dict[str, Any] = getattr(torch.cpu, "get_capabilities", dict)()
        intel = str(able.get("cpu_name", "")).startswith("Intel")
        faster = able.get("amx_bf16") or (able.get("avx512_bf16") and not intel)
    return torch.bfloat16 if faster else torch.float32


def world_size() -> int:
    """Return the number of processes that train together."""
    return dist.get_world_size() if dist.is_initialized() else 1


def rank() -> int:
    """Return the rank of this process; rank 0 writes the files."""
    return dist.get_rank() if dist.is_initialized() else 0


def barrier() -> None:
    """Wait until every process reaches this call."""
    if dist.is_initialized():
        dist.barrier()


def all_sum(*numbers: float) -> list[float]:
    """Return each number summed over the processes."""
    sums = torch.tensor(numbers, dtype=torch.float64, device=device())
    if dist.is_initialized():
        dist.all_reduce(sums)
    return sums.tolist()
