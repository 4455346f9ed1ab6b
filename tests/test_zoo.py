"""The manifest, recomputed; drift is found wherever it is."""

import json
import shutil
from importlib.metadata import version

import pytest
from msgspec.structs import asdict, replace

import mnistzoo
from mnistzoo import zoo
from mnistzoo.architectures import ARCHITECTURES
from mnistzoo.errors import WeightsError
from mnistzoo.models import get_model
from mnistzoo.storage.manifest import FOLDER, read_manifest, write_manifest

AT_LEAST = {"exp1": 9890, "exp2": 9930, "exp3": 9930, "exp4": 9940, "exp5": 9950}

MEMORY = {"exp1": 0.18, "exp2": 0.59, "exp3": 0.57, "exp4": 0.38, "exp5": 0.69}


@pytest.mark.parametrize("name", mnistzoo.list_models())
def test_the_manifest_holds(name):
    """Digest, size, parameters, MACs, correct answers and provenance are what the file gives."""
    assert zoo.verify(name) == []


def test_the_manifest_is_complete():
    """There is an entry for each network, a file for each entry, and no file besides."""
    manifest = read_manifest()
    assert list(manifest) == list(ARCHITECTURES)
    files = {entry.file for entry in manifest.values()} | {"manifest.json"}
    assert {path.name for path in FOLDER.iterdir()} == files
    for entry in manifest.values():
        assert entry.bytes < 200_000
        assert (entry.recipe, entry.seed) == ("record", 0)
        assert entry.versions["torch"].split("+")[0]


@pytest.mark.parametrize(("name", "correct"), AT_LEAST.items())
def test_accuracy_is_what_was_promised(name, correct):
    """Of the 10,000 test images at least so many are right; `verify` recomputes the figure."""
    assert read_manifest()[name].correct >= correct


@pytest.mark.parametrize(("name", "memory"), MEMORY.items())
def test_memory_is_the_documented_one(name, memory):
    """Input, twice the outputs of layers with parameters, and the parameters, in MiB."""
    row = next(row for row in zoo.rows() if row.name == name)
    assert round(row.memory, 2) == memory


@pytest.fixture
def copied(tmp_path, monkeypatch):
    """A copy of the shipped folder, in its place."""
    folder = shutil.copytree(FOLDER, tmp_path / "weights")
    monkeypatch.setattr(zoo, "FOLDER", folder)
    monkeypatch.setattr(zoo, "read_manifest", lambda: read_manifest(folder))
    return folder


@pytest.mark.parametrize(
    "wrong", [{"correct": 1}, {"macs": 1}, {"num_params": 1}, {"sha256": "0" * 64}, {"recipe": "fast"}]
)
def test_drift_is_found(copied, wrong):
    """A field that is not what it should be comes back with both values, and only that one."""
    entry = read_manifest(copied)["exp1"]
    write_manifest({"exp1": replace(entry, **wrong)}, copied)
    ((field, stated),) = wrong.items()
    assert zoo.verify("exp1") == [zoo.Mismatch(field, stated, asdict(entry)[field])]


def test_adopt_puts_weights_into_the_manifest(tmp_path):
    """A file adopted into an empty folder gets the very entry that ships."""
    (tmp_path / "new").mkdir()
    (tmp_path / "new" / "manifest.json").write_text(json.dumps({}))
    entry = zoo.adopt("exp1", FOLDER / "exp1.safetensors", tmp_path / "new")
    assert entry == read_manifest()["exp1"] == read_manifest(tmp_path / "new")["exp1"]


def test_nothing_is_adopted_that_does_not_fit(copied, tmp_path):
    """Weights of another network, or that do not say what made them, leave the folder as it was."""
    before = {path.name: path.read_bytes() for path in copied.iterdir()}
    with pytest.raises(WeightsError, match="does not fit"):
        zoo.adopt("exp1", FOLDER / "exp4.safetensors", copied)
    network = get_model("exp1")
    network.save_pretrained(tmp_path / "mine")
    with pytest.raises(WeightsError, match="does not say its recipe, seed, versions"):
        zoo.adopt("exp1", tmp_path / "mine" / "model.safetensors", copied)
    assert {path.name: path.read_bytes() for path in copied.iterdir()} == before


def test_versions_are_of_real_packages():
    """What the manifest names as the makers' versions are packages that exist."""
    for entry in read_manifest().values():
        for package in entry.versions:
            assert version(package)
