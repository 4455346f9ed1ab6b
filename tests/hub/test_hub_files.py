"""What a folder may not hold: each altered file ends in one error, whatever its digest says."""

import hashlib
import io
import json
import struct

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
    """A network whose files are sound."""
    return files_of("exp4")


def changed(files, **fields):
    """The files with other fields in the config; `None` leaves a field out."""
    config = {**json.loads(files["config.json"]), **fields}
    config = {key: value for key, value in config.items() if value is not None}
    return {**files, "config.json": json.dumps(config).encode()}


def with_weights(files, weights):
    """The files with other weights, whose digest the config states."""
    return changed(
        {**files, "model.safetensors": weights}, sha256=hashlib.sha256(weights).hexdigest()
    )


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"architecture": "exp5"}, "is missing"),
        ({"architecture": "exp2"}, "should be"),
        ({"architecture": "resnet18"}, "expected an architecture"),
        ({"num_classes": 26}, "should be"),
        ({"num_classes": 0}, "classes, got 0"),
        ({"num_classes": 10**18}, "classes, got"),
        ({"num_classes": True}, "to be int, got True"),
        ({"num_classes": 10.0}, "to be int, got 10.0"),
        ({"num_classes": "10"}, "to be int, got '10'"),
        ({"mean": 0.5}, "expected mean 0.1307"),
        ({"mean": float("nan")}, "expected mean 0.1307"),
        ({"std": 1}, "to be float, got 1"),
        ({"sha256": "0" * 64}, "expected SHA-256 0000"),
        ({"sha256": ["a"]}, "to be str"),
        ({"library_version": None}, "expected the fields"),
        ({"architecture": None}, "expected the fields"),
        ({"auto_map": {"AutoModel": "evil.py"}}, "expected the fields"),
    ],
)
def test_config_of_another_schema_or_network_is_refused(files, fields, said):
    """Missing, unknown and wrong-typed fields, and another network's, do not load."""
    with pytest.raises(WeightsError, match=said):
        load(changed(files, **fields))


@pytest.mark.parametrize(
    "config", [b"", b"null", b"[]", b"{", b"\xff", b"[" * 60_000, b'{"a": ' * 10_000, b"1e999"]
)
def test_config_that_is_no_object_is_refused(files, config):
    """Whatever is not a JSON object is one error."""
    with pytest.raises(WeightsError, match="does not describe a network"):
        load({**files, "config.json": config})


def renamed(state):
    """One tensor under another name."""
    state["features.conv1.weights"] = state.pop("features.conv1.weight")


def missing(state):
    """One tensor less."""
    del state["classifier.bias"]


def extra(state):
    """One tensor more."""
    state["extra"] = torch.zeros(1)


def reshaped(state):
    """One tensor of another shape."""
    state["classifier.weight"] = state["classifier.weight"].T.contiguous()


def not_finite(state):
    """A NaN."""
    state["features.conv3.bias"][2] = float("nan")


def infinite(state):
    """An infinity."""
    state["features.conv3.bias"][2] = float("-inf")


def halved(state):
    """One tensor of half precision."""
    state["features.conv1.weight"] = state["features.conv1.weight"].half()


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (renamed, "features.conv1.weight is missing; features.conv1.weights is not expected"),
        (missing, "classifier.bias is missing"),
        (extra, "extra is not expected"),
        (reshaped, r"classifier.weight should be \(10, 108\), is \(108, 10\)"),
        (not_finite, "features.conv3.bias holds values that are not finite"),
        (infinite, "features.conv3.bias holds values that are not finite"),
        (halved, "features.conv1.weight should be torch.float32, is torch.float16"),
    ],
)
def test_tensors_that_differ_are_named(files, spoil, said):
    """A tensor that is renamed, missing, extra, reshaped, not finite or not float32 is refused."""
    state = safetensors.torch.load(files["model.safetensors"])
    spoil(state)
    with pytest.raises(WeightsError, match=said):
        load(with_weights(files, safetensors.torch.save(state)))


def header(table, declared=None):
    """The beginning of a safetensors file, with its length or one that is declared."""
    text = json.dumps(table).encode()
    return struct.pack("<Q", len(text) if declared is None else declared) + text


@pytest.mark.parametrize(
    ("weights", "said"),
    [
        (b"", "not a safetensors file"),
        (header({}, declared=2**63), "declares a table of 9,223,372,036,854,775,808 bytes"),
        (header({}, declared=2**16 + 1), "declares a table of 65,537 bytes"),
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
def test_weights_that_are_no_safetensors_are_refused(files, weights, said):
    """A declared length is bounded before it is believed."""
    with pytest.raises(WeightsError, match=said):
        load(with_weights(files, weights))


class Bomb:
    """An object whose unpickling is noticed."""

    exploded = False

    def __reduce__(self):
        return (setattr, (Bomb, "exploded", True))


def test_pickle_is_never_opened(files):
    """A pickle under the name of the weights is refused, and none of its code runs."""
    pickled = io.BytesIO()
    torch.save({"bomb": Bomb()}, pickled)
    with pytest.raises(WeightsError):
        load(with_weights(files, pickled.getvalue()))
    assert not Bomb.exploded


@settings(max_examples=150)
@given(where=st.floats(0, 1, exclude_max=True), bit=st.integers(0, 7), data=st.booleans())
def test_no_flipped_bit_loads_another_network(files_of, where, bit, data):
    """One bit flipped anywhere in either file is an error, or changes nothing that is loaded."""
    files = _cached(files_of)
    name = "model.safetensors" if data else "config.json"
    spoiled = bytearray(files[name])
    spoiled[int(where * len(spoiled))] ^= 1 << bit
    try:
        loaded = load({**files, name: bytes(spoiled)})
    except MnistZooError:
        return
    assert name == "config.json"  # white space, or a letter of the library's version
    sound = unpack(files, "it").state_dict
    assert all(torch.equal(value, sound[key]) for key, value in loaded.state_dict().items())


def _cached(files_of, made={}):  # noqa: B006 - one network for all examples
    if not made:
        made.update(files_of("exp1"))
    return made


@pytest.mark.parametrize("name", ["config.json", "model.safetensors"])
def test_file_that_is_missing_or_too_large_is_refused(files, tmp_path, name):
    """A folder needs both files, and neither is read beyond its bound."""
    for file, content in files.items():
        (tmp_path / file).write_bytes(content)
    with (tmp_path / name).open("r+b") as file:
        file.truncate(2**24 + 1)
    with pytest.raises(FileReadError, match="larger than the"):
        mnistzoo.from_pretrained(tmp_path)
    (tmp_path / name).unlink()
    with pytest.raises(FileReadError, match=rf"{name}: No such file"):
        mnistzoo.from_pretrained(tmp_path)


def test_folder_that_does_not_exist_says_what_to_name():
    """A path is never taken for a repository's name."""
    with pytest.raises(FileReadError, match="there is no folder /no/such/folder"):
        mnistzoo.from_pretrained("/no/such/folder")
