"""Weights as files: exact, checked, strict and reproducible."""

import json
import struct

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace
from safetensors.torch import save

import mnistzoo
from mnistzoo.errors import FileReadError, UnknownNameError, WeightsError
from mnistzoo.files import sha256
from mnistzoo.models.tensors import load_into, to_arrays, to_tensors
from mnistzoo.storage.manifest import (
    FOLDER,
    find_shipped_file,
    find_weights,
    join_name,
    name_for_reading,
    pretrained_state_dict,
    read_manifest,
    split_name,
    write_manifest,
)
from mnistzoo.storage.state_dict import (
    read_metadata,
    read_state_dict,
    serialize_state_dict,
)

SHAPES = st.lists(st.integers(0, 4), max_size=4)
DTYPES = st.sampled_from([np.float32, np.float64, np.float16, np.int64, np.uint8, np.bool_])


@pytest.fixture
def shipped(tmp_path):
    """Copy exp1's file and the manifest to a folder, to be damaged."""
    path = tmp_path / "exp1.safetensors"
    path.write_bytes((FOLDER / path.name).read_bytes())
    path.with_name("manifest.json").write_bytes((FOLDER / "manifest.json").read_bytes())
    return path


@given(st.dictionaries(st.text("abc.", min_size=1, max_size=8), st.tuples(SHAPES, DTYPES)))
def test_round_trip(tmp_path_factory, layout):
    """Any arrays read back with the same names, shapes, dtypes and bits."""
    rng = np.random.default_rng(0)
    state = {name: rng.normal(0, 9, shape).astype(dtype) for name, (shape, dtype) in layout.items()}
    path = tmp_path_factory.mktemp("weights") / "x.safetensors"
    path.write_bytes(data := serialize_state_dict(state, {}))
    digest = sha256(data)
    again = read_state_dict(path, expected_sha256=digest)
    assert again.keys() == state.keys()
    assert all(again[k].dtype == state[k].dtype for k in state)
    assert all(np.array_equal(again[k], state[k]) for k in state)


def test_same_state_same_bytes(tmp_path):
    """The bytes depend only on tensors and metadata, and the metadata reads back."""
    state = pretrained_state_dict("exp1")
    metadata = {"b": 1, "a": {"z": 2, "y": 3}}
    reordered = {"a": {"y": 3, "z": 2}, "b": 1}
    first = serialize_state_dict(state, metadata)
    assert first == serialize_state_dict(state, reordered)
    assert first != serialize_state_dict(state, {})
    (tmp_path / "1").write_bytes(first)
    assert read_metadata(tmp_path / "1") == metadata


@pytest.mark.parametrize("place", [0, 9, 300, -1])
def test_one_flipped_bit_is_refused(shipped, place):
    """One changed bit, anywhere in the file, fails the digest."""
    data = bytearray(shipped.read_bytes())
    digest = sha256(bytes(data))
    data[place] ^= 1
    shipped.write_bytes(data)
    with pytest.raises(WeightsError, match=f"expected SHA-256 {digest}, got"):
        read_state_dict(shipped, expected_sha256=digest)


def test_pretrained_checks_its_file(shipped, monkeypatch):
    """A pretrained model is not built from an altered or missing file."""
    shipped.write_bytes(shipped.read_bytes()[:-1] + b"\0")
    monkeypatch.setattr("mnistzoo.storage.manifest.FOLDER", shipped.parent)
    with pytest.raises(WeightsError, match="Install"):
        mnistzoo.exp1(pretrained=True)
    shipped.unlink()
    with pytest.raises(FileReadError, match=r"exp1\.safetensors"):
        mnistzoo.exp1(pretrained=True)


def test_weights_are_found_installed_and_in_a_checkout(tmp_path):
    """Weights are in the package of a wheel, or at the top of a checkout."""
    package = tmp_path / "src" / "mnistzoo"
    assert find_weights(package) == tmp_path / "weights"
    (package / "pretrained").mkdir(parents=True)
    assert find_weights(package) == package / "pretrained"


def test_the_shipped_file_is_recognized_by_its_tensors(shipped, monkeypatch):
    """Equal tensors give the bytes of the file. Another value, name or model does not."""
    state = pretrained_state_dict("exp1")
    assert find_shipped_file("exp1", state) == shipped.read_bytes()
    assert find_shipped_file("exp2", state) is None
    assert find_shipped_file("exp9", state) is None
    assert find_shipped_file("exp1", {**state, "more": np.zeros(1)}) is None
    other = {name: array.copy() for name, array in state.items()}
    other["classifier.bias"][3] += 1
    assert find_shipped_file("exp1", other) is None
    shipped.write_bytes(shipped.read_bytes()[:-1] + b"\0")
    monkeypatch.setattr("mnistzoo.storage.manifest.FOLDER", shipped.parent)
    with pytest.raises(WeightsError, match=str(shipped)):
        find_shipped_file("exp1", state)


def test_any_tensors_can_be_saved(tmp_path):
    """Parameters, transposed views, slices and scalars are saved as plain values."""
    large = torch.arange(12.0).view(3, 4)
    state = {"a": torch.nn.Parameter(large), "b": large.T, "c": large[:, 1], "d": torch.tensor(3)}
    (tmp_path / "x").write_bytes(serialize_state_dict(to_arrays(state), {}))
    again = to_tensors(read_state_dict(tmp_path / "x"))
    assert all(torch.equal(again[name], state[name].detach()) for name in state)


def test_bfloat16_is_refused(tmp_path):
    """NumPy has no bfloat16: saving and reading it end in an error that says what to do."""
    state = {"a": torch.zeros(2, dtype=torch.bfloat16)}
    with pytest.raises(WeightsError, match="a to be float32, got bfloat16"):
        to_arrays(state)
    (tmp_path / "x").write_bytes(save(state))
    with pytest.raises(WeightsError, match=r"float32 tensors in .*x, got BF16"):
        read_state_dict(tmp_path / "x")


@pytest.mark.parametrize("size", [2**16, 2**16 + 1])
def test_headers_are_bounded(tmp_path, size):
    """A header of 64 KiB is parsed. One byte more is refused before the parser sees it."""
    (tmp_path / "x").write_bytes(struct.pack("<Q", size) + b"{}".ljust(size))
    if size == 2**16:
        assert read_state_dict(tmp_path / "x") == {}
    else:
        with pytest.raises(WeightsError, match="65,537"):
            read_state_dict(tmp_path / "x")


def test_accuracy_is_a_fraction_of_ten_thousand():
    """9,955 correct images are 99.55%."""
    assert [entry.accuracy * 10_000 for entry in read_manifest().values()] == [
        entry.correct for entry in read_manifest().values()
    ]


def test_unknown_pretrained_models_are_refused():
    """A model without shipped weights is an error that names the nearest."""
    with pytest.raises(UnknownNameError, match="Did you mean 'exp1'"):
        pretrained_state_dict("exp1x")


@pytest.fixture
def named(tmp_path, monkeypatch):
    """A folder of shipped weights in which exp1 has others, named "other", of another bias."""
    state = pretrained_state_dict("exp1")
    state["classifier.bias"] = state["classifier.bias"] + np.float32(1)
    data, entry = serialize_state_dict(state, {}), read_manifest()["exp1"]
    other = replace(entry, file="exp1.other.safetensors", sha256=sha256(data), bytes=len(data))
    (tmp_path / other.file).write_bytes(data)
    (tmp_path / entry.file).write_bytes((FOLDER / entry.file).read_bytes())
    write_manifest({"exp1": entry, "exp1.other": other}, tmp_path)
    monkeypatch.setattr("mnistzoo.storage.manifest.FOLDER", tmp_path)
    shipped = read_manifest(tmp_path)
    monkeypatch.setattr("mnistzoo.storage.manifest.read_manifest", lambda: shipped)
    return data


def test_weights_are_chosen_by_name(named):
    """`pretrained=` takes a name, a model's name may end in it, and True stays MNIST's."""
    mnist = mnistzoo.exp1(pretrained=True)
    assert torch.equal(mnistzoo.exp1(pretrained="mnist").classifier.bias, mnist.classifier.bias)
    for model in (
        mnistzoo.exp1(pretrained="other"),
        mnistzoo.get_model("exp1", pretrained="other"),
        mnistzoo.get_model("exp1.other", pretrained=True),
    ):
        assert not model.training
        assert torch.equal(model.classifier.bias, mnist.classifier.bias + 1)
    with pytest.raises(UnknownNameError, match=r"no pretrained model 'exp1\.othr'"):
        mnistzoo.exp1(pretrained="othr")


def test_named_weights_keep_their_file(named):
    """Saved weights of any name are the very file that ships."""
    arrays = to_arrays(mnistzoo.exp1(pretrained="other").state_dict())
    assert find_shipped_file("exp1", arrays) == named


@given(st.sampled_from(mnistzoo.list_models()), st.from_regex("[a-z0-9-]+", fullmatch=True))
def test_a_name_splits_into_what_it_joins(architecture, weights):
    """A model and its weights make a name, and the name gives them back."""
    assert split_name(join_name(architecture, weights)) == (architecture, weights)
    assert split_name(architecture) == (architecture, "mnist")


def test_weights_for_reading_are_shipped():
    """Photographs are read with weights that exist, and with those that the name says."""
    for name in read_manifest():
        assert name_for_reading(name) in read_manifest()
        assert "." not in name or name_for_reading(name) == name


@given(st.binary(max_size=300))
def test_other_bytes_are_refused(tmp_path_factory, data):
    """Bytes that are not safetensors end in this library's error, whatever they are."""
    path = tmp_path_factory.mktemp("weights") / "x.safetensors"
    path.write_bytes(data)
    with pytest.raises(WeightsError, match="not a safetensors file"):
        read_state_dict(path)


def test_a_pickle_is_refused(tmp_path):
    """A file that torch.save wrote is not opened."""
    torch.save(mnistzoo.exp1().state_dict(), tmp_path / "x.safetensors")
    with pytest.raises(WeightsError, match="not a safetensors file"):
        read_state_dict(tmp_path / "x.safetensors")


def _without(state):
    del state["classifier.bias"]


def _extra(state):
    state["more"] = np.zeros(1)


def _reshaped(state):
    state["classifier.weight"] = state["classifier.weight"].T


def _half(state):
    state["features.conv1.weight"] = state["features.conv1.weight"].astype(np.float16)


def _nan(state):
    state["features.conv1.bias"] = np.full_like(state["features.conv1.bias"], np.nan)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (_without, "classifier.bias is missing"),
        (_extra, "more is unexpected"),
        (_reshaped, r"classifier.weight should be \(10, 2016\), is \(2016, 10\)"),
        (_half, "features.conv1.weight should be float32, is float16"),
        (_nan, "features.conv1.bias has values that are not finite"),
    ],
)
def test_loading_is_strict(damage, message):
    """Any difference is named, and the model stays as it was."""
    model, state = mnistzoo.exp1(), pretrained_state_dict("exp1")
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    damage(state)
    with pytest.raises(WeightsError, match=message):
        load_into(model, state, "it")
    assert all(torch.equal(before[name], now) for name, now in model.state_dict().items())


def test_weights_of_another_model_are_refused():
    """The weights of exp4 do not load into exp5."""
    with pytest.raises(WeightsError, match="does not fit"):
        load_into(mnistzoo.exp5(), pretrained_state_dict("exp4"), "exp4")


def test_manifest_round_trip(tmp_path):
    """Reading and writing the shipped manifest gives the same bytes."""
    path = write_manifest(read_manifest(), tmp_path)
    assert path == tmp_path / "manifest.json"
    assert path.read_bytes() == (FOLDER / "manifest.json").read_bytes()


@pytest.mark.parametrize(
    "change",
    [
        lambda row: row.pop("seed"),
        lambda row: row.update(more=1),
        lambda row: row.update(correct="9950"),
        lambda row: row.update(seed=True),
        lambda row: row.update(versions=[]),
        lambda row: row.update(correct=10_001),
        lambda row: row.update(sha256="0"),
    ],
)
def test_manifest_schema_is_closed(tmp_path, change):
    """A field that is missing, unknown, of another type or out of range is an error."""
    table = json.loads((FOLDER / "manifest.json").read_text())
    change(table["exp1"])
    (tmp_path / "manifest.json").write_text(json.dumps(table))
    with pytest.raises(WeightsError, match="not a manifest"):
        read_manifest(tmp_path)


def test_manifests_are_bounded(tmp_path):
    """A manifest of 64 KiB is read, trailing white space included. One byte more is refused."""
    data = (FOLDER / "manifest.json").read_bytes()
    (tmp_path / "manifest.json").write_bytes(data.ljust(2**16))
    assert read_manifest(tmp_path) == read_manifest()
    larger = tmp_path / "larger"
    larger.mkdir()
    (larger / "manifest.json").write_bytes(data.ljust(2**16 + 1))
    with pytest.raises(FileReadError, match="65,536"):
        read_manifest(larger)


@given(st.recursive(st.none() | st.integers() | st.text(), st.lists, max_leaves=5) | st.binary())
def test_other_manifests_are_refused(tmp_path_factory, content):
    """Whatever the file holds, it ends in this library's error."""
    folder = tmp_path_factory.mktemp("manifest")
    data = content if isinstance(content, bytes) else json.dumps(content).encode()
    (folder / "manifest.json").write_bytes(data)
    with pytest.raises(WeightsError):
        read_manifest(folder)


def test_files_say_how_they_were_made(tmp_path):
    """Shipped files have metadata. Foreign files have none, which is an error."""
    assert read_metadata(FOLDER / "exp1.safetensors")["recipe"] == "record"
    (tmp_path / "x").write_bytes(save({"a": torch.zeros(1)}))
    with pytest.raises(WeightsError, match="how it was made"):
        read_metadata(tmp_path / "x")
