"""Weights as files: bit for bit, checked, strict, reproducible."""

import json
import struct

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import save

import mnistzoo
from mnistzoo.errors import FileReadError, UnknownNameError, WeightsError
from mnistzoo.files import sha256
from mnistzoo.storage.manifest import (
    FOLDER,
    _folder,
    pretrained_state_dict,
    read_manifest,
    shipped_file,
    write_manifest,
)
from mnistzoo.storage.state_dict import dump_state_dict, load_into, load_state_dict, read_metadata

SHAPES = st.lists(st.integers(0, 4), max_size=4)
DTYPES = st.sampled_from([torch.float32, torch.float64, torch.float16, torch.bfloat16, torch.int64])


@pytest.fixture
def shipped(tmp_path):
    """A copy of exp1's file, to be damaged."""
    path = tmp_path / "exp1.safetensors"
    path.write_bytes((FOLDER / "exp1.safetensors").read_bytes())
    return path


@given(st.dictionaries(st.text("abc.", min_size=1, max_size=8), st.tuples(SHAPES, DTYPES)))
def test_round_trip(tmp_path_factory, layout):
    """Names, shapes, dtypes and every bit survive, for any set of tensors."""
    state = {name: torch.randn(shape).to(dtype) for name, (shape, dtype) in layout.items()}
    path = tmp_path_factory.mktemp("weights") / "x.safetensors"
    path.write_bytes(data := dump_state_dict(state, {}))
    digest = sha256(data)
    again = load_state_dict(path, expected_sha256=digest)
    assert again.keys() == state.keys()
    assert all(again[k].dtype == state[k].dtype for k in state)
    assert all(torch.equal(again[k], state[k]) for k in state)


def test_same_state_same_bytes(tmp_path):
    """The digest depends on tensors and metadata alone, and the metadata can be read back."""
    state = mnistzoo.exp1(pretrained=True).state_dict()
    metadata = {"b": 1, "a": {"z": 2, "y": 3}}
    reordered = {"a": {"y": 3, "z": 2}, "b": 1}
    first = dump_state_dict(state, metadata)
    assert first == dump_state_dict(state, reordered)
    assert first != dump_state_dict(state, {})
    (tmp_path / "1").write_bytes(first)
    assert read_metadata(tmp_path / "1") == metadata


@pytest.mark.parametrize("place", [0, 9, 300, -1])
def test_one_flipped_bit_is_refused(shipped, place):
    """Anywhere in the file, one bit changed at equal length fails the digest."""
    data = bytearray(shipped.read_bytes())
    digest = sha256(bytes(data))
    data[place] ^= 1
    shipped.write_bytes(data)
    with pytest.raises(WeightsError, match=f"expected SHA-256 {digest}, got"):
        load_state_dict(shipped, expected_sha256=digest)


def test_pretrained_checks_its_file(shipped, monkeypatch):
    """exp1(pretrained=True) fails on an altered file, and names what to do."""
    shipped.with_name("manifest.json").write_bytes((FOLDER / "manifest.json").read_bytes())
    shipped.write_bytes(shipped.read_bytes()[:-1] + b"\0")
    monkeypatch.setattr("mnistzoo.storage.manifest.FOLDER", shipped.parent)
    with pytest.raises(WeightsError, match="install it again"):
        mnistzoo.exp1(pretrained=True)
    shipped.unlink()
    with pytest.raises(FileReadError, match=r"exp1\.safetensors"):
        mnistzoo.exp1(pretrained=True)


def test_weights_are_found_installed_and_in_a_checkout(tmp_path):
    """In the package's own folder, if they are there; else at the top of the checkout."""
    package = tmp_path / "src" / "mnistzoo"
    assert _folder(package) == tmp_path / "weights"
    (package / "pretrained").mkdir(parents=True)
    assert _folder(package) == package / "pretrained"


def test_the_shipped_file_is_known_by_its_tensors(shipped, monkeypatch):
    """Equal tensors give the bytes of the file; another value, name or network does not."""
    state = pretrained_state_dict("exp1")
    assert shipped_file("exp1", state) == shipped.read_bytes()
    assert shipped_file("exp2", state) is None
    assert shipped_file("exp9", state) is None
    assert shipped_file("exp1", {**state, "more": torch.zeros(1)}) is None
    other = {name: tensor.clone() for name, tensor in state.items()}
    other["classifier.bias"][3] += 1
    assert shipped_file("exp1", other) is None
    shipped.with_name("manifest.json").write_bytes((FOLDER / "manifest.json").read_bytes())
    shipped.write_bytes(shipped.read_bytes()[:-1] + b"\0")
    monkeypatch.setattr("mnistzoo.storage.manifest.FOLDER", shipped.parent)
    with pytest.raises(WeightsError, match=rf"^{shipped} is not the file that was published"):
        shipped_file("exp1", state)


def test_what_is_saved_is_on_the_cpu_without_gradients_and_contiguous(tmp_path):
    """Parameters, transposed views and parts of larger tensors are saved as plain values."""
    large = torch.arange(12.0).view(3, 4)
    state = {"a": torch.nn.Parameter(large), "b": large.T, "c": large[:, 1]}
    (tmp_path / "x").write_bytes(dump_state_dict(state, {}))
    again = load_state_dict(tmp_path / "x")
    assert all(torch.equal(again[name], state[name].detach()) for name in state)
    assert not any(tensor.requires_grad for tensor in again.values())


@pytest.mark.parametrize("size", [2**16, 2**16 + 1])
def test_a_table_of_64_kib_is_the_largest_that_is_parsed(tmp_path, size):
    """One byte more is refused from its stated length, before the parser sees it."""
    (tmp_path / "x").write_bytes(struct.pack("<Q", size) + b"{}".ljust(size))
    if size == 2**16:
        assert load_state_dict(tmp_path / "x") == {}
    else:
        with pytest.raises(WeightsError, match="declares a table of 65,537 bytes"):
            load_state_dict(tmp_path / "x")


def test_accuracy_is_a_fraction_of_ten_thousand():
    """9,955 correct images are 99.55 %."""
    assert [entry.accuracy * 10_000 for entry in read_manifest().values()] == [
        entry.correct for entry in read_manifest().values()
    ]


def test_no_such_pretrained():
    """A network without shipped weights is an error that names the nearest."""
    with pytest.raises(UnknownNameError, match="Did you mean 'exp1'"):
        pretrained_state_dict("exp1x")


@given(st.binary(max_size=300))
def test_not_safetensors(tmp_path_factory, data):
    """Bytes too few for a header and tensors end in this library's error, whatever they are."""
    path = tmp_path_factory.mktemp("weights") / "x.safetensors"
    path.write_bytes(data)
    with pytest.raises(WeightsError, match="is not a safetensors file"):
        load_state_dict(path)


def test_a_pickle_is_refused(tmp_path):
    """What torch.save writes is never unpickled."""
    torch.save(mnistzoo.exp1().state_dict(), tmp_path / "x.safetensors")
    with pytest.raises(WeightsError, match="only files in that format are read"):
        load_state_dict(tmp_path / "x.safetensors")


def test_a_huge_declared_header(tmp_path):
    """A header said to be 2⁶³ bytes long is refused."""
    (tmp_path / "x").write_bytes(struct.pack("<Q", 2**63) + b"{}")
    with pytest.raises(WeightsError):
        load_state_dict(tmp_path / "x")


def _without(state):
    del state["classifier.bias"]


def _extra(state):
    state["more"] = torch.zeros(1)


def _reshaped(state):
    state["classifier.weight"] = state["classifier.weight"].T


def _half(state):
    state["features.conv1.weight"] = state["features.conv1.weight"].half()


def _nan(state):
    state["features.conv1.bias"][0] = torch.nan


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (_without, "classifier.bias is missing"),
        (_extra, "more is not expected"),
        (_reshaped, r"classifier.weight should be \(10, 2016\), is \(2016, 10\)"),
        (_half, "features.conv1.weight should be torch.float32, is torch.float16"),
        (_nan, "features.conv1.bias holds values that are not finite"),
    ],
)
def test_loading_is_strict(damage, message):
    """Anything that does not fit is named, and the network is left as it was."""
    model, state = mnistzoo.exp1(), pretrained_state_dict("exp1")
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    damage(state)
    with pytest.raises(WeightsError, match=message):
        load_into(model, state, "it")
    assert all(torch.equal(before[name], now) for name, now in model.state_dict().items())


def test_weights_of_another_network():
    """exp4's weights are not taken for exp5's."""
    with pytest.raises(WeightsError, match="does not fit the network"):
        load_into(mnistzoo.exp5(), pretrained_state_dict("exp4"), "exp4")


def test_manifest_round_trip(tmp_path):
    """Writing what was read gives the shipped bytes again."""
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
    ],
)
def test_manifest_schema_is_closed(tmp_path, change):
    """A missing, unknown or wrongly typed field is an error."""
    table = json.loads((FOLDER / "manifest.json").read_text())
    change(table["exp1"])
    (tmp_path / "manifest.json").write_text(json.dumps(table))
    with pytest.raises(WeightsError, match="is not a manifest"):
        read_manifest(tmp_path)


def test_a_manifest_of_64_kib_is_the_largest_that_is_read(tmp_path):
    """White space behind it is no part of it, up to that length."""
    data = (FOLDER / "manifest.json").read_bytes()
    (tmp_path / "manifest.json").write_bytes(data.ljust(2**16))
    assert read_manifest.__wrapped__(tmp_path) == read_manifest()
    (tmp_path / "manifest.json").write_bytes(data.ljust(2**16 + 1))
    with pytest.raises(FileReadError, match="larger than the 65,536 bytes"):
        read_manifest.__wrapped__(tmp_path)


@given(st.recursive(st.none() | st.integers() | st.text(), st.lists, max_leaves=5) | st.binary())
def test_manifest_of_anything(tmp_path_factory, content):
    """Whatever the file holds, only this library's error comes out."""
    folder = tmp_path_factory.mktemp("manifest")
    data = content if isinstance(content, bytes) else json.dumps(content).encode()
    (folder / "manifest.json").write_bytes(data)
    with pytest.raises(WeightsError):
        read_manifest(folder)


def test_files_say_how_they_were_made():
    """A file without the library's metadata is an error in read_metadata, not a guess."""
    path = FOLDER / "exp1.safetensors"
    assert read_metadata(path)["network"] == "exp1"


def test_foreign_metadata(tmp_path):
    """Safetensors from elsewhere has no such metadata, and that is said."""
    (tmp_path / "x").write_bytes(save({"a": torch.zeros(1)}))
    with pytest.raises(WeightsError, match="does not say how it was made"):
        read_metadata(tmp_path / "x")
