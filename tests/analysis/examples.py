"""Small models that several test modules use."""

from __future__ import annotations

from torch import nn


class Apply(nn.Module):
    """A convolution followed by any function."""

    def __init__(self, function):
        super().__init__()
        self.function = function
        self.conv = nn.Conv2d(1, 2, 3, padding=1)

    def forward(self, x):  # noqa: D102 - torch's own method
        return self.function(self.conv(x))
