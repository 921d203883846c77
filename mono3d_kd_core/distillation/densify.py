"""Sparse LiDAR depth made dense on the fly, so that no completed depth maps need to be prepared.

After Ku, Harakeh & Waslander, "In Defense of Classical Image Processing: Fast Depth Completion on the CPU", CRV 2018:
morphology on inverted depth, in which near surfaces win over far ones. The sky stays unknown: depth is not extended
above the highest returns.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

DepthMap = NDArray[np.float32]
FARTHEST = 100.0
"""Metres; returns beyond are left out. Inverted depth is this minus the depth, so that dilation prefers what is near."""
_DIAMOND = np.array([[0, 0, 1, 0, 0], [0, 1, 1, 1, 0], [1, 1, 1, 1, 1], [0, 1, 1, 1, 0], [0, 0, 1, 0, 0]], np.uint8)


def densify(depth: DepthMap) -> DepthMap:
    """Fill the gaps of a depth map (H,W) in metres, 0 where unknown; returns the same, 0 only far from any return."""
    known = (depth > 0) & (depth < FARTHEST)
    inverted = np.where(known, FARTHEST - depth, 0).astype(np.float32)
    closed = cv2.morphologyEx(cv2.dilate(inverted, _DIAMOND), cv2.MORPH_CLOSE, np.ones((5, 5), np.uint8))
    inverted = np.asarray(closed, np.float32)
    for reach in (7, 31):
        inverted = np.where(inverted > 0, inverted, cv2.dilate(inverted, np.ones((reach, reach), np.uint8)))
        inverted = _below_the_highest(inverted, known)
    filled = inverted > 0
    smooth = cv2.medianBlur(inverted.astype(np.float32), 5)
    inverted = np.where(filled & (smooth > 0), smooth, inverted)
    return np.where(filled, FARTHEST - inverted, 0).astype(np.float32)


def _below_the_highest(inverted: DepthMap, known: NDArray[np.bool_]) -> DepthMap:
    """Empty each column above its highest return, and two rows of tolerance, so that no roof grows into the sky."""
    highest = np.where(known.any(0), known.argmax(0), known.shape[0])
    # A column without returns goes by its neighbours'.
    highest = cv2.erode(highest.astype(np.float32)[None], np.ones((1, 5), np.uint8))[0]
    rows = np.arange(known.shape[0])[:, None]
    return np.where(rows >= highest - 2, inverted, 0).astype(np.float32)
