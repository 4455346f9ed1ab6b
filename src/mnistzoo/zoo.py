"""The zoo as a whole: a row of measured figures for each network, and the manifest recomputed."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from mnistzoo.data.mnist import mnist
from mnistzoo.errors import UnknownNameError, WeightsError
from mnistzoo.evaluation import evaluate
from mnistzoo.files import read_bytes, sha256, write_bytes
from mnistzoo.models import get_model, list_models
from mnistzoo.storage.manifest import FOLDER, Entry, read_manifest, write_manifest
from mnistzoo.storage.state_dict import MAX_BYTES, load_into, parse_state_dict, read_metadata


@dataclass(frozen=True)
class Row:
    """What one network costs and what it is worth.

    Attributes:
        name: what `get_model` calls it.
        num_params: its parameters.
        macs: multiply-accumulates for one image, biases not counted.
        memory: its footprint for one image in MiB, as `Analysis.footprint_mib` defines it.
        receptive_field: of a unit of the last feature map, in input pixels along each axis.
        accuracy: of the shipped weights on the 10,000 test images; None where there are none.
    """

    name: str
    num_params: int
    macs: int
    memory: float
    receptive_field: int
    accuracy: float | None


COLUMNS = tuple(Row.__annotations__)


def rows(sort: str = "name") -> list[Row]:
    """A row for each network, sorted: the most accurate first, in any other column the smallest.

    Raises:
        UnknownNameError: `sort` is no column.
    """
    if sort not in COLUMNS:
        raise UnknownNameError("column", sort, COLUMNS)
    made = [_row(name) for name in list_models()]
    if sort == "accuracy":
        return sorted(made, key=lambda row: -(row.accuracy or 0.0))
    return sorted(made, key=lambda row: getattr(row, sort))


def _row(name: str) -> Row:
    analysis = get_model(name).summary()
    entry = read_manifest().get(name)
    field = analysis.receptive_field
    assert field is not None, "every network of the zoo has feature maps"
    return Row(
        name=name,
        num_params=analysis.num_params,
        macs=analysis.macs,
        memory=analysis.footprint_mib,
        receptive_field=int(field.size[0]),
        accuracy=entry.accuracy if entry else None,
    )


@dataclass(frozen=True)
class Mismatch:
    """A field of the manifest that is not what it states."""

    field: str
    stated: Any
    computed: Any

    def __str__(self) -> str:
        return f"{self.field}: stated {self.stated}, is {self.computed}"


def verify(name: str) -> list[Mismatch]:
    """Recompute all that the manifest states of one network; empty where everything holds.

    Raises:
        UnknownNameError: the manifest has no such network.
        FileReadError: the file of weights is missing.
        WeightsError: the file cannot be loaded at all.
    """
    manifest = read_manifest()
    if name not in manifest:
        raise UnknownNameError("pretrained model", name, manifest)
    stated, computed = asdict(manifest[name]), asdict(entry_of(name, FOLDER / manifest[name].file))
    return [
        Mismatch(field, stated[field], computed[field])
        for field in stated
        if stated[field] != computed[field]
    ]


def entry_of(name: str, path: Path) -> Entry:
    """The entry that a manifest should have for `path`, which holds weights of `name`.

    The recipe, the seed and the versions are what the file says that it was made with.

    Raises:
        UnknownNameError: there is no such network.
        FileReadError: the file is missing.
        WeightsError: it does not fit the network, or does not say what made it.
    """
    data = read_bytes(path, limit=MAX_BYTES)
    model = get_model(name)
    load_into(model, parse_state_dict(data, path.name), path.name)
    provenance = read_metadata(path)
    if missing := {"recipe", "seed", "versions"} - provenance.keys():
        raise WeightsError(
            f"{path} does not say its {', '.join(sorted(missing))}; "
            "take the weights that a run of `mnistzoo train` left."
        )
    analysis = model.summary()
    return Entry(
        file=path.name,
        sha256=sha256(data),
        bytes=len(data),
        num_params=analysis.num_params,
        macs=analysis.macs,
        correct=evaluate(model, mnist(train=False)).correct,
        recipe=provenance["recipe"],
        seed=provenance["seed"],
        versions=provenance["versions"],
    )


def adopt(name: str, path: Path, folder: Path = FOLDER) -> Entry:
    """Put the weights that a run left at `path` among those that ship, and into the manifest.

    Raises:
        UnknownNameError, FileReadError, WeightsError: as `entry_of`; `folder` is then unchanged.
        FileWriteError: `folder` cannot be written.
    """
    entry = replace(entry_of(name, path), file=f"{name}.safetensors")
    write_bytes(folder / entry.file, read_bytes(path, limit=MAX_BYTES))
    write_manifest({**read_manifest(folder), name: entry}, folder)
    return entry
