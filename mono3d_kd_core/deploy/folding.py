"""Batch normalisation folded into the convolutions before it: the same function in one pass over memory instead of two."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval


def fold_batch_norm(network: nn.Module) -> nn.Module:
    """Fold in place, in evaluation mode, and return the network.

    Pairs are a convolution directly before a normalisation in an `nn.Sequential`, and children named conv, conv1, ... with
    bn, bn1, ... as in ResNet and DLA, where each convolution feeds its own normalisation and nothing else.
    """
    network.eval()
    for module in list(network.modules()):
        for conv, norm in list(_pairs(module)):
            fused = fuse_conv_bn_eval(getattr(module, conv), getattr(module, norm))
            setattr(module, conv, fused)
            setattr(module, norm, nn.Identity())
    return network


def _pairs(module: nn.Module) -> Iterator[tuple[str, str]]:
    """Yield the names of a module's convolutions with those of their normalisations."""
    children = dict(module.named_children())
    names = list(children)
    follower = dict(pairwise(names)) if isinstance(module, nn.Sequential) else {}
    for name, child in children.items():
        norm = follower.get(name, name.replace("conv", "bn"))
        if isinstance(child, nn.Conv2d) and isinstance(children.get(norm), nn.BatchNorm2d):
            yield name, norm
