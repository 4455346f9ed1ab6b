"""Programs of `torch.export`, and of ExecuTorch for phones."""

from __future__ import annotations

import io
import json

import torch
from torch.export import Dim

from mnistzoo.architectures import INPUT_SHAPE
from mnistzoo.errors import MissingExtraError
from mnistzoo.models.convnet import ConvNet

METADATA_FILE = "mnistzoo.json"
"""The extra file of a pt2 archive that describes input and output."""


def pt2(model: ConvNet, metadata: dict[str, str]) -> bytes:
    """Return the archive that `torch.export.load` reads. The batch size is free."""
    free = {"images": {0: Dim("batch", min=1)}}
    program = torch.export.export(model, (torch.zeros(2, *INPUT_SHAPE),), dynamic_shapes=free)
    buffer = io.BytesIO()
    torch.export.save(program, buffer, extra_files={METADATA_FILE: json.dumps(metadata, indent=2)})
    return buffer.getvalue()


def pte(model: ConvNet) -> bytes:
    """Return the program that ExecuTorch runs on XNNPACK's kernels, one image at a time.

    Raises:
        MissingExtraError: ExecuTorch is not installed, or was built for another PyTorch.
    """
    try:
        from executorch.backends.xnnpack.partition.xnnpack_partitioner import XnnpackPartitioner
        from executorch.exir import to_edge_transform_and_lower
    except (ImportError, OSError) as error:
        feature = f"ExecuTorch export (the release for torch {torch.__version__})"
        raise MissingExtraError(feature, "edge") from error
    program = torch.export.export(model, (torch.zeros(1, *INPUT_SHAPE),))
    edge = to_edge_transform_and_lower(program, partitioner=[XnnpackPartitioner()])
    return bytes(edge.to_executorch().buffer)
