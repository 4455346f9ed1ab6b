"""One network trained by several processes, as `torchrun` starts them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

import torch
import torch.distributed as dist


@contextmanager
def processes() -> Iterator[None]:
    """Join the processes that `torchrun` started; alone, do nothing.

    They speak NCCL where each has a GPU of its own, gloo otherwise.
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
    """The GPU of this process, where there is one, else the CPU."""
    if torch.cuda.is_available():
        return torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0")))
    return torch.device("cpu")


def world_size() -> int:
    """How many processes train together."""
    return dist.get_world_size() if dist.is_initialized() else 1


def rank() -> int:
    """The number of this process among them; process 0 writes the files."""
    return dist.get_rank() if dist.is_initialized() else 0


def barrier() -> None:
    """Go on when every process has come here."""
    if dist.is_initialized():
        dist.barrier()


def total(*numbers: float) -> list[float]:
    """Each number summed over the processes."""
    sums = torch.tensor(numbers, dtype=torch.float64, device=device())
    if dist.is_initialized():
        dist.all_reduce(sums)
    return sums.tolist()
