"""The paints of vehicles, as common as on the road."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

GLASS_COLOUR = (0.035, 0.045, 0.05)
PLASTIC_COLOUR = (0.04, 0.04, 0.045)
PAINTS: NDArray[np.float64] = np.array(
    [[0.72, 0.72, 0.73], [0.80, 0.80, 0.79], [0.03, 0.03, 0.035], [0.05, 0.055, 0.06], [0.24, 0.25, 0.27],
     [0.42, 0.43, 0.45], [0.14, 0.15, 0.16], [0.40, 0.03, 0.03], [0.03, 0.07, 0.25], [0.08, 0.14, 0.22],
     [0.03, 0.13, 0.07], [0.42, 0.33, 0.18],
     [0.55, 0.40, 0.03], [0.20, 0.05, 0.03]]
)  # fmt: skip
PAINT_WEIGHTS = np.array([13, 9, 12, 8, 10, 12, 9, 6, 7, 6, 2, 3, 1, 2], np.float64)


def draw_paint(rng: np.random.Generator) -> NDArray[np.float64]:
    """Draw a paint colour, linear RGB, as common as on the road."""
    base = PAINTS[rng.choice(len(PAINTS), p=PAINT_WEIGHTS / PAINT_WEIGHTS.sum())]
    return np.asarray(base * rng.uniform(0.8, 1.15) * rng.uniform(0.94, 1.06, 3))
