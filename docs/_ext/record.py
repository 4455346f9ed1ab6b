"""Record the page to draw on as an animation: `python docs/_ext/record.py FILE.webp`.

It needs selenium, and Debian's packages chromium and chromium-driver.
"""

from __future__ import annotations

import io
import math
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from PIL import Image

import mnistzoo
from mnistzoo.export import export_page

SIZE = (760, 560)
Point = tuple[float, float]


def three() -> Iterator[Point]:
    """Yield the points of a 3, as fractions of the board."""
    for center, radius, first, last in ((0.34, 0.15, -150, 80), (0.65, 0.17, -80, 150)):
        for step in range(13):
            angle = math.radians(first + (last - first) * step / 12)
            yield 0.48 + radius * math.cos(angle), center + radius * math.sin(angle)


def eight() -> Iterator[Point]:
    """Yield the points that close a 3 to an 8."""
    for number in range(9):
        share = number / 8
        yield 0.335 + 0.05 * math.sin(math.pi * share), 0.74 - share * 0.48


def record(path: Path) -> None:
    """Draw a 3, close it to an 8, and write what the page shows meanwhile."""
    frames: list[Image.Image] = []
    with tempfile.TemporaryDirectory() as folder:
        page = Path(folder, "page.html")
        export_page([mnistzoo.exp5(pretrained=True)], page, title="Draw a digit")
        browser = _browser()
        try:
            browser.get(page.as_uri())
            for stroke in (three(), eight()):
                frames += _draw(browser, [*stroke])
        finally:
            browser.quit()
    durations = [120] * len(frames)
    durations[25], durations[-1] = 1200, 2000
    frames[0].save(
        path,
        save_all=True,
        append_images=frames[1:],
        duration=durations,
        loop=0,
        quality=55,
        method=6,
    )


def _browser() -> Any:
    from selenium import webdriver
    from selenium.webdriver.chrome.service import Service

    options = webdriver.ChromeOptions()
    for option in ("--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars"):
        options.add_argument(option)
    options.binary_location = shutil.which("chromium") or ""
    browser = webdriver.Chrome(options=options, service=Service(shutil.which("chromedriver")))
    width, height = SIZE
    metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    return browser


def _draw(browser: Any, stroke: list[Point]) -> Iterator[Image.Image]:
    """Draw a stroke with the mouse. Yield a screenshot after each step."""
    board = browser.execute_script(
        "const box = document.getElementById('board').getBoundingClientRect();"
        "return [box.left, box.top, box.width, box.height];"
    )
    kinds = ["mousePressed", *["mouseMoved"] * (len(stroke) - 2), "mouseReleased"]
    for kind, (across, down) in zip(kinds, stroke, strict=True):
        left, top, width, height = board
        place = {"x": left + across * width, "y": top + down * height}
        event = {"type": kind, "button": "left", "buttons": 1, "clickCount": 1, **place}
        browser.execute_cdp_cmd("Input.dispatchMouseEvent", event)
        browser.execute_async_script("requestAnimationFrame(() => setTimeout(arguments[0], 40))")
        yield Image.open(io.BytesIO(browser.get_screenshot_as_png())).convert("RGB")


if __name__ == "__main__":
    record(Path(sys.argv[1]))
