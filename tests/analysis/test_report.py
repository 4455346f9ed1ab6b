"""The HTML report: what it holds, and how it answers in a real browser."""

from __future__ import annotations

import json
import re
from itertools import product

import pytest
import torch
from torch import nn

import mnistzoo
from browser import browser, needs_browser
from mnistzoo.errors import InputError
from mnistzoo.images.transforms import normalize

TITLE = 'exp5 </script><b>&amp; "слои"'


@pytest.fixture(scope="module")
def images(test_images):
    """Two test images as the model takes them; the first is a 7."""
    return normalize(test_images.images[:2])


@pytest.fixture(scope="module")
def analysis():
    """The analysis of exp5 with its weights."""
    return mnistzoo.analyze(mnistzoo.exp5(pretrained=True), (1, 28, 28))


@pytest.fixture(scope="module")
def page(analysis, images, tmp_path_factory):
    """The report of exp5, in a file."""
    return analysis.save_html(tmp_path_factory.mktemp("a page") / "r.html", images, title=TITLE)


def data_of(text):
    """Return what the page reads."""
    return json.loads(re.search(r'id="data">(.*?)</script>', text, re.DOTALL)[1])


def test_it_holds_the_pixels_of_every_unit(analysis, page):
    """Each unit of each layer has the first and last pixels that `pixels` gives."""
    data = data_of(page.read_text("utf8"))
    rows = {row["path"]: row for row in data["rows"]}
    for row in analysis:
        field = row.receptive_field
        axes = [data["axes"][n] for n in rows[row.path]["whole" if field.is_global else "local"]]
        for unit in product(*(range(len(axis["first"])) for axis in axes)):
            found = tuple((a["first"][i], a["last"][i]) for a, i in zip(axes, unit, strict=True))
            assert found == field.pixels(unit)


def test_it_is_one_small_file(page):
    """The report of exp5 with effective fields takes 60 kB, and nothing points elsewhere."""
    text = page.read_text("utf8")
    assert len(text.encode()) < 60_000
    assert not re.findall(r"https?:|url\(|@import|<link", text)


class TwoInputs(nn.Module):
    """A model of an image and of a sound."""

    def __init__(self):
        super().__init__()
        self.image, self.sound = nn.Conv2d(1, 8, 3, 2), nn.Conv1d(2, 8, 9, 4)

    def forward(self, image, sound):  # noqa: D102 - torch's own method
        return self.image(image) + self.sound(sound).mean(-1)[:, :, None, None]


def test_a_model_with_several_inputs():
    """Fields are those of one input, along its axes; the others need tensors, not shapes."""
    shapes = {"image": (1, 9, 9), "sound": (2, 40)}
    tensors = {name: torch.rand(1, *shape) for name, shape in shapes.items()}
    found = mnistzoo.analyze(TwoInputs(), tensors, of="sound")
    data = data_of(found.to_html(tensors["sound"]))
    image, sound = (
        next(row for row in data["rows"] if row["path"] == path) for path in ("image", "sound")
    )
    assert data["size"] == [40]
    assert image["local"] is None
    assert data["axes"][sound["local"][0]]["window"] == [9, 4, 0]
    assert sound["effective"]["unit"] == [4]
    with pytest.raises(InputError, match="Expected a tensor for each input, got a shape"):
        mnistzoo.analyze(TwoInputs(), shapes).to_html(tensors["image"])


def test_a_model_without_fields():
    """A model of a vector has a table and no image."""
    data = data_of(mnistzoo.analyze(nn.Linear(3, 2), (3,)).to_html())
    assert (data["size"], data["image"], data["rows"][0]["effective"]) == ([], None, None)
    assert data["selected"] is None


@pytest.fixture(scope="module")
def wide():
    with browser() as driver:
        yield driver


@pytest.fixture
def opened(wide, page):
    """The page, freshly opened and unfolded; afterwards no error and no request was logged."""
    wide.get(page.as_uri())
    wide.find_element("id", "unfold").click()
    yield wide
    assert wide.get_log("browser") == []
    loaded = "return performance.getEntriesByType('resource').map((entry) => entry.name)"
    assert [name for name in wide.execute_script(loaded) if not name.startswith("data:")] == []


@needs_browser
def test_it_opens_with_the_last_feature_map(wide, page):
    """The page shows a field at once, of the layer that has an effective one."""
    wide.get(page.as_uri())
    assert "features.conv7 Conv2d, unit (1, 1)" in wide.find_element("id", "unit").text
    chosen = wide.find_element("css selector", "[aria-pressed=true]")
    assert chosen.is_displayed()
    assert chosen.get_attribute("title") == "features.conv7"


def choose(driver, path):
    """Click a layer, and return the text about its unit."""
    driver.find_element("css selector", f"button[title='{path}']").click()
    return driver.find_element("id", "unit").text


@needs_browser
def test_a_unit_is_pointed_at(opened, analysis):
    """A click on a layer chooses its central unit, and the pointer the nearest one."""
    from selenium.webdriver import ActionChains

    assert "unit (3, 3): rows 6 to 21, columns 6 to 21" in choose(opened, "features.conv5")
    canvas = opened.find_element("id", "image")
    corner = canvas.size["width"] // 2 - 3
    ActionChains(opened).move_to_element_with_offset(canvas, corner, 3 - corner).perform()
    text = opened.find_element("id", "unit").text
    rows, columns = analysis.rows[14].receptive_field.pixels((0, 6))
    assert "unit (0, 6)" in text
    assert f"rows {rows[0]} to {rows[1]}, columns {columns[0]} to {columns[1]}" in text


@needs_browser
def test_a_unit_is_chosen_with_the_keyboard(opened):
    """Arrow keys move by a unit and stop at the border of the map."""
    from selenium.webdriver.common.keys import Keys

    choose(opened, "features.conv7")
    canvas = opened.find_element("id", "image")
    canvas.send_keys(Keys.ARROW_LEFT, Keys.ARROW_LEFT, Keys.ARROW_DOWN)
    assert "unit (2, 0): rows 0 to 25, columns 0 to 25" in opened.find_element("id", "unit").text


@needs_browser
def test_the_effective_field_is_the_central_unit_s(opened, analysis, images):
    """Its share is that of `effective_receptive_field`, and it is drawn for that unit only."""
    from selenium.webdriver.common.keys import Keys

    model = mnistzoo.exp5(pretrained=True)
    share = mnistzoo.effective_receptive_field(model, images, "features.conv4").share_in_half
    assert f"{share:.0%} of the effective field" in choose(opened, "features.conv4")
    opened.find_element("id", "image").send_keys(Keys.ARROW_LEFT)
    assert "computed for the central unit" in opened.find_element("id", "unit").text


@needs_browser
def test_the_tree_folds_and_sorts(opened):
    """A folded module hides its layers; columns sort inside a module, and say so."""
    toggle = opened.find_element("css selector", "[aria-label='Fold features']")
    toggle.click()
    shown = opened.find_elements("css selector", "tbody tr")
    assert len(shown) == 2
    toggle = opened.switch_to.active_element
    assert toggle.get_attribute("aria-expanded") == "false"
    toggle.click()
    opened.find_element("xpath", "//thead//button[starts-with(., 'MACs')]").click()
    order = [row.text for row in opened.find_elements("css selector", "tbody tr")[:4]]
    names = [re.search(r"features|conv\d", text)[0] for text in order]
    assert names == ["features", "conv2", "conv3", "conv1"]
    header = opened.find_element("css selector", "[aria-sort=descending]")
    assert header.text.startswith("MACs")


@needs_browser
def test_a_file_that_is_not_an_image(opened, tmp_path):
    """It is reported by its name."""
    from selenium.webdriver.support.ui import WebDriverWait

    file = tmp_path / "notes.txt"
    file.write_text("no image")
    opened.find_element("css selector", "input[type=file]").send_keys(str(file))
    said = lambda driver: driver.find_element("id", "unit").text  # noqa: E731
    WebDriverWait(opened, 60).until(lambda driver: said(driver).startswith("notes.txt is not"))


@needs_browser
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_fits_a_phone(page, scheme):
    """Nothing is wider than the screen, the title is text, and the scheme is followed."""
    with browser(phone=True) as driver:
        feature = {"name": "prefers-color-scheme", "value": scheme}
        driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [feature]})
        driver.get(page.as_uri())
        assert driver.title == driver.find_element("css selector", "h1").text == TITLE
        choose(driver, "classifier")
        assert driver.execute_script("return document.documentElement.scrollWidth") <= 390
        color = driver.execute_script("return getComputedStyle(document.body).backgroundColor")
        assert (max(map(int, re.findall(r"\d+", color)[:3])) < 64) == (scheme == "dark")
