"""Superpixels: patches of a picture that look alike, most often parts of one thing (SLIC, Achanta et al., TPAMI 2012)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field


class SuperpixelConfig(BaseModel):
    """How a picture is cut; the defaults are SLidR's and HVDistill's for a network over points."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    segments: int = Field(default=150, gt=1, le=20000)
    """About so many. For a detector's coarse map the authors take 30."""
    compactness: float = Field(default=6.0, gt=0)
    """Weight of nearness in the picture against likeness of colour."""
    sigma: float = Field(default=3.0, ge=0)
    """Pixels by which the picture is smoothed first."""


def superpixels(image: NDArray[np.uint8], config: SuperpixelConfig) -> NDArray[np.int64]:
    """Return the number (H,W) of the superpixel that each pixel of an image (H,W,3) belongs to, from 0 on."""
    from skimage.segmentation import slic

    cut = slic(image, config.segments, config.compactness, sigma=config.sigma, start_label=0)
    return np.asarray(cut, np.int64)
