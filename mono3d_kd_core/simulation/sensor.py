"""From light to a picture: exposure, tone curve, noise, compression."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray


def develop(
    radiance: NDArray[np.float32], exposure: float, noise: float, jpeg_quality: int | None, rng: np.random.Generator
) -> NDArray[np.uint8]:
    """Return the picture (H,W,3) uint8 RGB of linear radiance; noise 1 is that of an ordinary camera.

    In the order of a camera: vignetting, colour cast, photon and read noise, saturation with a short shoulder, gamma, a
    contrast curve, the softness of lens and demosaicing, JPEG where a quality is given.
    """
    height, width = radiance.shape[:2]
    cast = rng.normal(1.0, 0.025, 3).astype(np.float32)
    y, x = np.mgrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j]
    vignette = (1 - 0.12 * (x**2 + y**2))[..., None].astype(np.float32)
    light = radiance * (np.float32(exposure) * cast) * vignette
    grain = rng.standard_normal(light.shape, np.float32)
    light = np.maximum(light + grain * np.sqrt(np.maximum(light, 0) * 2e-4 + 1e-5) * np.float32(noise), 0)
    toned = 1 - np.exp(-1.35 * light)
    level = toned ** np.float32(1 / 2.2)
    steepness = np.float32(rng.uniform(0.15, 0.6))
    level = level + steepness * (level * level * (3 - 2 * level) - level)
    grey = level.mean(2, keepdims=True)
    level = grey + np.float32(rng.uniform(0.95, 1.35)) * (level - grey)
    picture = np.asarray(cv2.GaussianBlur(level * 255, (0, 0), 0.45) + 0.5).clip(0, 255).astype(np.uint8)
    if jpeg_quality is None:
        return picture
    data = cv2.imencode(".jpg", picture[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, jpeg_quality])[1]
    return np.asarray(cv2.cvtColor(np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR)), cv2.COLOR_BGR2RGB), np.uint8)
