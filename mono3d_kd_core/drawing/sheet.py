"""Several pictures on one."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from mono3d_kd_core.drawing.palette import Image, put_text

_GAP = 6
_PAPER = 30


def contact_sheet(
    images: Sequence[Image], columns: int = 2, width: int = 640, titles: Sequence[str] | None = None
) -> Image:
    """Arrange images (H,W,3) row by row, each scaled to `width` pixels; titles are written in their corners.

    Images of different shapes keep their proportions. Raises ValueError without an image.
    """
    if not images:
        raise ValueError("a contact sheet needs at least one image")
    tiles = [_scaled(image, width) for image in images]
    for tile, title in zip(tiles, titles or ()):
        put_text(tile, title, 6, 18, (255, 255, 255), scale=0.5)
    columns = min(columns, len(tiles))
    rows = [tiles[start : start + columns] for start in range(0, len(tiles), columns)]
    heights = [max(len(tile) for tile in row) for row in rows]
    sheet = np.full((sum(heights) + _GAP * (len(rows) + 1), columns * (width + _GAP) + _GAP, 3), _PAPER, np.uint8)
    top = _GAP
    for row, height in zip(rows, heights):
        for column, tile in enumerate(row):
            left = _GAP + column * (width + _GAP)
            sheet[top : top + len(tile), left : left + width] = tile
        top += height + _GAP
    return sheet


def beside(left: Image, right: Image) -> Image:
    """Put two images next to each other, the right one scaled to the height of the left."""
    height = len(left)
    scaled = _scaled(right, max(1, round(right.shape[1] * height / len(right))))
    fitted = cv2.resize(scaled, (scaled.shape[1], height)) if len(scaled) != height else scaled
    return np.hstack([left, np.full((height, _GAP, 3), _PAPER, np.uint8), fitted])


def _scaled(image: Image, width: int) -> Image:
    height = max(1, round(len(image) * width / image.shape[1]))
    method = cv2.INTER_AREA if width < image.shape[1] else cv2.INTER_LINEAR
    return np.array(cv2.resize(image, (width, height), interpolation=method), np.uint8)
