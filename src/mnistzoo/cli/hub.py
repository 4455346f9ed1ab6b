"""`mnistzoo push` and `mnistzoo pull`."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

Token = Annotated[
    str | None, typer.Option(help="An access token; HF_TOKEN or the stored one if not given.")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]
