"""Altered files end in one error, whatever their digest says."""

import hashlib
import io
import json
import struct

import numpy as np
import pytest
import safetensors.torch
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import mnistzoo
from mnistzoo.errors import FileReadError, MnistZooError, WeightsError
from mnistzoo.models import ConvNet
from mnistzoo.storage.model_folder import unpack


def load(files):
    """Load a model from the bytes of its files."""
    return ConvNet.from_saved(unpack(files, "it"))


@pytest.fixture(scope="module")
def files(files_of):
    """The files of a valid model."""
    return files_of("exp4")


def changed(files, **fields):
    """Return the files with other fields in the config. `None` leaves a field out."""
    config = {**json.loads(files["config.json"]), **fields}
    config = {key: value for key, value in config.items() if value is not None}
    return {**files, "config.json": json.dumps(config).encode()}


def with_weights(files, weights):
    """Return the files with other weights, whose digest the config states."""
    return changed(
        {**files, "model.safetensors": weights}, sha256=hashlib.sha256(weights).hexdigest()
    )


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"architecture": "exp5"}, "is missing"),
        ({"architecture": "exp2"}, "should be"),
        ({"architecture": "resnet18"}, "Expected an architecture"),
        ({"num_classes": 26}, "should be"),
        ({"num_classes": 0}, "num_classes"),
        ({"num_classes": 10**18}, "num_classes"),
        ({"num_classes": True}, "num_classes"),
        ({"num_classes": 10.0}, "num_classes"),
        ({"num_classes": "10"}, "num_classes"),
        ({"mean": 0.5}, "Expected mean 0.1307"),
        ({"mean": float("nan")}, "not describe a model"),
        ({"std": 1}, "Expected mean 0.1307"),
        ({"sha256": "0" * 64}, "SHA-256 0000"),
        ({"sha256": ["a"]}, "sha256"),
        ({"library_version": None}, "library_version"),
        ({"architecture": None}, "architecture"),
        ({"auto_map": {"AutoModel": "evil.py"}}, "auto_map"),
    ],
)
def test_invalid_configs_are_refused(files, fields, said):
    """A field that is missing, unknown or invalid, or of another model, is named."""
    with pytest.raises(WeightsError, match=said):
        load(changed(files, **fields))


@pytest.mark.parametrize(
    "config", [b"", b"null", b"[]", b"{", b"\xff", b"[" * 60_000, b'{"a": ' * 10_000, b"1e999"]
)
def test_configs_that_are_not_objects_are_refused(files, config):
    """Anything but a JSON object is one error, however deeply nested."""
    with pytest.raises(WeightsError, match="not describe a model"):
        load({**files, "config.json": config})


def renamed(state):
    """Rename a tensor."""
    state["features.conv1.weights"] = state.pop("features.conv1.weight")


def missing(state):
    """Remove a tensor."""
    del state["classifier.bias"]


def extra(state):
    """Add a tensor."""
    state["extra"] = torch.zeros(1)


def reshaped(state):
    """Transpose a tensor."""
    state["classifier.weight"] = state["classifier.weight"].T.contiguous()


def not_finite(state):
    """Put in a NaN."""
    state["features.conv3.bias"][2] = float("nan")


def infinite(state):
    """Put in an infinity."""
    state["features.conv3.bias"][2] = float("-inf")


def halved(state):
    """Convert a tensor to half precision."""
    state["features.conv1.weight"] = state["features.conv1.weight"].half()


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (renamed, "features.conv1.weight is missing; features.conv1.weights is unexpected"),
        (missing, "classifier.bias is missing"),
        (extra, "extra is unexpected"),
        (reshaped, r"classifier.weight should be \(10, 108\), is \(108, 10\)"),
        (not_finite, "features.conv3.bias has values that are not finite"),
        (infinite, "features.conv3.bias has values that are not finite"),
        (halved, "features.conv1.weight should be float32, is float16"),
    ],
)
def test_tensors_that_differ_are_named(files, spoil, said):
    """Every kind of difference is refused, and the tensor is named."""
    state = safetensors.torch.load(files["model.safetensors"])
    spoil(state)
    with pytest.raises(WeightsError, match=said):
        load(with_weights(files, safetensors.torch.save(state)))


def header(table, declared=None):
    """Return the start of a safetensors file, with its true or a declared header length."""
    text = json.dumps(table).encode()
    return struct.pack("<Q", len(text) if declared is None else declared) + text


@pytest.mark.parametrize(
    ("weights", "said"),
    [
        (b"", "not a safetensors file"),
        (header({}, declared=2**63), "9,223,372,036,854,775,808"),
        (header({}, declared=2**16 + 1), "65,537"),
        (header({}, declared=2**15), "not a safetensors file"),
        (
            header({"a": {"dtype": "F32", "shape": [2**40], "data_offsets": [0, 2**42]}}),
            "not a safetensors file",
        ),
        (
            header({"a": {"dtype": "F99", "shape": [0], "data_offsets": [0, 0]}}),
            "not a safetensors file",
        ),
    ],
    ids=["empty", "huge header", "large header", "cut header", "huge tensor", "unknown dtype"],
)
def test_weights_that_are_not_safetensors_are_refused(files, weights, said):
    """Declared lengths are checked before they are used."""
    with pytest.raises(WeightsError, match=said):
        load(with_weights(files, weights))


class Bomb:
    """An object that records being unpickled."""

    exploded = False

    def __reduce__(self):
        return (setattr, (Bomb, "exploded", True))


def test_pickles_are_not_opened(files):
    """A pickle in place of the weights is refused, and its code does not run."""
    pickled = io.BytesIO()
    torch.save({"bomb": Bomb()}, pickled)
    with pytest.raises(WeightsError):
        load(with_weights(files, pickled.getvalue()))
    assert not Bomb.exploded


@settings(max_examples=150)
@given(where=st.floats(0, 1, exclude_max=True), bit=st.integers(0, 7), data=st.booleans())
def test_a_flipped_bit_never_changes_the_model(files_of, where, bit, data):
    """A bit flipped anywhere in either file is an error, or does not affect the model."""
    files = _cached(files_of)
    name = "model.safetensors" if data else "config.json"
    spoiled = bytearray(files[name])
    spoiled[int(where * len(spoiled))] ^= 1 << bit
    try:
        loaded = load({**files, name: bytes(spoiled)})
    except MnistZooError:
        return
    assert name == "config.json"  # white space, or the library's version
    sound = unpack(files, "it").state_dict
    assert all(np.array_equal(value, sound[key]) for key, value in loaded.state_dict().items())


def _cached(files_of, made={}):  # noqa: B006 - one model for all examples
    if not made:
        made.update(files_of("exp1"))
    return made


@pytest.mark.parametrize("name", ["config.json", "model.safetensors"])
def test_missing_and_oversized_files_are_refused(files, tmp_path, name):
    """A folder needs both files, and reads are bounded."""
    for file, content in files.items():
        (tmp_path / file).write_bytes(content)
    with (tmp_path / name).open("r+b") as file:
        file.truncate(2**24 + 1)
    with pytest.raises(FileReadError, match="at most"):
        mnistzoo.from_pretrained(tmp_path)
    (tmp_path / name).unlink()
    with pytest.raises(FileReadError, match=name):
        mnistzoo.from_pretrained(tmp_path)


def test_a_missing_folder_is_refused():
    """A path is never looked up on the Hub."""
    with pytest.raises(FileReadError, match="no folder /no/such/folder"):
        mnistzoo.from_pretrained("/no/such/folder")
