"""One pass over a bag: which image meets which cloud, what was lost and why, and how camera and LiDAR lie."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from mono3d_kd_core.errors import DataError
from mono3d_kd_core.geometry.rigid import Matrix
from mono3d_kd_core.geometry.tree import ExtrapolationError, TransformTree
from mono3d_kd_core.io.bag_file import BagFile, RawMessage
from mono3d_kd_core.io.bag_transforms import TF_TYPES, Extrinsics, add_transforms
from mono3d_kd_core.io.camera_track import CameraTrack
from mono3d_kd_core.io.rig import RigFile
from mono3d_kd_core.io.sync import StampCheck, Synchroniser
from mono3d_kd_core.io.topic_guess import IMAGE_TYPES, INFO_TYPE, POINTS_TYPE

WAITING = 10_000
"""How many messages may wait for their partner: only their places are kept, so many more than online."""


class Place(NamedTuple):
    """Where a message lies: the time of its recording, and which it is of those of its topic with that time."""

    time: int
    number: int


@dataclass(frozen=True)
class Moment:
    """An image and its cloud (None without LiDAR). number counts all images of the topic, also those that were dropped."""

    number: int
    stamp: int
    image: Place
    points: Place | None
    points_stamp: int | None
    T_camera_lidar: Matrix


@dataclass
class BagIndex:
    """What a bag holds for a rig. Every image is a moment or counted in image_drops, every cloud likewise."""

    cameras: CameraTrack
    tree: TransformTree = field(default_factory=TransformTree)
    moments: list[Moment] = field(default_factory=list)
    image_stamps: list[int] = field(default_factory=list)
    points_stamps: list[int] = field(default_factory=list)
    image_drops: Counter[str] = field(default_factory=Counter)
    points_drops: Counter[str] = field(default_factory=Counter)
    camera_frame: str = ""
    lidar_frame: str = ""
    notes: list[str] = field(default_factory=list)


class _ImageRef(NamedTuple):
    number: int
    place: Place


def places(messages: Iterator[RawMessage]) -> Iterator[tuple[RawMessage, Place]]:
    """Yield each message with its place."""
    last: dict[str, Place] = {}
    for message in messages:
        before = last.get(message.topic)
        number = before.number + 1 if before is not None and before.time == message.time else 0
        last[message.topic] = Place(message.time, number)
        yield message, last[message.topic]


def index_bag(bag: BagFile, rig: RigFile) -> BagIndex:
    """Read the headers, calibrations and transforms of a bag, and pair its images and clouds.

    Raises DataError for a missing topic, CalibrationError when camera and LiDAR cannot be related.
    """
    _check_topics(bag, rig)
    index = BagIndex(CameraTrack(rig.rectified, f"{bag.path}: {rig.topics.camera_info}"), notes=list(bag.notes))
    transforms = {topic.name for topic in bag.topics.values() if topic.type in TF_TYPES}
    named = [name for name in (rig.topics.image, rig.topics.camera_info, rig.topics.points) if name is not None]
    pairing = _Pairing(rig)
    frames: dict[str, str] = {}
    for message, place in places(bag.messages([*named, *transforms])):
        if message.topic in transforms:
            index.notes += add_transforms(index.tree, bag.decode(message), message.topic.endswith("tf_static"))
            continue
        if message.topic not in frames:
            frames[message.topic] = bag.decode(message).header.frame_id
        stamp = bag.stamp(message)
        if message.topic == rig.topics.image:
            pairing.add_image(stamp, _ImageRef(len(index.image_stamps), place))
            index.image_stamps.append(stamp)
        elif message.topic == rig.topics.points:
            pairing.add_points(stamp, place)
            index.points_stamps.append(stamp)
        else:
            index.cameras.add(stamp or message.time, bag.decode(message))
    _finish(index, rig, pairing, frames, bag)
    return index


class _Pairing:
    """The synchroniser, or without LiDAR only the check of the images' stamps."""

    def __init__(self, rig: RigFile) -> None:
        self._sync: Synchroniser[_ImageRef, Place] = Synchroniser(
            round(rig.sync.tolerance * 1e9), round(rig.sync.offset * 1e9), queue=WAITING
        )
        self._alone = rig.topics.points is None
        self._check, self._drops = StampCheck(), Counter[str]()
        self.found: list[tuple[_ImageRef, int, Place | None, int | None]] = []

    def add_image(self, stamp: int, image: _ImageRef) -> None:
        if not self._alone:
            self._take(self._sync.add_image(stamp, image))
        elif reason := self._check.refuse(stamp):
            self._drops[reason] += 1
        else:
            self.found.append((image, stamp, None, None))

    def add_points(self, stamp: int, place: Place) -> None:
        self._take(self._sync.add_points(stamp, place))

    def finish(self) -> tuple[Counter[str], Counter[str]]:
        self._take(self._sync.flush())
        return self._drops + self._sync.drops["image"], self._sync.drops["points"]

    def _take(self, pairs: list[Any]) -> None:
        self.found += [(pair.image, pair.image_stamp, pair.points, pair.points_stamp) for pair in pairs]


def _check_topics(bag: BagFile, rig: RigFile) -> None:
    for name, types in (
        (rig.topics.image, IMAGE_TYPES), (rig.topics.camera_info, (INFO_TYPE,)), (rig.topics.points, (POINTS_TYPE,)),
    ):  # fmt: skip
        if name is None:
            continue
        fitting = [topic.name for topic in bag.topics.values() if topic.type in types]
        kind = " or ".join(type_.rpartition("/")[2] for type_ in types)
        topic = bag.topics.get(name)
        if topic is None:
            raise DataError(f"{bag.path}: there is no topic {name}; topics of {kind} are {', '.join(fitting) or 'none'}")
        if topic.type not in types:
            raise DataError(f"{bag.path}: {name} is of type {topic.type}, expected {kind}: {', '.join(fitting) or 'none'}")
        if topic.count == 0 and name != rig.topics.camera_info:
            raise DataError(f"{bag.path}: {name} holds no message")


def _finish(index: BagIndex, rig: RigFile, pairing: _Pairing, frames: dict[str, str], bag: BagFile) -> None:
    index.notes = list(dict.fromkeys(index.notes))
    index.image_drops, index.points_drops = pairing.finish()
    by_image, by_info = frames.get(rig.topics.image, ""), frames.get(rig.topics.camera_info or "", "")
    index.camera_frame = rig.frames.camera or by_info or by_image
    index.lidar_frame = rig.frames.lidar or frames.get(rig.topics.points or "", "")
    if by_image and by_info and by_image != by_info:
        index.notes.append(f'images name the frame "{by_image}", their camera_info "{by_info}": the latter is used')
    info = rig.topics.camera_info
    if index.cameras.changes:
        index.notes.append(f"{info} changes its calibration {index.cameras.changes} times; each image goes with its own")
    first = index.cameras.first_stamp
    late = sum(stamp < first for _, stamp, _, _ in pairing.found) if first is not None else 0
    if late:
        index.notes.append(f"{info} comes after the first {late} images, which are taken to have the same camera")
    extrinsics = Extrinsics(index.tree, rig, index.camera_frame, index.lidar_frame, str(bag.path))
    for image, stamp, points, points_stamp in pairing.found:
        try:
            T = extrinsics.at(stamp)
        except ExtrapolationError:
            index.image_drops["no_transform"] += 1
            index.points_drops["no_transform"] += points is not None
            continue
        index.moments.append(Moment(image.number, stamp, image.place, points, points_stamp, T))
    if extrinsics.looks_up:
        index.notes.append(
            f'the transform says that the camera looks straight up or down: is "{index.camera_frame}" its optical frame '
            "(z forward)? If not, name the right one as frames.camera in a rig file"
        )
