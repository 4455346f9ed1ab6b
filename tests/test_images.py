"""Images of any kind are converted to MNIST format; what is not an image is refused."""

import io
import pickle
import warnings
from contextlib import suppress

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from PIL import Image

import mnistzoo
from mnistzoo.data.mnist import mnist
from mnistzoo.errors import FileReadError, ImageError, InputError, MnistZooError
from mnistzoo.images import loading
from mnistzoo.images.grayscale import gray_levels, shrink, shrink_factor
from mnistzoo.images.preprocessing import to_mnist
from mnistzoo.images.transforms import normalize

FORMATS = ["PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF", "PPM"]


@pytest.fixture(scope="module")
def digits(test_images):
    """Return the test images, uint8."""
    return test_images.images


@pytest.fixture(scope="module")
def page(digits):
    """Return a photograph of one 5: dark on light, off center, 240 wide and 180 high."""
    five = Image.fromarray(digits[8].numpy()).resize((84, 84), Image.Resampling.BICUBIC)
    pixels = np.full((180, 240), 220, np.uint8)
    pixels[60:144, 20:104] -= (np.asarray(five) * 0.7).astype(np.uint8)
    return Image.fromarray(pixels)


@pytest.fixture(scope="module")
def expected(page):
    """Return the same 5 in MNIST format."""
    return to_mnist(page)


def encoded(image, kind="PNG", **options):
    """Return the bytes of a file."""
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()


def difference(a, b):
    """Return the mean absolute difference of two 28×28 images, in gray levels of 255."""
    return np.abs(a.astype(float) - b).mean()


@pytest.mark.parametrize(
    "images",
    [
        torch.zeros(2, 28, 28),
        torch.zeros(28, 28, dtype=torch.uint8),
        torch.zeros(2, 5, 7, dtype=torch.uint8),
        np.zeros((2, 28, 28), np.uint8),
        "digit.png",
    ],
)
def test_only_batches_of_mnist_images_are_normalized(images):
    """The error for another dtype or shape names the transform that accepts it."""
    with pytest.raises(InputError, match=r"uint8 tensor of shape \(N, 28, 28\).*transforms"):
        normalize(images)


@pytest.mark.parametrize("step", [20, pytest.param(1, marks=pytest.mark.slow)])
@pytest.mark.parametrize("train", [True, False])
def test_mnist_images_are_only_normalized(train, step):
    """The transform leaves MNIST's own images unchanged, bit for bit."""
    images = mnist(train=train).images[::step]
    transform = mnistzoo.transforms()
    assert torch.equal(torch.stack([transform(image) for image in images]), normalize(images))


@pytest.mark.parametrize(
    "form",
    [
        lambda digit: digit.numpy(),
        lambda digit: digit.unsqueeze(0),
        lambda digit: digit.expand(3, 28, 28),
        lambda digit: digit.numpy()[..., None],
        lambda digit: np.repeat(digit.numpy()[..., None], 3, 2),
        lambda digit: digit / 255,
        lambda digit: digit.numpy().astype(np.uint16) * 257,
        lambda digit: digit.double(),
        lambda digit: Image.fromarray(digit.numpy()),
        lambda digit: Image.fromarray(digit.numpy()).convert("RGB"),
        lambda digit: encoded(Image.fromarray(digit.numpy())),
        lambda digit: bytearray(encoded(Image.fromarray(digit.numpy()), "BMP")),
    ],
)
def test_mnist_images_are_unchanged_in_every_form(digits, form):
    """Arrays, tensors, PIL images and files of any dtype give the same pixels."""
    for digit in digits[:20]:
        assert np.array_equal(to_mnist(form(digit)), digit)


def test_the_transform_works_in_datasets(digits, tmp_path):
    """The transform can be pickled for a DataLoader, and passed to torchvision's datasets."""
    from torchvision.datasets import ImageFolder

    (tmp_path / "seven").mkdir()
    Image.fromarray(digits[0].numpy()).save(tmp_path / "seven" / "0.png")
    transform = pickle.loads(pickle.dumps(mnistzoo.transforms()))
    image, _ = ImageFolder(str(tmp_path), transform=transform)[0]
    assert image.dtype == torch.float32
    assert torch.equal(image, normalize(digits[:1])[0])


def test_converting_an_image_does_not_import_torch(new_python, page):
    """Only the transform needs torch; the conversion is NumPy."""
    code = (
        "import sys; from mnistzoo.images.preprocessing import find_digits, to_mnist\n"
        "data = bytes.fromhex(sys.argv[1])\n"
        "print(to_mnist(data).shape, len(find_digits(data)), 'torch' in sys.modules)"
    )
    assert new_python(code, encoded(page).hex()) == "(28, 28) 1 False\n"


@pytest.mark.parametrize(
    ("white", "dtype", "scale"),
    [
        *((True, bool, 1), (1, np.uint8, 1), (1, np.int64, 1), (2, np.uint8, 255)),
        *((255, np.uint8, 255), (200, np.uint16, 255), (256, np.uint16, 65535)),
        *((65535, np.uint16, 65535), (65535, np.int64, 65535), (0.5, np.float64, 1)),
        *((1.0, np.float32, 1), (1.5, np.float32, 255), (255.0, np.float32, 255)),
        *((255.5, np.float64, 65535), (65535.0, np.float32, 65535)),
    ],
)
def test_white_becomes_one(white, dtype, scale):
    """White is the smallest of 1, 255 and 65,535 that no pixel exceeds."""
    levels = gray_levels(np.array([[0, white]], dtype))
    assert levels.dtype == np.float32
    assert levels.tolist() == [[0.0, float(np.float32(white) / np.float32(scale))]]


@pytest.mark.parametrize(
    ("sides", "factor"), [((1600, 9), 1), ((9, 1601), 2), ((3200, 3200), 2), ((3201, 1), 3)]
)
def test_the_longer_side_shrinks_to_1600(sides, factor):
    """The factor is the least whole number that brings it there."""
    assert shrink_factor(*sides) == factor


def test_a_large_image_is_averaged():
    """An image twice as wide as allowed becomes the mean of 2×2 blocks."""
    levels = np.random.default_rng(0).random((10, 3200), np.float32)
    blocks = levels.reshape(5, 2, 1600, 2).mean((1, 3))
    np.testing.assert_allclose(shrink(levels), blocks, atol=1e-6)


@pytest.mark.parametrize("mode", ["1", "L", "LA", "RGB", "RGBA", "P", "I;16", "I", "F", "CMYK"])
def test_modes_agree(page, expected, mode):
    """The same photograph in another mode gives the same digit, up to rounding."""
    if mode == "I;16":
        other = Image.fromarray(np.asarray(page).astype(np.uint16) * 257)
    elif mode == "1":
        other = page.point(lambda level: 255 * (level > 150)).convert("1")
    else:
        other = page.convert(mode)
    assert other.mode == mode
    assert difference(to_mnist(other), expected) < (8 if mode == "1" else 2)


@pytest.mark.parametrize("kind", FORMATS)
def test_files_agree(page, expected, kind, tmp_path):
    """A file of any supported format gives the same digit, by path and by bytes."""
    path = tmp_path / "five"
    path.write_bytes(encoded(page, kind))
    for source in (path, str(path), path.read_bytes()):
        assert difference(to_mnist(source), expected) < 4


@pytest.mark.parametrize("kind", ["TGA", "PCX", "SGI"])
def test_other_formats_are_refused(page, kind):
    """Formats that Pillow could decode are refused if this library does not list them."""
    with pytest.raises(ImageError, match="not an image in a supported format"):
        to_mnist(encoded(page.convert("RGB"), kind))


def test_a_large_photograph_keeps_its_size(page):
    """A JPEG file that is decoded at a smaller size reports its stored size."""
    large = page.resize((page.width * 20, page.height * 20))
    loaded = loading.load_grayscale(encoded(large, "JPEG"))
    assert loaded.size == large.size
    assert max(loaded.levels.shape) <= loading.WORKING_SIDE


@pytest.mark.parametrize("factor", [1, 2, 5])
def test_repeated_pixels_are_removed(digits, factor):
    """An image enlarged by repeating pixels is loaded at its original size."""
    enlarged = np.kron(digits[0], np.ones((factor, factor), np.uint8))
    loaded = loading.load_grayscale(enlarged)
    assert loaded.size == (28 * factor, 28 * factor)
    assert loaded.levels.shape == (28, 28)
    assert np.array_equal(loaded.levels, loading.load_grayscale(digits[0]).levels)


def test_the_foreground_may_be_light(page, expected):
    """A negative gives the same digit."""
    assert difference(to_mnist(255 - np.asarray(page)), expected) < 2


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_undone(page, expected, orientation):
    """A photograph that is stored sideways is read upright, and its size is that of upright."""
    undo = {
        2: Image.Transpose.FLIP_LEFT_RIGHT,
        3: Image.Transpose.ROTATE_180,
        4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE,
        6: Image.Transpose.ROTATE_90,
        7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_270,
    }
    stored = page.transpose(undo[orientation]) if orientation > 1 else page
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = encoded(stored, exif=exif)
    assert loading.load_grayscale(data).size == page.size
    assert difference(to_mnist(data), expected) < 1


@pytest.mark.parametrize("level", [0, 255])
def test_transparent_drawings_are_read(page, expected, level):
    """A black or white drawing on a transparent background gives the same digit."""
    alpha = Image.fromarray(((220 - np.asarray(page)) / 178 * 255).astype(np.uint8))
    drawing = Image.merge("LA", (Image.new("L", page.size, level), alpha))
    assert difference(to_mnist(drawing), expected) < 3


@settings(max_examples=20)
@given(
    scale=st.sampled_from([1, 2, 5]),
    left=st.integers(0, 60),
    top=st.integers(0, 60),
    contrast=st.floats(0.2, 0.9),
)
def test_place_size_and_contrast_hardly_matter(digits, scale, left, top, contrast):
    """A digit that is moved, enlarged by whole pixels or paler is rendered nearly the same."""

    def photograph(factor, x, y, strength):
        pixels = np.full((60 + 20 * factor + y, 60 + 20 * factor + x), 230.0)
        digit = np.kron(digits[8, 4:24, 4:24].numpy() / 255, np.ones((factor, factor)))
        pixels[30 + y : 30 + y + len(digit), 30 + x : 30 + x + len(digit)] -= 230 * strength * digit
        return pixels.astype(np.uint8)

    rendered = to_mnist(photograph(scale, left, top, contrast))
    assert difference(rendered, to_mnist(photograph(2, 0, 0, 0.8))) < 10


@settings(max_examples=40)
@given(st.integers(1, 40), st.integers(1, 40), st.integers(0, 2**32 - 1))
def test_any_foreground_becomes_20_pixels_long(height, width, seed):
    """Whatever has a foreground comes out 20 pixels long, and white at its strongest."""
    noise = np.random.default_rng(seed).integers(0, 2, (height, width), np.uint8) * 255
    try:
        rendered = to_mnist(noise)
    except ImageError:
        return
    rows, columns = (np.flatnonzero(rendered.any(axis)) for axis in (1, 0))
    assert max(np.ptp(rows), np.ptp(columns)) + 1 in range(18, 21)
    assert rendered.max() > 200


@pytest.mark.parametrize(
    ("image", "message"),
    [
        (np.full((100, 100), 255, np.uint8), "No digit"),
        (np.zeros((100, 100), np.uint8), "No digit"),
        (np.zeros((28, 28), np.uint8), "No digit"),
        (np.zeros((1, 1), np.uint8), "No digit"),
        (np.full((64, 64, 4), 255, np.uint8), "No digit"),
        (np.zeros((64, 64, 4), np.uint8), "No digit"),
        (torch.ones(3, 40, 40), "No digit"),
        (np.broadcast_to(np.uint8(0), (20_000, 20_000)), "too large"),
        (Image.new("1", (20_000, 20_000)), "too large"),
        (np.zeros((0, 28), np.uint8), "with pixels"),
        (b"", "not an image"),
        (b"not an image, only words", "not an image"),
    ],
)
def test_images_without_a_digit_are_refused(image, message):
    """Blank, tiny, huge and undecodable images raise an ImageError that says why."""
    with pytest.raises(ImageError, match=message):
        to_mnist(image)


@pytest.mark.parametrize(
    ("thing", "message"),
    [
        (np.full((28, 28), np.nan), "finite"),
        (np.full((28, 28), np.inf, np.float32), "finite"),
        (np.full((28, 28), -0.4), "before it is normalized"),
        (np.full((28, 28), 1e9), "before it is normalized"),
        (np.zeros((28, 28), complex), "numeric"),
        (np.zeros((28, 28), object), "numeric"),
        (np.zeros((5, 28, 28), np.uint8), "as a list"),
        (torch.zeros(2, 28, 28), "as a list"),
        (torch.zeros(4, 1, 28, 28), "as a list"),
        (torch.zeros(28, 28, device="meta"), "meta"),
        (np.zeros(28), "shape"),
        (None, "NoneType"),
        (7, "int"),
        ([[0, 1], [1, 0]], "list"),
    ],
)
def test_other_objects_are_refused(thing, message):
    """Objects, shapes, dtypes and ranges that no image has raise an InputError that says why."""
    with pytest.raises(InputError, match=message):
        to_mnist(thing)


def test_uneven_paper_is_blank():
    """Shade, noise and JPEG blocks are not foreground."""
    rng = np.random.default_rng(0)
    shade = np.linspace(140, 230, 400)[:, None] + np.linspace(-20, 20, 300)
    paper = np.clip(shade + rng.normal(0, 5, shade.shape), 0, 255).astype(np.uint8)
    with pytest.raises(ImageError, match="No digit"):
        to_mnist(encoded(Image.fromarray(paper), "JPEG", quality=50))


def test_unreadable_files_are_refused(tmp_path):
    """A missing file, a folder, a device, a name with a null and a URL raise a FileReadError."""
    paths = (
        tmp_path / "missing.png",
        tmp_path,
        "/dev/zero",
        "nul\0.png",
        "https://example.org/7.png",
    )
    for path in paths:
        with pytest.raises(FileReadError, match="Cannot read"):
            to_mnist(path)


@pytest.mark.parametrize("kind", FORMATS)
def test_damaged_files_raise_no_other_errors(page, kind):
    """A file that is cut or altered anywhere gives a digit or an ImageError, and no warning."""
    rng = np.random.default_rng(0)
    data = encoded(page, kind)
    damaged = [data[: rng.integers(len(data))] for _ in range(8)]
    for _ in range(12):
        altered = bytearray(data)
        altered[rng.integers(min(len(data), 400))] ^= int(rng.integers(1, 256))
        damaged.append(bytes(altered))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for sample in damaged:
            with suppress(ImageError):
                to_mnist(sample)


def test_a_truncated_file_is_named_as_such(page):
    """The error says that the file may be truncated."""
    with pytest.raises(ImageError, match="truncated"):
        to_mnist(encoded(page)[:-100])


def test_a_decompression_bomb_is_refused_by_its_header():
    """A few bytes that claim a gigapixel take no memory."""
    import resource

    bomb = b"P4 32000 32000\n"
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(ImageError, match="too large"):
        to_mnist(bomb)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 50_000


def test_the_largest_file_is_read(tmp_path, digits, monkeypatch):
    """A file of `MAX_BYTES` is read, and one of a byte more is refused."""
    path = tmp_path / "digit.png"
    Image.fromarray(digits[0].numpy()).save(path)
    monkeypatch.setattr(loading, "MAX_BYTES", path.stat().st_size)
    assert to_mnist(path).shape == (28, 28)
    monkeypatch.setattr(loading, "MAX_BYTES", path.stat().st_size - 1)
    with pytest.raises(ImageError, match="smaller size"):
        to_mnist(path)


SIGNATURES = [
    b"",
    b"\x89PNG\r\n\x1a\n",
    b"\xff\xd8\xff",
    b"BM",
    b"GIF89a",
    b"II*\0",
    b"P5 9 9 255\n",
]


@given(st.binary(max_size=300), st.sampled_from(SIGNATURES))
def test_random_bytes_raise_no_other_errors(data, signature):
    """Random bytes raise this library's errors only, also behind the signature of a format."""
    with suppress(MnistZooError):
        to_mnist(signature + data)


@given(
    st.data(),
    st.sampled_from(["uint8", "bool", "uint16", "int64", "float32", "float64", "int8", "U1"]),
)
def test_random_arrays_raise_no_other_errors(data, dtype):
    """Arrays and tensors of any shape and dtype raise this library's errors only."""
    shape = data.draw(hnp.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=12))
    array = data.draw(hnp.arrays(dtype, shape))
    forms = [array] if dtype in ("uint16", "U1") else [array, torch.from_numpy(array.copy())]
    for form in forms:
        with suppress(MnistZooError):
            assert to_mnist(form).shape == (28, 28)


@pytest.fixture(scope="module")
def model():
    """Return a model with random weights, in training mode."""
    torch.manual_seed(0)
    return mnistzoo.exp5()


def test_a_prediction_is_the_models_output(model, page):
    """Probabilities are those of the model in evaluation mode; the label has the largest."""
    got = model.predict(page)
    assert got.label == int(np.argmax(got.probabilities))
    assert got.probability == max(got.probabilities)
    assert sum(got.probabilities) == pytest.approx(1)
    other = mnistzoo.exp5()
    other.load_state_dict(model.state_dict())
    log_probabilities = other.eval()(mnistzoo.transforms()(page)[None])
    assert got.probabilities == pytest.approx(log_probabilities.exp()[0].tolist(), abs=1e-6)


def test_predicting_does_not_change_the_model(model, page):
    """The model keeps its mode, its state and its `requires_grad`."""
    before = {name: value.clone() for name, value in model.state_dict().items()}
    model.train().predict(page)
    assert model.training
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())
    assert all(parameter.requires_grad for parameter in model.parameters())


def test_a_list_is_predicted_image_by_image(model, digits, page):
    """Each image of a list or a tuple gets the probabilities that it gets alone."""
    mixed = [*digits[:300], page, encoded(page)]
    together = model.predict(mixed)
    assert len(together) == 302
    for index in (0, 255, 256, 300, 301):
        alone = model.predict(mixed[index])
        assert together[index].probabilities == pytest.approx(alone.probabilities, abs=1e-5)
    assert model.predict((page,)) == [model.predict(page)]


def test_the_bad_image_of_a_list_is_named(model, digits, tmp_path):
    """The error keeps its class, and names the image by its index and its path."""
    with pytest.raises(ImageError, match=r"Image 1: .*No digit"):
        model.predict([digits[0], torch.zeros(40, 40), digits[1]])
    with pytest.raises(FileReadError, match=r"Image 2 \(.*gone\.png\)"):
        model.predict([digits[0], digits[1], tmp_path / "gone.png"])
    with pytest.raises(InputError, match="empty"):
        model.predict([])


def test_other_classes_are_predicted(digits):
    """A model with 26 classes gives a probability for each."""
    assert len(mnistzoo.exp1(num_classes=26).predict(digits[0]).probabilities) == 26


def test_a_page_is_read_in_reading_order(model, digits):
    """Digits come line by line from left to right, each with its box; specks are ignored."""
    page = np.full((400, 640), 235, np.uint8)
    places = [
        (40 + 120 * column, 60 + 160 * row + 6 * column) for row in (0, 1) for column in range(5)
    ]
    expected = []
    for digit, (left, top) in zip(digits[:10].numpy(), places, strict=True):
        large = np.kron(digit, np.ones((3, 3), np.uint8))
        page[top : top + 84, left : left + 84] -= (large * 0.8).astype(np.uint8)
        rows, columns = (np.flatnonzero((large > 127).any(axis)) for axis in (1, 0))
        expected.append(
            (left + columns[0], top + rows[0], left + columns[-1] + 1, top + rows[-1] + 1)
        )
    page[20:23, 300:303] = 0
    found = model.read(page)
    assert len(found) == 10
    for digit, box in zip(found, expected, strict=True):
        assert digit.box == pytest.approx(box, abs=2)
        assert digit.probability == max(digit.probabilities)


def test_boxes_are_in_pixels_of_the_original(model):
    """The boxes in a photograph that is shrunk are at its original scale."""
    page = np.full((1000, 4000), 240, np.uint8)
    page[300:700, 1000:1100] = 30
    page[200:800, 2500:2620] = 30
    boxes = [
        digit.box for digit in model.read(encoded(Image.fromarray(page), "JPEG"), keep_all=True)
    ]
    assert np.allclose(boxes, [(1000, 300, 1100, 700), (2500, 200, 2620, 800)], atol=6)


def test_a_detached_stroke_belongs_to_its_digit(model):
    """A 5 whose bar is detached is one digit; a dot beside it is not a digit."""
    page = np.full((200, 300), 240, np.uint8)
    page[50:150, 60:70] = page[140:150, 60:110] = page[95:105, 60:110] = page[100:150, 100:110] = 20
    page[36:44, 66:112] = 20
    page[140:148, 140:148] = 20
    page[40:150, 200:212] = 20
    boxes = [digit.box for digit in model.read(page, keep_all=True)]
    assert np.allclose(boxes, [(60, 36, 112, 150), (200, 40, 212, 150)], atol=2)
