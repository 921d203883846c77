"""The calibration that belongs to the images: kept up to date from CameraInfo, with its state in words."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Literal

from sensor_msgs.msg import CameraInfo

from mono3d_kd_core.errors import CalibrationError
from mono3d_kd_core.geometry.camera import CameraModel
from mono3d_kd_core.io.topic_guess import is_rectified as rectified_by_name
from mono3d_kd_ros.messages import camera_model


def is_rectified(image_topic: str, choice: Literal["auto", "yes", "no"] = "auto") -> bool:
    """Tell whether images of a topic are rectified: as chosen, or by the name, as image_proc gives it."""
    return rectified_by_name(image_topic) if choice == "auto" else choice == "yes"


class CameraInput:
    """Holds the camera of the last CameraInfo; safe to use from several threads.

    `changed` is called, with the camera and its frame, when there is a camera for the first time and whenever the
    calibration is another one.
    """

    def __init__(self, topic: str, rectified: bool, changed: Callable[[CameraModel, str], None]) -> None:
        self.topic, self.rectified = topic, rectified
        self._changed = changed
        self._lock = threading.Condition()
        self._key: tuple[object, ...] | None = None
        self._camera: CameraModel | None = None
        self.frame = ""
        self.error = ""
        self.changes = 0

    def take(self, message: CameraInfo) -> None:
        """Take a CameraInfo; it costs nothing when it says the same as the one before."""
        key = _contents(message)
        if key == self._key:
            return
        try:
            camera, error = camera_model(message, self.rectified, self.topic), ""
        except CalibrationError as problem:
            camera, error = None, str(problem)
        with self._lock:
            self.changes += self._camera is not None
            self._key, self._camera, self.error, self.frame = key, camera, error, message.header.frame_id
            self._lock.notify_all()
        if camera is not None:
            self._changed(camera, self.frame)

    def wait(self, timeout: float) -> CameraModel | None:
        """Return the camera, None where it is unusable or none came within `timeout` seconds."""
        with self._lock:
            self._lock.wait_for(lambda: self._key is not None, timeout)
            return self._camera

    @property
    def missing(self) -> bool:
        """True until the first CameraInfo, good or bad."""
        return self._key is None

    def __str__(self) -> str:
        if self.missing:
            return f"no CameraInfo on {self.topic} yet"
        if self._camera is None:
            return self.error
        K, which = self._camera.intrinsics, "P (rectified image)" if self.rectified else "K and D (raw image)"
        size = f"{self._camera.width}x{self._camera.height}"
        return f"{size}, fx {K[0, 0]:.1f}, fy {K[1, 1]:.1f}, {self._camera.distortion}, by {which}"


def _contents(message: CameraInfo) -> tuple[object, ...]:
    """All of a CameraInfo but its stamp, in a form that can be compared."""
    roi = message.roi
    return (
        message.header.frame_id, message.width, message.height, message.distortion_model, tuple(message.d),
        message.k.tobytes(), message.r.tobytes(), message.p.tobytes(), message.binning_x, message.binning_y,
        (roi.x_offset, roi.y_offset, roi.width, roi.height),
    )  # fmt: skip
