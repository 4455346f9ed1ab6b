"""The zoo as a whole: a row of measured figures for each model, and the manifest recomputed."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from msgspec.structs import asdict, replace

from mnistzoo.architectures import ARCHITECTURES
from mnistzoo.errors import UnknownNameError, WeightsError
from mnistzoo.files import read_bytes, sha256, write_bytes
from mnistzoo.storage.manifest import FOLDER, Entry, read_manifest, split_name, write_manifest


@dataclass(frozen=True)
class Row:
    """Size, cost and accuracy of one model.

    Attributes:
        model: The name that `get_model` takes, such as "exp5" or "exp5.world".
        title: Its title in the study, such as "Deep CNN".
        num_params: Number of parameters.
        macs: Multiply-accumulates for one image, without biases.
        footprint_mib: The study's memory footprint; see `Analysis.footprint_mib`.
        receptive_field: Receptive field of the last feature map along each axis, in pixels.
        accuracy: Accuracy of the pretrained weights on the test images; None without weights.
    """

    model: str
    title: str
    num_params: int
    macs: int
    footprint_mib: float
    receptive_field: int
    accuracy: float | None


COLUMNS = tuple(column for column in Row.__annotations__ if column != "title")
"""The columns that rows can be sorted by."""


def rows(sort: str = "model") -> list[Row]:
    """Return a row for each model and set of weights.

    Accuracy is sorted in descending order, other columns in ascending order.

    Raises:
        UnknownNameError: `sort` is not a column.

    >>> [row.model for row in rows(sort="macs") if "." not in row.model]
    ['exp1', 'exp4', 'exp5', 'exp3', 'exp2']
    """
    if sort not in COLUMNS:
        raise UnknownNameError("column", sort, COLUMNS)
    made = [_row(name) for name in dict.fromkeys([*ARCHITECTURES, *read_manifest()])]
    if sort == "accuracy":
        return sorted(made, key=lambda row: -(row.accuracy or 0.0))
    return sorted(made, key=lambda row: getattr(row, sort))


def _row(name: str) -> Row:
    """Return a row from the manifest, or computed where there are no weights."""
    entry = read_manifest().get(name)
    costs = asdict(entry) if entry else _costs(name)
    return Row(
        model=name,
        title=ARCHITECTURES[split_name(name)[0]].title,
        num_params=costs["num_params"],
        macs=costs["macs"],
        footprint_mib=costs["footprint_mib"],
        receptive_field=costs["receptive_field"],
        accuracy=entry.accuracy if entry else None,
    )


def _costs(name: str) -> dict[str, Any]:
    """Return what an analysis finds of a model, by the names that rows and entries have."""
    from mnistzoo.models import get_model

    analysis = get_model(name).summary()
    field = analysis.receptive_field
    assert field is not None, "every model of the zoo has feature maps"
    return {
        "num_params": analysis.num_params,
        "macs": analysis.macs,
        "footprint_mib": analysis.footprint_mib,
        "receptive_field": int(field.size[0]),
    }


@dataclass(frozen=True)
class Mismatch:
    """A field of the manifest that differs from the value computed from the file."""

    field: str
    stated: Any
    computed: Any

    def __str__(self) -> str:
        return f"{self.field}: stated {self.stated}, computed {self.computed}"


def verify(name: str) -> list[Mismatch]:
    """Recompute everything that the manifest states about weights, and return what differs.

    Raises:
        UnknownNameError: The manifest has no such model.
        FileReadError: The weights file is missing.
        WeightsError: The file cannot be loaded.
    """
    manifest = read_manifest()
    if name not in manifest:
        raise UnknownNameError("pretrained model", name, manifest)
    stated = asdict(manifest[name])
    computed = asdict(build_entry(name, FOLDER / manifest[name].file))
    return [
        Mismatch(field, stated[field], computed[field])
        for field in stated
        if stated[field] != computed[field]
    ]


def build_entry(name: str, path: Path) -> Entry:
    """Return the entry that a manifest should have for a weights file.

    Recipe, seed and versions are taken from the file's own provenance.

    Raises:
        UnknownNameError: There is no such model.
        FileReadError: The file is missing.
        WeightsError: The file does not fit the model, or lacks its provenance.
    """
    from mnistzoo.data.mnist import mnist
    from mnistzoo.evaluation import evaluate
    from mnistzoo.models import get_model
    from mnistzoo.models.tensors import load_into
    from mnistzoo.storage.state_dict import MAX_BYTES, parse_state_dict, read_metadata

    data = read_bytes(path, limit=MAX_BYTES)
    model = get_model(name)
    load_into(model, parse_state_dict(data, path.name), path.name)
    provenance = read_metadata(path)
    if missing := {"recipe", "seed", "versions"} - provenance.keys():
        raise WeightsError(
            f"Expected {path} to state its recipe, seed and versions, got a file without "
            f"{', '.join(sorted(missing))}. Take weights that `mnistzoo train` wrote."
        )
    return Entry(
        file=path.name,
        sha256=sha256(data),
        bytes=len(data),
        **_costs(name),
        correct=evaluate(model, mnist(train=False)).correct,
        recipe=provenance["recipe"],
        seed=provenance["seed"],
        versions=provenance["versions"],
    )


def adopt(name: str, path: Path, folder: Path = FOLDER) -> Entry:
    """Add the weights of a finished run to the pretrained ones and their manifest.

    Raises:
        UnknownNameError, FileReadError, WeightsError: As for `build_entry`. The folder keeps
            its files.
        FileWriteError: The folder cannot be written.
    """
    from mnistzoo.storage.state_dict import MAX_BYTES

    entry = replace(build_entry(name, path), file=f"{name}.safetensors")
    write_bytes(folder / entry.file, read_bytes(path, limit=MAX_BYTES))
    write_manifest({**read_manifest(folder), name: entry}, folder)
    return entry
