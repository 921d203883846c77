"""The query student's losses, term by term, as MonoDETR's (Zhang et al., ICCV 2023). Needed in training only."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from mono3d_kd_core.geometry.depth_bins import DepthBins
from mono3d_kd_core.students.keypoint_losses import heading_loss, laplacian_depth_loss, object_mean, size_loss
from mono3d_kd_core.students.query.heads import Answers
from mono3d_kd_core.students.query.matching import (
    ALPHA,
    BOX,
    CENTRE,
    CLASS,
    OVERLAP,
    Matches,
    corners,
    generalised_iou,
    match,
)
from mono3d_kd_core.students.query.targets import QueryTargets

FOREGROUND, BACKGROUND = 13.0, 1.0
"""How much the cells inside and outside of 2D boxes count in the depth map's loss (Reading et al., "CaDDN", CVPR 2021)."""


def query_losses(
    layers: Sequence[Answers], depth_logits: Tensor, targets: QueryTargets, queries: int, bins: DepthBins
) -> dict[str, Tensor]:
    """Return all terms, weighted as published: those of the last layer, of each layer before, and of the depth map.

    Each layer is matched for itself, each group of `queries` of its queries too.
    """
    terms = {"depth_map": depth_map_loss(depth_logits, targets, bins)}
    for number, answers in enumerate(layers, start=1):
        suffix = "" if number == len(layers) else f"_layer{number}"
        found = layer_losses(answers, targets, match(answers, targets, queries), queries)
        terms |= {name + suffix: value for name, value in found.items()}
    return terms


def layer_losses(answers: Answers, targets: QueryTargets, matches: Matches, queries: int) -> dict[str, Tensor]:
    """Return one layer's terms; every sum over an object's numbers is averaged over the matched objects."""
    said = Answers(*(part[matches.image, matches.query] for part in answers))
    weight, size = targets.weight[matches.target], targets.size[matches.target]
    want = targets.box[matches.target]
    bins, residuals = targets.heading_bin[matches.target], targets.heading_residual[matches.target]
    apart = (said.box - want).abs()
    groups = answers.logits.shape[1] // queries
    return {
        "class": CLASS * class_loss(answers, targets, matches, groups),
        "centre": CENTRE * object_mean(apart[:, :2].sum(1), weight),
        "box2d": BOX * object_mean(apart[:, 2:].sum(1), weight),
        "overlap": OVERLAP * object_mean(1 - generalised_iou(said.box, want), weight),
        # Published as sums of the three sides; the function averages over them.
        "size3d": 3 * size_loss(said.size[None], size[None], weight[None]),
        "depth": laplacian_depth_loss(said.depth, said.log_std, targets.depth[matches.target], weight),
        "heading": heading_loss(said.heading[None], bins[None], residuals[None], weight[None]),
    }


def class_loss(answers: Answers, targets: QueryTargets, matches: Matches, groups: int) -> Tensor:
    """Return the focal loss (Lin et al., ICCV 2017; alpha 0.25, gamma 2) of all queries, divided by the objects' weights.

    Queries without an object should say "nothing", unless their centre is in a region in doubt.
    """
    wanted = torch.zeros_like(answers.logits)
    wanted[matches.image, matches.query, targets.label[matches.target]] = 1
    weight = 1 - in_doubt(answers.box, targets).to(wanted)
    weight[matches.image, matches.query] = targets.weight[matches.target]
    entropy = functional.binary_cross_entropy_with_logits(answers.logits, wanted, reduction="none")
    probability = answers.logits.sigmoid()
    wrong = wanted * (1 - probability) + (1 - wanted) * probability
    balance = wanted * ALPHA + (1 - wanted) * (1 - ALPHA)
    return (balance * wrong**2 * entropy * weight[..., None]).sum() / (targets.weight.sum() * groups).clamp(min=1)


def in_doubt(box: Tensor, targets: QueryTargets) -> Tensor:
    """Tell which boxes (B,Q,6) have their centre in a region of doubt of their image, (B,Q)."""
    image = targets.doubt[:, 0].long()
    centre = box[image, :, :2].detach()
    inside = ((centre >= targets.doubt[:, None, 1:3]) & (centre <= targets.doubt[:, None, 3:5])).all(-1)
    count = torch.zeros(box.shape[:2], device=box.device)
    return count.index_add(0, image, inside.float()) > 0


def depth_map_loss(logits: Tensor, targets: QueryTargets, bins: DepthBins) -> Tensor:
    """Return the softmax focal loss (alpha 0.25, gamma 2) of the depth map (B,bins+1,h,w), a mean over its cells.

    Each 2D box is painted with the depth of its object, far ones first; elsewhere the last bin is right. Cells that a
    region in doubt touches and no box covers do not count.
    """
    label, weight = painted_depth(targets, logits.shape[0], logits.shape[2], logits.shape[3], bins)
    label, weight = label.to(logits.device), weight.to(logits.device)
    log_probability = logits.log_softmax(1).gather(1, label[:, None])[:, 0]
    focal = -ALPHA * (1 - log_probability.exp()) ** 2 * log_probability
    return (focal * weight).mean()


def painted_depth(targets: QueryTargets, batch: int, rows: int, columns: int, bins: DepthBins) -> tuple[Tensor, Tensor]:
    """Return the bin (B,h,w) of each cell of the depth map, and how much the cell counts."""
    label = np.full((batch, rows, columns), bins.count)
    weight = np.full((batch, rows, columns), BACKGROUND, np.float32)
    for image, *region in targets.doubt.cpu().numpy():
        weight[int(image)][_cells(np.array(region), rows, columns)] = 0
    depth, image = targets.depth.cpu().numpy(), targets.image.cpu().numpy()
    region, bin_ = corners(targets.box).cpu().numpy(), bins.label(depth)
    for k in np.argsort(-depth, kind="stable"):
        place = _cells(region[k], rows, columns)
        label[image[k]][place], weight[image[k]][place] = bin_[k], FOREGROUND
    return torch.from_numpy(label), torch.from_numpy(weight)


def _cells(region: np.ndarray[tuple[int, ...], np.dtype[np.float32]], rows: int, columns: int) -> tuple[slice, slice]:
    """Return the cells that a region (4,), shares of the picture, touches."""
    left, top, right, bottom = region * [columns, rows, columns, rows]
    return (
        slice(max(0, int(np.floor(top))), max(0, int(np.ceil(bottom)))),
        slice(max(0, int(np.floor(left))), max(0, int(np.ceil(right)))),
    )
