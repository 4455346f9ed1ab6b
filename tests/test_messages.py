"""Errors name what was given, in one line of full sentences."""

import gzip
import io
import json
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save

import mnistzoo
from mnistzoo.data.mnist import TEST_LABELS, read_idx
from mnistzoo.errors import MnistZooError
from mnistzoo.files import make_folder, move, read_bytes, write_bytes
from mnistzoo.models import exp1
from mnistzoo.models.tensors import load_into
from mnistzoo.storage.hub_client import check_repo_id
from mnistzoo.storage.manifest import FOLDER, pretrained_state_dict, read_manifest
from mnistzoo.storage.state_dict import read_metadata, read_state_dict

HERE = Path()
"""The folder of a test. Each test runs in its own."""


@pytest.fixture(autouse=True)
def _folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").write_bytes(b"12345")
    (tmp_path / "folder" / "inside").mkdir(parents=True)


FILES = [
    (lambda: read_bytes("absent", limit=5), "absent"),
    (lambda: read_bytes("file", limit=4), "file", "4 bytes"),
    (lambda: read_bytes("null\0", limit=5), "null"),
    (lambda: write_bytes("file/below", b""), "file/below"),
    (lambda: write_bytes("null\0", b""), "null"),
    (lambda: make_folder("file/below"), "file/below"),
    (lambda: move(HERE / "file", HERE / "folder"), "folder"),
]


def foreign():
    """Write safetensors as another library does."""
    (HERE / "foreign").write_bytes(save({"a": torch.zeros(1)}))
    return HERE / "foreign"


def manifest_with(**fields):
    """Read a manifest whose first entry has other fields."""
    table = json.loads((FOLDER / "manifest.json").read_text())
    table["exp1"] |= fields
    (HERE / "manifest.json").write_text(json.dumps(table))
    return read_manifest(HERE.absolute())


WEIGHTS = [
    (lambda: read_state_dict("file", expected_sha256="0" * 64), "file", "0" * 64, "5994471abb01"),
    (lambda: read_state_dict("file"), "file", "65,536", "228,509,037,105"),
    (lambda: pretrained_state_dict("exp1x"), "'exp1x'", "'exp1'"),
    (lambda: read_metadata(foreign()), "foreign"),
    (lambda: load_into(exp1(), {}, "nothing"), "nothing", "classifier.bias is missing", "float32"),
    (lambda: manifest_with(seed="0"), "manifest.json", "int", "str", "seed"),
    (lambda: manifest_with(more=1), "manifest.json", "more"),
    (lambda: manifest_with(correct=10_001), "manifest.json", "10000", "correct"),
    (lambda: manifest_with(versions=[]), "manifest.json", "object", "array", "versions"),
    (lambda: manifest_with(sha256="0" * 63), "manifest.json", "sha256"),
    (lambda: mnistzoo.from_pretrained("exp5"), "exp5", "get_model"),
    (lambda: check_repo_id("just-a-name"), "user/name", "just-a-name"),
    (lambda: check_repo_id("user/a b"), "user/name", "user/a b"),
    (lambda: check_repo_id(None), "user/name", "None"),
    (lambda: exp1().save_pretrained("x", accuracy=99.5), "fraction", "99.5"),
]


def idx(content):
    """Read a file of labels that holds something else."""
    (HERE / f"{TEST_LABELS.name}.gz").write_bytes(content)
    return read_idx(TEST_LABELS, HERE)


def open_image(thing):
    """Open something as an image."""
    return mnistzoo.transforms()(thing)


def encoded(size, kind="PNG"):
    """Return the bytes of a blank image."""
    stream = io.BytesIO()
    Image.new("L", size).save(stream, kind)
    return stream.getvalue()


DATA = [
    (lambda: idx(gzip.compress(bytes(10_008))), "not an IDX file", TEST_LABELS.name),
    (
        lambda: idx(gzip.compress(bytes.fromhex("0000080100002710") + bytes(10_000))),
        TEST_LABELS.sha256,
    ),
    (lambda: idx(b"no gzip"), TEST_LABELS.name),
    (lambda: mnistzoo.mnist("test"), "'test'", "train=False"),
    (lambda: open_image(3), "int"),
    (lambda: open_image("https://example.org/7.png"), "https://example.org/7.png", "Download"),
    (lambda: open_image("folder"), "folder"),
    (lambda: open_image("absent.png"), "absent.png"),
    (lambda: open_image("null\0"), r"null\x00"),
    (lambda: open_image("file"), "file", "PNG"),
    (lambda: open_image(encoded((9000, 8000))), "67,108,864", "9,000×8,000"),
    (lambda: open_image(encoded((40, 40), "BMP")[:900]), "900 bytes"),
    (lambda: open_image(np.zeros((0, 5))), "5×0"),
    (lambda: open_image(torch.zeros(5, 5, dtype=torch.bfloat16)), "bfloat16", "float32"),
    (lambda: open_image(np.zeros((2, 5, 5))), "(2, 5, 5)", "list"),
    (lambda: open_image(mnistzoo.mnist(train=False).images[:3]), "(3, 28, 28)", "list(images)"),
    (lambda: open_image(torch.zeros(5)), "(5,)"),
    (lambda: open_image(np.zeros((5, 5), complex)), "complex128"),
    (lambda: open_image(np.full((5, 5), np.nan)), "NaN"),
    (lambda: open_image(np.array([[-1.0, 2.5]])), "-1", "2.5"),
    (lambda: open_image(np.ones((30, 30))), "background"),
    (lambda: exp1().predict([]), "empty list"),
    (lambda: exp1().predict(["absent.png"]), "0 (absent.png)"),
]


@pytest.mark.parametrize("row", FILES + WEIGHTS + DATA)
def test_errors_name_what_was_given(row):
    """Each bad call ends in this library's error, whose message has the values that matter."""
    call, *values = row
    with pytest.raises(MnistZooError) as caught:
        call()
    message = str(caught.value)
    assert all(value in message for value in values), message
    assert re.fullmatch(r"\S.*[.?]", message), message
