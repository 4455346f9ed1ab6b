"""Datasets of your own: folders, IDX files, arrays and torch datasets, sound and damaged."""

import gzip
import json
import os
import re
import shutil
import struct
import tracemalloc
import weakref
from collections import UserList
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace
from PIL import Image
from scipy.stats import binomtest
from torch.utils.data import Subset, TensorDataset
from typer.testing import CliRunner

import mnistzoo
from mnistzoo.cli import app
from mnistzoo.data.cache import cache_folder
from mnistzoo.data.datasets import ImageDataset, load_dataset
from mnistzoo.data.strokes import check_style
from mnistzoo.errors import DataError, FileReadError, ImageError, InputError, MnistZooError
from mnistzoo.evaluation import wilson_interval
from mnistzoo.export import export
from mnistzoo.export.preparation import metadata
from mnistzoo.images.preprocessing import CONVERSIONS, to_gray, to_mnist
from mnistzoo.images.transforms import normalize
from mnistzoo.inference import load_folder
from mnistzoo.training.recipes import get_recipe

FASHION = Path("/usr/share/datasets/fashion-mnist")


def idx(values, *, shape=None, kind=8):
    """Return an IDX file of bytes, whose header may state another shape."""
    values = np.asarray(values, np.uint8)
    shape = values.shape if shape is None else shape
    return struct.pack(f">HBB{len(shape)}I", 0, kind, len(shape), *shape) + values.tobytes()


def write_idx(folder, images, labels, *, split="train", prefix="", compress=True):
    """Write the two IDX files of a split."""
    folder.mkdir(exist_ok=True, parents=True)
    for name, data in ("images-idx3", idx(images)), ("labels-idx1", idx(labels)):
        path = folder / f"{prefix}{split}-{name}-ubyte{'.gz' if compress else ''}"
        path.write_bytes(gzip.compress(data, 1) if compress else data)
    return folder


@pytest.fixture
def drawn(tmp_path, few):
    """A folder with ten images of each of the classes "five" and "seven"."""
    for label, name in (5, "five"), (7, "seven"):
        (tmp_path / "drawn" / name).mkdir(parents=True)
        chosen = few.images[few.labels == label][:5]
        for index, image in enumerate(chosen):
            Image.fromarray(image.numpy()).save(tmp_path / "drawn" / name / f"{index}.png")
    return tmp_path / "drawn"


def test_an_image_folder_has_a_class_for_each_subfolder(drawn):
    """Classes are the subfolders, sorted; each image is converted as by `predict`."""
    (drawn / "seven" / "deeper").mkdir()
    (drawn / "seven" / "0.png").rename(drawn / "seven" / "deeper" / "0.PNG")
    (drawn / "five" / "notes.txt").write_text("no image")
    (drawn / ".hidden").mkdir()
    calls = []
    found = load_dataset(drawn, on_image=lambda done, total: calls.append((done, total)))
    assert found.classes == ("five", "seven")
    assert found.labels.bincount().tolist() == [5, 5]
    assert calls == [(done, 10) for done in range(1, 11)]
    first = torch.from_numpy(to_mnist(drawn / "five" / "0.png"))
    assert torch.equal(found.images[0], first)
    assert found.images.dtype == torch.uint8
    assert len(found) == 10


def test_plain_images_keep_their_gray_levels(tmp_path):
    """In plain style nothing is inverted or centered, and sides keep their ratio."""
    levels = np.full((28, 28), 200, np.uint8)
    levels[3:9, 4:6] = 10
    assert np.array_equal(to_gray(levels), levels)
    assert np.array_equal(to_gray(np.full((28, 28), 7, np.uint8)), np.full((28, 28), 7))
    wide = to_gray(np.tile(np.array([[200] * 20 + [10] * 36], np.uint8), (14, 1)))
    assert wide[0].tolist() == wide[27].tolist() == [10] * 28
    assert wide[14, [0, 5, 14, 27]].tolist() == [200, 200, 10, 10]
    Image.fromarray(levels).save(tmp_path / "x.png")
    assert np.array_equal(to_gray(tmp_path / "x.png"), levels)


@pytest.mark.parametrize("compress", [True, False])
def test_idx_files_are_read_as_published(tmp_path, few, compress):
    """28×28 images are unchanged, whatever the style of compression."""
    write_idx(tmp_path, few.images, few.labels, split="t10k", compress=compress)
    found = load_dataset(tmp_path)
    assert torch.equal(found.images, few.images)
    assert torch.equal(found.labels, few.labels)
    assert found.classes == tuple(map(str, range(10)))


def test_idx_files_may_have_any_size_and_number_of_classes(tmp_path):
    """Other sizes are scaled to 28×28; labels may begin anywhere and leave gaps."""
    images = np.random.default_rng(0).integers(0, 128, (6, 20, 14))
    found = load_dataset(write_idx(tmp_path, images, [3, 90, 3, 200, 90, 3]))
    assert found.images.shape == (6, 28, 28)
    assert found.classes == ("3", "90", "200")
    assert found.labels.tolist() == [0, 1, 0, 2, 1, 0]
    assert torch.equal(found.images[1], torch.from_numpy(to_gray(images[1].astype(np.uint8))))


def test_emnist_is_turned_and_named(tmp_path):
    """EMNIST stores images by columns, and its table gives a character for each label."""
    images = np.random.default_rng(0).integers(0, 128, (3, 28, 28), dtype=np.uint8)
    write_idx(tmp_path, images, [1, 2, 1], prefix="emnist-letters-")
    (tmp_path / "emnist-letters-mapping.txt").write_text("1 65 97\n2 66 98\n3 67 99\n")
    found = load_dataset(tmp_path)
    assert found.classes == ("A", "B")
    assert torch.equal(found.images, torch.from_numpy(images).mT)
    (tmp_path / "emnist-letters-mapping.txt").write_text("one A\n")
    with pytest.raises(DataError, match="character's code"):
        load_dataset(tmp_path)


def test_a_split_is_read_where_there_are_two(tmp_path, few, drawn):
    """IDX files and image folders may have a training and a test split."""
    idx_folder = write_idx(tmp_path / "idx", few.images[:90], few.labels[:90])
    write_idx(idx_folder, few.images[:80], few.labels[:80], split="t10k")
    both = tmp_path / "both"
    both.mkdir()
    drawn.rename(both / "test")
    (both / "train").mkdir()
    for name in "five", "seven":
        (both / "train" / name).mkdir()
        (both / "test" / name / "0.png").rename(both / "train" / name / "0.png")
    for folder, sizes in (idx_folder, (90, 80)), (both, (2, 8)):
        found = [len(load_dataset(folder, split=split)) for split in ("train", "test")]
        assert tuple(found) == sizes
    (both / "test" / "seven").rename(both / "test" / "nine")
    with pytest.raises(DataError, match="same classes in train and test, got nine, seven in one"):
        load_dataset(both)


@pytest.mark.parametrize(
    "change",
    [
        lambda images: images,
        lambda images: images.numpy(),
        lambda images: images[:, None],
        lambda images: images.numpy()[..., None],
        lambda images: images.float() / 255,
        lambda images: images.double().numpy(),
        lambda images: images.numpy().astype(np.uint16) * 257,
    ],
)
def test_arrays_of_any_range_give_the_same_images(few, change):
    """Pixels are scaled once for all images, and the shape may hold a channel."""
    found = load_dataset((change(few.images), few.labels))
    assert torch.equal(found.images, few.images)
    assert torch.equal(found.labels, few.labels)


def test_colored_arrays_are_converted(few):
    """Three channels become gray levels, first or last."""
    rgb = few.images[:, None].expand(-1, 3, -1, -1)
    channels_last = rgb.movedim(1, -1).numpy()
    for images in rgb, channels_last:
        found = load_dataset((images, few.labels))
        assert int((found.images.int() - few.images.int()).abs().max()) <= 1


class Rows(UserList):
    """A dataset whose items are mappings, like those of Hugging Face."""


class Named(TensorDataset):
    """A dataset whose classes have names, as torchvision's have."""

    classes = ("even", "odd", "neither")


def test_torch_datasets_are_read_whole(few):
    """Any map-style dataset is read; its classes may have names."""
    pairs = few.images, few.labels % 2
    assert load_dataset(Named(*pairs)).classes == ("even", "odd", "neither")
    found = load_dataset(Subset(Named(*pairs), range(50)))
    assert found.classes == ("0", "1")
    assert torch.equal(found.images, few.images[:50])
    assert torch.equal(found.labels, pairs[1][:50])
    assert load_dataset(found) is found


class Lazy:
    """A dataset that knows which of its items are alive."""

    def __init__(self):
        self.given = []

    def __len__(self):
        return 30

    def __getitem__(self, index):
        image = torch.full((28, 28), index + 100, dtype=torch.uint8)
        self.given.append(weakref.ref(image))
        assert sum(given() is not None for given in self.given) < 5, "images are kept"
        return image, index % 2 + 7


def test_torch_datasets_are_read_one_by_one():
    """No image is kept in its original form, so memory is bounded by 28×28 pixels an image."""
    found = load_dataset(Lazy())
    assert found.classes == ("7", "8")
    assert found.images[:, 0, 0].tolist() == list(range(100, 130))


def test_a_dataset_owns_its_images(few):
    """Later changes to an array do not reach the dataset."""
    images = few.images.clone()
    found = load_dataset((images, few.labels))
    images.zero_()
    assert torch.equal(found.images, few.images)


@pytest.mark.slow
def test_a_dataset_of_hugging_face_is_read(few):
    """Rows are mappings, images are files inside, and the feature `label` names the classes."""
    hugging_face = pytest.importorskip("datasets", reason="not a dependency of the package")
    features = hugging_face.Features(
        image=hugging_face.Image(), label=hugging_face.ClassLabel(names=list("abcdefghij"))
    )
    columns = {
        "image": [Image.fromarray(each.numpy()) for each in few[0]],
        "label": few[1].tolist(),
    }
    found = load_dataset(hugging_face.Dataset.from_dict(columns, features=features))
    assert found.classes == tuple("abcdefghij")
    assert torch.equal(found.images, few[0])
    assert torch.equal(found.labels, few[1])


def test_classes_have_names_of_their_own(tmp_path, few):
    """Two classes with one name would be counted as one."""
    dataset = Named(few.images, few.labels % 2)
    dataset.classes = ("odd", "odd")
    with pytest.raises(DataError, match="name of its own"):
        load_dataset(dataset)


def test_unreadable_images_are_counted_and_left_out(drawn):
    """Damaged, blank and huge images are named with their reason; `strict` raises it."""
    (drawn / "five" / "0.png").write_bytes(b"no image")
    Image.new("L", (30, 30), 255).save(drawn / "seven" / "1.png")
    Image.new("1", (9_000, 9_000)).save(drawn / "seven" / "2.png")
    Image.new("I", (30, 30), 70_000).save(drawn / "seven" / "3.tiff")
    found = load_dataset(drawn)
    assert [Path(name).name for name, _ in found.skipped] == ["0.png", "1.png", "2.png", "3.tiff"]
    assert "not an image" in found.skipped[0].reason
    assert "too large" in found.skipped[2].reason
    assert re.search(r"3\.tiff: .*got 70000 to 70000", found.skipped[3].reason)
    assert found.labels.bincount().tolist() == [4, 3]
    with pytest.raises(ImageError, match=r"five.0\.png: .*not an image"):
        load_dataset(drawn, strict=True)
    for path in (drawn / "five").iterdir():
        path.write_bytes(b"no image")
    with pytest.raises(DataError, match="none of five can be read"):
        load_dataset(drawn)


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """Turn the cache on, in a folder of its own, and count the images that are converted."""
    monkeypatch.setenv("MNISTZOO_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "datasets"


def converted(folder, monkeypatch, **options):
    """Read a dataset; return it and the number of images that were converted for it."""
    images = []
    with monkeypatch.context() as patch:
        patch.setitem(
            CONVERSIONS, "mnist", lambda image: (images.append(image), to_mnist(image))[1]
        )
        return load_dataset(folder, **options), len(images)


def test_a_dataset_is_converted_once(drawn, cache, monkeypatch):
    """A second read finds the same images, labels, classes and skipped files in the cache."""
    (drawn / "five" / "0.png").write_bytes(b"no image")
    first, count = converted(drawn, monkeypatch)
    calls = []
    again, none = converted(drawn, monkeypatch, on_image=lambda *call: calls.append(call))
    assert (count, none, calls) == (10, 0, [(10, 10)])
    assert (again.digest, again.skipped, again.style) == (first.digest, first.skipped, first.style)
    again.images.zero_()
    assert converted(drawn, monkeypatch)[0].digest == first.digest
    with pytest.raises(ImageError, match="not an image"):
        load_dataset(drawn, strict=True)
    assert len(list(cache.iterdir())) == 1
    assert load_dataset(drawn, style="plain").style == "plain"
    assert len(list(cache.iterdir())) == 2


def test_a_changed_file_is_read_again(drawn, cache, monkeypatch):
    """Size and time do not hide a change. A renamed file or a damaged entry counts as one, too."""
    before, _ = converted(drawn, monkeypatch)
    path, other = drawn / "five" / "0.png", drawn / "seven" / "0.png"
    times, content = path.stat(), path.read_bytes()
    path.write_bytes(other.read_bytes().ljust(len(content), b"\0"))
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
    found, count = converted(drawn, monkeypatch)
    assert (count, found.digest != before.digest) == (10, True)
    path.write_bytes(content)
    assert converted(drawn, monkeypatch)[1] == 0
    path.rename(drawn / "seven" / "9.png")
    assert converted(drawn, monkeypatch)[1] == 10
    (drawn / "seven" / "9.png").rename(path)
    for entry in cache.iterdir():
        entry.write_bytes(entry.read_bytes()[:-1] + b"?")
    found, count = converted(drawn, monkeypatch)
    assert (count, found.digest) == (10, before.digest)


def test_a_file_that_changes_meanwhile_is_not_cached(drawn, cache):
    """The images may come from the old file or the new one."""
    path = drawn / "five" / "0.png"
    load_dataset(drawn, on_image=lambda done, total: path.write_bytes(b"changed"))
    assert not cache.exists()


def test_the_cache_evicts_the_least_recently_used_entry(drawn, cache, monkeypatch):
    """Beyond the limit, the entry read last and the one just written stay."""
    monkeypatch.setattr("mnistzoo.data.cache.MAX_CACHE_BYTES", 20_000)  # two of 8 kB, not three
    copies = [shutil.copytree(drawn, drawn.with_name(name)) for name in ("a", "b", "c")]
    for folder in copies[:2]:
        converted(folder, monkeypatch)
        for entry in cache.iterdir():  # an hour passes
            os.utime(entry, (0, entry.stat().st_mtime - 3600))
    again, new, kept, removed = (converted(copies[n], monkeypatch)[1] for n in (0, 2, 0, 1))
    assert (again, new, kept, removed) == (0, 10, 0, 10)
    assert len(list(cache.iterdir())) == 2
    monkeypatch.setattr("mnistzoo.data.cache.MAX_CACHE_BYTES", 10)
    assert [converted(copies[2], monkeypatch)[1] for _ in range(2)] == [10, 0]
    assert len(list(cache.iterdir())) == 1
    (cache / "0.msgpack").symlink_to("missing")  # what cannot be removed keeps no other
    (cache / "1.msgpack").mkdir()
    converted(copies[0], monkeypatch)
    assert len(list(cache.glob("*.msgpack"))) == 3


def test_idx_files_are_cached_by_what_was_read(few, tmp_path, cache, monkeypatch):
    """They are read before they are converted, and may change in between."""
    images = np.pad(few.images[:20].numpy(), ((0, 0), (1, 1), (1, 1)))
    folder = write_idx(tmp_path / "idx", images, few.labels[:20])
    before, _ = converted(
        folder,
        monkeypatch,
        style="mnist",
        on_image=lambda *_: write_idx(folder, images[::-1], few.labels[:20]),
    )
    after, count = converted(folder, monkeypatch, style="mnist")
    assert (count, after.digest != before.digest) == (20, True)
    write_idx(folder, images, few.labels[:20])
    again, none = converted(folder, monkeypatch, style="mnist")
    assert (none, again.digest) == (0, before.digest)


def test_the_cache_is_where_users_expect_it(tmp_path, monkeypatch):
    """MNISTZOO_CACHE names the folder. Without it, the folder is in the user's cache folder."""
    monkeypatch.setenv("MNISTZOO_CACHE", "here")
    assert cache_folder() == Path("here")
    monkeypatch.setenv("MNISTZOO_CACHE", "")
    assert cache_folder() is None
    monkeypatch.delenv("MNISTZOO_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache_folder() == tmp_path / "mnistzoo"
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert cache_folder() == Path.home() / ".cache" / "mnistzoo"


def test_a_cache_that_cannot_be_written_is_left_out(drawn, tmp_path, monkeypatch):
    """The images are read as without a cache."""
    (tmp_path / "file").touch()
    monkeypatch.setenv("MNISTZOO_CACHE", str(tmp_path / "file"))
    assert [converted(drawn, monkeypatch)[1] for _ in range(2)] == [10, 10]


def test_a_wrong_style_is_noticed(few, drawn, cache):
    """Filled shapes do not fit the style mnist, nor dark strokes on paper the style plain."""
    yy, xx = np.mgrid[:28, :28]
    shapes = np.stack([200 * (np.hypot(yy - 14, xx - 14) < radius) for radius in range(6, 12)])
    labels = [0, 1] * 3
    with pytest.warns(UserWarning, match="filled shapes"):
        load_dataset((shapes.astype(np.uint8), labels), style="mnist")
    with pytest.warns(UserWarning, match="dark strokes on a light background"):
        load_dataset((255 - few.images, few.labels))
    load_dataset((shapes.astype(np.uint8), labels))
    load_dataset((255 - shapes.astype(np.uint8), labels))
    load_dataset((255 - few.images[:50], few.labels[:50]), style="mnist")
    for path in drawn.rglob("*.png"):
        pixels = 255 - np.asarray(Image.open(path))
        Image.fromarray(pixels).save(path)
    for _ in range(2):  # the second time, from the cache
        with pytest.warns(UserWarning, match="dark strokes"):
            load_dataset(drawn, style="plain")
    for digit, name in ("5", "five"), ("7", "seven"):
        (drawn / name).rename(drawn / digit)
    _, err = invoke("evaluate", "exp5", "--data", drawn, "--style", "plain")
    assert err.startswith("mnistzoo: Most images show dark strokes")


@pytest.mark.skipif(not FASHION.exists(), reason="needs Debian's dataset-fashion-mnist")
def test_fashion_mnist_is_not_handwriting():
    """Its training images, on which the criterion was chosen, are filled shapes."""
    found = load_dataset(FASHION, split="train")
    for start in range(0, 60_000, 12_000):
        part = range(start, start + 64)
        assert "filled shapes" in check_style(found.images[part].numpy(), "mnist")
        digits = mnistzoo.mnist(train=True).images[part].numpy()
        assert check_style(digits, "mnist") is check_style(digits, "plain") is None
        assert check_style(found.images[part].numpy(), "plain") is None


@pytest.mark.skipif(os.name == "nt", reason="links need rights on Windows")
def test_a_link_to_the_folder_is_not_a_class(drawn):
    """A link that leads to the dataset itself does not become a class of all its images."""
    before = load_dataset(drawn)
    (drawn / "loop").symlink_to(".")
    (drawn / "up").symlink_to("..")
    assert load_dataset(drawn).digest == before.digest


def test_the_digest_depends_on_images_labels_and_names(few):
    """Equal datasets have equal digests; any change gives another."""
    found = load_dataset(few)
    changed = found.images.clone()
    changed[3, 3, 3] += 1
    others = [
        ImageDataset(found.images.clone(), found.labels.clone(), found.classes),
        ImageDataset(changed, found.labels, found.classes),
        ImageDataset(found.images, found.labels.flip(0), found.classes),
        ImageDataset(found.images, found.labels, found.classes[::-1]),
    ]
    assert found.digest == others[0].digest
    assert len({found.digest, *(other.digest for other in others)}) == 4


@pytest.mark.parametrize(
    ("source", "error", "message"),
    [
        ("no such folder", FileReadError, "There is no folder"),
        (b"bytes", InputError, "Expected the path of a folder"),
        (None, InputError, "got NoneType"),
        (torch.zeros(3), InputError, "got Tensor"),
        ((torch.zeros(2, 28, 28), [0]), InputError, "2 images and 1 labels"),
        ((torch.zeros(2, 28, 28), [0, -1]), InputError, "whole numbers from 0, got -1"),
        ((torch.zeros(2, 28, 28), [0, 0]), DataError, "two classes or more, got 1"),
        ((torch.zeros(0, 28, 28), []), InputError, "one or more images"),
        ((torch.zeros(2, 28), [0, 1]), InputError, "of shape"),
        ((torch.zeros(2, 28, 28) - 1, [0, 1]), InputError, "-1 to -1"),
        ((torch.zeros(2, 28, 28) / 0, [0, 1]), InputError, "nan to nan"),
        (([torch.zeros(28, 28), torch.zeros(9, 9)], [0, 1]), InputError, "equal shapes"),
        (Named(torch.zeros(2, 28, 28), torch.tensor([0, 3])), InputError, "from 0 to 2"),
        (TensorDataset(torch.zeros(2, 28, 28)), InputError, "a pair (image, label), or"),
        (
            TensorDataset(torch.zeros(2, 28, 28), torch.tensor([0, -1])),
            InputError,
            "from 0, got -1",
        ),
        (TensorDataset(torch.zeros(2, 28, 28), torch.tensor([0, 0.5])), InputError, "got 0.5"),
        (TensorDataset(torch.zeros(2, 28, 28), torch.eye(9)[:2]), InputError, "got [1.0, 0.0, "),
        (Rows([{"image": torch.zeros(28, 28), "label": "7"}]), InputError, "from 0, got '7' at"),
        (Rows([{"image": torch.zeros(28, 28), "label": None}]), InputError, "got None at index 0"),
        (Rows([{"image": torch.zeros(28, 28), "label": 2**64}]), InputError, "got 1844"),
        (Rows([{"image": torch.zeros(28, 28, 1), "label": 0}]), InputError, "lengths (28, 28, 1)"),
        (TensorDataset(torch.zeros(2, 28, 28), torch.zeros(2)), DataError, "two classes or more"),
        (TensorDataset(torch.zeros(0, 28, 28), torch.zeros(0)), InputError, "an empty one"),
        (Rows([{"img": torch.zeros(28, 28), "label": 0}]), InputError, "got another"),
    ],
)
def test_other_sources_are_refused(source, error, message):
    """Each wrong source ends in one error of one line."""
    with pytest.raises(MnistZooError, match=re.escape(message)) as caught:
        load_dataset(source)
    assert type(caught.value) is error
    assert "\n" not in str(caught.value)


def test_wrong_options_are_refused(few):
    """A style or split that does not exist is named."""
    for options in {"style": "fancy"}, {"split": "validation"}:
        with pytest.raises(InputError, match=r"fancy|validation"):
            load_dataset(few, **options)
    with pytest.raises(InputError, match="Expected on_image to be a function, got 5"):
        load_dataset(few, on_image=5)
    with pytest.raises(InputError, match="Expected on_batch to be a function, got 5"):
        mnistzoo.evaluate(mnistzoo.exp5(), few, on_batch=5)


def test_wrong_folders_are_refused(tmp_path, few):
    """An empty folder, one class, an empty class and half a pair of IDX files are refused."""
    with pytest.raises(DataError, match="Found neither"):
        load_dataset(tmp_path)
    (tmp_path / "one").mkdir()
    with pytest.raises(DataError, match=r"found none in .*one"):
        load_dataset(tmp_path)
    Image.new("L", (28, 28)).save(tmp_path / "one" / "x.png")
    with pytest.raises(DataError, match=r"two classes or more, got 1 \(one\)"):
        load_dataset(tmp_path)
    half = write_idx(tmp_path / "half", few.images, few.labels)
    (half / "train-labels-idx1-ubyte.gz").unlink()
    with pytest.raises(DataError, match="no labels for the train split"):
        load_dataset(half)
    several = write_idx(tmp_path / "several", few.images, few.labels, prefix="a-")
    write_idx(several, few.images, few.labels, prefix="b-")
    with pytest.raises(DataError, match=r"those of 2 \(a-, b-\)"):
        load_dataset(several)


IMAGES = np.zeros((2, 28, 28), np.uint8)

DAMAGED = {
    "empty": (b"", "not an IDX file"),
    "another file": (b"PK" * 50, "not an IDX file"),
    "floats": (idx(IMAGES, kind=13), "not an IDX file"),
    "labels": (idx([0, 1]), "not an IDX file"),
    "cut short": (idx(IMAGES)[:-1], "it holds 1,583"),
    "too long": (idx(IMAGES) + b"\0", "it holds more"),
    "no images": (idx(IMAGES[:0]), "it is empty"),
    "a lie": (idx(IMAGES, shape=(1_000_000, 28, 28)), "its header states 784,000,016"),
    "a huge lie": (idx(IMAGES, shape=(2**32 - 1,) * 3), "expected at most"),
    "damaged gzip": (gzip.compress(idx(IMAGES))[:20], "it is not an IDX|it holds"),
}


@pytest.mark.parametrize("compress", [True, False])
@pytest.mark.parametrize("fault", list(DAMAGED))
def test_damaged_idx_files_are_refused(tmp_path, fault, compress):
    """A file that lies about its size is refused before anything of that size is allocated."""
    content, message = DAMAGED[fault]
    write_idx(tmp_path, IMAGES, [0, 1], compress=compress)
    path = tmp_path / f"train-images-idx3-ubyte{'.gz' if compress else ''}"
    path.write_bytes(gzip.compress(content) if compress else content)
    tracemalloc.start()
    try:
        with pytest.raises(DataError, match=message):
            load_dataset(tmp_path)
        assert tracemalloc.get_traced_memory()[1] < 2**22
    finally:
        tracemalloc.stop()


def test_a_gzip_bomb_is_refused_at_the_stated_size(tmp_path):
    """What follows the stated size is not decompressed."""
    write_idx(tmp_path, IMAGES, [0, 1])
    bomb = gzip.compress(idx(IMAGES) + bytes(2**26), 9)
    (tmp_path / "train-images-idx3-ubyte.gz").write_bytes(bomb)
    tracemalloc.start()
    try:
        with pytest.raises(DataError, match="it holds more"):
            load_dataset(tmp_path)
        assert tracemalloc.get_traced_memory()[1] < 2**22
    finally:
        tracemalloc.stop()


@pytest.mark.skipif(not FASHION.exists(), reason="needs Debian's dataset-fashion-mnist")
def test_fashion_mnist_is_read_as_debian_packages_it():
    """The real files hold 60,000 and 10,000 images, as many of each class."""
    for split, count in ("train", 6_000), ("test", 1_000):
        found = load_dataset(FASHION, split=split)
        assert found.labels.bincount().tolist() == [count] * 10
        assert found.images.shape == (10 * count, 28, 28)
    raw = gzip.decompress((FASHION / "t10k-images-idx3-ubyte.gz").read_bytes())
    assert found.images.numpy().tobytes() == raw[16:]


@pytest.mark.skipif(not FASHION.exists(), reason="needs Debian's dataset-fashion-mnist")
def test_fashion_mnist_is_learned():
    """The recipe `fashion` learns clothes: two short epochs classify most held-out images."""
    train = load_dataset(FASHION, split="train")
    held_out = train.take(torch.arange(59_000, 60_000))
    recipe = replace(get_recipe("fashion", "exp5"), epochs=2, images=6_000)
    model, result = mnistzoo.train("exp5", train, test=held_out, recipe=recipe)
    assert (result.accuracy > 0.75, result.total, model.style) == (True, 1000, "plain")


def test_evaluation_matches_classes_by_name(few, drawn):
    """A folder with some of the digits is evaluated under the numbers that name them."""
    model = mnistzoo.exp5(pretrained=True)
    (drawn / "five").rename(drawn / "5")
    with pytest.raises(InputError, match="got some of seven"):
        mnistzoo.evaluate(model, load_dataset(drawn))
    (drawn / "seven").rename(drawn / "7")
    result = mnistzoo.evaluate(model, load_dataset(drawn))
    assert result.accuracy == 1
    assert sorted(set(result.labels.tolist())) == [5, 7]
    assert [(row.name, row.correct, row.total) for row in result.per_class] == [
        ("5", 5, 5),
        ("7", 5, 5),
    ]
    named = Named(few.images, few.labels % 2)
    assert mnistzoo.evaluate(mnistzoo.exp1(num_classes=3), named).classes == Named.classes
    assert mnistzoo.evaluate(model, TensorDataset(few.images, few.labels)).accuracy == 1


def invoke(*args, status=0):
    """Run a command in this process; give what it prints on stdout and stderr."""
    result = CliRunner().invoke(app, list(map(str, args)), catch_exceptions=False)
    assert result.exit_code == status, result.output
    return result.stdout, result.stderr


def test_commands_take_a_folder(drawn, tmp_path):
    """`evaluate --data` states intervals and classes, and names skipped images on stderr."""
    (drawn / "five").rename(drawn / "5")
    (drawn / "seven").rename(drawn / "7")
    (drawn / "5" / "0.png").write_bytes(b"no image")
    arguments = "evaluate", "exp5", "--data", drawn, "--per-class", "--confusion"
    out, err = invoke(*arguments, "--format", "json")
    (record,) = json.loads(out)
    assert (record["correct"], record["total"]) == (9, 9)
    assert record["interval"] == list(wilson_interval(9, 9))
    assert [row["name"] for row in record["classes"]] == ["5", "7"]
    assert record["classes"][0]["total"] == record["confusion"][5][5] == 4
    assert re.search(r"skipped \S*0\.png: not an image", err)
    assert "skipped 1 of 10 images" in err
    out, _ = invoke(*arguments)
    assert "70.08% to 100.00%" in out
    with pytest.raises(ImageError, match="not an image"):
        invoke(*arguments, "--strict")
    for figure in "confusion", "errors", "reliability":
        invoke("plot", figure, "exp5", "--data", drawn, "-o", tmp_path / f"{figure}.svg")
        assert (tmp_path / f"{figure}.svg").read_text("utf8").startswith("<?xml")
        with pytest.raises(ImageError, match="not an image"):
            invoke("plot", figure, "exp5", "--data", drawn, "--strict")
        assert "need --data" in invoke("plot", figure, "exp5", "--strict", status=2)[1]


@given(st.integers(1, 3000).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_intervals_are_those_of_scipy(counts):
    """The interval is Wilson's as SciPy computes it, up to the rounding of 1.96."""
    found = binomtest(*counts).proportion_ci(0.95, method="wilson")
    assert wilson_interval(*counts) == pytest.approx((found.low, found.high), abs=1e-4)


def test_a_plain_model_reads_plain_images(drawn, tmp_path):
    """`predict` and `evaluate` convert images in the style of the model; a page needs the other."""
    model = mnistzoo.exp1(pretrained=True)
    model.style = "plain"
    model.save_pretrained(tmp_path / "plain")
    image = Image.open(drawn / "five" / "0.png")
    image.resize((90, 90)).save(drawn / "five" / "0.png")
    (drawn / "five").rename(drawn / "5")
    (drawn / "seven").rename(drawn / "7")
    path = drawn / "5" / "0.png"
    expected = mnistzoo.exp1(pretrained=True)(normalize(torch.from_numpy(to_gray(path))[None]))
    found = model.predict(path).probabilities
    assert np.allclose(found, expected.exp().tolist(), atol=1e-6)
    assert np.allclose(load_folder(tmp_path / "plain").predict(path).probabilities, found, 1e-4)
    with pytest.raises(InputError, match="got 'plain'"):
        model.read(path)
    for name, bits in ("x.html", None), ("x.h", 8), ("x.onnx", 8):
        with pytest.raises(InputError, match=r"got 'plain': .*\. Export it as \.onnx"):
            export(model, tmp_path / name, bits=bits)
    assert metadata(model)["style"] == "plain"
    assert "black 0 and white 1" in metadata(model.fused())["input"]
    options = "--data", drawn, "--format", "json"
    records = [
        json.loads(invoke("evaluate", tmp_path / "plain", *options, *more)[0])
        for more in ([], ["--style", "plain"], ["--style", "mnist"])
    ]
    assert records[0] == records[1] != records[2]
