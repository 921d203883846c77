"""A camera: intrinsics and distortion that follow every crop, resize and flip."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from mono3d_kd_core.errors import CalibrationError
from mono3d_kd_core.geometry.distortion import COEFFICIENTS, Distortion, Lens
from mono3d_kd_core.geometry.rigid import Matrix, is_rotation

__all__ = ["COEFFICIENTS", "CameraModel", "Distortion"]


@dataclass(frozen=True)
class CameraModel:
    """A calibrated camera, in the terms of sensor_msgs/CameraInfo.

    width, height in pixels; K (3,3) intrinsics of the raw image; D (n,) coefficients of `distortion`; R (3,3)
    rectification rotation; P (3,4) projection of the rectified image, whose last column is an offset of the optical centre
    (KITTI's P2, a stereo right camera). `rectified` says which of the two images this model describes: then pixels follow
    P (R x), else K and D. Pixel (0, 0) is the centre of the top left pixel. Points are in the optical frame, metres.
    Raises CalibrationError for numbers that are no calibration.
    """

    width: int
    height: int
    K: Matrix
    distortion: Distortion = "none"
    D: Matrix = field(default_factory=lambda: np.zeros(0))
    R: Matrix = field(default_factory=lambda: np.eye(3))
    P: Matrix = field(default_factory=lambda: np.zeros((3, 4)))
    rectified: bool = False

    def __post_init__(self) -> None:
        for name, shape in (("K", (3, 3)), ("R", (3, 3)), ("P", (3, 4)), ("D", (-1,))):
            object.__setattr__(self, name, np.asarray(getattr(self, name), np.float64).reshape(shape))
        Lens(self.distortion, self.D)  # refuses an unknown model and a wrong number of coefficients
        if not self.P.any():
            object.__setattr__(self, "P", np.column_stack([self.K, np.zeros(3)]))
        if not (self.width > 0 and self.height > 0):
            raise CalibrationError(f"the camera's resolution is {self.width}x{self.height}")
        M = self.intrinsics
        if not (np.isfinite(M).all() and M[0, 0] > 0 and M[1, 1] > 0):
            raise CalibrationError(f"the camera is not calibrated: fx is {M[0, 0]:g} and fy is {M[1, 1]:g}")
        if M[1, 0] != 0 or not np.array_equal(M[2], [0, 0, 1]):
            raise CalibrationError(f"the camera's intrinsics are not of the form fx s cx, 0 fy cy, 0 0 1:\n{M}")
        if not is_rotation(self.R):
            raise CalibrationError(f"the rectification R of the camera is not a rotation:\n{self.R}")

    @classmethod
    def pinhole(cls, width: int, height: int, fx: float, fy: float, cx: float, cy: float) -> CameraModel:
        """Return an ideal (rectified) camera."""
        return cls(width, height, np.array([[fx, 0, cx], [0, fy, cy], [0, 0, 1.0]]), rectified=True)

    @classmethod
    def from_projection(cls, width: int, height: int, P: Matrix) -> CameraModel:
        """Return the rectified camera of a (3,4) projection such as KITTI's P2."""
        P = np.asarray(P, np.float64).reshape(3, 4)
        return cls(width, height, P[:, :3], P=P, rectified=True)

    @property
    def intrinsics(self) -> Matrix:
        """The (3,3) matrix in force: of P when rectified, K otherwise."""
        return self.P[:, :3] if self.rectified else self.K

    @property
    def offset(self) -> Matrix:
        """What is added to a point (after R) before projecting, (3,) metres: K^-1 of P's last column when rectified."""
        return np.asarray(np.linalg.solve(self.P[:, :3], self.P[:, 3])) if self.rectified else np.zeros(3)

    @property
    def optical_centre(self) -> Matrix:
        """Where the rays of the image meet, (3,) metres in the optical frame; not the origin when P has an offset."""
        return -self._R.T @ self.offset

    @property
    def forward(self) -> Matrix:
        """The direction (3,) of depth in the optical frame: +z, turned by R when rectified."""
        return np.asarray(self._R[2].copy())

    @property
    def bends(self) -> bool:
        """Whether straight lines of the world are bent in the image."""
        return self._lens.model != "none"

    @property
    def _R(self) -> Matrix:
        return self.R if self.rectified else np.eye(3)

    @cached_property
    def _lens(self) -> Lens:
        return Lens("none", np.zeros(0)) if self.rectified else Lens(self.distortion, self.D)

    def distort(self, xy: NDArray[np.floating]) -> Matrix:
        """Map ideal normalised coordinates (N,2), x/z and y/z, to those in the image; NaN where they would fold back."""
        return self._lens.distort(np.asarray(xy, np.float64).reshape(-1, 2))

    def undistort(self, xy: NDArray[np.floating]) -> Matrix:
        """Invert `distort`; NaN where no ideal point of the one-to-one field maps to."""
        return self._lens.undistort(np.asarray(xy, np.float64).reshape(-1, 2))

    def project(self, points: NDArray[np.floating]) -> tuple[Matrix, NDArray[np.bool_]]:
        """Project points (N,3) of the optical frame.

        Returns pixels (N,2) and a mask (N,): in front of the camera, inside the field where the distortion model is
        one-to-one, and inside the image. Pixels are NaN for points behind the camera and outside that field, where the
        model would fold them back into the picture.
        """
        seen = np.asarray(points, np.float64).reshape(-1, 3) @ self._R.T + self.offset
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            xy = np.where(seen[:, 2:] > 0, seen[:, :2] / seen[:, 2:], np.nan)
            uv = self.distort(xy) @ self.intrinsics[:2, :2].T + self.intrinsics[:2, 2]
        return uv, self.contains(uv)

    def contains(self, uv: NDArray[np.floating]) -> NDArray[np.bool_]:
        """Tell which pixels (N,2) round to one of the image."""
        return np.asarray(((uv >= -0.5) & (uv < np.array([self.width, self.height]) - 0.5)).all(-1))

    def rays(self, uv: NDArray[np.floating]) -> Matrix:
        """Return the directions (N,3), in the optical frame, of the rays through pixels (N,2).

        They start at `optical_centre` and their length is that of one metre of depth; NaN where undistortion fails.
        """
        M = self.intrinsics
        xy = self.undistort((np.asarray(uv, np.float64) - M[:2, 2]) @ np.linalg.inv(M[:2, :2]).T)
        return np.column_stack([xy, np.ones(len(xy))]) @ self._R

    def unproject(self, uv: NDArray[np.floating], depth: NDArray[np.floating]) -> Matrix:
        """Return the points (N,3) of the optical frame that lie at pixels (N,2) with depths (N,) along +z, metres.

        Depth is z after R and offset, i.e. in the frame of the image plane (KITTI: z of the camera that took the image).
        """
        return self.rays(uv) * np.asarray(depth, np.float64).reshape(-1, 1) + self.optical_centre

    def rectify(self) -> CameraModel:
        """Return the camera of the rectified image: no distortion, and the intrinsics, offset and rotation of P and R."""
        return replace(self, K=self.P[:, :3], distortion="none", D=np.zeros(0), rectified=True)

    def undistort_maps(self) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Return the maps (H,W) for cv2.remap that turn this raw camera's image into the one of `rectify()`.

        P's offset plays no part: it moves the frame of the points, not the camera. Pixels that the lens cannot see are -1.
        """
        v, u = np.mgrid[: self.height, : self.width]
        uv, _ = self.project(self.rectify().rays(np.column_stack([u.ravel(), v.ravel()])))
        maps = np.nan_to_num(uv, nan=-1.0).astype(np.float32).reshape(self.height, self.width, 2)
        return maps[..., 0].copy(), maps[..., 1].copy()

    def _changed(self, width: int, height: int, A: Matrix) -> CameraModel:
        """Apply a (3,3) affine map of the pixel plane to K and P."""
        return replace(self, width=width, height=height, K=A @ self.K, P=A @ self.P)

    def resized(self, width: int, height: int) -> CameraModel:
        """Return the camera of the image resized to width x height (as cv2.resize: pixel centres lie at integers)."""
        sx, sy = width / self.width, height / self.height
        return self._changed(width, height, np.array([[sx, 0, (sx - 1) / 2], [0, sy, (sy - 1) / 2], [0, 0, 1]]))

    def binned(self, x: int, y: int) -> CameraModel:
        """Return the camera of the image whose pixels are the means of blocks of x by y; a rest at the border is lost."""
        return self.cropped(0, 0, self.width // x * x, self.height // y * y).resized(self.width // x, self.height // y)

    def cropped(self, x: int, y: int, width: int, height: int) -> CameraModel:
        """Return the camera of the window whose top left pixel is (x, y); the window may reach outside (padding)."""
        return self._changed(width, height, np.array([[1, 0, -x], [0, 1, -y], [0, 0, 1.0]]))

    def flipped(self) -> CameraModel:
        """Return the camera of the image mirrored left to right.

        It is a camera in the mirrored world: points must change the sign of x, and upright boxes that of y and yaw in a
        z-up frame, before they fit the mirrored image. Skew, the offset's x, R and the lens are mirrored with it.
        """
        mirror = np.diag([-1.0, 1.0, 1.0])
        A = np.array([[-1, 0, self.width - 1], [0, 1, 0], [0, 0, 1.0]])
        return replace(
            self,
            K=A @ self.K @ mirror,
            P=A @ self.P @ np.diag([-1.0, 1.0, 1.0, 1.0]),
            R=mirror @ self.R @ mirror,
            D=Lens(self.distortion, self.D).mirrored().D,
        )
