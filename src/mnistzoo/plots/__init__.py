"""Figures, drawn with matplotlib (extra `plot`)."""

from mnistzoo.plots.answers import confusion, errors, reliability, surest_errors
from mnistzoo.plots.field import receptive_field
from mnistzoo.plots.runs import accuracy_vs_params, curves

__all__ = [
    "accuracy_vs_params",
    "confusion",
    "curves",
    "errors",
    "receptive_field",
    "reliability",
    "surest_errors",
]
