"""The command that serves a page to draw digits on."""

from __future__ import annotations

import signal
import time
from contextlib import suppress
from typing import Annotated

import typer


def demo(
    host: Annotated[
        str, typer.Option(help="The address to serve at; 127.0.0.1 is this computer only.")
    ] = "127.0.0.1",
    port: Annotated[
        int | None,
        typer.Option(
            min=1, max=65535, help="The port.", show_default="the first free one from 7860"
        ),
    ] = None,
    no_browser: Annotated[
        bool, typer.Option("--no-browser", help="Do not open the browser.")
    ] = False,
    share: Annotated[
        bool, typer.Option("--share", help="Also create a public link through Gradio's servers.")
    ] = False,
) -> None:
    """Serve a page to draw digits on, until Ctrl+C."""
    for number in (signal.SIGINT, signal.SIGTERM):  # ignored in background jobs
        signal.signal(number, signal.default_int_handler)
    from mnistzoo.demo import serve

    page = serve(host=host, port=port, browser=not no_browser, share=share)
    with suppress(KeyboardInterrupt):
        print(f"Draw at {page.local_url} (Ctrl+C ends it).", flush=True)
        while True:
            time.sleep(3600)
    page.close(verbose=False)
