"""A web page to draw digits on, with the models' predictions. Needs the extra `[demo]`.

Gradio serves the page. Its canvas is our own: `demo.html`, `demo.css` and `demo.js`.
"""

from __future__ import annotations

import base64
import functools
import socket
from pathlib import Path
from typing import Any, TypeAlias

from mnistzoo.errors import MissingExtraError

try:
    import gradio as gr
except ImportError as error:
    raise MissingExtraError("The demo", "demo") from error

import numpy as np
from numpy.typing import NDArray
from torch import nn

from mnistzoo.analysis import ReceptiveField
from mnistzoo.architectures import ARCHITECTURES, INPUT_SHAPE, NUM_CLASSES
from mnistzoo.errors import DemoError, MnistZooError
from mnistzoo.images.components import bounding_box, find_components
from mnistzoo.images.grouping import main_digit
from mnistzoo.images.loading import load_grayscale
from mnistzoo.images.preprocessing import to_mnist
from mnistzoo.images.segmentation import segment
from mnistzoo.models import get_model, list_models

MODEL = "exp5"
"""The model that is selected first."""

LAYER = "features.conv5"
"""The layer whose receptive field is shown first."""

HINT = "Draw one digit, or drop an image of one on the canvas."
"""The message while the canvas is blank."""

_ENLARGED = 10
"""Side of each of the 28×28 pixels that are shown, in pixels of the screen."""

_Box: TypeAlias = tuple[float, ...]
"""Left, top, width and height, as shares of the drawing's width and height."""

_HIDDEN: _Box = (0.0, 0.0, 0.0, 0.0)


def serve(
    *,
    host: str = "127.0.0.1",
    port: int | None = None,
    browser: bool = True,
    share: bool = False,
) -> gr.Blocks:
    """Serve the page from a background thread.

    Drawings stay on this computer unless `share` or another `host` lets others in.

    Args:
        host: The address to listen at.
        port: The port to listen at; default: the first free one from 7860 on.
        browser: Whether to open the page in the browser.
        share: Whether to make a public link, which leads through Gradio's servers.

    Returns:
        The running page, with `local_url`, `share_url` and `close()`.

    Raises:
        DemoError: The host or the port cannot be used, or no public link could be made.
    """
    _check_host(host)
    page = build_page()
    try:
        page.launch(
            server_name=host,
            server_port=port,
            inbrowser=browser,
            share=share,
            prevent_thread_lock=True,
            quiet=True,
            run_history=False,
            footer_links=[],
        )
    except (OSError, ValueError) as error:
        wanted = f"port {port}" if port else "any port from 7860"
        raise DemoError(
            f"Cannot serve the page on {host}, {wanted}: it is in use or not allowed. "
            "Choose another port."
        ) from error
    if share and not page.share_url:
        page.close(verbose=False)
        raise DemoError("No public link could be made. Check the connection, or omit --share.")
    return page


def _check_host(host: str) -> None:
    """Refuse an address of another computer; Gradio would try each of its ports there."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, 0, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind, protocol) as probe:
            probe.bind(address)
    except OSError as error:
        raise DemoError(
            f"Cannot serve the page on {host}: {error.strerror or error}. Choose an address of "
            "this computer, such as 127.0.0.1."
        ) from error


def build_page() -> gr.Blocks:
    """Return the page, not served yet."""
    with gr.Blocks(title="mnistzoo", analytics_enabled=False, delete_cache=(600, 600)) as page:
        gr.Markdown("# mnistzoo")
        message = gr.HTML(HINT, html_template='<p role="status">{{value}}</p>')
        with gr.Row():
            with gr.Column():
                canvas = _canvas()
            with gr.Column():
                answer = gr.Label(label="Prediction", num_top_classes=NUM_CLASSES)
        with gr.Row():
            pixels = gr.Image(
                label="Input of the model", height=_ENLARGED * 28, format="png", buttons=[]
            )
            with gr.Column():
                titles = [(f"{name} · {ARCHITECTURES[name].title}", name) for name in list_models()]
                model = gr.Dropdown(titles, value=MODEL, label="Model")
                layer = gr.Dropdown(
                    _layer_choices(MODEL), value=LAYER, label="Receptive field of the center unit"
                )
        inputs, outputs = [canvas, model, layer], [message, answer, pixels, canvas]
        # One queue keeps the order, so that the last change is shown last. Gradio's own validation
        # would refuse a layer that is sent before the page has the other model's layers.
        in_order: dict[str, Any] = {
            "show_progress": "hidden",
            "trigger_mode": "multiple",
            "concurrency_id": "update",
            "preprocess": False,
        }
        gr.on([canvas.input, layer.input], _update, inputs, outputs, **in_order)
        model.input(_update_with_layers, inputs, [*outputs, layer], **in_order)
    return page


def _canvas() -> gr.HTML:
    """Return the canvas; its value is the drawing as a data URL, `field` a box shown over it."""
    html, css, js = (
        Path(__file__).with_suffix(suffix).read_text(encoding="utf8")
        for suffix in (".html", ".css", ".js")
    )
    return gr.HTML(value="", html_template=html, css_template=css, js_on_load=js, field=_HIDDEN)


@functools.cache
def _receptive_fields(name: str) -> dict[str, ReceptiveField]:
    """Return the receptive fields of a model's convolutions and pools, by layer."""
    model = get_model(name)
    kinds = nn.Conv2d, nn.MaxPool2d
    paths = [path for path, module in model.named_modules() if isinstance(module, kinds)]
    return {path: model.receptive_field(path) for path in paths}


def _layer_choices(model: str) -> list[tuple[str, str]]:
    return [(f"{path}: {field}", path) for path, field in _receptive_fields(model).items()]


def _layer_or_last(model: str, layer: str) -> str:
    """Return the layer if the model has it, else the model's last."""
    fields = _receptive_fields(model)
    return layer if layer in fields else [*fields][-1]


def _update(drawing: str, model: str, layer: str) -> tuple[Any, ...]:
    """Return what the page shows of a drawing: message, probabilities, pixels, receptive field."""
    field = _receptive_fields(model)[_layer_or_last(model, layer)]
    try:
        message, probabilities, pixels, box = _predict(drawing, model, field)
    except MnistZooError as error:
        message, probabilities, pixels, box = str(error), None, None, _HIDDEN
    return message, probabilities, pixels, gr.HTML(field=box)


def _update_with_layers(drawing: str, model: str, layer: str) -> tuple[Any, ...]:
    """Return the same after the model has changed, and its layers to choose from."""
    layers = gr.Dropdown(_layer_choices(model), value=_layer_or_last(model, layer))
    return *_update(drawing, model, layer), layers


def _predict(drawing: str, model: str, field: ReceptiveField) -> tuple[Any, ...]:
    """Return a message, the probabilities, the enlarged pixels, and the field on the drawing.

    Raises:
        ImageError: The drawing shows no digit, or is not an image.
    """
    if not drawing:
        return HINT, None, None, _HIDDEN
    image = base64.b64decode(drawing.partition(",")[2])
    prediction = get_model(model, pretrained=True).predict(image)
    probabilities = {str(digit): p for digit, p in enumerate(prediction.probabilities)}
    pixels = to_mnist(image)
    enlarged = pixels.repeat(_ENLARGED, axis=0).repeat(_ENLARGED, axis=1)
    message = f"{model} predicts {prediction.label} (probability {prediction.probability:.1%})."
    return message, probabilities, enlarged, _to_drawing(_center_field(field), pixels, image)


def _center_field(field: ReceptiveField) -> NDArray[np.int64]:
    """Return the pixels that the unit nearest to the center of the 28×28 pixels reads.

    Returns:
        `[[left, top], [right, bottom]]`; right and bottom are exclusive.
    """
    center = [(side - 1) / 2 for side in INPUT_SHAPE[1:]]
    unit = np.subtract(center, field.center(0)) / np.array(field.stride, float)
    ranges = np.array(field.pixels(unit.round().astype(int).tolist()))
    return ranges.T[:, ::-1] + [[0], [1]]


def _to_drawing(corners: NDArray[np.int64], pixels: NDArray[np.uint8], image: bytes) -> _Box:
    """Return a box of the 28×28 pixels as it lies on the drawing that they were made from.

    The digit's bounding boxes in the pixels and in the drawing give the offset and the scale.
    """
    levels = load_grayscale(image).levels
    _, components = find_components(segment(levels))
    drawn = np.reshape(bounding_box(main_digit(components)), (2, 2))
    rendered = np.array([(i.min(), i.max() + 1) for i in np.nonzero(pixels > 127)[::-1]]).T
    scale = np.ptp(drawn, axis=0).max() / np.ptp(rendered, axis=0).max()
    corners = drawn.mean(axis=0) + (corners - rendered.mean(axis=0)) * scale
    start, stop = np.clip(corners / levels.shape[::-1], 0, 1)
    return (*start.tolist(), *(stop - start).tolist())
