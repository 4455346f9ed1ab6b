"""Model cards that their owner edited: the text is kept, and the metadata is kept correct.

The text is never replaced. The metadata (dataset, accuracy, model name, tags) is replaced when the
weights beside the card change.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

from mnistzoo.architectures import BUILDABLE
from mnistzoo.errors import InputError
from mnistzoo.files import is_dir, read_bytes, remove
from mnistzoo.storage.model_card import is_generated
from mnistzoo.storage.model_folder import CARD, CONFIG, LIMITS, find_digest, write_folder

_FRONT_MATTER = re.compile(rb"\s*---\r?\n.*?\r?\n---[ \t]*(\r?\n|\Z)", re.DOTALL)
_DESCRIBES_WEIGHTS = ("datasets", "metrics", "model_name", "eval_results")


def update_folder(folder: str | os.PathLike[str], files: dict[str, bytes]) -> None:
    """Write a saved model to a folder. A card there that was edited keeps its text.

    Raises:
        FileReadError: The card in the folder cannot be read.
        FileWriteError: A file cannot be written.
        InputError: The metadata of an edited card is invalid.
    """
    card = Path(folder) / CARD
    if is_dir(folder) and card.exists():
        if card.stat().st_size > LIMITS[CARD]:  # too large to be generated, so it is kept
            files = _without_card(files)
        else:
            there, config = read_bytes(card, limit=LIMITS[CARD]), Path(folder) / CONFIG
            beside = read_bytes(config, limit=LIMITS[CONFIG]) if config.exists() else None
            if CARD not in files and is_generated(there):
                remove(card)  # it describes the model that was here
            else:
                files = merge_card(files, there, beside)
    write_folder(folder, files)


def merge_card(files: dict[str, bytes], card: bytes, config: bytes | None) -> dict[str, bytes]:
    """Return `files` with the card to write in place of `card`, or none to keep it.

    A generated card is replaced. An edited one is kept. If it describes other weights, it gets the
    metadata of the new card and keeps its text.

    Args:
        files: The model to write.
        card: The card that is there.
        config: The `config.json` beside it, if there is one.

    Raises:
        InputError: The metadata of an edited card is invalid.
    """
    if is_generated(card):
        return files
    digest = find_digest(config) if config else None
    same_weights = digest is not None and digest == find_digest(files[CONFIG])
    unrelated = digest is None and b"library_name: mnistzoo" not in card
    if same_weights or unrelated or not _FRONT_MATTER.match(card):
        return _without_card(files)
    return {**files, CARD: _replace_metadata(card, files.get(CARD, b""))}


def _without_card(files: dict[str, bytes]) -> dict[str, bytes]:
    return {name: data for name, data in files.items() if name != CARD}


def _replace_metadata(card: bytes, new: bytes) -> bytes:
    """Return an edited card with what another card's metadata says about the weights."""
    from huggingface_hub import CardData, ModelCard, ModelCardData

    data: CardData = ModelCardData()
    try:
        edited = ModelCard(card.decode(errors="surrogateescape"), ignore_metadata_errors=True)
        if _FRONT_MATTER.match(new):
            data = ModelCard(new.decode(errors="replace"), ignore_metadata_errors=True).data
    except Exception as error:  # whatever the client's YAML parser raises
        raise InputError(
            f"Expected {CARD} to start with valid YAML between two lines of ---, got: "
            f"{' '.join(str(error).split())}. Fix the card or delete it."
        ) from error
    for key in _DESCRIBES_WEIGHTS:
        edited.data[key] = data.get(key)
    edited.data["tags"] = _merge_tags(edited.data.get("tags"), data.get("tags"))
    return str(edited).encode(errors="surrogateescape")


def _merge_tags(edited: Any, new: Any) -> list[str] | None:
    own = [tag for tag in (edited if isinstance(edited, list) else []) if tag not in BUILDABLE]
    return [*own, *(tag for tag in new or [] if tag not in own)] or None
