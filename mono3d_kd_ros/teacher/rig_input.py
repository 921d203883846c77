"""From the messages of a camera and a LiDAR to synchronised frames, by the same steps as a bag that is read directly."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mono3d_kd_core.errors import CalibrationError
from mono3d_kd_core.frames import SensorFrame
from mono3d_kd_core.geometry.camera import CameraModel
from mono3d_kd_core.geometry.rigid import Matrix
from mono3d_kd_core.io.bag import BagSource, image_of, points_of
from mono3d_kd_core.io.camera_track import CameraTrack, check_resolution, rig_of
from mono3d_kd_core.io.rig import RigFile
from mono3d_kd_core.io.sync import Pair, Synchroniser
from mono3d_kd_ros.messages import nanoseconds

QUEUE = 64
"""Messages of one stream that may wait for the other."""


class FrameNumbers:
    """Which number an image has: that in the bag it comes from, or else how many came before it.

    Bags are numbered by the stamps of their images, so a frame has the same id whatever was lost on the way.
    """

    def __init__(self, bag: BagSource | None, first: int = 0) -> None:
        self._known: dict[int, int] | None = None
        if bag is not None:
            stamps = bag.index.image_stamps
            self._known = {stamp: number for number, stamp in reversed(list(enumerate(stamps)))}
            self._known |= {moment.stamp: moment.number for moment in bag.index.moments}
        self._next = first

    def of(self, stamp: int) -> int | None:
        """Return the number of the image that has just come; None when the bag has no such image."""
        if self._known is not None:
            return self._known.get(stamp)
        self._next += 1
        return self._next - 1


@dataclass(frozen=True)
class Sighting:
    """A pair of messages that belong together, not decoded yet. arrived is when the image came, steady seconds."""

    number: int
    arrived: float
    stamp: int
    image: Any
    points: Any
    camera: CameraModel
    camera_frame: str
    lidar_frame: str

    def frame(self, T_camera_lidar: Matrix) -> SensorFrame:
        """Decode the messages. Raises DataError or CalibrationError in words."""
        picture, points = image_of(self.image), points_of(self.points)
        height, width = picture.shape[:2]
        check_resolution(self.camera, width, height, "camera_info", "the topic image")
        rig = rig_of(self.camera, T_camera_lidar, self.camera_frame, self.lidar_frame)
        return SensorFrame(f"{self.number:06d}", self.stamp, picture, points, rig)


@dataclass(frozen=True)
class _Image:
    message: Any
    number: int | None
    arrived: float


class RigInput:
    """Pairs images with clouds and gives each pair its number and camera. Not thread-safe.

    `found` gets each sighting, `dropped` the reason for each image that became none.
    """

    def __init__(
        self, rig: RigFile, numbers: FrameNumbers, found: Callable[[Sighting], None], dropped: Callable[[str, str], None]
    ) -> None:
        self._rig, self._numbers = rig, numbers
        self._found, self._dropped = found, dropped
        offset, tolerance = (round(seconds * 1e9) for seconds in (rig.sync.offset, rig.sync.tolerance))
        self._sync: Synchroniser[_Image, Any] = Synchroniser(tolerance, offset, queue=QUEUE)
        self._told: Counter[str] = Counter()
        self._own_camera = rig.camera_model()
        self._track = CameraTrack(rig.rectified, rig.topics.camera_info or "camera_info")
        self._info_frame = ""
        if self._own_camera is None:
            self._sync.hold()

    @property
    def waiting_for_camera(self) -> bool:
        """True until the first CameraInfo, where one is needed."""
        return self._own_camera is None and self._track.received == 0

    @property
    def cloud_drops(self) -> dict[str, int]:
        """How many clouds were dropped, by reason."""
        return dict(+self._sync.drops["points"])

    @property
    def sync_error_ms(self) -> float:
        """Image stamp minus offset minus cloud stamp of the last pair."""
        return self._last_error / 1e6

    _last_error = 0

    def add_camera_info(self, message: Any) -> None:
        """Take a CameraInfo."""
        first = self._track.received == 0
        self._track.add(nanoseconds(message.header.stamp), message)
        self._info_frame = message.header.frame_id
        if first and self._own_camera is None:
            self._give(self._sync.release())

    def add_image(self, message: Any, arrived: float) -> None:
        """Take an image."""
        stamp = nanoseconds(message.header.stamp)
        self._give(self._sync.add_image(stamp, _Image(message, self._numbers.of(stamp), arrived)))

    def add_points(self, message: Any) -> None:
        """Take a cloud."""
        self._give(self._sync.add_points(nanoseconds(message.header.stamp), message))

    def flush(self) -> None:
        """Give out what is certain when nothing more will come; what still waits is dropped."""
        pairs = self._sync.flush()
        self._give(pairs + self._sync.release())

    def _give(self, pairs: list[Pair[_Image, Any]]) -> None:
        for pair in pairs:
            self._give_one(pair)
        drops = self._sync.drops["image"]
        for reason, count in (drops - self._told).items():
            for _ in range(count):
                self._dropped(reason, "")
        self._told = Counter(drops)

    def _give_one(self, pair: Pair[_Image, Any]) -> None:
        self._last_error = pair.image_stamp - round(self._rig.sync.offset * 1e9) - pair.points_stamp
        image, points = pair.image, pair.points
        if image.number is None:
            self._dropped("not_in_bag", "the bag has no image with this stamp")
            return
        try:
            camera = self._own_camera or self._track.at(pair.image_stamp)
        except CalibrationError as error:
            self._dropped("bad_camera_info" if self._track.received else "no_camera_info", str(error))
            return
        camera_frame = self._rig.frames.camera or self._info_frame or image.message.header.frame_id
        lidar_frame = self._rig.frames.lidar or points.header.frame_id
        self._found(
            Sighting(
                image.number, image.arrived, pair.image_stamp, image.message, points, camera, camera_frame, lidar_frame
            )
        )


def bag_of(path: str, rig: str) -> BagSource | None:
    """Open the bag that is replayed, to know the numbers of its frames; None without one."""
    return BagSource(Path(path), Path(rig) if rig else None) if path else None
