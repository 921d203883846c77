"""What two query networks say of the same objects, and how far apart that is. The forms are ours (docs/methods/add.md)."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from mono3d_kd_core.heads.keypoint import HEADING_BINS
from mono3d_kd_core.students.query.heads import Answers
from mono3d_kd_core.students.query.matching import BOX, CENTRE, match
from mono3d_kd_core.students.query.targets import QueryTargets

NEAREST = 0.1
"""Metres; depths are compared by their logarithm, and nearer ones as if they were this far."""
HEADING = slice(10, 10 + 2 * HEADING_BINS)
LOGITS = HEADING.stop
"""Where the heading and the class logits are in `About.said`; before them are box (6), log depth (1) and size (3)."""


class About(NamedTuple):
    """What a network's last layer says of K targets: said (K,34+classes), log_std (K,), whether a query was found (K,)."""

    said: Tensor
    log_std: Tensor
    found: Tensor


def answers_about(answers: Answers, targets: QueryTargets, queries: int) -> About:
    """Read the answers of the queries that match the targets best; of the first group, which is the one that is deployed.

    Where there are more targets than queries, some find none.
    """
    first = Answers(*(part[:, :queries] for part in answers))
    matches = match(first, targets, queries)
    query = torch.zeros_like(targets.image)
    query[matches.target] = matches.query
    found = torch.zeros_like(targets.image, dtype=torch.bool)
    found[matches.target] = True
    a = Answers(*(part[targets.image, query] for part in first))
    depth = a.depth.clamp(min=NEAREST).log()[:, None]
    return About(torch.cat([a.box, depth, a.size, a.heading, a.logits], 1), a.log_std, found)


def value_loss(student: Tensor, teacher: Tensor) -> Tensor:
    """L1 of box, log depth and size of K targets, each a sum weighted as the student's own losses are; their mean.

    10 |centre| + 5 |distances to the box's edges| + |log depth| + |size|
    """
    apart = (student[:, : HEADING.start] - teacher[:, : HEADING.start]).abs()
    weight = torch.ones(HEADING.start, device=apart.device)
    weight[:2], weight[2:6] = CENTRE, BOX
    return (apart * weight).sum(1).mean()


def heading_divergence(student: Tensor, teacher: Tensor) -> Tensor:
    """Kullback-Leibler divergence of the heading's bins, and L1 of its residual in the teacher's bin, (K,24) each."""
    log_mine, log_theirs = (functional.log_softmax(part[:, :HEADING_BINS], -1) for part in (student, teacher))
    bins = functional.kl_div(log_mine, log_theirs, reduction="batchmean", log_target=True)
    best = log_theirs.argmax(1, keepdim=True)
    mine, theirs = (part[:, HEADING_BINS:].gather(1, best) for part in (student, teacher))
    return bins + (mine - theirs).abs().mean()


def score_loss(student: Tensor, teacher: Tensor) -> Tensor:
    """Quality focal loss (Li et al., NeurIPS 2020, beta 2) of class logits (K,classes) towards the teacher's scores.

    Summed over the classes, a mean over the targets.
    """
    quality = teacher.sigmoid()
    entropy = functional.binary_cross_entropy_with_logits(student, quality, reduction="none")
    return ((student.sigmoid() - quality) ** 2 * entropy).sum(1).mean()
