"""Upright 3D boxes, and the one place that knows every convention for them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mono3d_kd_core.geometry.rigid import T_CAMERA_BODY, Matrix, apply, inverse, wrap_angle

CORNER_SIGNS = np.array(
    [[1, 1, -1], [1, -1, -1], [-1, -1, -1], [-1, 1, -1], [1, 1, 1], [1, -1, 1], [-1, -1, 1], [-1, 1, 1]], np.float64
)
"""Corner order: bottom face front-left, front-right, rear-right, rear-left, then the top face likewise."""


@dataclass(frozen=True)
class Boxes3D:
    """N upright boxes in a z-up frame, metres and radians.

    centre (N,3) is the middle of the box; size (N,3) is length, width, height; yaw (N,) turns about +z, 0 along +x,
    counter-clockwise, in [-pi, pi). label (N,) holds class *names*; score (N,) is the detector's own (1 for ground truth);
    depth_std (N,) is the standard deviation of the range along the viewing ray in metres, NaN where unknown.
    frame names the z-up frame: "lidar", "camera" (the body frame of the camera: x forward, y left, z up, origin in the
    optical centre) or any other.
    """

    centre: Matrix
    size: Matrix
    yaw: Matrix
    label: NDArray[np.str_]
    score: Matrix = field(default_factory=lambda: np.empty(0))
    depth_std: Matrix = field(default_factory=lambda: np.empty(0))
    frame: str = "lidar"

    def __post_init__(self) -> None:
        centre = np.asarray(self.centre, np.float64).reshape(-1, 3)
        n = len(centre)
        object.__setattr__(self, "centre", centre)
        object.__setattr__(self, "size", np.asarray(self.size, np.float64).reshape(n, 3))
        object.__setattr__(self, "yaw", wrap_angle(np.asarray(self.yaw, np.float64).reshape(n)))
        object.__setattr__(self, "label", np.asarray(self.label, dtype=np.str_).reshape(n))
        score = np.ones(n) if np.size(self.score) == 0 else np.asarray(self.score, np.float64).reshape(n)
        std = np.full(n, np.nan) if np.size(self.depth_std) == 0 else np.asarray(self.depth_std, np.float64).reshape(n)
        object.__setattr__(self, "score", score)
        object.__setattr__(self, "depth_std", std)

    @classmethod
    def empty(cls, frame: str = "lidar") -> Boxes3D:
        """Return zero boxes in `frame`."""
        return cls(np.empty((0, 3)), np.empty((0, 3)), np.empty(0), np.empty(0, np.str_), frame=frame)

    def __len__(self) -> int:
        return len(self.centre)

    def __getitem__(self, index: slice | NDArray[np.generic] | Sequence[int]) -> Boxes3D:
        """Select boxes by slice, boolean mask or index array."""
        return Boxes3D(
            self.centre[index], self.size[index], self.yaw[index], self.label[index], self.score[index],
            self.depth_std[index], self.frame,
        )  # fmt: skip

    @classmethod
    def concatenate(cls, parts: Sequence[Boxes3D]) -> Boxes3D:
        """Join boxes of one frame. Raises ValueError when the frames differ."""
        frames = {part.frame for part in parts}
        if len(frames) != 1:
            raise ValueError(f"cannot join boxes of the frames {sorted(frames)}")
        columns = ("centre", "size", "yaw", "label", "score", "depth_std")
        joined = {name: np.concatenate([getattr(part, name) for part in parts]) for name in columns}
        return cls(**joined, frame=frames.pop())

    def corners(self) -> Matrix:
        """Return the 8 corners (N,8,3) in the boxes' frame, in the order of `CORNER_SIGNS`."""
        local = CORNER_SIGNS[None] * self.size[:, None] / 2
        c, s = np.cos(self.yaw)[:, None], np.sin(self.yaw)[:, None]
        x = c * local[..., 0] - s * local[..., 1]
        y = s * local[..., 0] + c * local[..., 1]
        return np.stack([x, y, local[..., 2]], -1) + self.centre[:, None]

    def bev(self) -> Matrix:
        """Return (N,5) x, y, length, width, yaw: the footprints seen from above."""
        return np.column_stack([self.centre[:, :2], self.size[:, :2], self.yaw])

    def transformed(self, T: Matrix, frame: str) -> Boxes3D:
        """Map the boxes by the (4,4) `T` into the z-up `frame`.

        Boxes stay upright: the heading is rotated and projected onto the new ground plane, so a tilt of the frames
        against each other acts on the centres in full and on the yaw to second order.
        """
        heading = np.column_stack([np.cos(self.yaw), np.sin(self.yaw), np.zeros(len(self))]) @ T[:3, :3].T
        return replace(self, centre=apply(T, self.centre), yaw=np.arctan2(heading[:, 1], heading[:, 0]), frame=frame)

    @classmethod
    def from_kitti_camera(
        cls, location: ArrayLike, dimensions: ArrayLike, rotation_y: ArrayLike, label: ArrayLike, score: ArrayLike = ()
    ) -> Boxes3D:
        """Build boxes (frame "camera") from KITTI label columns.

        location (N,3) is the *bottom* centre in the optical frame, dimensions (N,3) are height, width, length,
        rotation_y (N,) turns about the optical +y (down), 0 along +x (Geiger et al., CVPR 2012, object devkit).
        """
        hwl = np.asarray(dimensions, np.float64).reshape(-1, 3)
        bottom = apply(inverse(T_CAMERA_BODY), np.asarray(location, np.float64).reshape(-1, 3))
        centre = bottom + np.column_stack([np.zeros((len(hwl), 2)), hwl[:, 0] / 2])
        yaw = -np.asarray(rotation_y, np.float64).reshape(-1) - np.pi / 2
        return cls(centre, hwl[:, ::-1], yaw, np.asarray(label), np.asarray(score), frame="camera")

    def to_kitti_camera(self) -> tuple[Matrix, Matrix, Matrix, Matrix]:
        """Return KITTI's location (N,3), dimensions h,w,l (N,3), rotation_y (N,) and alpha (N,).

        The boxes must be in the frame "camera" (ValueError otherwise). alpha = rotation_y - atan2(x, z).
        """
        if self.frame != "camera":
            raise ValueError(f'KITTI labels need boxes in the frame "camera", these are in "{self.frame}"')
        bottom = self.centre - np.column_stack([np.zeros((len(self), 2)), self.size[:, 2] / 2])
        location = apply(T_CAMERA_BODY, bottom)
        rotation_y = wrap_angle(-self.yaw - np.pi / 2)
        alpha = wrap_angle(rotation_y - np.arctan2(location[:, 0], location[:, 2]))
        return location, self.size[:, ::-1].copy(), rotation_y, alpha

    def poses(self, T_target_frame: Matrix) -> tuple[Matrix, Matrix]:
        """Return positions (N,3) and quaternions (N,4) x y z w of the boxes in any target frame.

        The pose's x axis is along the heading, z along the height. `T_target_frame` maps the boxes' frame into the
        target; for a camera's optical frame and boxes in "camera" it is `rigid.T_CAMERA_BODY`.
        """
        half = self.yaw / 2
        own = np.column_stack([np.zeros((len(self), 2)), np.sin(half), np.cos(half)])
        return apply(T_target_frame, self.centre), _multiply(_quaternion(T_target_frame[:3, :3]), own)


def _quaternion(rotation: Matrix) -> Matrix:
    """Quaternion x y z w of a (3,3) rotation (Bar-Itzhack 2000: the eigenvector is stable at any angle)."""
    m = rotation
    k = np.array(
        [
            [m[0, 0] - m[1, 1] - m[2, 2], m[0, 1] + m[1, 0], m[0, 2] + m[2, 0], m[2, 1] - m[1, 2]],
            [m[0, 1] + m[1, 0], m[1, 1] - m[0, 0] - m[2, 2], m[1, 2] + m[2, 1], m[0, 2] - m[2, 0]],
            [m[0, 2] + m[2, 0], m[1, 2] + m[2, 1], m[2, 2] - m[0, 0] - m[1, 1], m[1, 0] - m[0, 1]],
            [m[2, 1] - m[1, 2], m[0, 2] - m[2, 0], m[1, 0] - m[0, 1], m[0, 0] + m[1, 1] + m[2, 2]],
        ]
    )
    q: Matrix = np.linalg.eigh(k)[1][:, -1]
    return q if q[3] >= 0 else -q


def _multiply(a: Matrix, b: Matrix) -> Matrix:
    """Hamilton product of the quaternion a (4,) with each of b (N,4), x y z w."""
    ax, ay, az, aw = a
    bx, by, bz, bw = b.T
    return np.column_stack(
        [
            aw * bx + ax * bw + ay * bz - az * by,
            aw * by - ax * bz + ay * bw + az * bx,
            aw * bz + ax * by - ay * bx + az * bw,
            aw * bw - ax * bx - ay * by - az * bz,
        ]
    )
