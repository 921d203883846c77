"""Sparse convolutions with their normalisation and ReLU, alone, in rows and as residual blocks."""

from __future__ import annotations

from torch import nn

from mono3d_kd_core.teachers.sparse import SparseConvolution, SubmanifoldConv3d
from mono3d_kd_core.teachers.sparse_tensor import SparseTensor


def norm(width: int) -> nn.BatchNorm1d:
    """Return a batch normalisation over voxels, as everywhere in OpenPCDet (eps 1e-3, momentum 0.01)."""
    return nn.BatchNorm1d(width, eps=1e-3, momentum=0.01)


class SparseSequential(nn.Sequential):
    """Layers one after the other: sparse ones see the voxels, all others their features alone."""

    def forward(self, x: SparseTensor) -> SparseTensor:
        """Apply the layers."""
        for layer in self:
            sparse = isinstance(layer, SparseConvolution | SparseSequential | ResidualBlock)
            x = layer(x) if sparse else x.with_features(layer(x.features))
        return x


def unit(convolution: SparseConvolution) -> SparseSequential:
    """Return a convolution followed by batch normalisation and ReLU."""
    return SparseSequential(convolution, norm(convolution.weight.shape[0]), nn.ReLU())


class ResidualBlock(nn.Module):
    """Two submanifold convolutions of 3x3x3 and the identity (He et al., CVPR 2016); OpenPCDet's SparseBasicBlock."""

    def __init__(self, width: int, key: str) -> None:
        super().__init__()
        self.conv1, self.bn1 = SubmanifoldConv3d(width, width, 3, key, bias=True), norm(width)
        self.conv2, self.bn2 = SubmanifoldConv3d(width, width, 3, key, bias=True), norm(width)

    def forward(self, x: SparseTensor) -> SparseTensor:
        """Apply the block."""
        hidden: SparseTensor = self.conv1(x)
        hidden = self.conv2(hidden.with_features(self.bn1(hidden.features).relu()))
        return hidden.with_features((self.bn2(hidden.features) + x.features).relu())
