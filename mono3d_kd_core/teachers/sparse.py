"""Sparse 3D convolutions on voxels: submanifold, strided and inverse, exact on any number of threads.

spconv's CPU path races with more than one thread and cannot go backward; this one gathers, multiplies and adds one kernel
place at a time, and under one place no output row is written twice.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor, nn

from mono3d_kd_core.teachers.rulebook import Rulebook, Triple, strided_rules, submanifold_rules


@dataclass(frozen=True)
class SparseTensor:
    """Features at occupied voxels.

    features (N,C); coordinates (N,4) int32 batch, z, y, x, each voxel once; shape (z, y, x) of the grid; rules holds the
    rulebooks made so far, by the key of the layer, with the voxels they started from.
    """

    features: Tensor
    coordinates: Tensor
    shape: Triple
    batch: int
    rules: dict[str, tuple[Rulebook, Tensor, Triple]] = field(default_factory=dict)

    def dense(self) -> Tensor:
        """Return the full grid (batch, C, z, y, x), zero where there is no voxel."""
        b, z, y, x = self.coordinates.long().unbind(1)
        grid = self.features.new_zeros(self.batch, *self.shape, self.features.shape[1])
        grid[b, z, y, x] = self.features
        return grid.permute(0, 4, 1, 2, 3)

    def with_features(self, features: Tensor) -> SparseTensor:
        """Return the same voxels with other features."""
        return replace(self, features=features)


class _Convolution(torch.autograd.Function):
    """Sum over kernel places of (gathered features) x (that place's matrix)."""

    @staticmethod
    def forward(ctx: Any, features: Tensor, weight: Tensor, rules: Rulebook) -> Tensor:
        ctx.save_for_backward(features, weight)
        ctx.rules = rules
        out = features.new_zeros(rules.outputs, weight.shape[2])
        for k, (source, target) in _places(rules):
            out.index_add_(0, target, features.index_select(0, source) @ weight[k])
        return out

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor, None]:
        features, weight = ctx.saved_tensors
        (gradient,) = gradients
        to_features, to_weight = torch.zeros_like(features), torch.zeros_like(weight)
        for k, (source, target) in _places(ctx.rules):
            arriving = gradient.index_select(0, target)
            # An input meets one output at most under one place, so these rows are distinct as well.
            to_features.index_add_(0, source, arriving @ weight[k].t())
            to_weight[k] = features.index_select(0, source).t() @ arriving
        return to_features, to_weight, None


def _places(rules: Rulebook) -> list[tuple[int, tuple[Tensor, Tensor]]]:
    """The kernel places that have rules, each with its rows of the input and of the output."""
    spans = zip(rules.starts[:-1], rules.starts[1:])
    return [(k, (rules.sources[a:b], rules.targets[a:b])) for k, (a, b) in enumerate(spans) if b > a]


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
        return x.rules[self.key][0]

    def make_rules(self, x: SparseTensor) -> Rulebook:
        """Make the rules of this layer for `x`."""
        raise NotImplementedError

    def forward(self, x: SparseTensor) -> SparseTensor:
        """Convolve."""
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


class InverseConv3d(SparseConvolution):
    """Takes the voxels of the strided convolution with the same key back to where that one came from."""

    def rules(self, x: SparseTensor) -> Rulebook:
        """Return the strided layer's rules, turned round. Raises ValueError where that layer has not run."""
        if self.key not in x.rules:
            raise ValueError(f'no strided convolution with the key "{self.key}" has run before its inverse')
        rules, coordinates, shape = x.rules[self.key]
        return rules.inverted(coordinates, shape)


def _triple(value: int | Sequence[int]) -> Triple:
    return (value, value, value) if isinstance(value, int) else (value[0], value[1], value[2])
