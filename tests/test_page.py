"""The exported HTML page in a real browser, held to PyTorch and to the library's preprocessing."""

import base64
import io
import json
import re

import numpy as np
import pytest
import torch
from PIL import Image, ImageDraw, ImageFont

import mnistzoo
from browser import browser, needs_browser
from frames import MAKERS as FRAMES
from mnistzoo.errors import InputError
from mnistzoo.export import export
from mnistzoo.export.html import build_page
from mnistzoo.images.detector import digit_log_odds
from mnistzoo.images.preprocessing import to_mnist
from mnistzoo.images.transforms import normalize
from origins import MAKERS

pytestmark = needs_browser

CLASSIFY = """
const pixels = Uint8Array.from(atob(arguments[0]), (c) => c.charCodeAt(0)), labels = [];
const model = mnistzoo.models[arguments[1]];
for (let at = 0; at < pixels.length; at += 784) {
  const { probabilities } = mnistzoo.infer(model, pixels.subarray(at, at + 784));
  labels.push(probabilities.indexOf(Math.max(...probabilities)));
}
return labels;
"""

PREPROCESS = """
const [url, done] = arguments, image = new Image();
image.onload = () => {
  const canvas = document.createElement("canvas");
  [canvas.width, canvas.height] = [image.width, image.height];
  const context = canvas.getContext("2d");
  context.drawImage(image, 0, 0);
  const found = mnistzoo.preprocess(context.getImageData(0, 0, image.width, image.height));
  done(found && Array.from(found.pixels));
};
image.src = url;
"""

NAMES = mnistzoo.list_models()

ORIGINS = ["coarse", "pencil", "ruled paper", "graph paper", "on a table", *FRAMES]


def fused(name, **options):
    model = mnistzoo.get_model(name, pretrained=True, **options).fused()
    return model.to(memory_format=torch.contiguous_format)


@pytest.fixture(scope="module")
def address(tmp_path_factory):
    """All five models on one page, in a file."""
    file = tmp_path_factory.mktemp("a page") / "digits.html"
    file.write_bytes(build_page(list(map(fused, NAMES)), "Digits & more"))
    return file.as_uri()


@pytest.fixture(scope="module")
def wide(address):
    with browser() as driver:
        yield driver


@pytest.fixture
def opened(wide, address):
    """The page, freshly opened; afterwards no error and no request was logged."""
    wide.get(address)
    yield wide
    assert wide.get_log("browser") == []
    loaded = "return performance.getEntriesByType('resource').map((entry) => entry.name)"
    assert wide.execute_script(loaded) == []


def data_url(image):
    file = io.BytesIO()
    image.save(file, "PNG")
    return "data:image/png;base64," + base64.b64encode(file.getvalue()).decode()


@pytest.mark.parametrize(
    ("name", "count"),
    [
        ("exp5", 1000),
        *(pytest.param(name, 10_000, marks=pytest.mark.slow) for name in ("exp1", "exp5")),
        *(pytest.param(name, 1000, marks=pytest.mark.slow) for name in ("exp2", "exp3", "exp4")),
    ],
)
def test_labels_are_those_of_torch(opened, test_images, name, count):
    """The test images get the labels that PyTorch gives them, every one."""
    images = test_images.images[:count]
    encoded = base64.b64encode(images.numpy().tobytes()).decode()
    labels = opened.execute_script(CLASSIFY, encoded, NAMES.index(name))
    model = mnistzoo.get_model(name, pretrained=True)
    with torch.inference_mode():
        expected = torch.cat([model(batch).argmax(1) for batch in normalize(images).split(500)])
    assert labels == expected.tolist()


def drawing(rng):
    """Strokes of a round pen on a white board, as a mouse or a finger leaves them."""
    image, width = Image.new("L", (280, 280), 255), int(rng.integers(8, 34))
    pen = ImageDraw.Draw(image)
    for _ in range(rng.integers(1, 3)):
        steps = rng.normal(0, 45, (rng.integers(3, 7), 2)).cumsum(0)
        points = np.clip(steps + rng.uniform(80, 200, 2), 15, 265)
        pen.line([*map(tuple, points.tolist())], fill=0, width=width, joint="curve")
        for x, y in points.tolist():
            pen.ellipse([x - width / 2, y - width / 2, x + width / 2, y + width / 2], fill=0)
    return image


def test_drawings_are_preprocessed_as_by_the_library(opened):
    """On a hundred drawings no pixel of the 28×28 differs by more than 8 of 255."""
    rng = np.random.default_rng(0)
    for image in [drawing(rng) for _ in range(100)]:
        found = opened.execute_async_script(PREPROCESS, data_url(image))
        assert np.abs(np.reshape(found, (28, 28)) - to_mnist(image)).max() <= 8


@pytest.mark.parametrize("side", [6, 8, 10, 11, 14])
def test_small_digits_are_preprocessed_as_by_the_library(opened, side):
    """Digits of few pixels keep their gray levels on the page, too."""
    for digit in mnistzoo.mnist(train=True).images[:10].numpy():
        rows, columns = (np.flatnonzero(digit.any(axis)) for axis in (1, 0))
        image = Image.fromarray(digit[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1])
        image.thumbnail((side, side), Image.Resampling.BOX)
        image = Image.fromarray(np.pad(255 - np.asarray(image), 9, constant_values=255))
        found = opened.execute_async_script(PREPROCESS, data_url(image))
        assert np.abs(np.reshape(found, (28, 28)) - to_mnist(image)).max() <= 8


@pytest.mark.parametrize("name", ORIGINS)
def test_photographs_are_preprocessed_as_by_the_library(opened, name):
    """Uneven light, ruled lines and the desk around a sheet come out as `transforms()` has them."""
    digit = mnistzoo.mnist(train=True).images[3].numpy()
    image = Image.fromarray((MAKERS | FRAMES)[name](digit, np.random.default_rng(0)))
    found = opened.execute_async_script(PREPROCESS, data_url(image))
    assert np.abs(np.reshape(found, (28, 28)) - to_mnist(image)).max() <= 8


def is_digit(driver, pixels):
    """Return whether the page's detector takes 784 pixels for a digit."""
    script = "return mnistzoo.infer(mnistzoo.detector, arguments[0]).probabilities[1] >= 0.5"
    return driver.execute_script(script, pixels.ravel().tolist())


def test_the_detector_is_the_librarys(opened):
    """Weights of 8 bits hardly change what is a digit: digits, and digits turned around."""
    images = mnistzoo.mnist(train=True).images[50_000:50_150].numpy()
    every = [*images, *images[:, ::-1].copy(), *images.transpose(0, 2, 1).copy()]
    agreed = [is_digit(opened, image) == (digit_log_odds(image) >= 0) for image in every]
    assert np.mean(agreed) >= 0.99


@pytest.mark.parametrize("letter", ["K", "X", "#"])
def test_a_letter_is_not_a_digit(opened, tmp_path, letter):
    """The page says so for a printed letter or sign, and for no digit that is opened after it."""
    page = Image.new("L", (200, 200), 255)
    ImageDraw.Draw(page).text((60, 40), letter, 0, ImageFont.load_default(110))
    chooser = opened.find_element("css selector", "input[type=file]")
    page.save(tmp_path / "letter.png")
    chooser.send_keys(str(tmp_path / "letter.png"))
    wait_for(opened, "Not a digit. ")
    three, seven = mnistzoo.mnist(train=True).images[[10, 15]].numpy()
    for name, digit in {"3": three, "7": seven}.items():
        Image.fromarray(digit).save(tmp_path / f"{name}.png")
        chooser.send_keys(str(tmp_path / f"{name}.png"))
        wait_for(opened, f"reads {name}")
        assert "Not a digit" not in opened.find_element("id", "status").text


def draw_seven(driver):
    from selenium.webdriver.common.action_chains import ActionChains

    board, pen = driver.find_element("id", "board"), ActionChains(driver)
    pen.move_to_element_with_offset(board, -70, -90).click_and_hold()
    pen.move_by_offset(140, 0).move_by_offset(-80, 190).release().perform()


def wait_for(driver, expected):
    """Wait until the status says what is expected."""
    from selenium.webdriver.support.ui import WebDriverWait

    WebDriverWait(driver, 60).until(lambda d: expected in d.find_element("id", "status").text)


def test_drawn_with_the_mouse_erased_and_cleared(opened):
    """A 7 drawn with the mouse is read by the model that is chosen; an empty board asks for one."""
    draw_seven(opened)
    wait_for(opened, "exp1 · Baseline CNN reads 7")
    choice = opened.find_element("css selector", "select")
    choice.send_keys("exp5")
    wait_for(opened, "exp5 · Deep CNN + BatchNorm reads 7")
    opened.find_element("id", "eraser").click()
    draw_seven(opened)
    opened.find_element("id", "clear").click()
    wait_for(opened, "Draw one digit")


def test_drawn_with_the_keyboard(opened):
    """Arrow keys and space draw a vertical stroke, which is a 1."""
    from selenium.webdriver.common.keys import Keys

    board = opened.find_element("id", "board")
    board.send_keys(*[Keys.ARROW_UP] * 10, " ", *[Keys.ARROW_DOWN] * 20, " ")
    wait_for(opened, "reads 1")


def test_a_file_is_read(opened, tmp_path, test_images):
    """An image that is opened is read; a file that is not an image is reported by its name."""
    file = tmp_path / "a 7.png"
    Image.fromarray(test_images.images[0].numpy()).save(file)
    opened.find_element("css selector", "input[type=file]").send_keys(str(file))
    wait_for(opened, "reads 7")
    other = tmp_path / "notes.txt"
    other.write_text("no image")
    opened.find_element("css selector", "input[type=file]").send_keys(str(other))
    wait_for(opened, "notes.txt is not an image")


@pytest.mark.parametrize(("layer", "expected"), [("conv2", (5, 1)), ("conv5", (16, 2))])
def test_the_receptive_field_of_a_unit_is_shown(opened, layer, expected):
    """Focusing on a map outlines its central unit's window on the board, in the image's place."""
    draw_seven(opened)
    wait_for(opened, "reads 7")
    opened.find_element("css selector", "select").send_keys("exp5")
    index = ["conv1", "conv2", "conv3", "pool1", "conv4", "conv5"].index(layer)
    opened.execute_script(f"document.getElementById('layer-{index}').focus()")
    size, stride = expected
    text = opened.find_element("id", "unit").text
    assert f"receptive field {size}×{size}, stride {stride}." in text
    outline = opened.find_element("id", "field")
    assert outline.is_displayed()
    widths = "return ['field', 'board'].map((id) => document.getElementById(id).offsetWidth)"
    drawn, board = opened.execute_script(widths)
    assert drawn / board == pytest.approx(size * 200 / 20 / 280, rel=0.2)  # the 7 is 200 high


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_fits_a_phone(address, scheme):
    """Nothing is wider than the screen, and the background follows the color scheme."""
    with browser(phone=True) as driver:
        feature = {"name": "prefers-color-scheme", "value": scheme}
        driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [feature]})
        driver.get(address)
        assert driver.execute_script("return document.documentElement.scrollWidth") <= 390
        color = driver.execute_script("return getComputedStyle(document.body).backgroundColor")
        assert (max(map(int, re.findall(r"\d+", color)[:3])) < 64) == (scheme == "dark")


def test_what_could_end_the_script_does_not(tmp_path):
    """Titles and labels with markup, quotes and other alphabets are shown as they are."""
    title = 'Ziffern "0–9" </script><b>&amp; цифры'
    labels = ['"', "'", "</script><b>", "<!--", "&amp;", "ноль", "零", "\\", "@TITLE@", "ß"]
    model = fused("exp1")
    model.labels = labels
    file = tmp_path / "page.html"
    file.write_bytes(build_page([model], title))
    with browser() as driver:
        driver.get(file.as_uri())
        assert driver.title == driver.find_element("css selector", "h1").text == title
        assert driver.execute_script("return mnistzoo.models[0].labels") == labels
        shown = driver.find_element("tag name", "body").get_attribute("textContent")
        assert [label for label in labels if label not in shown] == []
        assert driver.get_log("browser") == []


def test_a_page_is_small():
    """exp5 and its page take at most 100 kB, and nothing in it points elsewhere."""
    made = build_page([fused("exp5")], "exp5").decode()
    assert len(made.encode()) <= 100_000
    assert not re.findall(r"https?:|src=|url\(|@import", made)
    (record,) = json.loads(re.search(r'id="models">(.*?)</script>', made, re.DOTALL)[1])
    assert record["labels"] == [str(digit) for digit in range(10)]


def test_the_bits_of_a_page_are_reported(tmp_path):
    """The export reports the bits that the weights have in the page, and no others are taken."""
    model = mnistzoo.exp1(pretrained=True)
    done = export(model, tmp_path / "x.html")
    (record,) = json.loads(
        re.search(r'id="models">(.*?)</script>', done.path.read_text("utf8"), re.DOTALL)[1]
    )
    assert done.bits == record["bits"] == 16
    with pytest.raises(InputError, match="Expected 16 bits for the format 'html'"):
        export(model, tmp_path / "y.html", bits=32)
