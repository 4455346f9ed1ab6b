"""The manifest, recomputed: it holds, and a mismatch is found wherever it is."""

import json
import shutil
from importlib.metadata import version

import pytest
from msgspec.structs import asdict, replace

from mnistzoo import zoo
from mnistzoo.architectures import ARCHITECTURES
from mnistzoo.errors import WeightsError
from mnistzoo.models import get_model
from mnistzoo.storage.manifest import FOLDER, read_manifest, split_name, write_manifest

MINIMUM = {
    **{"exp1": 9890, "exp2": 9930, "exp3": 9930, "exp4": 9940, "exp5": 9950},
    **{"exp4.world": 9950, "exp5.world": 9950, "exp5.four-bit": 9945},
}
"""Correct test images that were asked for."""

FOOTPRINT = {"exp1": 0.18, "exp2": 0.59, "exp3": 0.57, "exp4": 0.38, "exp5": 0.69}
"""In MiB, as the study documents it."""


@pytest.mark.parametrize("name", read_manifest())
def test_the_manifest_holds(name):
    """Digest, size, cost, accuracy and provenance are what the file gives."""
    assert zoo.verify(name) == []
    assert read_manifest()[name].correct >= MINIMUM[name]


def test_the_manifest_is_complete():
    """Each model has an entry, each entry a file, and there is no other file."""
    manifest = read_manifest()
    assert [name for name in manifest if "." not in name] == list(ARCHITECTURES)
    assert {split_name(name)[0] for name in manifest} == set(ARCHITECTURES)
    files = {entry.file for entry in manifest.values()} | {"manifest.json"}
    assert {path.name for path in FOLDER.iterdir()} == files
    for name, entry in manifest.items():
        assert entry.bytes < 200_000
        recipe = {"mnist": "record"}.get(split_name(name)[1], split_name(name)[1])
        assert (entry.recipe, entry.seed) == (recipe, 0)
        assert all(version(package) for package in entry.versions)


def test_footprint_is_the_documented_one():
    """Input, parameters, and twice the outputs of layers with parameters add up, in MiB."""
    found = {row.model: round(row.footprint_mib, 2) for row in zoo.rows()}
    assert {split_name(name)[0]: size for name, size in found.items()} == FOOTPRINT


@pytest.fixture
def copied(tmp_path, monkeypatch):
    """A copy of the pretrained weights, in place of them."""
    folder = shutil.copytree(FOLDER, tmp_path / "weights")
    monkeypatch.setattr(zoo, "FOLDER", folder)
    monkeypatch.setattr(zoo, "read_manifest", lambda folder=folder: read_manifest(folder))
    return folder


def test_a_mismatch_is_found(copied):
    """A wrong field is reported with both values, and no other field is."""
    wrong = {"correct": 1, "macs": 1, "num_params": 1, "sha256": "0" * 64}
    entry = read_manifest(copied)["exp1"]
    write_manifest({"exp1": replace(entry, **wrong, recipe="fast")}, copied)
    found = {mismatch.field: mismatch for mismatch in zoo.verify("exp1")}
    assert found.keys() == {*wrong, "recipe"}
    for field, stated in wrong.items():
        assert found[field] == zoo.Mismatch(field, stated, asdict(entry)[field])


def test_adopted_weights_are_in_the_manifest(tmp_path):
    """A file adopted into an empty folder gets the entry that ships."""
    (tmp_path / "new").mkdir()
    (tmp_path / "new" / "manifest.json").write_text(json.dumps({}))
    entry = zoo.adopt("exp1", FOLDER / "exp1.safetensors", tmp_path / "new")
    assert entry == read_manifest()["exp1"] == read_manifest(tmp_path / "new")["exp1"]


def test_unfit_weights_are_not_adopted(copied, tmp_path):
    """Another model's weights, or weights without provenance, leave the folder unchanged."""
    before = {path.name: path.read_bytes() for path in copied.iterdir()}
    with pytest.raises(WeightsError, match="exp4"):
        zoo.adopt("exp1", FOLDER / "exp4.safetensors", copied)
    get_model("exp1").save_pretrained(tmp_path / "mine")
    with pytest.raises(WeightsError, match="without recipe, seed, versions"):
        zoo.adopt("exp1", tmp_path / "mine" / "model.safetensors", copied)
    assert {path.name: path.read_bytes() for path in copied.iterdir()} == before
