"""The page to draw on, in a real browser: headless Chromium, driven by selenium."""

import base64
import importlib.util
import io
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request

import numpy as np
import pytest
from PIL import Image

from mnistzoo.images.preprocessing import to_mnist
from mnistzoo.models import get_model, list_models

WATCHED = """
import sys

path = sys.argv[1]

def watch(event, args):
    if event == "socket.getaddrinfo":
        host = args[0]
    elif event in ("socket.connect", "socket.sendto") and isinstance(args[1], tuple):
        host = args[1][0]
    else:
        return
    with open(path, "a") as hosts:
        hosts.write(f"{host}\\n")

sys.addaudithook(watch)
from mnistzoo.cli import main
sys.argv[:] = ["mnistzoo", *sys.argv[2:]]
main()
"""
"""Runs the command line, and writes every host that it looks up or talks to into a file."""

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "chrome"))), None)
DRIVER = shutil.which("chromedriver")

OPTIONS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
    "--window-size=1280,1000",
)

ONE = [(0.52, 0.2), (0.5, 0.5), (0.48, 0.8)]
SEVEN = [(0.3, 0.25), (0.7, 0.25), (0.45, 0.8)]
"""Strokes, as shares of the paper's sides."""

needs_gradio = pytest.mark.skipif(
    importlib.util.find_spec("gradio") is None, reason="the extra [demo] is not installed"
)
needs_browser = pytest.mark.skipif(
    not (CHROMIUM and DRIVER and importlib.util.find_spec("selenium")),
    reason="needs selenium, and Debian's packages chromium and chromium-driver",
)


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def start(hosts, port, *options, **environment):
    """The command `demo`, once it has said where it serves."""
    command = [sys.executable, "-c", WATCHED, hosts, "demo", "--port", port, *options]
    server = subprocess.Popen(
        list(map(str, command)),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | environment,
    )
    assert f"http://127.0.0.1:{port}" in server.stdout.readline(), server.communicate()
    return server


def stop(server):
    """End it as a user does, and give its exit status and what it wrote on stderr."""
    server.send_signal(signal.SIGINT)
    _, errors = server.communicate(timeout=60)
    return server.returncode, errors


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Where the server's hosts and the addresses that it opened in a browser are noted."""
    return tmp_path_factory.mktemp("demo")


@pytest.fixture(scope="module")
def address(folder):
    """A running `mnistzoo demo`, whose browser is a script that notes what it should open."""
    opener = folder / "opener"
    opener.write_text(f"#!/bin/sh\necho \"$1\" >> '{folder / 'opened'}'\n")
    opener.chmod(0o755)
    port = free_port()
    kept = folder / "gradio"
    environment = {"BROWSER": f"{opener} %s", "GRADIO_TEMP_DIR": str(kept)}
    server = start(folder / "hosts", port, **environment)
    yield f"http://127.0.0.1:{port}/"
    status, errors = stop(server)
    assert (status, errors) == (0, "")
    assert not [path for path in kept.rglob("*") if path.is_file()], "drawings were left on disk"


@pytest.fixture(scope="module")
def browser(address, tmp_path_factory):
    from selenium import webdriver
    from selenium.webdriver.chrome.service import Service

    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    for option in (*OPTIONS, f"--user-data-dir={tmp_path_factory.mktemp('chromium')}"):
        options.add_argument(option)
    options.set_capability("goog:loggingPrefs", {"performance": "ALL", "browser": "ALL"})
    driver = webdriver.Chrome(options=options, service=Service(DRIVER))
    yield driver
    driver.quit()


class Page:
    """The page in the browser, and what a user does with it."""

    def __init__(self, driver, address):
        self.driver = driver
        driver.get(address)
        self.wait(lambda: self.find(".drawing canvas").is_displayed() and self.status)

    def find(self, selector):
        """The first element that fits a selector of CSS."""
        return self.driver.find_element("css selector", selector)

    def wait(self, condition):
        """Until `condition` holds; a condition on what is not there yet does not hold."""
        from selenium.common.exceptions import WebDriverException
        from selenium.webdriver.support.ui import WebDriverWait

        def holds(_):
            return condition()

        ignored = [WebDriverException]
        return WebDriverWait(self.driver, 60, 0.1, ignored_exceptions=ignored).until(holds)

    @property
    def status(self):
        """The line above the paper."""
        return self.find("[role=status]").text

    def says(self, pattern):
        """The status, once it matches `pattern`."""
        try:
            self.wait(lambda: re.search(pattern, self.status))
        finally:
            assert re.search(pattern, self.status), self.status
        return self.status

    def clear(self):
        """Take all off the paper."""
        self.find("button.clear").click()
        self.says("Draw one digit")

    def draw(self, points, pointer="mouse"):
        """One stroke through `points`."""
        from selenium.webdriver.common.actions.action_builder import ActionBuilder
        from selenium.webdriver.common.actions.pointer_input import PointerInput

        canvas = self.find(".drawing canvas")
        width, height = canvas.size["width"], canvas.size["height"]
        builder = ActionBuilder(self.driver, mouse=PointerInput(pointer, pointer), duration=20)
        for index, (x, y) in enumerate(points):
            offset = int((x - 0.5) * width), int((y - 0.5) * height)
            builder.pointer_action.move_to(canvas, *offset)
            if index == 0:
                builder.pointer_action.pointer_down()
        builder.pointer_action.pointer_up()
        builder.perform()

    def drop(self, data, name, kind):
        """Drop a file on the paper."""
        self.driver.execute_script(
            "const bytes = Uint8Array.from(atob(arguments[0]), (c) => c.charCodeAt(0));"
            "const dataTransfer = new DataTransfer();"
            "dataTransfer.items.add(new File([bytes], arguments[1], {type: arguments[2]}));"
            "document.querySelector('.drawing canvas').dispatchEvent("
            "new DragEvent('drop', {dataTransfer, bubbles: true, cancelable: true}));",
            base64.b64encode(data).decode(),
            name,
            kind,
        )

    def choose(self, label, choice):
        """Choose from the drop-down list called `label`."""
        self.find(f"input[aria-label='{label}']").click()
        selector = f"[role=option][aria-label^='{choice}']"
        self.wait(lambda: self.find(selector).is_displayed() and self.find(selector)).click()

    def on_paper(self):
        """The bytes of the picture that is on the paper."""
        script = "return document.querySelector('.drawing canvas').toDataURL()"
        return base64.b64decode(self.driver.execute_script(script).partition(",")[2])


@pytest.fixture
def page(browser, address):
    """The page, opened anew."""
    return Page(browser, address)


def photograph(digit, seed):
    """A JPEG photograph of one 28×28 digit: turned, off-centre, on shaded and noisy paper."""
    random = np.random.default_rng(seed)
    ink = Image.fromarray(digit).resize((240, 240), Image.Resampling.BICUBIC)
    ink = ink.rotate(random.uniform(-8, 8), Image.Resampling.BICUBIC)
    paper = np.linspace(140, 220, 640)[None, :] + np.linspace(0, 30, 480)[:, None]
    paper += random.normal(0, 4, paper.shape)
    top, left = random.integers(30, 200, 2)
    paper[top : top + 240, left : left + 240] *= 1 - 0.75 * np.asarray(ink) / 255
    stream = io.BytesIO()
    Image.fromarray(np.uint8(paper.clip(0, 255))).save(stream, "JPEG", quality=75)
    return stream.getvalue()


@needs_gradio
@needs_browser
class TestInTheBrowser:
    """What a user does, and what the page then shows."""

    @pytest.mark.parametrize(("points", "digit"), [(ONE, 1), (SEVEN, 7)])
    def test_a_drawn_digit_is_read(self, page, points, digit):
        """One stroke of the mouse is read as the digit drawn, with a bar for each of the ten."""
        page.draw(points)
        page.says(f"exp5 predicts {digit} ")
        meters = page.driver.find_elements("css selector", "meter")
        bars = {int(m.get_attribute("aria-label")): float(m.get_attribute("value")) for m in meters}
        expected = get_model("exp5", pretrained=True).predict(page.on_paper())
        assert bars == pytest.approx(dict(enumerate(expected.probabilities)), abs=1e-4)
        assert len(bars) == 10
        assert bars[digit] > 0.9

    @pytest.mark.parametrize("seed", [1, 2])
    def test_a_dropped_photograph_is_read(self, page, test_images, seed):
        """A photograph dropped on the paper is read as the digit that is on it."""
        page.drop(photograph(test_images.images[seed].numpy(), seed), "photo.jpg", "image/jpeg")
        page.says(f"exp5 predicts {test_images.labels[seed]} ")

    def test_what_the_network_saw(self, page):
        """The picture shown is the 28×28 pixels that the library makes of what is on the paper."""
        page.draw(SEVEN)
        page.says("predicts 7")
        source = page.wait(lambda: page.find("img[src*='image.png']").get_attribute("src"))
        shown = np.asarray(Image.open(urllib.request.urlopen(source)).convert("L"))
        assert shown.shape == (280, 280)
        np.testing.assert_array_equal(shown[5::10, 5::10], to_mnist(page.on_paper()))

    def test_the_receptive_field_lies_over_the_drawing(self, page):
        """Its side is to the ink's longer side as its pixels are to MNIST's 20."""
        page.draw(SEVEN)
        page.says("predicts 7")
        alpha = np.asarray(Image.open(io.BytesIO(page.on_paper())))[..., 3]
        ink = max(np.ptp(indices) + 1 for indices in np.nonzero(alpha > 127)) / len(alpha)
        paper = page.find(".drawing canvas").size["width"]
        for layer, pixels in [
            ("features.conv1", 3),
            ("features.conv4", 12),
            ("features.pool2", 18),
        ]:
            page.choose("Receptive field of the center unit", layer)
            side = pytest.approx(paper * ink * pixels / 20, rel=0.03, abs=1.5)
            page.wait(
                lambda side=side: (
                    page.find(".receptive-field").size == {"width": side, "height": side}
                )
            )

    def test_every_network_can_be_chosen(self, page):
        """Another network reads the same drawing, and the layers to choose from are its own."""
        page.draw(SEVEN)
        for name in [*list_models()[:-1], "exp5"]:
            page.choose("Model", name)
            page.says(f"{name} predicts 7")
            layer = page.find("input[aria-label='Receptive field of the center unit']")
            path = layer.get_attribute("value").partition(":")[0]
            assert path in dict(get_model(name).named_modules())

    def test_without_ink_the_page_says_so(self, page):
        """Blank paper, a picture of nothing and a file that is no picture: a message each."""
        stream = io.BytesIO()
        Image.new("L", (50, 40), 250).save(stream, "PNG")
        page.drop(stream.getvalue(), "white.png", "image/png")
        page.says("No digit was found")
        page.draw(ONE)
        page.says("predicts 1")
        page.drop(b"a letter, not a digit", "letter.txt", "text/plain")
        page.says("not an image in a supported format")
        assert not page.find(".receptive-field").is_displayed()
        page.clear()

    def test_on_a_phone(self, page):
        """At a phone's width nothing sticks out, and a finger draws as the mouse does."""
        size = {"width": 390, "height": 844, "deviceScaleFactor": 2, "mobile": True}
        page.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
        try:
            width = page.driver.execute_script("return document.documentElement.scrollWidth")
            assert width <= 390
            assert page.find(".drawing canvas").size["width"] > 300
            page.draw(SEVEN, "touch")
            page.says("predicts 7")
        finally:
            page.driver.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})

    def test_nothing_leaves_the_machine(self, page, address, folder):
        """All that browser and server ask for, from the first moment on, is on this machine."""
        page.draw(ONE)
        page.says("predicts 1")
        messages = [
            json.loads(row["message"])["message"] for row in page.driver.get_log("performance")
        ]
        urls = {
            message["params"]["request"]["url"]
            for message in messages
            if message["method"] == "Network.requestWillBeSent"
        }
        ours = (address, "data:", "blob:", "chrome:", "chrome-untrusted:")  # the browser's own
        away = {url for url in urls if not url.startswith(ours)}
        assert not away
        assert sum(url.startswith(address) for url in urls) > 10
        hosts = set((folder / "hosts").read_text().split())
        assert hosts <= {"127.0.0.1", "localhost", "::1"}, hosts
        assert hosts

    def test_no_errors_in_the_console(self, browser, address):
        """Chromium's console has no errors of scripts, from the first moment to an answer."""
        browser.get("about:blank")
        browser.get_log("browser")  # requests cut short by leaving the page before
        page = Page(browser, address)
        page.draw(ONE)
        page.says("predicts 1")
        assert not [row for row in browser.get_log("browser") if row["level"] == "SEVERE"]


@needs_gradio
def test_the_browser_is_opened(address, folder):
    """Without --no-browser the page is opened, at the address that was printed."""
    deadline = time.monotonic() + 30
    while not (folder / "opened").exists() and time.monotonic() < deadline:
        time.sleep(0.1)
    assert (folder / "opened").read_text().split() == [address]


@needs_gradio
def test_a_port_in_use():
    """One line on stderr that names the port and says what to do, and exit status 1."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        command = [sys.executable, "-m", "mnistzoo", "demo", "--no-browser", "--port", str(port)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stdout == ""
    assert done.stderr.count("\n") == 1
    assert str(port) in done.stderr
    assert "Choose another port" in done.stderr


def test_an_address_of_another_computer():
    """It is refused at once, in one line that does not blame a port."""
    command = [sys.executable, "-m", "mnistzoo", "demo", "--no-browser", "--host", "203.0.113.5"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 1
    assert done.stderr.startswith("mnistzoo: Cannot serve the page on 203.0.113.5: ")
    assert done.stderr.count("\n") == 1
    assert "port" not in done.stderr


def test_without_the_extra():
    """Where Gradio is not installed, the error is one line that says how to install it."""
    code = (
        "import sys; sys.modules['gradio'] = None; sys.argv = ['mnistzoo', 'demo']\n"
        "from mnistzoo.cli import main; main()"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert 'pip install "mnistzoo[demo]"' in done.stderr
