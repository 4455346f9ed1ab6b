"""The page to draw on: a digit drawn or dropped, and what the networks make of it. Extra `[demo]`.

The page is Gradio's; the paper on it is a canvas of our own (`demo.js` beside this file).
"""

from __future__ import annotations

import base64
import functools
import socket
from pathlib import Path
from typing import Any

from mnistzoo.errors import MissingExtraError

try:
    import gradio as gr
except ImportError as error:
    raise MissingExtraError("The demo", "demo") from error

import numpy as np
from numpy.typing import NDArray
from torch import nn

from mnistzoo.analysis import ReceptiveField
from mnistzoo.architectures import INPUT_SHAPE, NUM_CLASSES
from mnistzoo.errors import DemoError, MnistZooError
from mnistzoo.images.components import parts
from mnistzoo.images.grouping import box_of, main_digit
from mnistzoo.images.loading import load_grayscale
from mnistzoo.images.preprocessing import to_mnist
from mnistzoo.images.segmentation import segment
from mnistzoo.models import get_model, list_models

NETWORK = "exp5"
"""The network that is chosen first."""

LAYER = "features.conv5"
"""The layer whose receptive field is shown first."""

HINT = "Draw one digit on the paper, or drop a picture of one."

_ENLARGED = 10

_NOWHERE = (0.0, 0.0, 0.0, 0.0)

_PAPER = """
<div class="paper">
  <canvas aria-label="Paper to draw a digit on"></canvas>
  <div class="field" hidden title="Receptive field"></div>
</div>
<div class="tools">
  <button class="clear">Clear</button>
  <button class="choose">Open a picture</button>
  <input type="file" accept="image/*" hidden>
</div>
"""

_STYLE = """
.paper { position: relative; max-width: 448px; margin: 0 auto; }
canvas { display: block; width: 100%; background: white; border-radius: 4px; cursor: crosshair;
  touch-action: none; box-shadow: 0 0 0 1px #8888; }
.field { position: absolute; pointer-events: none; outline: 3px solid #f97316;
  background: #f9731626; }
.tools { display: flex; gap: 8px; max-width: 448px; margin: 8px auto; }
button { flex: 1; padding: 8px; border: 1px solid #8888; border-radius: 4px; cursor: pointer; }
"""


def serve(
    *,
    host: str = "127.0.0.1",
    port: int | None = None,
    browser: bool = True,
    share: bool = False,
) -> gr.Blocks:
    """Serve the page from a thread of its own.

    Nothing that is drawn leaves this computer unless `share` or another `host` lets others in.

    Args:
        host: the address to listen at.
        port: the first free one from 7860 on without it.
        browser: also open the page in the browser.
        share: also make a public link, which leads through Gradio's servers.

    Returns:
        The running page, with `local_url`, `share_url`, `block_thread()` and `close()`.

    Raises:
        DemoError: the host or the port cannot be used, or there is no public link to be had.
    """
    _check_host(host)
    page = build()
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
            f"cannot serve the page on {host}, {wanted}: it is in use or not allowed; "
            "choose another port."
        ) from error
    if share and not page.share_url:
        page.close()
        raise DemoError("no public link could be made; check the connection, or leave out --share.")
    return page


def _check_host(host: str) -> None:
    """Refuse an address that is not this computer's; Gradio would try each of its ports there."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, 0, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind, protocol) as probe:
            probe.bind(address)
    except OSError as error:
        raise DemoError(
            f"cannot serve the page on {host}: {error.strerror or error}; choose an address of "
            "this computer's, such as 127.0.0.1."
        ) from error


def build() -> gr.Blocks:
    """The page itself, not yet served."""
    with gr.Blocks(title="mnistzoo", analytics_enabled=False, delete_cache=(600, 600)) as page:
        gr.Markdown("# mnistzoo")
        message = gr.HTML(HINT, html_template='<p role="status">{{value}}</p>')
        with gr.Row():
            with gr.Column():
                paper = _paper()
            with gr.Column():
                answer = gr.Label(label="Answer", num_top_classes=NUM_CLASSES)
        with gr.Row():
            seen = gr.Image(label="What the network saw", height=220, format="png", buttons=[])
            with gr.Column():
                network = gr.Dropdown(list_models(), value=NETWORK, label="Network")
                layer = gr.Dropdown(
                    _choices(NETWORK), value=LAYER, label="Receptive field of the middle unit of"
                )
        inputs, outputs = [paper, network, layer], [message, answer, seen, paper]
        # One queue, in order: the last thing done is the last thing shown. Gradio's own check of
        # the layer would refuse one sent before the page heard of another network's layers.
        in_turn: dict[str, Any] = {
            "show_progress": "hidden",
            "trigger_mode": "multiple",
            "concurrency_id": "look",
            "preprocess": False,
        }
        gr.on([paper.input, layer.input], _look, inputs, outputs, **in_turn)
        network.input(_look_with_another, inputs, [*outputs, layer], **in_turn)
    return page


def _paper() -> gr.HTML:
    """The canvas; its value is what is on it as a data URL, `field` a box drawn over it."""
    return gr.HTML(
        value="",
        html_template=_PAPER,
        css_template=_STYLE,
        js_on_load=Path(__file__).with_suffix(".js").read_text(encoding="utf8"),
        field=_NOWHERE,
    )


@functools.cache
def _fields(network: str) -> dict[str, ReceptiveField]:
    """The receptive fields of a network's convolutions and pools, by path."""
    model = get_model(network)
    kinds = nn.Conv2d, nn.MaxPool2d
    paths = [path for path, module in model.named_modules() if isinstance(module, kinds)]
    return {path: model.receptive_field(path) for path in paths}


def _choices(network: str) -> list[tuple[str, str]]:
    return [(f"{path}: {field}", path) for path, field in _fields(network).items()]


def _kept(network: str, layer: str) -> str:
    """The same layer, if the network has it, or else its last."""
    fields = _fields(network)
    return layer if layer in fields else [*fields][-1]


def _look(drawing: str, network: str, layer: str) -> tuple[Any, ...]:
    """All that the page shows of a drawing: a message, the bars, the pixels, the field."""
    field = _fields(network)[_kept(network, layer)]
    try:
        message, bars, seen, box = _read(drawing, network, field)
    except MnistZooError as error:
        message, bars, seen, box = f"Not read: {error}", None, None, _NOWHERE
    return message, bars, seen, gr.HTML(field=box)


def _look_with_another(drawing: str, network: str, layer: str) -> tuple[Any, ...]:
    """The same with another network, and its layers to choose from."""
    layers = gr.Dropdown(_choices(network), value=_kept(network, layer))
    return *_look(drawing, network, layer), layers


def _read(drawing: str, network: str, field: ReceptiveField) -> tuple[Any, ...]:
    """A message, the bars, the 28×28 pixels enlarged, and a layer's field on the drawing.

    Raises:
        ImageError: there is no digit in it, or it is no picture.
    """
    if not drawing:
        return HINT, None, None, _NOWHERE
    picture = base64.b64decode(drawing.partition(",")[2])
    prediction = get_model(network, pretrained=True).predict(picture)
    bars = {str(digit): share for digit, share in enumerate(prediction.probabilities)}
    seen = to_mnist(picture).numpy()
    enlarged = seen.repeat(_ENLARGED, axis=0).repeat(_ENLARGED, axis=1)
    message = f"{network} reads {prediction.label}, probability {prediction.probability:.1%}."
    return message, bars, enlarged, _on_paper(_middle(field), seen, picture)


def _middle(field: ReceptiveField) -> NDArray[np.int64]:
    """What a layer's unit nearest to the middle of the 28×28 pixels sees of them.

    Returns:
        `[[left, top], [right, bottom]]`, the last two outside.
    """
    middle = [(side - 1) / 2 for side in INPUT_SHAPE[1:]]
    unit = np.subtract(middle, field.center(0)) / np.array(field.stride, float)
    spans = np.array(field.pixels(unit.round().astype(int).tolist()))
    return spans.T[:, ::-1] + [[0], [1]]


def _on_paper(
    corners: NDArray[np.int64], seen: NDArray[np.uint8], picture: bytes
) -> tuple[float, ...]:
    """A box of the 28×28 pixels as it lies on the picture that they were made from.

    The ink's box in the one is the ink's box in the other, moved and scaled.

    Returns:
        Left, top, width and height, as shares of the picture's width and height.
    """
    levels = load_grayscale(picture).levels
    _, found = parts(segment(levels))
    ink = np.reshape(box_of(main_digit(found)), (2, 2))
    drawn = np.array([(span.min(), span.max() + 1) for span in np.nonzero(seen > 127)[::-1]]).T
    scale = np.ptp(ink, axis=0).max() / np.ptp(drawn, axis=0).max()
    corners = ink.mean(axis=0) + (corners - drawn.mean(axis=0)) * scale
    start, stop = np.clip(corners / levels.shape[::-1], 0, 1)
    return (*start.tolist(), *(stop - start).tolist())
