"""Accuracy, likelihood, calibration and confusion of a model on labeled images."""

from mnistzoo.evaluation.metrics import BINS as BINS
from mnistzoo.evaluation.metrics import Bin as Bin
from mnistzoo.evaluation.metrics import ClassAccuracy as ClassAccuracy
from mnistzoo.evaluation.metrics import Evaluation as Evaluation
from mnistzoo.evaluation.running import evaluate as evaluate
from mnistzoo.intervals import wilson_interval as wilson_interval
