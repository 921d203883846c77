"""Sparse convolutions by spconv, on CUDA devices where it is installed (extra `[spconv]`).

Not on the CPU, but to compare with: there spconv cannot go backward, and on more than one thread its results are wrong.
"""

from __future__ import annotations

import importlib.util
from functools import cache
from typing import Any, Protocol

from torch import Tensor, nn

from mono3d_kd_core.teachers.sparse_tensor import SparseTensor


class Layer(Protocol):
    """What is asked of a sparse convolution."""

    weight: nn.Parameter
    bias: nn.Parameter | None

    def spconv_module(self, spconv: Any) -> Any:
        """Return this layer as a module of spconv."""


@cache
def available() -> bool:
    """Tell whether spconv is installed."""
    return importlib.util.find_spec("spconv") is not None


def wanted(features: Tensor) -> bool:
    """Tell whether these features are to be convolved by spconv."""
    return features.is_cuda and available()


def convolve(layer: Layer, x: SparseTensor) -> tuple[Tensor, Tensor, tuple[int, int, int]]:
    """Return features, coordinates and shape after `layer`, whose weights have spconv 2's layout already."""
    import spconv.pytorch as spconv

    module = layer.spconv_module(spconv)
    if not x.features.is_cuda:
        module.algo = spconv.ConvAlgo.Native
    module.weight, module.bias = layer.weight, layer.bias
    given = spconv.SparseConvTensor(
        x.features, x.coordinates.contiguous(), list(x.shape), x.batch, indice_dict=x.rules.get("spconv")
    )
    found: Any = module(given)
    x.rules["spconv"] = found.indice_dict
    z, y, column = found.spatial_shape
    return found.features, found.indices, (z, y, column)
