"""From light to a picture: exposure, tone curve, noise, compression."""

from __future__ import annotations

import math

import cv2
import numba
import numpy as np
from numpy.typing import NDArray

BRIGHTEST, STEPS = 4.0, 4096
"""What lies beyond saturates; the tone curve is tabulated over the square root of the light."""


def develop(
    radiance: NDArray[np.float32], exposure: float, noise: float, jpeg_quality: int | None, rng: np.random.Generator
) -> NDArray[np.uint8]:
    """Return the picture (H,W,3) uint8 RGB of linear radiance; noise 1 is that of an ordinary camera.

    In the order of a camera: vignetting, colour cast, photon and read noise, saturation with a short shoulder, gamma, a
    contrast curve, the softness of lens and demosaicing, JPEG where a quality is given.
    """
    cast = rng.normal(1.0, 0.025, 3) * exposure
    steepness, saturation = rng.uniform(0.15, 0.6), rng.uniform(0.95, 1.35)
    light = np.linspace(0, np.sqrt(BRIGHTEST), STEPS) ** 2
    level = (1 - np.exp(-1.35 * light)) ** (1 / 2.2)
    curve = (level + steepness * (level * level * (3 - 2 * level) - level)) * 255
    grain = rng.standard_normal(radiance.shape, np.float32)
    picture = np.empty(radiance.shape, np.uint8)
    _develop(radiance, grain, cast, noise, curve.astype(np.float32), saturation, picture)
    picture = np.asarray(cv2.GaussianBlur(picture, (3, 3), 0.45), np.uint8)
    if jpeg_quality is None:
        return picture
    bgr = cv2.cvtColor(picture, cv2.COLOR_RGB2BGR)
    data = cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, jpeg_quality])[1]
    return np.asarray(cv2.cvtColor(np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR)), cv2.COLOR_BGR2RGB), np.uint8)


@numba.njit(cache=True, nogil=True)
def _develop(radiance, grain, cast, noise, curve, saturation, picture):  # type: ignore[no-untyped-def]
    height, width = radiance.shape[:2]
    scale = (len(curve) - 1) / math.sqrt(BRIGHTEST)
    rgb = np.empty(3)
    for i in range(height):
        y = 2 * i / max(height - 1, 1) - 1
        for j in range(width):
            x = 2 * j / max(width - 1, 1) - 1
            fall = 1 - 0.12 * (x * x + y * y)
            for c in range(3):
                light = radiance[i, j, c] * cast[c] * fall
                light = max(light + grain[i, j, c] * math.sqrt(max(light, 0.0) * 2e-4 + 1e-5) * noise, 0.0)
                rgb[c] = curve[min(int(math.sqrt(light) * scale + 0.5), len(curve) - 1)]
            grey = (rgb[0] + rgb[1] + rgb[2]) / 3
            for c in range(3):
                picture[i, j, c] = int(min(max(grey + saturation * (rgb[c] - grey) + 0.5, 0.0), 255.0))
