"""Lens distortion of normalised image coordinates, both ways, and the field in which it is one-to-one."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np
from numpy.polynomial import Polynomial
from numpy.typing import NDArray

from mono3d_kd_core.errors import CalibrationError
from mono3d_kd_core.geometry.rigid import Matrix

Distortion = Literal["none", "plumb_bob", "rational_polynomial", "equidistant"]
COEFFICIENTS: dict[str, tuple[int, ...]] = {
    "none": (0,), "plumb_bob": (4, 5), "rational_polynomial": (8, 12, 14), "equidistant": (4,)
}  # fmt: skip
"""How many coefficients each distortion model may have (sensor_msgs/distortion_models, OpenCV order)."""

_KNOTS = 512
_MAX_ITERATIONS = 50


@dataclass(frozen=True)
class Lens:
    """A distortion model with its coefficients D, acting on normalised coordinates x/z, y/z.

    D is in OpenCV's order: plumb_bob k1 k2 p1 p2 [k3]; rational_polynomial k1 k2 p1 p2 k3 k4 k5 k6 [s1 s2 s3 s4 [tx ty]];
    equidistant k1 k2 k3 k4 (Kannala & Brandt 2006, eq. 6). Raises CalibrationError for an unknown model or a wrong length.
    """

    model: Distortion
    D: Matrix

    def __post_init__(self) -> None:
        if self.model not in COEFFICIENTS:
            known = ", ".join(COEFFICIENTS)
            raise CalibrationError(f'unknown distortion model "{self.model}"; known are {known}')
        if len(self.D) not in COEFFICIENTS[self.model]:
            expected = " or ".join(map(str, COEFFICIENTS[self.model]))
            raise CalibrationError(f"distortion model {self.model}: D has {len(self.D)} numbers, expected {expected}")
        if not np.isfinite(self.D).all():
            raise CalibrationError(f"distortion model {self.model}: D holds {self.D.tolist()}, expected finite numbers")

    @cached_property
    def max_radius(self) -> float:
        """The undistorted radius up to which the radial distortion grows; beyond it points would fold back inwards."""
        if self.model == "equidistant":
            theta = Polynomial([0, 1, 0, self.D[0], 0, self.D[1], 0, self.D[2], 0, self.D[3]])
            return float(np.tan(min(_smallest_positive_root(theta.deriv()), np.pi / 2)))
        if self.model == "none":
            return np.inf
        s, (numerator, denominator) = Polynomial([0, 1]), self._radial
        slope = (numerator + 2 * s * numerator.deriv()) * denominator - 2 * s * numerator * denominator.deriv()
        return float(np.sqrt(min(_smallest_positive_root(slope), _smallest_positive_root(denominator))))

    @cached_property
    def _all(self) -> Matrix:
        """The fourteen coefficients of the Brown-Conrady family, those absent as zeros."""
        return np.concatenate([self.D, np.zeros(14 - len(self.D))])

    @cached_property
    def _radial(self) -> tuple[Polynomial, Polynomial]:
        """Numerator and denominator of the radial factor, as polynomials of the squared radius."""
        k1, k2, _, _, k3, k4, k5, k6 = self._all[:8]
        return Polynomial([1, k1, k2, k3]), Polynomial([1, k4, k5, k6])

    @cached_property
    def _tilt(self) -> Matrix:
        """The (3,3) homography of a tilted sensor (Scheimpflug), the identity when it is not tilted."""
        tx, ty = self._all[12:]
        about_x = np.array([[1, 0, 0], [0, np.cos(tx), np.sin(tx)], [0, -np.sin(tx), np.cos(tx)]])
        about_y = np.array([[np.cos(ty), 0, -np.sin(ty)], [0, 1, 0], [np.sin(ty), 0, np.cos(ty)]])
        r = about_y @ about_x
        return np.asarray(np.array([[r[2, 2], 0, -r[0, 2]], [0, r[2, 2], -r[1, 2]], [0, 0, 1]]) @ r)

    def in_field(self, xy: Matrix) -> NDArray[np.bool_]:
        """Tell which undistorted points (N,2) lie where the distortion is one-to-one."""
        if self.model == "none":
            return np.asarray(np.isfinite(xy).all(-1))
        return np.asarray(np.hypot(xy[:, 0], xy[:, 1]) < self.max_radius)

    def distort(self, xy: Matrix) -> Matrix:
        """Map undistorted points (N,2) to distorted ones; points outside the one-to-one field become NaN."""
        if self.model == "none":
            return xy.copy()
        xy = np.asarray(np.where(self.in_field(xy)[:, None], xy, np.nan), np.float64)
        if self.model == "equidistant":
            r = np.hypot(xy[:, 0], xy[:, 1])
            return xy * _ratio(self._angle(np.arctan(r)), r)[:, None]
        return _homography(self._tilt, self._brown(xy)[0])

    def undistort(self, xy: Matrix) -> Matrix:
        """Invert `distort`: distorted points (N,2) to undistorted ones; NaN where no point of the field maps there."""
        if self.model == "none":
            return xy.copy()
        if self.model == "equidistant":
            return self._undistort_equidistant(xy)
        return self._undistort_brown(_homography(np.asarray(np.linalg.inv(self._tilt), np.float64), xy))

    def mirrored(self) -> Lens:
        """Return the lens seen in a mirror that turns x into -x: p2, s1, s2 and the tilt about y change sign."""
        if self.model in ("none", "equidistant"):
            return self
        signs = np.array([1, 1, 1, -1, 1, 1, 1, 1, -1, -1, 1, 1, 1, -1.0])
        return Lens(self.model, self.D * signs[: len(self.D)])

    def _angle(self, theta: Matrix) -> Matrix:
        t2 = theta * theta
        k1, k2, k3, k4 = self.D
        return np.asarray(theta * (1 + t2 * (k1 + t2 * (k2 + t2 * (k3 + t2 * k4)))))

    def _undistort_equidistant(self, xy: Matrix) -> Matrix:
        r = np.hypot(xy[:, 0], xy[:, 1])
        limit = np.arctan(self.max_radius)
        knots = np.linspace(0, limit, _KNOTS)
        theta = np.interp(r, self._angle(knots), knots, right=np.nan)
        slope = Polynomial([1, 0, 3 * self.D[0], 0, 5 * self.D[1], 0, 7 * self.D[2], 0, 9 * self.D[3]])
        for _ in range(_MAX_ITERATIONS):
            step = (self._angle(theta) - r) / slope(theta)
            theta = np.clip(theta - step, 0, limit)
            if not (np.abs(step) > 1e-13).any():
                break
        return np.asarray(xy * _ratio(np.tan(theta), r)[:, None])

    def _brown(self, xy: Matrix) -> tuple[Matrix, Matrix]:
        """Return the distorted points (N,2), without the tilt, and the Jacobians (N,2,2)."""
        _, _, p1, p2, _, _, _, _, s1, s2, s3, s4, _, _ = self._all
        x, y = xy.T
        s = x * x + y * y
        numerator, denominator = self._radial
        n, m = numerator(s), denominator(s)
        a, da = n / m, (numerator.deriv()(s) * m - n * denominator.deriv()(s)) / (m * m)
        out = np.column_stack(
            [
                x * a + 2 * p1 * x * y + p2 * (s + 2 * x * x) + s * (s1 + s2 * s),
                y * a + p1 * (s + 2 * y * y) + 2 * p2 * x * y + s * (s3 + s4 * s),
            ]
        )
        cross, prism_x, prism_y = 2 * (x * y * da + p1 * x + p2 * y), 2 * (s1 + 2 * s2 * s), 2 * (s3 + 2 * s4 * s)
        jacobian = np.empty((len(xy), 2, 2))
        jacobian[:, 0, 0] = a + 2 * x * x * da + 2 * p1 * y + 6 * p2 * x + x * prism_x
        jacobian[:, 0, 1] = cross + y * prism_x
        jacobian[:, 1, 0] = cross + x * prism_y
        jacobian[:, 1, 1] = a + 2 * y * y * da + 6 * p1 * y + 2 * p2 * x + y * prism_y
        return out, jacobian

    def _undistort_brown(self, target: Matrix) -> Matrix:
        """Newton's method, started from the inverse of the radial part alone, which a table gives."""
        radius = np.hypot(target[:, 0], target[:, 1])
        reach = np.nanmax(radius, initial=0.0)
        knots = np.linspace(0, min(self.max_radius, 2 * reach + 1), _KNOTS)
        numerator, denominator = self._radial
        start = np.interp(radius, knots * numerator(knots**2) / denominator(knots**2), knots)
        xy = target * _ratio(start, radius)[:, None]
        for _ in range(_MAX_ITERATIONS):
            out, j = self._brown(xy)
            error = out - target
            with np.errstate(divide="ignore", invalid="ignore"):
                determinant = j[:, 0, 0] * j[:, 1, 1] - j[:, 0, 1] * j[:, 1, 0]
                dx = (j[:, 1, 1] * error[:, 0] - j[:, 0, 1] * error[:, 1]) / determinant
                dy = (j[:, 0, 0] * error[:, 1] - j[:, 1, 0] * error[:, 0]) / determinant
            step = np.column_stack([dx, dy])
            # A step longer than the radius itself has left the neighbourhood where the linear model means anything.
            length = np.hypot(dx, dy)
            bound = 0.5 * np.hypot(xy[:, 0], xy[:, 1]) + 1e-3
            step *= np.minimum(1, _ratio(bound, length))[:, None]
            xy = xy - step
            if not (np.abs(step) > 1e-13).any():
                break
        residual = np.abs(self._brown(xy)[0] - target).max(-1)
        return np.where((self.in_field(xy) & (residual < 1e-10))[:, None], xy, np.nan)


def _smallest_positive_root(polynomial: Polynomial) -> float:
    """The first positive real root, infinity where there is none."""
    roots = polynomial.trim().roots()
    real = roots[np.abs(roots.imag) < 1e-9 * (1 + np.abs(roots))].real
    return float(min(real[real > 0], default=np.inf))


def _ratio(a: Matrix, b: Matrix) -> Matrix:
    """a / b, and 1 where both vanish on the axis."""
    return np.divide(a, b, out=np.ones_like(a), where=b != 0)


def _homography(H: Matrix, xy: NDArray[np.floating]) -> Matrix:
    mapped = xy @ H[:, :2].T + H[:, 2]
    return np.asarray(mapped[:, :2] / mapped[:, 2:])
