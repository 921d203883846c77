"""What is known of objects that nobody ever placed in space: their boxes in the image."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mono3d_kd_core.geometry.camera import CameraModel
from mono3d_kd_core.geometry.rigid import Matrix

BORDER = 1.5
"""Pixels of the picture. An edge of a box that comes so near to where the image ends is not the object's."""


@dataclass(frozen=True)
class Boxes2D:
    """K objects of one picture, and regions of which nothing is known.

    label (K,) class names; box (K,4) left, top, right, bottom in pixels; cut (K,4) says which of these edges the image has
    cut off, so that the object reaches further; ignore (M,4) image regions.
    """

    label: NDArray[np.str_]
    box: Matrix
    cut: NDArray[np.bool_]
    ignore: Matrix

    def __len__(self) -> int:
        return len(self.label)


def cut_edges(box: Matrix, image: Matrix) -> NDArray[np.bool_]:
    """Tell which edges (K,4) of boxes (K,4) lie on the border (left, top, right, bottom) of the image that is shown."""
    low = box[:, :2] <= image[:2] + BORDER
    high = box[:, 2:] >= image[2:] - BORDER
    return np.hstack([low, high])


def shown_part(whole: CameraModel, picture: CameraModel) -> Matrix:
    """Return where (4,) the image of the camera `whole` lies in a picture that was made of it; the rest is padding.

    Both describe one lens: the picture is the image resized, cropped and padded (and, where `whole` is mirrored, mirrored).
    """
    corners = np.array([[0, 0, 1], [whole.width - 1, whole.height - 1, 1]]) @ picture_of(whole, picture).T
    limit = np.array([picture.width - 1, picture.height - 1])
    return np.clip(corners[:, :2], 0, limit).ravel()


def picture_of(whole: CameraModel, picture: CameraModel) -> Matrix:
    """Return the (3,3) map from homogeneous pixels of `whole` to those of the picture."""
    return np.asarray(picture.intrinsics @ np.linalg.inv(whole.intrinsics))
