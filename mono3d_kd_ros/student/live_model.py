"""The detector in use, and its replacement by another one while frames go on being answered."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import NDArray

from mono3d_kd_core.errors import Mono3DError
from mono3d_kd_core.geometry.boxes import Boxes3D
from mono3d_kd_core.geometry.camera import CameraModel
from mono3d_kd_core.geometry.rigid import Matrix
from mono3d_kd_ros.settings import StudentSettings

if TYPE_CHECKING:
    from mono3d_kd_core.deploy.bundle import Card


class ImageDetector(Protocol):
    """What the node asks of a detector; `deploy.detector.Detector` is one."""

    @property
    def card(self) -> Card:
        """The bundle's card."""
        ...

    def over_ground(self, T_camera_ground: Matrix) -> Matrix | None:
        """Return the pose that `detect` wants of a camera whose place over the road is known, None if it wants none."""
        ...

    def detect(self, image: NDArray[np.uint8], camera: CameraModel, pose: Matrix | None = None) -> Boxes3D:
        """Return the boxes, best first, in the frame "camera"."""
        ...

    def check_camera(self, camera: CameraModel) -> list[str]:
        """Say in sentences what makes a camera unlike the one trained on."""
        ...


def load_detector(settings: StudentSettings) -> ImageDetector:
    """Load the bundle that the parameters name. Raises ModelError in words."""
    from mono3d_kd_core.deploy.detector import Detector

    if not settings.model:
        raise Mono3DError("the parameter `model` is empty; give the path of a student's bundle")
    # The thresholds are live, so the node applies them to all that the network finds.
    return Detector.load(
        settings.model, settings.backend, score_threshold=0.0, max_detections=1000, device=settings.device,
        threads=settings.threads or None,
    )  # fmt: skip


class LiveModel:
    """Holds a detector and the settings it was loaded with. Raises what `load` raises.

    Whoever answers a frame takes `detector` once, so that a frame has one model from beginning to end.
    """

    def __init__(self, load: Callable[[StudentSettings], ImageDetector], settings: StudentSettings) -> None:
        self._load = load
        self._lock = threading.Lock()
        self._closed = False
        self.settings = settings
        # PyTorch's threads for whoever tries a network must end with the loading, as those of a replacement do. GNU OpenMP
        # counts all callers' threads together: more than there are cores, and none may wait awake; each frame is late then.
        with ThreadPoolExecutor(1, thread_name_prefix="loading") as thread:
            self.detector = thread.submit(load, settings).result()
        self.replaced = 0

    def replace(self, bundle: str) -> None:
        """Load another bundle, which takes seconds, and put it in place; to be called on a thread that then ends.

        Raises what `load` raises; the old one then stays.
        """
        settings = self.settings.model_copy(update={"model": bundle})
        detector = self._load(settings)
        with self._lock:
            if self._closed:
                raise Mono3DError("the node was cleaned up while the bundle was loaded")
            self.settings, self.detector = settings, detector
            self.replaced += 1

    def close(self) -> None:
        """Take no replacement any more."""
        with self._lock:
            self._closed = True
