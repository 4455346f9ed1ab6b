"""A model as one C99 header: integers only, no allocation, no library but `stdint.h`.

The code is `c/model.h`; this module writes the numbers into it.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files

import numpy as np
from numpy.typing import NDArray

from mnistzoo._version import __version__
from mnistzoo.export.integers import IntegerModel, input_sides

NUMBERS_A_LINE = 20

TYPES = {8: "int8_t", 4: "uint8_t"}
"""The C type of an array of weights, by bits of a weight."""

DOTS = {
    8: """static int32_t @NAME@_dot(const int8_t *weight, int start, const uint8_t *x, int count) {
    int32_t sum = 0;
    for (int i = 0; i < count; i++) sum += weight[start + i] * x[i];
    return sum;
}""",
    4: """/* Two weights a byte, the first in the low half, each stored plus 8. */
static int32_t @NAME@_dot(const uint8_t *weight, int start, const uint8_t *x, int count) {
    const uint8_t *byte = weight + start / 2, *end = x + count;
    int32_t sum = 0;
    if (start % 2) sum += ((*byte++ >> 4) - 8) * *x++;
    for (; end - x > 1; byte++, x += 2)
        sum += ((*byte & 15) - 8) * x[0] + ((*byte >> 4) - 8) * x[1];
    if (x < end) sum += ((*byte & 15) - 8) * *x;
    return sum;
}""",
}
"""The product of weights and activations, by bits of a weight."""


@dataclass(frozen=True)
class Header:
    """A header and what it needs.

    Attributes:
        text: The C code.
        flash: Bytes of weights, biases and shifts.
        ram: Bytes of state on the stack.
    """

    text: str
    flash: int
    ram: int


def build_header(model: IntegerModel, name: str, title: str, labels: Sequence[str]) -> Header:
    """Return the header of a model.

    Args:
        model: The model in integers.
        name: What its functions start with; made a C identifier.
        title: The first line of its comment.
        labels: The names of the classes.
    """
    name = identifier(name)
    *sides, last = input_sides(model)
    offsets, buffer = _offsets(model, sides)
    channels = len(model.convolutions[-1].weight)
    flash = _flash(model)
    ram = 4 * len(labels) + len(sides) + 1 + buffer + last * channels
    parts = {
        "TITLE": _comment(title),
        "NAME": name,
        "GUARD": f"{name.upper()}_H",
        "WEIGHTS": f"{flash:,} bytes",
        "RAM": f"{ram:,}",
        "CLASSES": str(len(labels)),
        "LABELS": _named(labels),
        "STEP": f"{model.step:.4f}",
        "VERSION": __version__,
        "LAYERS": str(len(sides)),
        "BUFFER": str(buffer + last * channels),
        "CLASSIFIER_ROW": str(buffer),
        "SIDE": str(last),
        "WIDTH": str(last * channels),
        "SHIFT": str(model.shift),
        "ARRAYS": _arrays(model, name),
        "TABLE": _table(model, name, sides, offsets),
        "WEIGHT": TYPES[model.bits],
        "DOT": DOTS[model.bits].replace("@NAME@", name),
    }
    source = (files("mnistzoo.export") / "c" / "model.h").read_text("utf8")
    text = re.sub("@([A-Z_]+)@", lambda match: parts[match[1]], source)
    return Header(text, flash, ram)


def identifier(name: str) -> str:
    """Return a C identifier made from a name.

    >>> identifier("my digits-2")
    'my_digits_2'
    """
    plain = re.sub("[^0-9A-Za-z]+", "_", name).strip("_") or "model"
    return f"model_{plain}" if plain[0].isdigit() else plain


def _comment(text: str) -> str:
    """Return text for a comment, which it can neither end nor open again."""
    plain = "".join(character if character.isprintable() else " " for character in text)
    return re.sub(r"(?<=\*)(?=/)|(?<=/)(?=\*)", " ", plain.replace("\\", "/"))


def _named(labels: Sequence[str]) -> str:
    if list(labels) == [str(number) for number in range(len(labels))]:
        return ""
    return f": {_comment(', '.join(labels))}"


def _offsets(model: IntegerModel, sides: Sequence[int]) -> tuple[list[int], int]:
    """Return where each layer's three rows start in the buffer, and where all end."""
    offsets, end = [], 0
    for convolution, side in zip(model.convolutions, sides, strict=True):
        offsets.append(end)
        end += 3 * (side + 2 * convolution.padding) * convolution.weight.shape[-1]
    return offsets, end


def _flash(model: IntegerModel) -> int:
    weights = [c.weight for c in model.convolutions] + [model.classifier]
    packed = sum(-(-weight.size * model.bits // 8) for weight in weights)
    channels = sum(len(convolution.bias) for convolution in model.convolutions)
    return packed + 5 * channels + 4 * len(model.bias)


def _arrays(model: IntegerModel, name: str) -> str:
    made, kind = [], TYPES[model.bits]
    for number, convolution in enumerate(model.convolutions, 1):
        made += [
            _array(kind, f"{name}_weight{number}", _packed(convolution.weight, model.bits)),
            _array("int32_t", f"{name}_bias{number}", convolution.bias),
            _array("uint8_t", f"{name}_shift{number}", convolution.shift),
        ]
    made.append(_array(kind, f"{name}_classifier", _packed(model.classifier, model.bits)))
    made.append(_array("int32_t", f"{name}_bias", model.bias))
    return "".join(made)


def _packed(weight: NDArray[np.int32], bits: int) -> NDArray[np.int32]:
    """Return weights as bytes: at 4 bits two in each, the first in the low half, each plus 8."""
    flat = weight.ravel()
    if bits == 8:
        return flat
    low, high = np.append(flat, np.zeros(flat.size % 2, np.int32)).reshape(-1, 2).T + 8
    return np.asarray(low | high << 4)


def _array(kind: str, name: str, numbers: NDArray[np.int32]) -> str:
    texts = [str(number) for number in numbers.tolist()]
    starts = range(0, len(texts), NUMBERS_A_LINE)
    lines = ",\n    ".join(", ".join(texts[at : at + NUMBERS_A_LINE]) for at in starts)
    return f"static const {kind} {name}[{len(texts)}] = {{\n    {lines}}};\n"


def _table(model: IntegerModel, name: str, sides: Sequence[int], offsets: Sequence[int]) -> str:
    rows = []
    for number, convolution in enumerate(model.convolutions, 1):
        out, _, _, channels = convolution.weight.shape
        shape = (offsets[number - 1], channels, out, sides[number - 1])
        numbers = (*shape, convolution.padding, int(convolution.pool))
        arrays = f"{name}_weight{number}, {name}_bias{number}, {name}_shift{number}"
        rows.append(f"    {{{arrays}, {', '.join(map(str, numbers))}}},\n")
    return "".join(rows)
