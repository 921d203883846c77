"""A camera and its place beside the LiDAR, in words, with what looks wrong about the numbers alone."""

from __future__ import annotations

import numpy as np

from mono3d_kd_core.doctor.findings import Finding
from mono3d_kd_core.geometry.camera import CameraModel
from mono3d_kd_core.geometry.rigid import T_CAMERA_BODY, Matrix, inverse


def field_of_view(camera: CameraModel) -> tuple[float, float]:
    """Return the angles in degrees between the left and right, and the upper and lower, borders of the image."""
    right, bottom = camera.width - 0.5, camera.height - 0.5
    cx, cy = (right - 0.5) / 2, (bottom - 0.5) / 2
    rays = camera.rays(np.array([[-0.5, cy], [right, cy], [cx, -0.5], [cx, bottom]]))
    rays /= np.linalg.norm(rays, axis=1, keepdims=True)
    return _degrees(rays[0], rays[1]), _degrees(rays[2], rays[3])


def views_differ(camera: CameraModel) -> bool:
    """Whether K and D describe another image than P and R, so that it matters which of them this one is."""
    same = np.allclose(camera.K, camera.P[:, :3], rtol=5e-3) and np.allclose(camera.R, np.eye(3), atol=5e-3)
    return bool(camera.K[0, 0] > 0) and not (same and camera.distortion == "none")


def describe_camera(camera: CameraModel) -> list[str]:
    """Say what a camera is."""
    M = camera.intrinsics
    across, down = field_of_view(camera)
    kind = "rectified (P)" if camera.rectified else f"raw (K, {camera.distortion})"
    lines = [
        f"image {camera.width} x {camera.height}, {kind}",
        f"focal length {M[0, 0]:.1f} x {M[1, 1]:.1f} px, centre {M[0, 2]:.1f} {M[1, 2]:.1f}, "
        f"field of view {across:.0f} x {down:.0f} degrees",
    ]
    if camera.rectified and np.linalg.norm(camera.offset) > 0.005:
        x, y, z = camera.optical_centre
        lines.append(
            f"P puts the optical centre {abs(x):.3f} m to the {'right' if x > 0 else 'left'} of the frame's origin, "
            f"{abs(y):.3f} m {'below' if y > 0 else 'above'} and {abs(z):.3f} m {'before' if z > 0 else 'behind'} it"
        )
    if views_differ(camera):
        K, P = camera.K, camera.P
        lines.append(
            f"raw and rectified image differ: K has focal length {K[0, 0]:.1f} x {K[1, 1]:.1f} and {camera.distortion}, "
            f"P has {P[0, 0]:.1f} x {P[1, 1]:.1f}"
        )
    if camera.bends:
        lines.append(f"distortion moves pixels by up to {_greatest_bend(camera):.0f} px")
    return lines


def camera_findings(camera: CameraModel) -> list[Finding]:
    """Judge a camera by its numbers."""
    M, found = camera.intrinsics, []

    def add(text: str) -> None:
        found.append(Finding("warning", "camera", text))

    if not 0.95 < M[0, 0] / M[1, 1] < 1.05:
        add(
            f"fx is {M[0, 0] / M[1, 1]:.2f} times fy: has the image been resized along one axis, without its calibration?"
        )
    away = np.abs(M[:2, 2] - [(camera.width - 1) / 2, (camera.height - 1) / 2]) / [camera.width, camera.height]
    if away.max() > 0.2:
        add(
            f"the centre {M[0, 2]:.0f} {M[1, 2]:.0f} lies far from the middle of the {camera.width}x{camera.height} image: "
            "has it been cropped or resized without its calibration?"
        )
    across, _ = field_of_view(camera)
    if across < 15:
        add(f"the field of view is only {across:.0f} degrees: is the focal length that of a larger image?")
    corners = np.array([[0, 0], [camera.width - 1, 0], [0, camera.height - 1], [camera.width - 1, camera.height - 1]])
    if not np.isfinite(camera.rays(corners)).all():
        add("the distortion model does not reach the corners of the image: it was fitted to its middle only")
    return found


def describe_extrinsics(T_camera_lidar: Matrix) -> list[str]:
    """Say where the LiDAR sits and looks, seen from the camera."""
    T = inverse(T_CAMERA_BODY) @ T_camera_lidar
    names = (("in front of", "behind"), ("left of", "right of"), ("above", "below"))
    places = [f"{abs(value):.2f} m {pair[0 if value > 0 else 1]}" for value, pair in zip(T[:3, 3], names)]
    yaw = np.degrees(np.arctan2(T[1, 0], T[0, 0]))
    pitch = np.degrees(np.arcsin(np.clip(T[2, 0], -1, 1)))
    roll = np.degrees(np.arctan2(T[2, 1], T[2, 2]))
    side, slope = ("left" if yaw > 0 else "right"), ("up" if pitch > 0 else "down")
    return [
        f"the LiDAR is {places[0]}, {places[1]} and {places[2]} the camera",
        f"its x axis points {abs(yaw):.1f} degrees to the {side} of the camera's view and {abs(pitch):.1f} {slope}; "
        f"it leans {abs(roll):.1f} degrees to the {'right' if roll > 0 else 'left'}",
    ]


def extrinsics_findings(T_camera_lidar: Matrix, in_view: float, camera: CameraModel) -> list[Finding]:
    """Judge the extrinsics by their numbers and by the share of the points that fall into the image."""
    T, found = inverse(T_CAMERA_BODY) @ T_camera_lidar, []
    away, lean = float(np.linalg.norm(T[:3, 3])), _degrees(T[:3, 2], np.array([0, 0, 1.0]))
    if away > 5:
        found.append(Finding("warning", "extrinsics", f"the LiDAR is {away:.1f} m from the camera: are these metres?"))
    if lean > 30:
        found.append(
            Finding(
                "warning", "extrinsics",
                f"the LiDAR's z axis leans {lean:.0f} degrees from the camera's up: is the camera's frame its optical one "
                "(z forward, y down), and the LiDAR's z-up?",
            )
        )  # fmt: skip
    expected = field_of_view(camera)[0] / 360
    if in_view < 0.1 * expected:
        text = f"only {100 * in_view:.1f} % of the points fall into the image"
        text += ": is T_camera_lidar inverted, or that of another camera?"
        found.append(Finding("warning", "extrinsics", text))
    else:
        found.append(Finding("fine", "extrinsics", f"{100 * in_view:.0f} % of the points fall into the image"))
    return found


def _greatest_bend(camera: CameraModel) -> float:
    """Pixels between where points appear and where they would without distortion, at most, over the border."""
    x, y = np.linspace(0, camera.width - 1, 20), np.linspace(0, camera.height - 1, 20)
    left, top = np.zeros(20), np.zeros(20)
    border = np.concatenate(
        [
            np.column_stack(pair)
            for pair in ((x, top), (x, top + camera.height - 1), (left, y), (left + camera.width - 1, y))
        ]
    )
    rays = camera.rays(border) @ camera.intrinsics.T
    moved = np.linalg.norm(rays[:, :2] / rays[:, 2:] - border, axis=1)
    return float(moved[np.isfinite(moved)].max(initial=0))


def _degrees(a: Matrix, b: Matrix) -> float:
    return float(np.degrees(np.arctan2(np.linalg.norm(np.cross(a, b)), a @ b)))
