"""What the errors say, word for word: what was expected, what was got, what to do."""

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
from mnistzoo.storage.manifest import FOLDER, pretrained_state_dict, read_manifest
from mnistzoo.storage.state_dict import load_into, load_state_dict, read_metadata

HERE = Path()
"""The folder of a test; each runs in one of its own."""


@pytest.fixture(autouse=True)
def _folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").write_bytes(b"12345")
    (tmp_path / "folder" / "inside").mkdir(parents=True)


def said(call):
    """The message of the error of this library that a call ends in."""
    with pytest.raises(MnistZooError) as caught:
        call()
    return str(caught.value)


FILES = [
    (
        lambda: read_bytes("absent", limit=5),
        "cannot read absent: No such file or directory; check the path and its permissions.",
    ),
    (
        lambda: read_bytes("file", limit=4),
        "file is larger than the 4 bytes expected at most; "
        "it is not a file that this library wrote.",
    ),
    (
        lambda: write_bytes("file/below", b""),
        "cannot write file/below: File exists; "
        "choose a folder that exists or can be made, is writable, and has room.",
    ),
    (
        lambda: make_folder("file/below"),
        "cannot write file/below: Not a directory; "
        "choose a folder that exists or can be made, is writable, and has room.",
    ),
    (
        lambda: move(HERE / "file", HERE / "folder"),
        "cannot write folder: Is a directory; "
        "choose a folder that exists or can be made, is writable, and has room.",
    ),
    (
        lambda: read_bytes("null\0", limit=5),
        "cannot read null\0: embedded null byte; check the path and its permissions.",
    ),
    (
        lambda: write_bytes("null\0", b""),
        "cannot write null\0: embedded null byte; "
        "choose a folder that exists or can be made, is writable, and has room.",
    ),
]


def foreign():
    """Safetensors that another library wrote."""
    (HERE / "foreign").write_bytes(save({"a": torch.zeros(1)}))
    return HERE / "foreign"


def manifest_with(**fields):
    """Read a manifest whose first entry has other fields."""
    table = json.loads((FOLDER / "manifest.json").read_text())
    table["exp1"] |= fields
    (HERE / "manifest.json").write_text(json.dumps(table))
    return read_manifest.__wrapped__(HERE)


WEIGHTS = [
    (
        lambda: load_state_dict("file", expected_sha256="0" * 64),
        "file is not the file that was published: expected SHA-256 " + "0" * 64 + ", got "
        "5994471abb01112afcc18159f6cc74b4f511b99806da59b3caf5a9c173cacfc5; install it again, "
        "save it again, or download it again (force_download=True, or --force, for the Hub).",
    ),
    (
        lambda: load_state_dict("file"),
        "file is not a safetensors file of this library: it declares a table of 228,509,037,105 "
        "bytes, expected at most 65,536; only files in that format are read.",
    ),
    (
        lambda: pretrained_state_dict("exp1x"),
        "There is no pretrained model 'exp1x'. Did you mean 'exp1'?",
    ),
    (
        lambda: read_metadata(foreign()),
        "foreign does not say how it was made; save it with this library.",
    ),
    (
        lambda: load_into(exp1(), {}, "nothing"),
        "nothing does not fit the network: classifier.bias is missing; classifier.weight is "
        "missing; features.conv1.bias is missing; "
        "use weights of the same architecture, num_classes and dtype (float32 as built).",
    ),
    (
        lambda: manifest_with(seed="0"),
        "manifest.json is not a manifest of weights: expected seed to be int, got '0'; "
        "restore the file.",
    ),
    (
        lambda: manifest_with(more=1),
        "manifest.json is not a manifest of weights: expected the fields ['bytes', 'correct', "
        "'file', 'macs', 'num_params', 'recipe', 'seed', 'sha256', 'versions'], got ['bytes', "
        "'correct', 'file', 'macs', 'more', 'num_params', 'recipe', 'seed', 'sha256', "
        "'versions']; restore the file.",
    ),
    (
        lambda: manifest_with(versions=[]),
        "manifest.json is not a manifest of weights: expected versions to be dict, got []; "
        "restore the file.",
    ),
]


def idx(content):
    """Read a file of labels that holds something else."""
    (HERE / f"{TEST_LABELS.name}.gz").write_bytes(content)
    return read_idx(TEST_LABELS, HERE)


def image(thing):
    """Open something as a picture."""
    return mnistzoo.transforms()(thing)


def drawn(size, kind="PNG"):
    """The bytes of a blank picture."""
    stream = io.BytesIO()
    Image.new("L", size).save(stream, kind)
    return stream.getvalue()


NOT_MNIST = "t10k-labels-idx1-ubyte.gz is not the original MNIST file: "
DATA = [
    (
        lambda: idx(gzip.compress(bytes(10_008))),
        NOT_MNIST + "its header or its length is wrong for (10000,) bytes. Install mnistzoo again.",
    ),
    (
        lambda: idx(gzip.compress(bytes.fromhex("0000080100002710") + bytes(10_000))),
        NOT_MNIST + f"the SHA-256 of its content is not {TEST_LABELS.sha256}. "
        "Install mnistzoo again.",
    ),
    (lambda: idx(b"no gzip"), NOT_MNIST + "…. Install mnistzoo again."),
    (
        lambda: mnistzoo.mnist("test"),
        "Expected train to be True or False, got 'test'. "
        "Pass train=True for the training images, train=False for the test images.",
    ),
    (
        lambda: image(3),
        "Expected a path, bytes, a PIL image, a NumPy array or a tensor, got int. "
        "Pass one of these, or a list of them.",
    ),
    (
        lambda: image("folder"),
        "Cannot read folder: it is not a regular file. Pass the path of an image.",
    ),
    (
        lambda: image("https://example.org/7.png"),
        "Cannot read https://example.org/7.png: URLs are not downloaded. "
        "Download the image and pass its path.",
    ),
    (
        lambda: image("absent.png"),
        "Cannot read 'absent.png': …. Check the path and its permissions.",
    ),
    (
        lambda: image("null\0"),
        "Cannot read 'null\\x00': …. Check the path and its permissions.",
    ),
    (
        lambda: image("file"),
        "file: not an image in a supported format (PNG, JPEG, WEBP, GIF, BMP, TIFF, PPM). "
        "Save it as PNG or JPEG.",
    ),
    (
        lambda: image(drawn((9000, 8000))),
        "The image is too large: expected at most 67,108,864 pixels, got 9,000×8,000. Shrink it.",
    ),
    (
        lambda: image(drawn((40, 40), "BMP")[:900]),
        "900 bytes: the image cannot be decoded (…). It may be cut short or damaged.",
    ),
    (lambda: image(np.zeros((0, 5))), "Expected an image with pixels, got one of 5×0."),
    (
        lambda: image(torch.zeros(5, 5, dtype=torch.bfloat16)),
        "Cannot read pixels from a torch.bfloat16 torch.strided tensor on cpu. "
        "Pass uint8 or float32 pixels.",
    ),
    (
        lambda: image(np.zeros((2, 5, 5))),
        "Expected one image of shape (height, width) or (height, width, channels) with 1, 3 or "
        "4 channels, got 3 axes of lengths (2, 5, 5). Pass several images as a list.",
    ),
    (
        lambda: image(mnistzoo.mnist(train=False).images[:3]),
        "Expected one image, got 3 MNIST images in a tensor of shape (3, 28, 28). "
        "Pass several images as a list: list(images).",
    ),
    (
        lambda: image(torch.zeros(5)),
        "Expected one image of shape (height, width) or (channels, height, width) with 1, 3 or "
        "4 channels, got 1 axes of lengths (5,). Pass several images as a list.",
    ),
    (
        lambda: image(np.zeros((5, 5), complex)),
        "Expected numeric pixels, got dtype complex128. Pass uint8 or float32 pixels.",
    ),
    (
        lambda: image(np.full((5, 5), np.nan)),
        "Expected finite pixels, got NaN or infinity. Fix the array.",
    ),
    (
        lambda: image(np.array([[-1.0, 2.5]])),
        "Expected pixels from 0 to 1, 255 or 65,535, got -1 to 2.5. "
        "Pass the image before it is normalized.",
    ),
    (
        lambda: image(np.ones((30, 30))),
        "No digit was found: nothing stands out from the background as pen strokes do. "
        "Check that the digit is in the image, sharp, and darker or lighter than the background.",
    ),
    (lambda: exp1().predict([]), "Expected at least one image, got an empty list."),
    (
        lambda: exp1().predict(["absent.png"]),
        "Image 0 (absent.png): Cannot read 'absent.png': …. Check the path and its permissions.",
    ),
]


@pytest.mark.parametrize(("call", "message"), FILES + WEIGHTS + DATA)
def test_message(call, message):
    """What was expected, what was got, what to do; "…" is for the words of other libraries."""
    assert re.fullmatch(re.escape(message).replace("…", ".*"), said(call))
