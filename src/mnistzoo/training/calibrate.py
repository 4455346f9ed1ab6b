"""Confidence: one temperature for a network's answers, after Guo et al. 2017, arXiv:1706.04599."""

from __future__ import annotations

import math

import torch
from scipy.optimize import minimize_scalar
from torch import Tensor, nn

from mnistzoo.data.mnist import Digits
from mnistzoo.models import ConvNet
from mnistzoo.training.evaluate import evaluate

BOUNDS = (math.log(0.05), math.log(20.0))
"""Within which the logarithm of a temperature is looked for."""


def calibrate(model: ConvNet, digits: Digits) -> float:
    """Scale the classifier so that `digits` get their labels with the least mean log-loss.

    No answer becomes another one: every logit of an image is divided by the same temperature, which
    is returned. Training against smoothed labels leaves answers that are less sure than they are
    right, and this mends it.
    """
    found = evaluate(model, digits)
    temperature = best_temperature(found.log_probabilities, found.labels)
    with torch.no_grad():
        for parameter in model.classifier.parameters():
            parameter.div_(temperature)
    return temperature


def best_temperature(log_probabilities: Tensor, labels: Tensor) -> float:
    """The T for which the softmax of `log_probabilities` / T has the least mean log-loss.

    Args:
        log_probabilities: shape `(N, num_classes)`.
        labels: int64, shape `(N,)`.
    """
    answers = log_probabilities.double()

    def nll(log_temperature: float) -> float:
        scaled = answers * math.exp(-log_temperature)
        return float(nn.functional.cross_entropy(scaled, labels))

    return math.exp(minimize_scalar(nll, bounds=BOUNDS, method="bounded").x)
