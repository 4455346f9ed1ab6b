"""The built documentation: without warnings, complete, self-contained, fit for a phone.

`--site` names a folder where it is built already. Building needs the group `docs`.
"""

import importlib.util
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

import mnistzoo
from mnistzoo.storage.manifest import read_manifest, split_name

DOCS = Path(__file__).parent.parent / "docs"
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "chrome"))), None)
DRIVER = shutil.which("chromedriver")

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        not all(map(importlib.util.find_spec, ("sphinx", "furo", "myst_parser", "matplotlib"))),
        reason="the group [docs] is not installed",
    ),
]
needs_browser = pytest.mark.skipif(
    not (CHROMIUM and DRIVER and importlib.util.find_spec("selenium")),
    reason="needs selenium, and Debian's packages chromium and chromium-driver",
)

LOADED = """
const wide = document.documentElement.scrollWidth;
const broken = [...document.images].filter(i => !i.naturalWidth).map(i => i.src);
const loaded = performance.getEntriesByType("resource").map(entry => entry.name);
return [wide, broken, loaded.filter(name => !/^(file|data|blob):/.test(name))];
"""


@pytest.fixture(scope="module")
def site(request, tmp_path_factory):
    """The folder of the built pages."""
    if built := request.config.getoption("--site"):
        return Path(built)
    out = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "sphinx", "-W", "--keep-going", "-q", "-b", "html", DOCS, out]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    return out


@pytest.fixture(scope="module")
def phone():
    """A browser with a window 390 pixels wide."""
    from selenium import webdriver
    from selenium.webdriver.chrome.service import Service

    options = webdriver.ChromeOptions()
    for option in ("--headless", "--no-sandbox", "--disable-gpu", "--no-first-run"):
        options.add_argument(option)
    metrics = {"width": 390, "height": 844, "pixelRatio": 2}
    options.add_experimental_option("mobileEmulation", {"deviceMetrics": metrics})
    options.binary_location = CHROMIUM
    browser = webdriver.Chrome(options=options, service=Service(DRIVER))
    yield browser
    browser.quit()


def test_every_page_is_built_and_reachable(site):
    """Every source and every model has a page that the front page links to."""
    front = (site / "index.html").read_text("utf8")
    pages = [page.relative_to(DOCS).with_suffix("") for page in DOCS.rglob("*.md")]
    sources = [page.as_posix() for page in pages if page.parts[0] != "_generated"]
    models = [f"_generated/models/{name}" for name in mnistzoo.list_models()]
    for page in [*sources, *models]:
        assert (site / f"{page}.html").exists()
        assert f'href="{page}.html"' in front or page == "index"


def test_no_page_loads_anything_from_elsewhere(site):
    """Scripts, styles, images and fonts come with the pages. Only links lead elsewhere."""
    for file in site.rglob("*"):
        if file.suffix == ".html":
            text = file.read_text("utf8")
            tags = re.findall(r"<(?:script|link|img|iframe|source|object)\b[^>]*>", text)
            outside = [
                tag for tag in tags if re.search(r"""(?:src|href|data)=["'](?:https?:)?//""", tag)
            ]
            assert outside == [], file
        elif file.suffix == ".css":
            assert not re.search(
                r"""(?:@import|url\()\s*["']?(?:https?:)?//""", file.read_text("utf8")
            )


def test_the_pages_of_models_show_what_is_measured(site):
    """Each has its parameters, accuracy and digest, and a figure of its errors."""
    for name, entry in read_manifest().items():
        model, _ = split_name(name)
        page = (site / "_generated" / "models" / f"{model}.html").read_text("utf8")
        for figure in (f"{entry.num_params:,}", f"{entry.accuracy:.2%}", entry.sha256):
            assert figure in page
        assert f"{model}-errors.svg" in page


def test_private_names_stay_out_of_the_reference(site):
    """The reference has public functions, and no name that starts with an underscore."""
    text = (site / "reference" / "api.html").read_text("utf8")
    documented = set(re.findall(r'id="(mnistzoo\.[\w.]+)"', text))
    assert {"mnistzoo.get_model", "mnistzoo.analyze"} <= documented
    assert not [name for name in documented if re.search(r"\._(?!_)", name)]


@needs_browser
def test_the_front_page_has_the_drawing_page(site, phone):
    """The models of the front page run in the reader's browser, and read a drawn stroke."""
    phone.get((site / "index.html").as_uri())
    frame = phone.find_element("css selector", "iframe")
    phone.execute_script("arguments[0].scrollIntoView()", frame)
    phone.switch_to.frame(frame)
    board = phone.find_element("id", "board")
    board.send_keys(*["\ue013"] * 10, " ", *["\ue015"] * 20, " ")  # arrows up, arrows down
    status = phone.find_element("id", "status")
    deadline = time.monotonic() + 60
    while "reads 1" not in status.text and time.monotonic() < deadline:
        time.sleep(0.1)
    assert "exp5 · Deep CNN + BatchNorm reads 1" in status.text


@needs_browser
def test_it_fits_a_phone(site, phone):
    """At 390 pixels no page is wider than the window, no image is missing, nothing is fetched."""
    for page in sorted(site.rglob("*.html")):
        phone.get(page.as_uri())
        wide, broken, elsewhere = phone.execute_script(LOADED)
        assert (wide, broken, elsewhere) == (390, [], []), page
