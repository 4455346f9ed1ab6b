"""The demo page in a real browser, headless Chromium driven by selenium, and its server."""

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
import threading
import time
import urllib.error
import urllib.request
from contextlib import contextmanager, suppress

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

AS_BACKGROUND_JOB = ("sh", "-c", "trap '' INT; exec \"$@\"", "sh")
"""Runs a command with SIGINT ignored, as shells start background jobs."""

PATIENCE = 120
"""Seconds that a step may take on a busy machine."""

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "chrome"))), None)
DRIVER = shutil.which("chromedriver")

OPTIONS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
    "--window-size=1280,1000",
)

ONE = [(0.52, 0.2), (0.5, 0.5), (0.48, 0.8)]
SEVEN = [(0.3, 0.25), (0.7, 0.25), (0.45, 0.8)]
"""Strokes, as shares of the canvas's sides."""

LAYERS = "Receptive field of the center unit"
"""The label of the list of layers."""

needs_gradio = pytest.mark.skipif(
    importlib.util.find_spec("gradio") is None, reason="the extra [demo] is not installed"
)
needs_browser = pytest.mark.skipif(
    not (CHROMIUM and DRIVER and importlib.util.find_spec("selenium")),
    reason="needs selenium, and Debian's packages chromium and chromium-driver",
)


@contextmanager
def process(*command, **environment):
    """Run a command; when the block ends, it has ended too, and its pipes are closed."""
    with subprocess.Popen(
        list(map(str, command)),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | environment,
    ) as running:
        try:
            yield running
        finally:
            running.terminate()
            with suppress(subprocess.TimeoutExpired):
                running.wait(PATIENCE)
            running.kill()


@contextmanager
def demo(folder, *options, **environment):
    """Run the command `demo` as a background job; yield it and its address once it serves."""
    environment = {"GRADIO_TEMP_DIR": str(folder / "gradio")} | environment
    command = [sys.executable, "-c", WATCHED, folder / "hosts", "demo", *options]
    command += ["--port", free_port()]
    with process(*AS_BACKGROUND_JOB, *command, **environment) as server:
        watchdog = threading.Timer(PATIENCE, server.kill)
        watchdog.start()
        line = server.stdout.readline()  # empty if the server has ended
        watchdog.cancel()
        address = re.search(r"http://127\.0\.0\.1:\d+/", line)
        assert address, (line, server.communicate())
        yield server, address[0]


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Where the server notes the hosts that it asks for and the addresses that it opens."""
    return tmp_path_factory.mktemp("demo")


@pytest.fixture(scope="module")
def address(folder):
    """Run a demo whose browser is a script that notes what it should open; return its address."""
    opener = folder / "opener"
    opener.write_text(f"#!/bin/sh\necho \"$1\" >> '{folder / 'opened'}'\n")
    opener.chmod(0o755)
    with demo(folder, BROWSER=f"{opener} %s") as (server, address):
        yield address
        server.terminate()
        assert (server.wait(PATIENCE), server.stderr.read()) == (0, "")


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    """Start a browser that logs its requests."""
    from selenium import webdriver
    from selenium.webdriver.chrome.service import Service

    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    for option in (*OPTIONS, f"--user-data-dir={tmp_path_factory.mktemp('chromium')}"):
        options.add_argument(option)
    options.set_capability("goog:loggingPrefs", {"performance": "ALL", "browser": "ALL"})
    with webdriver.Chrome(options=options, service=Service(DRIVER)) as driver:
        yield driver


class Page:
    """The page in the browser, and what a user does with it."""

    def __init__(self, driver, address):
        self.driver = driver
        driver.get(address)
        self.wait(lambda: self.canvas.get_attribute("width") == "448")  # its script has run

    def find(self, selector):
        """Return the first element that matches a CSS selector."""
        return self.driver.find_element("css selector", selector)

    def wait(self, condition):
        """Wait until `condition` holds; elements that do not exist yet count as False."""
        from selenium.common.exceptions import WebDriverException
        from selenium.webdriver.support.ui import WebDriverWait

        waiting = WebDriverWait(self.driver, PATIENCE, 0.1, ignored_exceptions=[WebDriverException])
        return waiting.until(lambda _: condition())

    @property
    def canvas(self):
        """The canvas."""
        return self.find(".drawing canvas")

    @property
    def status(self):
        """The line above the canvas."""
        return self.find("[role=status]").text

    def says(self, text):
        """Wait until the line above the canvas contains `text`."""
        try:
            self.wait(lambda: text in self.status)
        finally:
            assert text in self.status

    def draw(self, points, pointer="mouse"):
        """Draw one stroke through `points`."""
        from selenium.webdriver.common.actions.action_builder import ActionBuilder
        from selenium.webdriver.common.actions.pointer_input import PointerInput

        width, height = self.canvas.size["width"], self.canvas.size["height"]
        builder = ActionBuilder(self.driver, mouse=PointerInput(pointer, pointer), duration=20)
        for index, (x, y) in enumerate(points):
            offset = int((x - 0.5) * width), int((y - 0.5) * height)
            builder.pointer_action.move_to(self.canvas, *offset)
            if index == 0:
                builder.pointer_action.pointer_down()
        builder.pointer_action.pointer_up()
        builder.perform()

    def drop(self, data, name, kind):
        """Drop a file on the canvas."""
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

    def drawing(self):
        """Return the canvas as the bytes of a PNG file."""
        script = "return document.querySelector('.drawing canvas').toDataURL()"
        return base64.b64decode(self.driver.execute_script(script).partition(",")[2])


@pytest.fixture
def page(browser, address):
    """Open the page anew."""
    return Page(browser, address)


def photograph(digit):
    """Return a JPEG photograph of a digit: off-center, on shaded and noisy paper."""
    foreground = Image.fromarray(digit).resize((240, 240), Image.Resampling.BICUBIC)
    paper = np.linspace(140, 220, 640)[None, :] + np.linspace(0, 30, 480)[:, None]
    paper += np.random.default_rng(0).normal(0, 4, paper.shape)
    paper[100:340, 60:300] *= 1 - 0.75 * np.asarray(foreground) / 255
    stream = io.BytesIO()
    Image.fromarray(np.uint8(paper.clip(0, 255))).save(stream, "JPEG", quality=75)
    return stream.getvalue()


@needs_gradio
@needs_browser
class TestInTheBrowser:
    """What a user does, and what the page then shows."""

    def test_a_stroke_is_predicted(self, page):
        """The page shows the model's prediction, and a bar for the probability of each digit."""
        page.draw(ONE)
        page.says("exp5 predicts 1 ")
        meters = page.driver.find_elements("css selector", "meter")
        bars = {int(m.get_attribute("aria-label")): float(m.get_attribute("value")) for m in meters}
        expected = get_model("exp5", pretrained=True).predict(page.drawing()).probabilities
        assert bars == pytest.approx(dict(enumerate(expected)), abs=1e-4)

    def test_a_dropped_photograph_is_predicted(self, page, test_images):
        """A photograph dropped on the canvas is predicted as the digit that it shows."""
        page.drop(photograph(test_images.images[1].numpy()), "photo.jpg", "image/jpeg")
        page.says(f"exp5 predicts {test_images.labels[1]} ")

    def test_the_models_input_is_shown(self, page):
        """The image shown is the 28×28 pixels that the library makes of the drawing."""
        page.draw(SEVEN)
        page.says("predicts 7")
        source = page.wait(lambda: page.find("img[src*='image.png']").get_attribute("src"))
        shown = np.asarray(Image.open(urllib.request.urlopen(source)).convert("L"))
        assert shown.shape == (280, 280)
        np.testing.assert_array_equal(shown[5::10, 5::10], to_mnist(page.drawing()))

    def test_the_receptive_field_lies_over_the_drawing(self, page):
        """Its side is to the digit's longer side as its pixels are to the 20 of MNIST's box."""
        page.draw(SEVEN)
        page.says("predicts 7")
        alpha = np.asarray(Image.open(io.BytesIO(page.drawing())))[..., 3]
        length = max(np.ptp(indices) + 1 for indices in np.nonzero(alpha > 127)) / len(alpha)
        scale = page.canvas.size["width"] * length / 20
        for layer, pixels in {"conv1": 3, "conv4": 12, "pool2": 18}.items():
            page.choose(LAYERS, f"features.{layer}")
            side = pytest.approx(scale * pixels, rel=0.03, abs=1.5)
            size = {"width": side, "height": side}
            page.wait(lambda size=size: page.find(".receptive-field").size == size)

    def test_every_model_can_be_chosen(self, page):
        """Another model predicts the same drawing, and the list of layers is its own."""
        page.draw(SEVEN)
        for name in [*list_models()[:-1], "exp5"]:
            page.choose("Model", name)
            page.says(f"{name} predicts 7")
            layer = page.find(f"input[aria-label='{LAYERS}']").get_attribute("value")
            assert layer.partition(":")[0] in dict(get_model(name).named_modules())

    def test_without_a_digit_the_page_says_why(self, page):
        """A blank canvas, a blank image and a file that is not an image get a message each."""
        stream = io.BytesIO()
        Image.new("L", (50, 40), 250).save(stream, "PNG")
        page.drop(stream.getvalue(), "white.png", "image/png")
        page.says("No digit was found")
        page.draw(ONE)
        page.says("predicts 1")
        page.drop(b"a letter, not a digit", "letter.txt", "text/plain")
        page.says("not an image in a supported format")
        assert not page.find(".receptive-field").is_displayed()
        page.find("button.clear").click()
        page.says("Draw one digit")

    def test_it_works_on_a_phone(self, page):
        """At a phone's width nothing overflows, and a finger draws as the mouse does."""
        size = {"width": 390, "height": 844, "deviceScaleFactor": 2, "mobile": True}
        page.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
        try:
            width = page.driver.execute_script("return document.documentElement.scrollWidth")
            assert width <= 390
            assert page.canvas.size["width"] > 300
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
        ours = ("http://127.0.0.1:", "data:", "blob:", "chrome:", "chrome-untrusted:")
        assert not {url for url in urls if not url.startswith(ours)}
        assert any(url.startswith(address) for url in urls)
        hosts = set((folder / "hosts").read_text().split())
        assert hosts
        assert hosts <= {"127.0.0.1", "localhost", "::1"}

    def test_the_console_shows_no_errors(self, browser, address):
        """Chromium's console has no errors of scripts, from the first moment to a prediction."""
        browser.get("about:blank")
        browser.get_log("browser")  # requests cut short by leaving the page before
        page = Page(browser, address)
        page.draw(ONE)
        page.says("predicts 1")
        assert not [row for row in browser.get_log("browser") if row["level"] == "SEVERE"]

    def test_ctrl_c_ends_a_background_job(self, browser, tmp_path):
        """SIGINT ends it although the shell ignores SIGINT, and leaves no drawing and no port."""
        with demo(tmp_path, "--no-browser") as (server, address):
            page = Page(browser, address)
            page.draw(SEVEN)
            page.says("predicts 7")
            page.wait(lambda: page.find("img[src*='image.png']"))
            assert list((tmp_path / "gradio").rglob("*.png"))
            server.send_signal(signal.SIGINT)
            assert (server.wait(PATIENCE), server.stderr.read()) == (0, "")
        assert not [path for path in (tmp_path / "gradio").rglob("*") if path.is_file()]
        with pytest.raises(urllib.error.URLError, match="refused"):
            urllib.request.urlopen(address)


@needs_gradio
def test_the_browser_is_opened(address, folder):
    """Without --no-browser the page is opened, at the address that was printed."""
    end = time.monotonic() + PATIENCE
    while not (folder / "opened").exists() and time.monotonic() < end:
        time.sleep(0.1)
    assert (folder / "opened").read_text().split() == [address]


def run(*args):
    """Run the command line; return its exit status, its output and its errors."""
    with process(sys.executable, *args) as command:
        output, errors = command.communicate(timeout=PATIENCE)
        return command.returncode, output, errors


@needs_gradio
def test_a_port_in_use_is_named():
    """One line says which port, and what to do; the exit status is 1."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        got = run("-m", "mnistzoo", "demo", "--no-browser", "--port", port)
    assert got == (
        1,
        "",
        f"mnistzoo: Cannot serve the page on 127.0.0.1, port {port}: it is in use or not allowed. "
        "Choose another port.\n",
    )


@needs_gradio
def test_an_address_of_another_computer_is_refused():
    """It is refused at once, in one line that does not blame a port."""
    status, _, errors = run("-m", "mnistzoo", "demo", "--no-browser", "--host", "203.0.113.5")
    assert status == 1
    assert errors.startswith("mnistzoo: Cannot serve the page on 203.0.113.5: ")
    assert errors.count("\n") == 1
    assert "port" not in errors


def test_without_gradio_the_error_names_the_extra():
    """One line says how to install what is missing."""
    code = (
        "import sys; sys.modules['gradio'] = None; sys.argv = ['mnistzoo', 'demo']\n"
        "from mnistzoo.cli import main; main()"
    )
    status, _, errors = run("-c", code)
    assert status == 1
    assert errors.count("\n") == 1
    assert 'pip install "mnistzoo[demo]"' in errors
