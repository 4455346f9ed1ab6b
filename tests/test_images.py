"""Pictures of any kind become MNIST's, and what is no picture is refused with one clear error."""

import io
import pickle
import subprocess
import sys
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
from mnistzoo.data.mnist import mnist, normalize
from mnistzoo.errors import FileReadError, ImageError, InputError, MnistZooError
from mnistzoo.images import loading
from mnistzoo.images.grayscale import gray_levels, shrink, shrink_factor
from mnistzoo.images.preprocessing import to_mnist


@pytest.fixture(scope="module")
def digits():
    """The test images, uint8."""
    return mnist(train=False).images


@pytest.fixture(scope="module")
def page(digits):
    """A grey photograph of one 5: dark on light, off centre, 240 wide and 180 high."""
    five = Image.fromarray(digits[8].numpy()).resize((84, 84), Image.Resampling.BICUBIC)
    paper = np.full((180, 240), 220, np.uint8)
    paper[60:144, 20:104] -= (np.asarray(five) * 0.7).astype(np.uint8)
    return Image.fromarray(paper)


def encoded(image, kind="PNG", **options):
    """The bytes of a file."""
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()


def difference(a, b):
    """Mean absolute difference of two 28×28 pictures, in grey levels of 255."""
    return np.abs(a.astype(float) - b).mean()


def test_mnist_passes_through_unchanged(digits):
    """All 10,000 test images come out bit for bit as `normalize` makes them of the pixels."""
    transform = mnistzoo.transforms()
    assert torch.equal(torch.stack([transform(digit) for digit in digits]), normalize(digits))


def test_training_images_pass_through_unchanged():
    """So does every tenth of those that the networks learn from."""
    images = mnist(train=True).images[::10]
    assert all(np.array_equal(to_mnist(image), image) for image in images)


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
def test_mnist_passes_through_in_every_form(digits, form):
    """An MNIST image is the same whether array, tensor, PIL image or file, of any dtype."""
    for digit in digits[:20]:
        assert np.array_equal(to_mnist(form(digit)), digit)


def test_transform_is_for_datasets(digits, tmp_path):
    """It survives pickling, as a DataLoader's workers need, and works as torchvision's do."""
    from torchvision.datasets import ImageFolder

    (tmp_path / "seven").mkdir()
    Image.fromarray(digits[0].numpy()).save(tmp_path / "seven" / "0.png")
    transform = pickle.loads(pickle.dumps(mnistzoo.transforms()))
    image, _ = ImageFolder(str(tmp_path), transform=transform)[0]
    assert image.dtype == torch.float32
    assert torch.equal(image, normalize(digits[:1])[0])


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
def test_white_is_one(white, dtype, scale):
    """The scale is the least of 1, 255 and 65,535 that holds all pixels."""
    levels = gray_levels(np.array([[0, white]], dtype))
    assert levels.dtype == np.float32
    assert levels.tolist() == [[0.0, float(np.float32(white) / np.float32(scale))]]


@pytest.mark.parametrize(
    ("sides", "factor"), [((1600, 9), 1), ((9, 1601), 2), ((3200, 3200), 2), ((3201, 1), 3)]
)
def test_large_pictures_are_shrunk_to_1600(sides, factor):
    """By the least whole number that brings the longer side there."""
    assert shrink_factor(*sides) == factor


def test_a_large_picture_is_the_mean_of_its_blocks():
    """Twice as wide as may be, it is shrunk by two along both sides."""
    levels = np.random.default_rng(0).random((10, 3200), np.float32)
    blocks = levels.reshape(5, 2, 1600, 2).mean((1, 3))
    np.testing.assert_allclose(shrink(levels), blocks, atol=1e-6)


@pytest.mark.parametrize("mode", ["1", "L", "LA", "RGB", "RGBA", "P", "I;16", "I", "F", "CMYK"])
def test_modes_agree(page, mode):
    """The same photograph in another mode gives the same digit, but for rounding."""
    if mode == "I;16":
        other = Image.fromarray(np.asarray(page).astype(np.uint16) * 257)
    elif mode == "1":
        other = page.point(lambda level: 255 * (level > 150)).convert("1")
    else:
        other = page.convert(mode)
    assert other.mode == mode
    assert difference(to_mnist(other), to_mnist(page)) < (8 if mode == "1" else 2)


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF", "PPM"])
def test_files_agree(page, kind, tmp_path):
    """A file of any format read gives the digit of the picture, by path and by bytes."""
    path = tmp_path / "five"
    path.write_bytes(encoded(page, kind))
    for source in (path, str(path), path.read_bytes()):
        assert difference(to_mnist(source), to_mnist(page)) < 4


@pytest.mark.parametrize("kind", ["TGA", "PCX", "SGI"])
def test_formats_that_are_not_read(page, kind):
    """What Pillow could decode is refused where this library does not name its format."""
    with pytest.raises(ImageError, match="not an image in a supported format"):
        to_mnist(encoded(page.convert("RGB"), kind))


def test_a_large_photograph_keeps_its_size(page):
    """A JPEG that is decoded smaller than it is stored is told as large as it is stored."""
    large = page.resize((page.width * 20, page.height * 20))
    opened = loading.load_grayscale(encoded(large, "JPEG"))
    assert opened.size == large.size
    assert max(opened.levels.shape) <= loading.WORKING_SIDE


@pytest.mark.parametrize("factor", [1, 2, 5])
def test_copies_of_pixels_are_taken_back(digits, factor):
    """A digit enlarged by repeating its pixels is opened as it was, and its size is told."""
    enlarged = np.kron(digits[0], np.ones((factor, factor), np.uint8))
    opened = loading.load_grayscale(enlarged)
    assert opened.size == (28 * factor, 28 * factor)
    assert np.array_equal(opened.levels, loading.load_grayscale(digits[0]).levels)
    assert opened.levels.shape == (28, 28)


def test_ink_may_be_light(page):
    """A negative gives the same digit."""
    negative = Image.fromarray(255 - np.asarray(page))
    assert difference(to_mnist(negative), to_mnist(page)) < 2


@pytest.mark.parametrize("orientation", range(1, 9))
def test_cameras_held_otherwise(page, orientation):
    """EXIF's orientation is undone: a picture stored sideways is seen upright, `size` too."""
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
    assert difference(to_mnist(data), to_mnist(page)) < 1


@pytest.mark.parametrize("ink", [0, 255])
def test_drawings_on_nothing(page, ink):
    """Black or white ink on a transparent ground is seen, whatever lies under the transparency."""
    alpha = Image.fromarray(((220 - np.asarray(page)) / 178 * 255).astype(np.uint8))
    drawing = Image.merge("LA", (Image.new("L", page.size, ink), alpha))
    assert difference(to_mnist(drawing), to_mnist(page)) < 3


@settings(deadline=None, max_examples=40)
@given(
    scale=st.sampled_from([1, 2, 5]),
    left=st.integers(0, 60),
    top=st.integers(0, 60),
    dark=st.floats(0.2, 0.9),
)
def test_place_size_and_darkness_do_not_matter(scale, left, top, dark):
    """A digit moved, enlarged by whole pixels or paler is drawn nearly the same."""
    digit = mnist(train=False).images[8].numpy()[4:24, 4:24]

    def photograph(factor, x, y, strength):
        paper = np.full((60 + 20 * factor + y, 60 + 20 * factor + x), 230.0)
        ink = np.kron(digit / 255, np.ones((factor, factor)))
        paper[30 + y : 30 + y + len(ink), 30 + x : 30 + x + len(ink)] -= 230 * strength * ink
        return paper.astype(np.uint8)

    seen = to_mnist(photograph(scale, left, top, dark))
    assert difference(seen, to_mnist(photograph(2, 0, 0, 0.8))) < 10


@settings(deadline=None, max_examples=60)
@given(st.integers(1, 40), st.integers(1, 40), st.integers(0, 2**32 - 1))
def test_what_comes_out_is_in_mnists_style(height, width, seed):
    """Whatever has ink comes out 20 pixels long, centred by mass, white at its strongest."""
    noise = np.random.default_rng(seed).integers(0, 2, (height, width), np.uint8) * 255
    try:
        seen = to_mnist(noise)
    except ImageError:
        return
    rows, columns = (np.flatnonzero(seen.any(axis)) for axis in (1, 0))
    assert max(np.ptp(rows), np.ptp(columns)) + 1 in range(18, 21)
    assert seen.max() > 200


@pytest.mark.parametrize(
    ("picture", "message"),
    [
        (np.full((100, 100), 255, np.uint8), "No digit was found"),
        (np.zeros((100, 100), np.uint8), "No digit was found"),
        (np.zeros((28, 28), np.uint8), "No digit was found"),
        (np.zeros((1, 1), np.uint8), "No digit was found"),
        (np.full((64, 64, 4), 255, np.uint8), "No digit was found"),
        (np.zeros((64, 64, 4), np.uint8), "No digit was found"),
        (torch.ones(3, 40, 40), "No digit was found"),
        (np.broadcast_to(np.uint8(0), (20_000, 20_000)), "too large"),
        (Image.new("1", (20_000, 20_000)), "too large"),
        (np.zeros((0, 28), np.uint8), "with pixels"),
        (b"", "not an image"),
        (b"no picture at all, only words", "not an image"),
    ],
)
def test_pictures_without_a_digit(picture, message):
    """Blank, black, tiny, huge or no pictures: the error is a ImageError and says which."""
    with pytest.raises(ImageError, match=message):
        to_mnist(picture)


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
def test_what_is_no_picture(thing, message):
    """Objects, shapes, dtypes and ranges that no picture has are an InputError that says which."""
    with pytest.raises(InputError, match=message):
        to_mnist(thing)


def test_uneven_paper_is_still_blank():
    """Shade, grain and JPEG's blocks are not ink."""
    rng = np.random.default_rng(0)
    shade = np.linspace(140, 230, 400)[:, None] + np.linspace(-20, 20, 300)
    paper = np.clip(shade + rng.normal(0, 5, shade.shape), 0, 255).astype(np.uint8)
    with pytest.raises(ImageError, match="No digit was found"):
        to_mnist(encoded(Image.fromarray(paper), "JPEG", quality=50))


def test_files_that_cannot_be_read(tmp_path):
    """A missing file, a directory, a device, and a name with a null are a FileReadError."""
    for path in (tmp_path / "missing.png", tmp_path, "/dev/zero", "nul\0.png"):
        with pytest.raises(FileReadError, match="Cannot read"):
            to_mnist(path)


def test_damaged_files(page):
    """A file cut anywhere, or altered in a byte, gives a digit or a ImageError, no warning."""
    rng = np.random.default_rng(0)
    for kind in ("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF", "PPM"):
        data = encoded(page, kind)
        broken = [data[: rng.integers(len(data))] for _ in range(8)]
        for _ in range(12):
            altered = bytearray(data)
            altered[rng.integers(min(len(data), 400))] ^= int(rng.integers(1, 256))
            broken.append(bytes(altered))
        with warnings.catch_warnings(record=True) as seen:
            warnings.simplefilter("always")
            for sample in broken:
                with suppress(ImageError):
                    to_mnist(sample)
        assert not seen
    with pytest.raises(ImageError, match="cut short"):
        to_mnist(encoded(page, "PNG")[:-100])


def test_decompression_bomb_is_refused_from_its_header():
    """A few kilobytes that claim a gigapixel take neither time nor memory."""
    import resource

    bomb = encoded(Image.new("1", (32_000, 32_000)))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(ImageError, match="too large"):
        to_mnist(bomb)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 50_000


@settings(deadline=None, max_examples=200)
@given(
    st.binary(max_size=300),
    st.sampled_from(
        [b"", b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"BM", b"GIF89a", b"II*\0", b"P5 9 9 255\n"]
    ),
)
def test_only_library_errors_escape_from_bytes(data, start):
    """Random bytes, also behind the signature of a format, never raise another library's error."""
    with suppress(MnistZooError):
        to_mnist(start + data)


@settings(deadline=None, max_examples=150)
@given(
    st.data(),
    st.sampled_from(["uint8", "bool", "uint16", "int64", "float32", "float64", "int8", "U1"]),
)
def test_only_library_errors_escape_from_arrays(data, dtype):
    """So do random arrays of any shape and dtype, as arrays and as tensors."""
    shape = data.draw(hnp.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=12))
    array = data.draw(hnp.arrays(dtype, shape))
    forms = [array] if dtype in ("uint16", "U1") else [array, torch.from_numpy(array.copy())]
    for form in forms:
        with suppress(MnistZooError):
            assert to_mnist(form).shape == (28, 28)


@pytest.fixture(scope="module")
def model():
    """A network with weights that mean nothing, the same each time, in training mode."""
    torch.manual_seed(0)
    return mnistzoo.exp5()


def test_prediction(model, page):
    """Probabilities sum to 1, the label is their maximum, and they are the network's own."""
    got = model.predict(page)
    assert got.label == int(np.argmax(got.probabilities))
    assert got.probability == max(got.probabilities)
    assert sum(got.probabilities) == pytest.approx(1)
    expected = mnistzoo.exp5()
    expected.load_state_dict(model.state_dict())
    log_probabilities = expected.eval()(mnistzoo.transforms()(page).unsqueeze(0))
    assert got.probabilities == pytest.approx(log_probabilities.exp()[0].tolist(), abs=1e-6)


def test_predicting_changes_nothing(model, page):
    """The network keeps its mode, its running averages and its gradients' switch."""
    before = {name: value.clone() for name, value in model.state_dict().items()}
    model.train().predict(page)
    assert model.training
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())
    assert all(parameter.requires_grad for parameter in model.parameters())


def test_a_list_gives_a_list(model, digits, page):
    """Each of a list or a tuple, of any length, is predicted as it is alone."""
    mixed = [*digits[:300], page, encoded(page)]
    together = model.predict(mixed)
    assert len(together) == 302
    for index in (0, 255, 256, 300, 301):
        alone = model.predict(mixed[index])
        assert together[index].probabilities == pytest.approx(alone.probabilities, abs=1e-5)
    assert model.predict((page,)) == [model.predict(page)]


def test_the_bad_one_of_a_list_is_named(model, digits, tmp_path):
    """By its index, and its path where it has one; the error's class stays."""
    with pytest.raises(ImageError, match=r"Image 1: .*No digit was found"):
        model.predict([digits[0], torch.zeros(40, 40), digits[1]])
    with pytest.raises(FileReadError, match=r"Image 2 \(.*gone\.png\)"):
        model.predict([digits[0], digits[1], tmp_path / "gone.png"])
    with pytest.raises(InputError, match="empty"):
        model.predict([])


def test_other_classes(digits):
    """A network with another head predicts among its own classes."""
    model = mnistzoo.exp1(num_classes=26)
    assert len(model.predict(digits[0]).probabilities) == 26


def test_reading_a_page(model, digits):
    """Digits are found line by line from left to right, each in its box, specks passed over."""
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


def test_boxes_are_in_pixels_of_the_picture(model):
    """A photograph too large to work on whole still gives boxes on its own scale."""
    page = np.full((1000, 4000), 240, np.uint8)
    page[300:700, 1000:1100] = 30
    page[200:800, 2500:2620] = 30
    boxes = [digit.box for digit in model.read(encoded(Image.fromarray(page), "JPEG"))]
    assert np.allclose(boxes, [(1000, 300, 1100, 700), (2500, 200, 2620, 800)], atol=6)


def test_a_broken_stroke_is_one_digit(model):
    """A 5 whose bar stands apart is one digit, and the dot beside it none."""
    page = np.full((200, 300), 240, np.uint8)
    page[50:150, 60:70] = page[140:150, 60:110] = page[95:105, 60:110] = page[100:150, 100:110] = 20
    page[36:44, 66:112] = 20
    page[140:148, 140:148] = 20
    page[40:150, 200:212] = 20
    boxes = [digit.box for digit in model.read(page)]
    assert np.allclose(boxes, [(60, 36, 112, 150), (200, 40, 212, 150)], atol=2)


def test_importing_a_network_imports_no_picture_library():
    """`exp5()` needs neither SciPy nor Pillow; only pictures do."""
    code = (
        "import sys, mnistzoo; mnistzoo.exp5()\n"
        "print([name for name in ('scipy', 'PIL', 'torchvision') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_a_file_of_the_most_bytes_is_read(tmp_path, test_images, monkeypatch):
    """Of exactly as many bytes as a picture may take one is read, of one more it is refused."""
    path = tmp_path / "digit.png"
    Image.fromarray(test_images.images[0].numpy()).save(path)
    monkeypatch.setattr(loading, "MAX_BYTES", path.stat().st_size)
    assert to_mnist(path).shape == (28, 28)
    monkeypatch.setattr(loading, "MAX_BYTES", path.stat().st_size - 1)
    with pytest.raises(ImageError, match="smaller size"):
        to_mnist(path)
