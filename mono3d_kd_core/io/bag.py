"""A bag as a source of frames, read directly: deterministic, faster than real time, nothing lost without a reason."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mono3d_kd_core.errors import CalibrationError, DataError
from mono3d_kd_core.frames import SensorFrame
from mono3d_kd_core.geometry.camera import CameraModel
from mono3d_kd_core.io.bag_file import BagFile, RawMessage, is_bag
from mono3d_kd_core.io.bag_index import BagIndex, Moment, Place, index_bag, places
from mono3d_kd_core.io.camera_track import check_resolution, rig_of
from mono3d_kd_core.io.cloud_codec import decode_cloud
from mono3d_kd_core.io.image_codec import decode_compressed, decode_image
from mono3d_kd_core.io.rig import RigFile

__all__ = ["BagReport", "BagSource", "image_of", "is_bag", "points_of"]


def image_of(message: Any) -> NDArray[np.uint8]:
    """Return the picture (H,W,3) uint8 RGB of an Image or CompressedImage message, of any library's message class."""
    if hasattr(message, "format"):
        return decode_compressed(message.data, message.format)
    m = message
    return decode_image(m.data, m.height, m.width, m.encoding, m.step, bool(m.is_bigendian))


def points_of(message: Any) -> NDArray[np.float32]:
    """Return the points (N,4) x y z intensity of a PointCloud2 message, of any library's message class."""
    m = message
    return decode_cloud(m.data, m.fields, m.point_step, m.row_step, m.height, m.width, bool(m.is_bigendian)).points


@dataclass(frozen=True)
class BagReport:
    """Where every image and every cloud of a bag went: images = frames + the sum of image_drops."""

    images: int
    clouds: int
    frames: int
    image_drops: dict[str, int]
    points_drops: dict[str, int]
    notes: tuple[str, ...] = ()

    def __str__(self) -> str:
        lost = ", ".join(f"{count} {reason}" for reason, count in sorted(self.image_drops.items())) or "none"
        return f"{self.images} images, {self.clouds} clouds: {self.frames} frames; images dropped: {lost}"


class BagSource:
    """Frames of a bag: ROS 1, rosbag2 in sqlite3 or MCAP, images raw or compressed, with or without LiDAR.

    `rig` says which topics belong together; without it, it is guessed (and found in `rig_file`). Opening reads the bag once
    for an index of its headers; frames are then read one by one. Frame ids count the images of the topic, dropped ones
    too, so that the same picture has the same id with and without LiDAR. `report` accounts for every image.
    Raises DataError or CalibrationError when no frame can be made, naming the bag, the topic and what to do.
    """

    def __init__(self, path: Path, rig: RigFile | Path | None = None) -> None:
        self.name = str(path)
        self._bag = BagFile(Path(path))
        if rig is None:
            types = {topic.name: topic.type for topic in self._bag.topics.values()}
            self.rig_file = RigFile.guess(types, str(path))
        else:
            self.rig_file = rig if isinstance(rig, RigFile) else RigFile.load(rig)
        self.index: BagIndex = index_bag(self._bag, self.rig_file)
        self._own_camera = self.rig_file.camera_model()
        self._undecodable: dict[int, str] = {}
        if not self.index.moments:
            raise DataError(_no_frames(self.name, self.index, self.rig_file))
        self.camera(0)
        with suppress(DataError):  # a picture that is broken is counted later; a calibration that does not fit is told now
            self[0]

    @property
    def ids(self) -> Sequence[str]:
        """The frame ids, in order of time."""
        return [f"{moment.number:06d}" for moment in self.index.moments]

    @property
    def report(self) -> BagReport:
        """What became of every image and cloud; frames that iteration could not decode are dropped as "undecodable"."""
        index, bad = self.index, Counter({"undecodable": len(self._undecodable)})
        return BagReport(
            len(index.image_stamps), len(index.points_stamps), len(index.moments) - len(self._undecodable),
            dict(+(index.image_drops + bad)), dict(+index.points_drops), (*index.notes, *self._undecodable.values()),
        )  # fmt: skip

    @property
    def sync_errors(self) -> NDArray[np.int64]:
        """Image stamp minus offset minus points stamp of each frame with points, (N,) ns."""
        offset = round(self.rig_file.sync.offset * 1e9)
        pairs = [(m.stamp, m.points_stamp) for m in self.index.moments if m.points_stamp is not None]
        return np.array([image - offset - points for image, points in pairs], np.int64)

    def camera(self, index: int) -> CameraModel:
        """Return the camera of a frame, without reading its picture."""
        if self._own_camera is not None:
            return self._own_camera
        if self.rig_file.topics.camera_info is None:
            raise CalibrationError(
                f"{self.name}: no camera_info goes with {self.rig_file.topics.image}; "
                "name the topic, or give `camera`, in a rig file"
            )
        return self.index.cameras.at(self.index.moments[index].stamp)

    def __len__(self) -> int:
        return len(self.index.moments)

    def __getitem__(self, index: int) -> SensorFrame:
        place, topic = self.index.moments[index].points, self.rig_file.topics.points
        return self._frame(index, self._image(index), None if place is None or topic is None else self._read(topic, place))

    def picture(self, index: int) -> SensorFrame:
        """Return what the camera alone saw: the frame without points, which are not read."""
        return self._frame(index, self._image(index), None)

    def __iter__(self) -> Iterator[SensorFrame]:
        """Yield the frames in one pass over the bag; those that cannot be decoded are left out and counted in `report`."""
        topics = self.rig_file.topics
        place_of = {(topics.image, m.image): i for i, m in enumerate(self.index.moments)}
        place_of |= {(topics.points or "", m.points): i for i, m in enumerate(self.index.moments) if m.points is not None}
        begun: dict[int, dict[str, RawMessage]] = {}
        with BagFile(self._bag.path) as bag:
            for message, place in places(bag.messages([t for t in (topics.image, topics.points) if t is not None])):
                index = place_of.get((message.topic, place))
                if index is None:
                    continue
                parts = begun.setdefault(index, {})
                parts[message.topic] = message
                if len(parts) < 1 + (self.index.moments[index].points is not None):
                    continue
                del begun[index]
                try:
                    frame = self._frame(index, parts[topics.image], parts.get(topics.points or ""))
                except DataError as error:
                    self._undecodable[index] = str(error)
                else:
                    yield frame

    def _image(self, index: int) -> RawMessage:
        return self._read(self.rig_file.topics.image, self.index.moments[index].image)

    def _read(self, topic: str, place: Place) -> RawMessage:
        for message, found in places(self._bag.messages([topic], start=place.time, stop=place.time + 1)):
            if found == place:
                return message
        raise DataError(f"{self.name}: a message of {topic} is gone: has the bag been changed since it was opened?")

    def _frame(self, index: int, image: RawMessage, points: RawMessage | None) -> SensorFrame:
        moment, topics = self.index.moments[index], self.rig_file.topics
        picture = self._decoded(image, image_of, moment)
        cloud = None if points is None else self._decoded(points, points_of, moment)
        camera = self.camera(index)
        height, width = picture.shape[:2]
        check_resolution(camera, width, height, topics.camera_info or "the rig file", topics.image)
        rig = rig_of(camera, moment.T_camera_lidar, self.index.camera_frame, self.index.lidar_frame)
        return SensorFrame(f"{moment.number:06d}", moment.stamp, picture, cloud, rig)

    def _decoded(self, message: RawMessage, decode: Any, moment: Moment) -> Any:
        try:
            return decode(self._bag.decode(message))
        except DataError as error:
            raise DataError(f"{self.name}: frame {moment.number:06d}: {message.topic}: {error}") from error


def _no_frames(name: str, index: BagIndex, rig: RigFile) -> str:
    drops = ", ".join(f"{count} {reason}" for reason, count in sorted(index.image_drops.items()))
    message = f"{name}: none of the {len(index.image_stamps)} images of {rig.topics.image} can be used: {drops}"
    if rig.topics.points is None or not index.points_stamps:
        return message
    images, points = np.array(index.image_stamps), np.sort(np.array(index.points_stamps))
    after = np.clip(np.searchsorted(points, images), 1, len(points) - 1) if len(points) > 1 else np.zeros(len(images), int)
    gaps = np.stack([images - points[after - (len(points) > 1)], images - points[after]])
    nearest = np.take_along_axis(gaps, np.abs(gaps).argmin(0)[None], 0)[0]
    return (
        f"{message}. Images are typically {np.median(nearest) / 1e9:+.3f} s from the nearest cloud; a rig file takes "
        f"this as sync.offset (now {rig.sync.offset}) within sync.tolerance (now {rig.sync.tolerance})"
    )
