"""Fit any image into the network's input, and its camera with it."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from mono3d_kd_core.geometry.camera import CameraModel

Image = NDArray[np.uint8]
PADDING = (124, 116, 104)
"""ImageNet's mean colour: zero for a normalised network."""


@dataclass(frozen=True)
class Letterbox:
    """A resize to width x height (aspect kept), set into a padded picture of size (height, width) at (left, top)."""

    width: int
    height: int
    left: int
    top: int
    size: tuple[int, int]

    @classmethod
    def fit(cls, width: int, height: int, size: tuple[int, int]) -> Letterbox:
        """Return the largest placement of a width x height image in the middle of `size` = (height, width)."""
        scale = min(size[1] / width, size[0] / height)
        inner_width = min(size[1], max(1, round(width * scale)))
        inner_height = min(size[0], max(1, round(height * scale)))
        return cls(inner_width, inner_height, (size[1] - inner_width) // 2, (size[0] - inner_height) // 2, size)

    def image(self, image: Image) -> Image:
        """Return the (H,W,3) uint8 image resized and padded."""
        shrinking = self.width < image.shape[1]
        inner = cv2.resize(
            image, (self.width, self.height), interpolation=cv2.INTER_AREA if shrinking else cv2.INTER_LINEAR
        )
        below, right = self.size[0] - self.top - self.height, self.size[1] - self.left - self.width
        bordered = cv2.copyMakeBorder(inner, self.top, below, self.left, right, cv2.BORDER_CONSTANT, value=PADDING)
        return np.asarray(bordered, np.uint8)

    def camera(self, camera: CameraModel) -> CameraModel:
        """Return the camera of the resized and padded image."""
        return camera.resized(self.width, self.height).cropped(-self.left, -self.top, self.size[1], self.size[0])

    def box2d(self, box2d: NDArray[np.float64], camera: CameraModel) -> NDArray[np.float64]:
        """Return image boxes (N,4) of the original image in the resized and padded one."""
        scale = np.array([self.width / camera.width, self.height / camera.height])
        return np.asarray((box2d + 0.5) * np.tile(scale, 2) - 0.5 + np.tile([self.left, self.top], 2))
