"""Lists of operators and errors for the reference, from the records of the library."""

from __future__ import annotations

from mnistzoo import errors
from mnistzoo.analysis.operators import (
    indexing,
    linalg,
    pointwise,
    reductions,
    resizing,
    shapes,
    slicing,
    sliding,
)
from mnistzoo.analysis.operators.base import Operator
from mnistzoo.tables import Table

FAMILIES = {
    "Convolution, pooling, padding": sliding,
    "Resizing": resizing,
    "Pointwise": pointwise,
    "Reductions and normalization": reductions,
    "Matrix products": linalg,
    "Reshapes and permutations": shapes,
    "Slices and concatenations": slicing,
    "Indexing": indexing,
}

SAME = "the same unit of every argument"
EVERYTHING = "everything (upper bound)"
PLACES = "the same entries, in other places"

READS = {
    "elementwise": SAME,
    "constant": "nothing: only the shape matters",
    "_fill": "the value, not the old entries",
    "_copy": "the same unit of the source",
    "_reduce": "everything along the reduced dimensions",
    "_loss": f"{SAME}; with a reduction, everything",
    "_spread": "itself, and everything along the dimension",
    "_topk": "everything along the dimension",
    "_fourier": "everything along the transformed dimensions",
    "_layer_norm": "itself, and everything along the normalized dimensions",
    "_group_norm": "itself, and the whole map",
    "_batch_norm": "the same unit; an instance norm also reads the whole map",
    "_renorm": "itself, and everything along the other dimensions",
    "read_all": EVERYTHING,
    "_matmul": "a row of one matrix and a column of the other",
    "_addmm": "the bias, a row of one matrix and a column of the other",
    "_matvec": "a row of the matrix and the whole vector",
    "_addmv": "the same unit of the first vector, a row of the matrix and the whole other vector",
    "_outer": "the same unit of the matrix, and one unit of each vector",
    "_distances": "one row of each matrix",
    "_trilinear": "everything along the summed dimensions",
    "_view": PLACES,
    "_unsqueeze": PLACES,
    "_squeeze": PLACES,
    "_permute": PLACES,
    "_expand": PLACES,
    "_as_strided": f"{PLACES}, or a frame of `torch.stft`",
    "_flip": PLACES,
    "_rot90": PLACES,
    "_roll": PLACES,
    "_pixel_shuffle": PLACES,
    "_pixel_unshuffle": PLACES,
    "_channel_shuffle": PLACES,
    "_view_as_real": PLACES,
    "_view_as_complex": PLACES,
    "_pick": PLACES,
    "_replace": PLACES,
    "_glu": "the same unit of both halves",
    "_cat": PLACES,
    "_stack": PLACES,
    "_repeat": PLACES,
    "_diagonal": PLACES,
    "_index_select": "the selected entries, if the indices are constant",
    "_embedding": "the token",
    "_index": "the selected entries, if there is one constant vector of indices",
    "_gather": "the selected entries, if the indices are constant",
    "_index_put": "itself, and everything along the written dimensions (upper bound)",
    "_scatter": "itself, and everything along the written dimension (upper bound)",
    "_masked_scatter": "itself, and all of the source (upper bound)",
    "_first_by_others": "the same unit of the first argument, and all of the others",
    "_grid_sample": "its place in the grid, and the whole image (upper bound)",
    "_convolution": "a window",
    "_pool": "a window",
    "_adaptive_pool": "a window, whose size may vary by one",
    "_pad": "one unit, or nothing in a constant border",
    "_unfold_backward": "the frames that overlap there",
    "_unfold": "one entry of a frame",
    "_im2col": "one entry of a window",
    "_col2im": "the windows that overlap there",
    "_resize": "a window, at a fractional stride",
}
"""What each unit of the result reads, by the name of the rule."""


def operators() -> str:
    """Return a list for each family of operators, one item for each thing that is read."""
    parts = []
    for title, family in FAMILIES.items():
        items = [f"- **{read}:** {names}" for read, names in _grouped(family.OPERATORS).items()]
        parts.append("\n".join([f"### {title}\n", *items, ""]))
    return "\n".join(parts)


def rule_name(operator: Operator) -> str:
    """Return the name of the function that is an operator's rule, or that makes it."""
    return operator.rule.__qualname__.partition(".")[0]


def _grouped(records: dict[str, Operator]) -> dict[str, str]:
    """Return the names of operators by what their results read."""
    found: dict[str, list[str]] = {}
    for names, operator in records.items():
        read = READS[rule_name(operator)]
        if operator.needs_values:
            read = "Needs values, so the analysis ends here"
        elif operator.macs:
            read += "; MACs are counted"
        read = read[0].upper() + read[1:]
        found.setdefault(read, []).extend(f"`{name}`" for name in names.split())
    return {read: ", ".join(names) for read, names in found.items()}


def error_table() -> str:
    """Return a table of the errors, their built-in bases and their meaning."""
    rows = [
        (f"[`{name}`](/how-to/troubleshooting.md#{name.lower()})", _base(kind), _meaning(kind))
        for name, kind in vars(errors).items()
        if name.endswith("Error") and name != "MnistZooError"
    ]
    return Table(("error", "is also", "raised for"), rows, text_columns=3).to_markdown()


def _base(kind: type[Exception]) -> str:
    """Return the names of the classes that an error derives from, except for the common one."""
    bases = [base.__name__ for base in kind.__bases__ if base is not errors.MnistZooError]
    return ", ".join(f"`{base}`" for base in bases)


def _meaning(kind: type[Exception]) -> str:
    return (kind.__doc__ or "").splitlines()[0].rstrip(".")
