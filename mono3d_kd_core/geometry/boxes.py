"""Upright 3D boxes, and the one place that knows every convention for them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mono3d_kd_core.errors import DataError
from mono3d_kd_core.geometry.rigid import (
    T_CAMERA_BODY,
    Matrix,
    apply,
    inverse,
    multiply_quaternions,
    quaternion_from_rotation,
    rotation_from_quaternion,
    wrap_angle,
)

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
        turn = quaternion_from_rotation(T_target_frame[:3, :3])
        return apply(T_target_frame, self.centre), multiply_quaternions(turn, own)

    @classmethod
    def from_poses(
        cls, position: ArrayLike, quaternion: ArrayLike, size: ArrayLike, label: ArrayLike, score: ArrayLike = (), *,
        T_frame_source: Matrix, frame: str, max_tilt: float = np.radians(10),
    ) -> Boxes3D:  # fmt: skip
        """Build boxes in the z-up `frame` from poses in any source frame; the inverse of `poses`.

        position (N,3), quaternion (N,4) x y z w, size (N,3) along the pose's own axes; `T_frame_source` maps the source
        into `frame`. Raises DataError for a box that leans more than `max_tilt` radians, since Boxes3D are upright.
        """
        centre = apply(T_frame_source, np.asarray(position, np.float64).reshape(-1, 3))
        quaternions = np.asarray(quaternion, np.float64).reshape(-1, 4)
        axes = np.array([T_frame_source[:3, :3] @ rotation_from_quaternion(q) for q in quaternions]).reshape(-1, 3, 3)
        tilt = np.arccos(np.clip(axes[:, 2, 2], -1, 1))
        if (tilt > max_tilt).any():
            worst = int(tilt.argmax())
            raise DataError(
                f'box {worst} of {len(tilt)} leans {np.degrees(tilt[worst]):.0f} degrees in the frame "{frame}"; '
                "boxes must be upright: is the frame z-up, and the quaternion in the order x y z w?"
            )
        yaw = np.arctan2(axes[:, 1, 0], axes[:, 0, 0])
        return cls(centre, np.asarray(size), yaw, np.asarray(label), np.asarray(score), frame=frame)

    def mirrored(self) -> Boxes3D:
        """Return the boxes as they stand in the world mirrored left to right (see `CameraModel.flipped`)."""
        return replace(self, centre=self.centre * [1, -1, 1], yaw=-self.yaw)

    def contains(self, points: NDArray[np.floating], margin: float = 0.0) -> NDArray[np.bool_]:
        """Tell which points (M,3+) of the boxes' frame lie in which box, (N,M); `margin` in metres widens every side."""
        c, s = np.cos(self.yaw), np.sin(self.yaw)
        inside = np.empty((len(self), len(points)), np.bool_)
        for i, (centre, half) in enumerate(zip(self.centre, self.size / 2 + margin)):
            x, y, z = (points[:, :3] - centre).T
            inside[i] = (np.abs(z) <= half[2]) & (np.abs(c[i] * x + s[i] * y) <= half[0])
            inside[i] &= np.abs(c[i] * y - s[i] * x) <= half[1]
        return inside
