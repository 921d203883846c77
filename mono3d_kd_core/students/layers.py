"""The convolution block that every network here is made of."""

from __future__ import annotations

from torch import nn


def conv_bn_relu(inputs: int, outputs: int, kernel: int = 3, stride: int = 1) -> nn.Sequential:
    """Return convolution without bias, batch normalisation, ReLU; "same" padding."""
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, bias=False), nn.BatchNorm2d(outputs), nn.ReLU(inplace=True)
    )


def parameter_count(module: nn.Module) -> int:
    """Return how many trainable numbers a module has."""
    return sum(parameter.numel() for parameter in module.parameters())
