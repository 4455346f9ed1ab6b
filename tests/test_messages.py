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
from torch import nn

import mnistzoo
from mnistzoo import analyze, effective_receptive_field, receptive_field
from mnistzoo.data.mnist import TEST_LABELS, read_idx
from mnistzoo.errors import MnistZooError
from mnistzoo.files import make_folder, move, read_bytes, write_bytes
from mnistzoo.models import exp1, exp5
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


def picture(thing):
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
        NOT_MNIST
        + "its header or its length is not that of (10000,) bytes; install mnistzoo again.",
    ),
    (
        lambda: idx(gzip.compress(bytes.fromhex("0000080100002710") + bytes(10_000))),
        NOT_MNIST + f"the SHA-256 of what it holds is not {TEST_LABELS.sha256}; "
        "install mnistzoo again.",
    ),
    (
        lambda: idx(b"no gzip"),
        NOT_MNIST + "Error -3 while decompressing data: incorrect header check; "
        "install mnistzoo again.",
    ),
    (
        lambda: picture(3),
        "expected a path, bytes, a PIL image, a NumPy array or a tensor, or a list of them, "
        "got int.",
    ),
    (
        lambda: picture("folder"),
        "cannot read folder: it is not a regular file; name the pictures themselves.",
    ),
    (
        lambda: picture("absent.png"),
        "cannot read 'absent.png': No such file or directory; check the path and its permissions.",
    ),
    (
        lambda: picture("null\0"),
        "cannot read 'null\\x00': …embedded null …; check the path and its permissions.",
    ),
    (
        lambda: picture("file"),
        "file: not a picture in a format that is read (PNG, JPEG, WEBP, GIF, BMP, TIFF, PPM); "
        "save it as PNG or JPEG.",
    ),
    (
        lambda: picture(drawn((9000, 8000))),
        "the picture is too large: expected at most 67,108,864 pixels, got 9,000×8,000 pixels; "
        "shrink it.",
    ),
    (
        lambda: picture(drawn((40, 40), "BMP")[:900]),
        "900 bytes: the picture cannot be decoded (…); it may be cut short or damaged.",
    ),
    (lambda: picture(np.zeros((0, 5))), "the picture has no pixels: it is 5×0."),
    (
        lambda: picture(torch.zeros(5, 5, dtype=torch.bfloat16)),
        "cannot take pixels from a torch.bfloat16 torch.strided tensor on cpu; "
        "give uint8 or float32 pixels.",
    ),
    (
        lambda: picture(np.zeros((2, 5, 5))),
        "expected one picture of shape (height, width) or (height, width, channels) with 1, 3 or "
        "4 channels, got 3 axes of lengths (2, 5, 5); hand several pictures over as a list.",
    ),
    (
        lambda: picture(mnistzoo.mnist(train=False).images[:3]),
        "expected one picture, got 3 images of MNIST in a tensor of shape (3, 28, 28); hand "
        "several pictures over as a list: list(images).",
    ),
    (
        lambda: picture(torch.zeros(5)),
        "expected one picture of shape (height, width) or (channels, height, width) with 1, 3 or "
        "4 channels, got 1 axes of lengths (5,); hand several pictures over as a list.",
    ),
    (
        lambda: picture(np.zeros((5, 5), complex)),
        "expected pixels that are numbers, got dtype complex128.",
    ),
    (
        lambda: picture(np.full((5, 5), np.nan)),
        "expected finite pixels, got NaN or infinity; repair the array.",
    ),
    (
        lambda: picture(np.array([[-1.0, 2.5]])),
        "expected pixels from 0 to 1, 255 or 65,535, got -1 to 2.5; "
        "hand pictures over before they are normalised.",
    ),
    (
        lambda: picture(np.ones((30, 30))),
        "no ink was found: nothing in the picture stands out from its background as pen strokes "
        "do; check that the digit is in it, sharp, and darker or lighter than the paper.",
    ),
    (lambda: exp1().predict([]), "expected at least one picture, got an empty list."),
    (
        lambda: exp1().predict(["absent.png"]),
        "picture 0 (absent.png): cannot read 'absent.png': No such file or directory; "
        "check the path and its permissions.",
    ),
]


class Applied(nn.Module):
    """Any function as a network."""

    def __init__(self, function):
        super().__init__()
        self.function = function

    def forward(self, x):  # noqa: D102 - torch's own method
        return self.function(x)


def images(*shape, dtype=torch.float32):
    """Images for the effective receptive field of exp5."""
    return torch.zeros(shape, dtype=dtype)


def raise_key_error(x):
    """A network that fails for a reason of its own."""
    raise KeyError("gone\nmore")


ANALYSIS = [
    (
        lambda: analyze(exp5(), (1, 0)),
        "expected input_shape as positive integers, (channels, height, width) without the batch, "
        "got (1, 0).",
    ),
    (
        lambda: analyze(Applied(lambda x: "text"), (1, 8)),
        "expected a network that returns tensors, got str; wrap it in a module that returns one.",
    ),
    (
        lambda: analyze(nn.Linear(3, 2), (4,)),
        "expected an input_shape that fits the network, got (4,): the network (Linear) refused its "
        "input of shape (1, 4) (…); "
        "give (channels, height, width) of one image.",
    ),
    (
        lambda: analyze(Applied(raise_key_error), (4,)),
        "expected a network that runs on shapes alone, got KeyError in the network (Applied) with "
        "an input of shape (1, 4) ('gone\\nmore'); mend the network or analyse a part of it.",
    ),
    (
        lambda: analyze(nn.Bilinear(4, 4, 2), (4,)),
        "expected a network that runs on shapes alone, got TypeError in the network (Bilinear) "
        "with an input of shape (1, 4) (Bilinear.forward() missing 1 required positional argument: "
        "'input2'); pass its further arguments by name, or wrap it in a module that takes one "
        "tensor.",
    ),
    (
        lambda: analyze(Applied(lambda x: x * x.sum().item()), (4,)),
        "expected a network whose course does not depend on values, got "
        "aten._local_scalar_dense.default in the network (Applied); "
        "replace the `if`, `.item()` or mask that reads values there.",
    ),
    (
        lambda: analyze(nn.Sequential(Applied(torch.diag_embed)), (4, 4)),
        "expected operators whose window is known, got aten.diag_embed… in layer '0' "
        "(Applied); replace it by known ones, or report it.",
    ),
    (
        lambda: analyze(Applied(lambda x: x[..., :32] + x[..., ::2]), (1, 64)),
        "the network (Applied), aten.add.Tensor: expected the branches that join to move by the "
        "same number of pixels a unit, got 1 and 2; check the strides of the branches.",
    ),
    (
        lambda: receptive_field(nn.Sequential(nn.Flatten()), (4,), "1"),
        "There is no layer '1'. Choose from: 0.",
    ),
    (
        lambda: receptive_field(Applied(lambda x: torch.zeros(3)), (4,), ""),
        "expected an output of '' that is made of the input, got none; "
        "name a layer that the network calls (mnistzoo.analyze lists them).",
    ),
    (
        lambda: receptive_field(nn.Flatten(), (4,)),
        "expected a map with more than one unit that is made of the input, got none; "
        "name a layer that the network calls (mnistzoo.analyze lists them).",
    ),
    (
        lambda: effective_receptive_field(exp5(), images(0, 1, 28, 28), "features"),
        "expected floating-point images of shape (N, channels, *axes) with N of at least 1, "
        "got torch.float32 of shape (0, 1, 28, 28).",
    ),
    (
        lambda: effective_receptive_field(exp5(), images(1, 1, 28, 28), "classifier"),
        "expected 'classifier' to put out a map of 2 axes made of the images, got shape (1, 10); "
        "name a layer before the flatten.",
    ),
    (
        lambda: mnistzoo.ReceptiveField((3,), (1,), (1,)).pixels(0),
        "expected a receptive field of an analysis, got one made by hand.",
    ),
    (
        lambda: exp5().receptive_field("features.conv7").pixels(3),
        "expected a unit from 0 to 2, got 3.",
    ),
    (
        lambda: exp5().receptive_field("features.conv7").interval((1, 2, 3)),
        "expected one number for each of 2 axes, got (1, 2, 3).",
    ),
]


@pytest.mark.parametrize(("call", "message"), FILES + WEIGHTS + DATA + ANALYSIS)
def test_message(call, message):
    """What was expected, what was got, what to do; "…" is for the words of other libraries."""
    assert re.fullmatch(re.escape(message).replace("…", ".*"), said(call))
