"""Check that a model has the layers of its architecture."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mnistzoo.errors import WeightsError
from mnistzoo.models.folding import is_reparametrized

if TYPE_CHECKING:
    from torch import nn

    from mnistzoo.models.hub_mixin import HubMixin


def check_layers(model: HubMixin, as_built: HubMixin, prefix: str = "") -> None:
    """Check that a model has the layers of `as_built`, a new model of the same architecture.

    Only layers whose path starts with `prefix` are checked.

    Raises:
        WeightsError: A layer was added, removed or changed, is pruned or parametrized, or has no
            values.
    """
    for path, layer in model.named_modules():
        if path.startswith(prefix) and is_reparametrized(layer):
            raise WeightsError(
                f"Expected plain weights, got {path}, which is pruned or parametrized. Make "
                "that permanent first: torch.nn.utils.prune.remove, or "
                "torch.nn.utils.parametrize.remove_parametrizations."
            )
    if any(tensor.is_meta for tensor in model.state_dict().values()):
        raise WeightsError("Expected weights with values, got the meta device. Load some first.")
    own, built = map(_describe_layers, (model, as_built))
    for path in (*own, *built):
        if path.startswith(prefix) and own.get(path) != built.get(path):
            raise WeightsError(
                f"Expected {model.architecture.name} as its architecture describes it, got "
                f"{path}: {own.get(path, 'missing')} instead of {built.get(path, 'nothing')}. "
                "Files and runs hold only weights. Restore the layer, or save and train the model "
                "with torch."
            )


def _describe_layers(module: nn.Module) -> dict[str, str]:
    """Return the settings of each layer without children, by path, except for `inplace`."""
    parts = [(path, part) for path, part in module.named_modules() if not list(part.children())]
    return {path: repr(part).replace("inplace=True", "") for path, part in parts}
