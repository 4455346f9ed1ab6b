"""The bundled data are MNIST bit for bit, and altered files are refused."""

import gzip
import hashlib
import shutil

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import mnistzoo
from mnistzoo.data.mnist import (
    FILES,
    TEST_IMAGES,
    TEST_LABELS,
    TRAIN_IMAGES,
    TRAIN_LABELS,
    IDXFile,
    read_idx,
)
from mnistzoo.errors import DataError, FileReadError, InputError
from mnistzoo.images.transforms import normalize

CANONICAL_MD5 = {
    TRAIN_IMAGES.name: "6bbc9ace898e44ae57da46a324031adb",
    TRAIN_LABELS.name: "a25bea736e30d166cdddb491f175f624",
    TEST_IMAGES.name: "2646ac647ad5339dbf082846283269ea",
    TEST_LABELS.name: "27ae3e4e09519cfbb04c329615203637",
}


@pytest.mark.parametrize("train", [True, False])
def test_the_data_equal_torchvisions(train, tmp_path):
    """Torchvision reads the same tensors from the same files, uncompressed."""
    from torchvision.datasets import MNIST

    raw = tmp_path / "MNIST" / "raw"
    raw.mkdir(parents=True)
    for name in CANONICAL_MD5:
        (raw / name).write_bytes(gzip.decompress((FILES / f"{name}.gz").read_bytes()))
    theirs = MNIST(tmp_path, train=train, download=False)
    ours = mnistzoo.mnist(train=train)
    assert torch.equal(ours.images, theirs.data)
    assert ours.images.dtype == theirs.data.dtype
    assert torch.equal(ours.labels, theirs.targets)
    assert ours.labels.dtype == theirs.targets.dtype


@pytest.mark.parametrize("name", CANONICAL_MD5)
def test_the_files_have_the_published_digests(name):
    """The MD5 of each file's content is the published one."""
    content = gzip.decompress((FILES / f"{name}.gz").read_bytes())
    assert hashlib.md5(content).hexdigest() == CANONICAL_MD5[name]


def test_training_images_are_the_default():
    """`mnist()` returns the training set, as `torchvision.datasets.MNIST(root)` does."""
    assert len(mnistzoo.mnist().labels) == 60_000


@pytest.mark.parametrize("split", ["test", "train", 0, 1, None])
def test_a_split_by_name_is_refused(split):
    """Only bools select a split, so that `mnist("test")` cannot return the training images."""
    with pytest.raises(InputError, match="train=False for the test images"):
        mnistzoo.mnist(split)


def test_the_returned_tensors_may_be_changed():
    """Writing into the tensors of one call does not change those of the next."""
    mnistzoo.mnist(train=False).images.zero_()
    assert mnistzoo.mnist(train=False).images.any()


def test_normalize_matches_its_definition(test_images):
    """`normalize` is (x / 255 - mean) / std, as NumPy computes it in double precision."""
    ours = normalize(test_images.images[:100])
    theirs = (test_images.images[:100].numpy().astype(np.float64) / 255 - 0.1307) / 0.3081
    assert ours.shape == (100, 1, 28, 28)
    np.testing.assert_allclose(ours[:, 0].numpy(), theirs, rtol=1e-5, atol=1e-6)


def test_a_missing_file_is_named(tmp_path):
    """The error gives its path."""
    with pytest.raises(FileReadError, match=r"t10k-labels-idx1-ubyte\.gz"):
        read_idx(TEST_LABELS, tmp_path)


@pytest.mark.parametrize("cut", [0, 1, 100, 4000])
def test_a_truncated_file_is_refused(tmp_path, cut):
    """The error says what to do, wherever the file ends."""
    data = (FILES / f"{TEST_LABELS.name}.gz").read_bytes()
    (tmp_path / f"{TEST_LABELS.name}.gz").write_bytes(data[:cut])
    with pytest.raises(DataError, match="Install mnistzoo again"):
        read_idx(TEST_LABELS, tmp_path)


def test_a_changed_label_is_refused(tmp_path):
    """A changed byte at equal length changes the SHA-256."""
    content = bytearray(gzip.decompress((FILES / f"{TEST_LABELS.name}.gz").read_bytes()))
    content[5000] ^= 1
    (tmp_path / f"{TEST_LABELS.name}.gz").write_bytes(gzip.compress(content))
    with pytest.raises(DataError, match="SHA-256"):
        read_idx(TEST_LABELS, tmp_path)


def test_another_file_under_the_name_is_refused(tmp_path):
    """The training labels do not pass for the test labels."""
    shutil.copy(FILES / f"{TRAIN_LABELS.name}.gz", tmp_path / f"{TEST_LABELS.name}.gz")
    with pytest.raises(FileReadError, match="at most"):
        read_idx(TEST_LABELS, tmp_path)


def test_a_decompression_bomb_is_refused(tmp_path):
    """A small file of many zeros is not decompressed to its end."""
    import tracemalloc

    (tmp_path / f"{TEST_LABELS.name}.gz").write_bytes(gzip.compress(bytes(8_000_000)))
    tracemalloc.start()
    with pytest.raises(DataError):
        read_idx(TEST_LABELS, tmp_path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 1_000_000


@given(data=st.binary(max_size=200), wrapped=st.booleans())
def test_random_bytes_raise_no_other_errors(data, wrapped, tmp_path_factory):
    """Any bytes raise a DataError."""
    folder = tmp_path_factory.mktemp("idx")
    (folder / "x.gz").write_bytes(gzip.compress(data) if wrapped else data)
    with pytest.raises(DataError):
        read_idx(IDXFile("x", (10, 3), "0" * 64), folder)
