"""The folder: KITTI's layout, each frame committed by one rename, one writer at a time."""

from __future__ import annotations

import fcntl
import json
import os
import threading
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from types import TracebackType

import numpy as np

from mono3d_kd_core.errors import DataError
from mono3d_kd_core.frames import Rig, SensorFrame
from mono3d_kd_core.geometry.boxes import Boxes3D
from mono3d_kd_core.geometry.rigid import T_CAMERA_BODY, inverse, transform
from mono3d_kd_core.io.convert import undistorted
from mono3d_kd_core.io.files import read_depth, write_atomically
from mono3d_kd_core.io.kitti import KittiLabels, KittiWriter
from mono3d_kd_core.io.settings import read_settings, write_settings
from mono3d_kd_core.targets.provenance import Provenance, input_hash, rig_hash
from mono3d_kd_core.targets.record import Targets, describe, from_file, to_bytes
from mono3d_kd_core.teachers.base import TeacherOutput

PROVENANCE = "provenance.yaml"
INDEX = "index.json"


class TargetStore:
    """What a teacher said of the frames of a drive.

    image_2/ velodyne/ calib/ label_2/ (16 columns) stamp/ and perhaps depth_2/ are KITTI's; targets/<id>.safetensors has
    the boxes in full precision and the soft targets, and is written last: a frame is stored when it exists. With a
    provenance the store is open for writing, by this process only; without one it is read.
    `many_rigs` allows frames of different calibrations, as KITTI's object frames are; else the first frame sets it.
    Raises DataError when the folder holds something else, or targets of another teacher or other settings.
    """

    def __init__(self, root: str | Path, provenance: Provenance | None = None, *, many_rigs: bool = False) -> None:
        self.root = Path(root)
        self._writer = KittiWriter(self.root)
        self._many_rigs = many_rigs
        self._rig: str | None = None
        self._lock = threading.Lock()
        self._folder: int | None = None
        found = self._provenance_found()
        if provenance is None:
            if found is None:
                raise DataError(f"{self.root}: is no target store: it has no {PROVENANCE}")
            self.provenance = found
            return
        self.provenance = provenance
        difference = None if found is None else provenance.difference(found)
        if difference is not None:
            raise DataError(f"{self.root}: {difference}; choose another folder, or remove this one")
        self._open_for_writing(new=found is None)

    def _provenance_found(self) -> Provenance | None:
        path = self.root / PROVENANCE
        return read_settings(path, Provenance, DataError) if path.exists() else None

    def _open_for_writing(self, new: bool) -> None:
        try:
            self.root.mkdir(parents=True, exist_ok=True)
            self._folder = os.open(self.root, os.O_RDONLY)
        except OSError as error:
            raise DataError(f"{self.root}: cannot be made: {error.strerror or error}") from error
        try:
            self._prepare(new)
        except BaseException:
            self.close()
            raise

    def _prepare(self, new: bool) -> None:
        assert self._folder is not None
        try:
            fcntl.flock(self._folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise DataError(f"{self.root}: another process is writing to this store; wait for it, or stop it") from None
        for left in self.root.rglob(".*.tmp"):  # of a run that was killed
            left.unlink()
        if new and any(self.root.iterdir()):
            raise DataError(f"{self.root}: holds something else than a target store; choose another folder")
        if new:
            write_settings(self.root / PROVENANCE, self.provenance, "What made these targets.")
        elif self.ids:
            self._rig = describe(self._path(self.ids[0]))["rig"]

    def close(self) -> None:
        """Let others write."""
        if self._folder is not None:
            os.close(self._folder)
            self._folder = None

    def __enter__(self) -> TargetStore:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if self._folder is not None and (kind is None or issubclass(kind, KeyboardInterrupt)):
                self.write_index()
        finally:
            self.close()

    @property
    def ids(self) -> Sequence[str]:
        """The ids of the frames stored, in order."""
        return sorted(path.stem for path in (self.root / "targets").glob("*.safetensors"))

    def __len__(self) -> int:
        return len(self.ids)

    def has(self, id_: str) -> bool:
        """Tell whether a frame is stored completely."""
        return self._path(id_).exists()

    def write(self, frame: SensorFrame, output: TeacherOutput) -> Targets:
        """Store what the teacher said of a frame, and return it; safe from any thread.

        Images that a lens bends are stored rectified, boxes and calibration likewise. Raises DataError when the
        calibration is another than before, or a file cannot be written.
        """
        if self._folder is None:
            raise DataError(f"{self.root}: the target store is not open for writing")
        rig = rig_hash(frame.rig)
        with self._lock:
            self._check_rig(frame, rig)
            stored, boxes = as_kitti(frame, self._chosen(output.boxes))
            depth = _follow(output.depth, frame)
            labels = KittiLabels.from_boxes(boxes, stored.rig.camera)
            targets = Targets(
                frame.id, frame.stamp, boxes, rig, input_hash(frame), self.provenance.hash,
                output.responses, output.bev, output.boxes.frame, depth,
            )  # fmt: skip
            try:
                self._writer.write(stored, labels, depth)
                write_atomically(self._path(frame.id), to_bytes(targets))
            except DataError as error:
                raise DataError(
                    f"{error}; the frames before are stored, and the same command goes on from there"
                ) from error
        return targets

    def _chosen(self, boxes: Boxes3D) -> Boxes3D:
        least = self.provenance.settings.min_score
        return boxes if least is None else boxes[boxes.score >= least]

    def _check_rig(self, frame: SensorFrame, rig: str) -> None:
        if self._rig is not None and rig != self._rig and not self._many_rigs:
            raise DataError(
                f"{self.root}: frame {frame.id} has another calibration than the frames stored before; "
                "choose another folder for it"
            )
        self._rig = rig

    def check_input(self, frame: SensorFrame) -> None:
        """Raise DataError when a frame stored under this id was made of something else, such as another drive."""
        about = describe(self._path(frame.id))
        what = "another calibration" if about["rig"] != rig_hash(frame.rig) else None
        if what is None and about["input"] != input_hash(frame):
            what = "another picture or other points"
        if what is not None:
            raise DataError(
                f"{self.root}: frame {frame.id} is stored already, but it was made with {what} than the source has now; "
                "choose another folder, or remove this one"
            )

    def read(self, id_: str) -> Targets:
        """Read a frame. Raises DataError when it is not stored, damaged, or of another provenance than the store."""
        path = self._path(id_)
        if not path.exists():
            raise DataError(f"{self.root}: frame {id_} is not in this store")
        depth = self.root / "depth_2" / f"{id_}.png"
        targets = from_file(path, read_depth(depth) if depth.exists() else None)
        if targets.provenance != self.provenance.hash:
            raise DataError(f"{path}: was made by another teacher or other settings than {PROVENANCE} says")
        return targets

    def write_index(self) -> None:
        """Write `index.json`: id, stamp, number of objects and calibration of every frame stored."""
        keys = ("id", "stamp", "objects", "rig")
        frames = [{key: about[key] for key in keys} for about in (describe(self._path(id_)) for id_ in self.ids)]
        text = json.dumps({"provenance": self.provenance.hash, "frames": frames}, indent=1)
        write_atomically(self.root / INDEX, (text + "\n").encode())

    def _path(self, id_: str) -> Path:
        return self.root / "targets" / f"{id_}.safetensors"


def as_kitti(frame: SensorFrame, boxes: Boxes3D) -> tuple[SensorFrame, Boxes3D]:
    """Return a frame and its boxes (in "camera") as KITTI's files mean them.

    The image is free of distortion, and a rectifying rotation R is part of the extrinsics: labels are in the frame of the
    picture.
    """
    boxes = frame.rig.boxes_in_camera(boxes)
    flat = undistorted(frame)
    camera, R = flat.rig.camera, flat.rig.camera.R
    if not camera.rectified or np.array_equal(R, np.eye(3)):
        return flat, boxes
    turn = transform(R, np.zeros(3))
    body = inverse(T_CAMERA_BODY) @ turn @ T_CAMERA_BODY
    rig = Rig(replace(camera, R=np.eye(3)), turn @ flat.rig.T_camera_lidar, flat.rig.camera_frame, flat.rig.lidar_frame)
    return replace(flat, rig=rig), boxes.transformed(body, "camera")


def _follow(depth: np.ndarray | None, frame: SensorFrame) -> np.ndarray | None:
    """Rectify a depth map (H,W) as `undistorted` rectifies the image; each pixel takes the nearest value."""
    camera = frame.rig.camera
    if depth is None or camera.rectified or not camera.bends:
        return depth
    import cv2

    return np.asarray(cv2.remap(depth, *camera.undistort_maps(), cv2.INTER_NEAREST), np.float32)
