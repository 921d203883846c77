"""One precision curve of the KITTI benchmark: one class, one level, one overlap."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numba import njit
from numpy.typing import NDArray

from mono3d_kd_core.evaluation.kitti_overlaps import Overlaps
from mono3d_kd_core.evaluation.kitti_rules import ABSENT, COUNTED, Metric, Use
from mono3d_kd_core.evaluation.pairs import Indices
from mono3d_kd_core.geometry.rigid import Matrix
from mono3d_kd_core.io.kitti_table import LabelTable

POINTS = 41
"""Recall is sampled at 0, 1/40, ..., 1."""


@dataclass(frozen=True)
class CurveProblem:
    """What a curve depends on, apart from how often each frame counts.

    pair (P,2) rows of labels and detections that may match, in order of the labels; overlap (P,); similarity (P,) is
    (1 + cos of the difference of alpha) / 2. frames (P,), pair_counts (P,2): the frame, and whether label and detection
    are COUNTED rather than IGNORED; charged (P,): whether the detection is a false alarm where it matches nothing.
    alarm_score, alarm_frame (A,): all chargeable detections, best first. hit_score, hit_frame (H,): what the first pass
    finds, best first. truth_frame (T,): the frame of each COUNTED label.
    """

    pair: NDArray[np.int64]
    overlap: Matrix
    similarity: Matrix
    score: Matrix
    frame: Indices
    truth_counts: NDArray[np.bool_]
    found_counts: NDArray[np.bool_]
    charged: NDArray[np.bool_]
    alarm_score: Matrix
    alarm_frame: Indices
    hit_score: Matrix
    hit_frame: Indices
    truth_frame: Indices
    frames: int
    detections: int

    @classmethod
    def build(
        cls, labels: LabelTable, detections: LabelTable, overlaps: Overlaps, truth: Use, found: Use, metric: Metric
    ) -> CurveProblem:
        """Gather what matters; truth and found say what labels and detections are for a class and level."""
        iou = overlaps.iou[metric.space]
        possible = (iou > metric.min_overlap) & (truth[overlaps.truth] != ABSENT) & (found[overlaps.found] != ABSENT)
        i, j = overlaps.truth[possible], overlaps.found[possible]
        score = np.asarray(detections.rows.score)
        charged = (found == COUNTED) & ~(overlaps.covered[metric.space] > metric.min_overlap)
        alarms = np.flatnonzero(charged)
        alarms = alarms[np.argsort(-score[alarms], kind="stable")]
        frame_of_label, frame_of_detection = labels.frame, detections.frame
        hits = j[_first_pass(i, j, score[j], truth[i] == COUNTED, found[j] == COUNTED, len(score))]
        hits = hits[np.argsort(-score[hits], kind="stable")]
        turn = labels.rows.alpha[i] - detections.rows.alpha[j]
        return cls(
            np.column_stack([i, j]), iou[possible], (1 + np.cos(turn)) / 2, score[j], frame_of_label[i],
            truth[i] == COUNTED, found[j] == COUNTED, charged[j], score[alarms], frame_of_detection[alarms], score[hits],
            frame_of_detection[hits], frame_of_label[truth == COUNTED], len(labels), len(score),
        )  # fmt: skip

    def solve(self, weight: NDArray[np.int64] | None = None) -> tuple[Matrix, Matrix]:
        """Return precision and orientation similarity, each (41,) in 0..1, monotone falling.

        weight (F,) says how often each frame counts; once by default. A sample of recall beyond what is reached is 0. So is
        one at which nothing at all counts, neither hit nor false alarm, unless a later one is higher (the official code
        divides 0 by 0 there).
        """
        weight = np.ones(self.frames, np.int64) if weight is None else weight
        thresholds = _thresholds(self.hit_score, weight[self.hit_frame], int(weight[self.truth_frame].sum()))
        hits, alarms, similarity = _second_pass(
            thresholds, self.pair, self.overlap, self.score, self.similarity, weight[self.frame], self.truth_counts,
            self.found_counts, self.charged, self.alarm_score, weight[self.alarm_frame], self.detections,
        )  # fmt: skip
        total = np.maximum(hits + alarms, 1)
        return _monotone(hits / total), _monotone(similarity / total)


def _monotone(samples: Matrix) -> Matrix:
    curve = np.zeros(max(POINTS, len(samples)))
    curve[: len(samples)] = np.maximum.accumulate(samples[::-1])[::-1]
    return curve[:POINTS]


@njit(cache=True, nogil=True)
def _first_pass(
    truth: Indices, found: Indices, score: Matrix, truth_counts: NDArray[np.bool_], found_counts: NDArray[np.bool_],
    detections: int,
) -> Indices:  # fmt: skip
    """Return the pairs that are hits when each label takes the detection of highest score, the first among equals."""
    taken = np.zeros(detections, np.bool_)
    hits = np.empty(len(truth), np.int64)
    count = 0
    begin = 0
    while begin < len(truth):
        best, best_score = -1, -1e7
        end = begin
        while end < len(truth) and truth[end] == truth[begin]:
            if not taken[found[end]] and score[end] > best_score:
                best, best_score = end, score[end]
            end += 1
        if best >= 0:
            taken[found[best]] = True
            if truth_counts[best] and found_counts[best]:
                hits[count] = best
                count += 1
        begin = end
    return hits[:count]


@njit(cache=True, nogil=True)
def _thresholds(score: Matrix, weight: Indices, truths: int) -> Matrix:
    """Return the scores (at most 41) at which the recall of `truths` objects passes 0, 1/40, ..., 1.

    score (H,) falls; each stands for `weight` hits.
    """
    chosen = np.empty(len(score) + POINTS)
    total = weight.sum()
    count, seen, recall = 0, 0, 0.0
    for k in range(len(score)):
        for _ in range(weight[k]):
            seen += 1
            here, following = seen / truths, (seen + 1) / truths
            if following - recall < recall - here and seen < total:
                continue
            if count < POINTS:
                chosen[count] = score[k]
                count += 1
            recall += 1.0 / (POINTS - 1)
    return chosen[:count]


@njit(cache=True, nogil=True)
def _second_pass(
    thresholds: Matrix, pair: Indices, overlap: Matrix, score: Matrix, similarity: Matrix, weight: Indices,
    truth_counts: NDArray[np.bool_], found_counts: NDArray[np.bool_], charged: NDArray[np.bool_],
    alarm_score: Matrix, alarm_weight: Indices, detections: int,
) -> tuple[Matrix, Matrix, Matrix]:  # fmt: skip
    """Return hits, false alarms and the summed similarity of the hits at each threshold.

    Each label takes the counted detection of largest overlap, or, where there is none, the first ignored one.
    """
    hits, alarms, similar = np.zeros(len(thresholds)), np.zeros(len(thresholds)), np.zeros(len(thresholds))
    taken_at = np.full(detections, -1)
    alarm = 0
    chargeable = 0
    for t in range(len(thresholds)):
        while alarm < len(alarm_score) and not alarm_score[alarm] < thresholds[t]:
            chargeable += alarm_weight[alarm]
            alarm += 1
        excused = 0
        begin = 0
        while begin < len(pair):
            best, best_overlap = -1, 0.0
            end = begin
            while end < len(pair) and pair[end, 0] == pair[begin, 0]:
                if taken_at[pair[end, 1]] != t and not score[end] < thresholds[t]:
                    if found_counts[end]:
                        if overlap[end] > best_overlap:
                            best, best_overlap = end, overlap[end]
                    elif best < 0:
                        best = end
                end += 1
            if best >= 0:
                taken_at[pair[best, 1]] = t
                if charged[best]:
                    excused += weight[best]
                if truth_counts[best] and found_counts[best]:
                    hits[t] += weight[best]
                    similar[t] += weight[best] * similarity[best]
            begin = end
        alarms[t] = chargeable - excused
    return hits, alarms, similar
