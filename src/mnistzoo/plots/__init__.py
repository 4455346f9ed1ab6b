"""Figures, drawn with matplotlib (extra `plot`)."""

from mnistzoo.plots.field import receptive_field
from mnistzoo.plots.fine_tuning import facts_of_fine_tuning, fine_tuning
from mnistzoo.plots.predictions import confusion, errors, errors_by_confidence, reliability
from mnistzoo.plots.runs import accuracy_vs_parameters, curves, facts_of_runs, facts_of_summaries
from mnistzoo.plots.saving import save

__all__ = [
    "accuracy_vs_parameters",
    "confusion",
    "curves",
    "errors",
    "errors_by_confidence",
    "facts_of_fine_tuning",
    "facts_of_runs",
    "facts_of_summaries",
    "fine_tuning",
    "receptive_field",
    "reliability",
    "save",
]
