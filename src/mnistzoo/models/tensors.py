"""Conversion between PyTorch's tensors and the NumPy arrays of `storage`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from numpy.typing import NDArray
from torch import Tensor

from mnistzoo.errors import WeightsError
from mnistzoo.storage.state_dict import Arrays, check_state_dict

if TYPE_CHECKING:
    from mnistzoo.models.convnet import ConvNet


def to_arrays(state_dict: dict[str, Tensor]) -> Arrays:
    """Return tensors as arrays, on the CPU.

    Raises:
        WeightsError: NumPy does not have a tensor's dtype, such as bfloat16.
    """
    return {name: _to_array(name, tensor) for name, tensor in state_dict.items()}


def _to_array(name: str, tensor: Tensor) -> NDArray[Any]:
    try:
        array: NDArray[Any] = tensor.detach().cpu().numpy()
    except TypeError as error:
        raise WeightsError(
            f"Expected {name} to be float32, got {str(tensor.dtype).removeprefix('torch.')}. "
            "Call model.float() first."
        ) from error
    return array


def to_tensors(arrays: Arrays) -> dict[str, Tensor]:
    """Return copies of arrays as tensors."""
    return {name: torch.from_numpy(array.copy()) for name, array in arrays.items()}


def load_into(model: ConvNet, arrays: Arrays, source: str) -> None:
    """Copy arrays into a float32 model: same names, shapes and dtypes, all values finite.

    Raises:
        WeightsError: Anything differs. The model is then unchanged. The message calls the arrays
            `source`.
    """
    check_state_dict(model.architecture, model.num_classes, arrays, source)
    model.load_state_dict(to_tensors(arrays))
