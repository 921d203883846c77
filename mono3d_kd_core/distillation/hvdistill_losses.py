"""HVDistill's losses: contrast between what two networks say of the same place, and depth by the LiDAR's points.

Zhang et al., "HVDistill: Transferring Knowledge from Images to Point Clouds via Unsupervised Hybrid-View Distillation",
IJCV 2024. The image-plane term is that of Sautier et al., "SLidR", CVPR 2022.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

TEMPERATURE = 0.07


def info_nce(keys: Tensor, queries: Tensor, temperature: float = TEMPERATURE) -> Tensor:
    """Contrast (van den Oord et al. 2018): each key (N,C) should be most like the query (N,C) of its own row.

    Mean over rows i of -log(exp(k_i.q_i / t) / sum_j exp(k_i.q_j / t)); 0 without rows.
    """
    if not len(keys):
        return keys.sum() * 0
    # Halves would round what the temperature then enlarges.
    with torch.autocast(keys.device.type, enabled=False):
        logits = keys.float() @ queries.float().t() / temperature
        return functional.cross_entropy(logits, torch.arange(len(keys), device=keys.device))


def matched_share(keys: Tensor, queries: Tensor) -> Tensor:
    """Return the share of keys (N,C) that are most like the query (N,C) of their own row; 0 without rows."""
    if not len(keys):
        return keys.new_zeros(())
    best = (keys.detach().float() @ queries.detach().float().t()).argmax(1)
    return (best == torch.arange(len(keys), device=keys.device)).float().mean()


def group_means(features: Tensor, group: Tensor, groups: int) -> tuple[Tensor, Tensor]:
    """Return the mean (groups,C) of the features (N,C) of each group, 0 for an empty one, and their numbers (groups,).

    group (N,) says which one a row belongs to.
    """
    sums = features.new_zeros(groups, features.shape[1]).index_add(0, group, features)
    count = torch.bincount(group, minlength=groups)
    return sums / count.clamp_min(1)[:, None], count


def nearest_depth(depth: Tensor, stride: int) -> Tensor:
    """Return the least known (non-zero) depth in each block of a map (B,H,W), as (B,H/stride,W/stride); 0 where none is."""
    far = torch.where(depth > 0, depth, torch.inf)
    nearest = -functional.max_pool2d(-far[:, None], stride)[:, 0]
    return torch.where(nearest.isinf(), 0.0, nearest)


def depth_loss(probability: Tensor, label: Tensor) -> Tensor:
    """Binary cross-entropy of each bin's probability (B,D,h,w) against the one-hot label (B,h,w), -1 where unknown.

    Mean over known cells and bins; 0 without known cells.
    """
    known = label >= 0
    if not known.any():
        return probability.sum() * 0
    with torch.autocast(probability.device.type, enabled=False):
        found = probability.float().permute(0, 2, 3, 1)[known]
        wanted = functional.one_hot(label[known], found.shape[1]).float()
        return functional.binary_cross_entropy(found, wanted)
