"""A network as a program of `torch.export`, and of ExecuTorch for phones."""

from __future__ import annotations

import io
import json

import torch
from torch.export import Dim

from mnistzoo.architectures import INPUT_SHAPE
from mnistzoo.errors import MissingExtraError
from mnistzoo.models.convnet import ConvNet

METADATA_FILE = "mnistzoo.json"
"""The extra file of a pt2 archive that says what goes in and what comes out."""


def pt2(network: ConvNet, metadata: dict[str, str]) -> bytes:
    """The archive that `torch.export.load` reads; the batch is free."""
    free = {"images": {0: Dim("batch", min=1)}}
    program = torch.export.export(network, (torch.zeros(2, *INPUT_SHAPE),), dynamic_shapes=free)
    buffer = io.BytesIO()
    torch.export.save(program, buffer, extra_files={METADATA_FILE: json.dumps(metadata, indent=2)})
    return buffer.getvalue()


def pte(network: ConvNet) -> bytes:
    """The program that ExecuTorch runs, one image at a time, on the kernels of XNNPACK.

    Raises:
        MissingExtraError: ExecuTorch is not installed, or is not the release for this PyTorch.
    """
    try:
        from executorch.backends.xnnpack.partition.xnnpack_partitioner import XnnpackPartitioner
        from executorch.exir import to_edge_transform_and_lower
    except (ImportError, OSError) as error:
        feature = f"ExecuTorch export (the release for torch {torch.__version__})"
        raise MissingExtraError(feature, "edge") from error
    program = torch.export.export(network, (torch.zeros(1, *INPUT_SHAPE),))
    edge = to_edge_transform_and_lower(program, partitioner=[XnnpackPartitioner()])
    return bytes(edge.to_executorch().buffer)
