"""From light to a picture: exposure, tone curve, noise."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray


def develop(
    radiance: NDArray[np.float32], exposure: float, noise: float, rng: np.random.Generator
) -> NDArray[np.uint8]:
    """Return the picture (H,W,3) uint8 RGB of linear radiance; noise 1 is that of an ordinary camera.

    Vignetting, photon and read noise, a filmic shoulder for what is too bright, gamma 2.2, and a colour cast per scene.
    """
    height, width = radiance.shape[:2]
    cast = rng.normal(1.0, 0.025, 3).astype(np.float32)
    y, x = np.mgrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j]
    vignette = (1 - 0.10 * (x**2 + y**2))[..., None].astype(np.float32)
    light = radiance * (exposure * cast) * vignette
    light = np.maximum(
        light + rng.standard_normal(light.shape, np.float32) * np.sqrt(np.maximum(light, 0) * 2e-4 + 1e-5) * noise, 0
    )
    toned = light * (1 + light / 6.0) / (1 + light)
    levels = np.clip(toned, 0, 1) ** np.float32(1 / 2.2) * 255
    return np.asarray(cv2.GaussianBlur(levels, (0, 0), 0.45) + 0.5).clip(0, 255).astype(np.uint8)
