"""How well the LiDAR's edges fall on the image's, and whether another calibration or another moment would fit better."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from mono3d_kd_core.doctor.calibration import views_differ
from mono3d_kd_core.doctor.edges import EdgePoints, depth_edges, edge_fields
from mono3d_kd_core.geometry.camera import CameraModel
from mono3d_kd_core.geometry.rigid import Matrix, apply, inverse, rotation_z, transform

REACH = 3.0
"""Degrees to either side in which a better rotation is looked for."""
_FEWEST = 20
"""Edges fewer than this say nothing."""


@dataclass(frozen=True)
class Sample:
    """One image, the sweeps of the frames before, at and after it (-1, 0, 1), and the calibration between them."""

    camera: CameraModel
    T_camera_lidar: Matrix
    fields: tuple[NDArray[np.float32], NDArray[np.float32]]
    edges: dict[int, tuple[EdgePoints, EdgePoints]]

    @classmethod
    def of(
        cls,
        image: NDArray[np.uint8],
        camera: CameraModel,
        T_camera_lidar: Matrix,
        sweeps: dict[int, NDArray[np.float32]],
    ) -> Sample:
        """Find the edges of an image and of the sweeps (N,4) around it."""
        # A quarter of a degree: coarse enough for a search to find its way, fine enough to see half a degree.
        fields = edge_fields(image, blur=max(1.0, 0.004 * float(camera.intrinsics[0, 0])))
        return cls(camera, T_camera_lidar, fields, {shift: depth_edges(points) for shift, points in sweeps.items()})

    def agreement(self, T: Matrix, shift: int = 0, camera: CameraModel | None = None) -> float:
        """Return how much more often than by chance edges fall on edges, upright and level ones together; NaN unknown.

        0 is chance, 2 is good. `T` takes the place of T_camera_lidar.
        """
        camera = camera or self.camera
        found = []
        for edges, edge_field in zip(self.edges[shift], self.fields):
            uv, valid = camera.project(apply(T, edges.position))
            if valid.sum() >= _FEWEST:
                column, row = np.rint(uv[valid]).astype(np.intp).T
                found.append(float(np.average(edge_field[row, column], weights=edges.weight[valid])) - 1)
        return sum(found) if found else float("nan")


@dataclass(frozen=True)
class Alternative:
    """Another calibration or moment: its mean agreement, and the share of frames in which it fits better than as given."""

    agreement: float
    share_better: float


@dataclass(frozen=True)
class Alignment:
    """The agreement of a drive as given, and what would fit better.

    turn is yaw, pitch, roll in degrees about the camera's down, right and forward axes, by which the points must be turned
    to fit best. shifts compares sweeps of the frames before (-1) and after (+1).
    """

    samples: int
    agreement: float
    turn: tuple[float, float, float]
    turned: Alternative
    shifts: dict[int, Alternative] = field(default_factory=dict)
    others: dict[str, Alternative] = field(default_factory=dict)


def turned(T_camera_lidar: Matrix, turn: Sequence[float]) -> Matrix:
    """Return T_camera_lidar with the points turned by yaw, pitch, roll in degrees about the camera's y, x and z axes."""
    yaw, pitch, roll = np.radians(turn)
    c, s = np.cos(yaw), np.sin(yaw)
    about_y = np.array([[c, 0, s], [0, 1, 0], [-s, 0, c]])
    c, s = np.cos(pitch), np.sin(pitch)
    about_x = np.array([[1, 0, 0], [0, c, -s], [0, s, c]])
    return np.asarray(transform(rotation_z(float(roll)) @ about_y @ about_x, np.zeros(3)) @ T_camera_lidar)


def align(samples: Sequence[Sample], progress: Callable[[], None] = lambda: None) -> Alignment | None:
    """Compare the given calibration and moment with others; None when no sample has edges enough to judge.

    `progress` is called `STEPS` times.
    """
    samples = [sample for sample in samples if np.isfinite(sample.agreement(sample.T_camera_lidar))]
    if not samples:
        return None
    given = _scores(samples)
    turn = _best_turn(samples, progress)

    def compared(scores: Matrix) -> Alternative:
        known = np.isfinite(scores)
        if not known.any():
            return Alternative(float("nan"), 0.0)
        return Alternative(float(scores[known].mean()), float((scores[known] > given[known]).mean()))

    shifts = {shift: compared(_scores(samples, shift=shift)) for shift in (-1, 1)}
    others = {"inverse": compared(np.array([s.agreement(inverse(s.T_camera_lidar)) for s in samples]))}
    if any(views_differ(sample.camera) for sample in samples):
        swapped = [sample.agreement(sample.T_camera_lidar, camera=_other_view(sample.camera)) for sample in samples]
        others["other view"] = compared(np.array(swapped))
    return Alignment(
        len(samples), float(given.mean()), turn, compared(_scores(samples, turn)),
        {shift: found for shift, found in shifts.items() if np.isfinite(found.agreement)}, others,
    )  # fmt: skip


def _scores(samples: Sequence[Sample], turn: Sequence[float] = (0, 0, 0), shift: int = 0) -> Matrix:
    return np.array(
        [
            sample.agreement(turned(sample.T_camera_lidar, turn), shift) if shift in sample.edges else np.nan
            for sample in samples
        ]
    )


_GRID = np.arange(-REACH, REACH + 0.1, 0.75)
STEPS = len(_GRID)


def _best_turn(samples: Sequence[Sample], progress: Callable[[], None]) -> tuple[float, float, float]:
    """Search yaw and pitch on a grid, then all three angles in ever smaller steps."""

    def score(turn: Matrix) -> float:
        scores = _scores(samples, turn.tolist())
        return float(scores[np.isfinite(scores)].mean()) if np.isfinite(scores).any() else -np.inf

    best = np.zeros(3)
    highest = score(best)

    def try_(turn: Matrix) -> bool:
        nonlocal best, highest
        found = score(turn)
        if found <= highest:
            return False
        best, highest = turn, found
        return True

    for yaw in _GRID:
        for pitch in _GRID:
            try_(np.array([yaw, pitch, 0.0]))
        progress()
    step = 0.5
    while step > 0.04:
        # Roll moves the middle of the image least, so it takes larger steps to matter as much.
        moves = [np.eye(3)[axis] * sign * step * (2 if axis == 2 else 1) for axis in range(3) for sign in (1, -1)]
        if not any(try_(best + move) for move in moves if np.abs(best + move).max() <= 2 * REACH):
            step /= 2
    yaw, pitch, roll = (float(angle) for angle in best)
    return yaw, pitch, roll


def _other_view(camera: CameraModel) -> CameraModel:
    return CameraModel(
        camera.width, camera.height, camera.K, camera.distortion, camera.D, camera.R, camera.P, not camera.rectified
    )
