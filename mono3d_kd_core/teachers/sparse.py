"""Sparse 3D convolutions on voxels: submanifold, strided and inverse, exact on any number of threads.

The device chooses how: on CUDA spconv where it is installed; else, and always on the CPU, our own rules (`rulebook`) and
products (`sparse_product`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from mono3d_kd_core.teachers import spconv_backend
from mono3d_kd_core.teachers.rulebook import Rulebook, Triple, strided_rules, submanifold_rules
from mono3d_kd_core.teachers.sparse_product import gather_multiply_add, weight_gradient
from mono3d_kd_core.teachers.sparse_tensor import SparseTensor


class _Convolution(torch.autograd.Function):
    """Sum over kernel places of (gathered features) x (that place's matrix)."""

    @staticmethod
    def forward(ctx: Any, features: Tensor, weight: Tensor, rules: Rulebook) -> Tensor:
        ctx.save_for_backward(features, weight)
        ctx.rules = rules
        return gather_multiply_add(features, weight, rules.sources, rules.targets, rules.starts, rules.outputs)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor, None]:
        features, weight = ctx.saved_tensors
        rules, gradient = ctx.rules, gradients[0]
        # An input meets one output at most under one place, so that the pairs may be read the other way round.
        to_features = gather_multiply_add(
            gradient, weight.transpose(1, 2).contiguous(), rules.targets, rules.sources, rules.starts, len(features)
        )
        return to_features, weight_gradient(features, gradient, rules.sources, rules.targets, rules.starts), None


def convolve_flat(x: SparseTensor, layer: nn.Conv2d) -> Tensor:
    """Return what a 2D convolution makes of the dense map (batch, C, rows, columns), from its occupied cells alone.

    x has one layer of voxels. The result is the dense map that the convolution gives, to the order of the sums.
    """
    (ky, kx), (sy, sx) = layer.kernel_size, layer.stride
    if isinstance(layer.padding, str) or layer.groups != 1 or layer.dilation != (1, 1) or x.shape[0] != 1:
        raise ValueError("only plain 2D convolutions, over one layer of voxels, can be done cell by cell")
    py, px = layer.padding
    rules = strided_rules(x.coordinates, x.shape, (1, ky, kx), (1, sy, sx), (0, py, px)).to(x.features.device)
    weight = layer.weight.permute(2, 3, 1, 0).flatten(0, 1).contiguous()
    with torch.autocast(x.features.device.type, enabled=False):
        features: Tensor = _Convolution.apply(x.features, weight, rules)  # type: ignore[no-untyped-call]
    dense = SparseTensor(features, rules.coordinates, rules.shape, x.batch).dense().squeeze(2)
    return dense if layer.bias is None else dense + layer.bias.view(-1, 1, 1)


class SparseConvolution(nn.Module):
    """Base of the sparse convolutions; `weight` is (out, kz, ky, kx, in), spconv 2's layout."""

    def __init__(self, channels: int, width: int, kernel: int | Sequence[int], key: str, bias: bool = False) -> None:
        super().__init__()
        self.kernel, self.key = _triple(kernel), key
        self.weight = nn.Parameter(torch.empty(width, *self.kernel, channels))
        # As spconv and torch's own convolutions: uniform with bound 1/sqrt(fan in).
        bound = (channels * self.kernel[0] * self.kernel[1] * self.kernel[2]) ** -0.5
        nn.init.uniform_(self.weight, -bound, bound)
        self.bias = nn.Parameter(torch.zeros(width)) if bias else None

    def rules(self, x: SparseTensor) -> Rulebook:
        """Return the rules of this layer for `x`, made once per key."""
        if self.key not in x.rules:
            x.rules[self.key] = (self.make_rules(x).to(x.features.device), x.coordinates, x.shape)
        rules: Rulebook = x.rules[self.key][0]
        return rules

    def make_rules(self, x: SparseTensor) -> Rulebook:
        """Make the rules of this layer for `x`."""
        raise NotImplementedError

    def spconv_module(self, spconv: Any) -> Any:
        """Return this layer as a module of spconv, whose parameters are set before each use."""
        raise NotImplementedError

    @property
    def channels(self) -> tuple[int, int]:
        """Channels that come in and go out."""
        return self.weight.shape[4], self.weight.shape[0]

    def forward(self, x: SparseTensor) -> SparseTensor:
        """Convolve: by spconv on CUDA where it is installed, else by our own rules."""
        if spconv_backend.wanted(x.features):
            return SparseTensor(*spconv_backend.convolve(self, x), x.batch, x.rules)
        rules = self.rules(x)
        weight = self.weight.flatten(1, 3).permute(1, 2, 0).contiguous()
        features: Tensor = _Convolution.apply(x.features, weight, rules)  # type: ignore[no-untyped-call]
        if self.bias is not None:
            features = features + self.bias
        return SparseTensor(features, rules.coordinates, rules.shape, x.batch, x.rules)


class SubmanifoldConv3d(SparseConvolution):
    """Convolution whose outputs are exactly its inputs' voxels (Graham et al., CVPR 2018). Layers of one key share rules."""

    def make_rules(self, x: SparseTensor) -> Rulebook:
        """Make the rules of this layer for `x`."""
        return submanifold_rules(x.coordinates, x.shape, self.kernel)

    def spconv_module(self, spconv: Any) -> Any:
        """Return this layer as a module of spconv, whose parameters are set before each use."""
        return spconv.SubMConv3d(*self.channels, self.kernel, bias=self.bias is not None, indice_key=self.key)


class SparseConv3d(SparseConvolution):
    """Strided convolution: an output wherever the kernel touches an input."""

    def __init__(
        self, channels: int, width: int, kernel: int | Sequence[int], stride: int | Sequence[int],
        padding: int | Sequence[int], key: str, bias: bool = False,
    ) -> None:  # fmt: skip
        super().__init__(channels, width, kernel, key, bias)
        self.stride, self.padding = _triple(stride), _triple(padding)

    def make_rules(self, x: SparseTensor) -> Rulebook:
        """Make the rules of this layer for `x`."""
        return strided_rules(x.coordinates, x.shape, self.kernel, self.stride, self.padding)

    def spconv_module(self, spconv: Any) -> Any:
        """Return this layer as a module of spconv, whose parameters are set before each use."""
        bias = self.bias is not None
        return spconv.SparseConv3d(
            *self.channels, self.kernel, self.stride, self.padding, bias=bias, indice_key=self.key
        )


class InverseConv3d(SparseConvolution):
    """Takes the voxels of the strided convolution with the same key back to where that one came from."""

    def rules(self, x: SparseTensor) -> Rulebook:
        """Return the strided layer's rules, turned round. Raises ValueError where that layer has not run."""
        if self.key not in x.rules:
            raise ValueError(f'no strided convolution with the key "{self.key}" has run before its inverse')
        rules, coordinates, shape = x.rules[self.key]
        inverted: Rulebook = rules.inverted(coordinates, shape)
        return inverted

    def spconv_module(self, spconv: Any) -> Any:
        """Return this layer as a module of spconv, whose parameters are set before each use."""
        return spconv.SparseInverseConv3d(*self.channels, self.kernel, bias=self.bias is not None, indice_key=self.key)


def _triple(value: int | Sequence[int]) -> Triple:
    return (value, value, value) if isinstance(value, int) else (value[0], value[1], value[2])
