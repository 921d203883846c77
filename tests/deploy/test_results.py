"""Detections of a drive on disk: what KITTI's tools expect."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from mono3d_kd_core.deploy.results import write_detections
from mono3d_kd_core.geometry.boxes import Boxes3D
from mono3d_kd_core.geometry.camera import CameraModel
from mono3d_kd_core.io.kitti import KittiObjectSource
from tests.training.conftest import write_world


class OneCar:
    """Finds the same car in each picture, and one behind the camera."""

    def check_camera(self, camera: CameraModel) -> list[str]:
        return ["the focal length is odd"]

    def detect(self, image: np.ndarray, camera: CameraModel, pose: np.ndarray | None = None) -> Boxes3D:
        centre = np.array([[12.0, 1.0, -0.8], [-5.0, 0, 0]])
        size = np.tile([4.0, 1.6, 1.5], (2, 1))
        return Boxes3D(centre, size, np.array([0.3, 0]), np.array(["Car", "Car"]), [0.75, 0.5], [1.5, 9.0], frame="camera")


@pytest.fixture
def source(tmp_path: Path) -> KittiObjectSource:
    return KittiObjectSource(write_world(tmp_path / "world", 3))


def test_one_file_a_frame_with_sixteen_columns(source: KittiObjectSource, tmp_path: Path) -> None:
    seen = []
    summary = write_detections(OneCar(), source, tmp_path / "out", done=lambda: seen.append(1))  # type: ignore[arg-type]
    assert [path.name for path in sorted((tmp_path / "out").glob("*.txt"))] == [f"{id_}.txt" for id_ in source.ids]
    rows = (tmp_path / "out" / "000002.txt").read_text().splitlines()
    assert len(rows) == 1  # the car behind has no pixel
    columns = rows[0].split()
    assert (len(columns), columns[0]) == (16, "Car")
    height, width, length, x, y, z, rotation_y, score = map(float, columns[8:])
    assert (length, width, height, score) == (4.0, 1.6, 1.5, 0.75)
    assert (x, y, z) == pytest.approx((-1.0, 0.8 + 0.75, 12.0), abs=1e-4)
    assert rotation_y == pytest.approx(-0.3 - np.pi / 2, abs=1e-4)
    assert (tmp_path / "out" / "depth_std" / "000002.txt").read_text() == "1.5000\n"
    assert (summary.frames, summary.boxes, len(summary.milliseconds), len(seen)) == (3, 6, 3, 3)
    assert summary.warnings == ("the focal length is odd",)


def test_pictures_and_a_video_on_request(source: KittiObjectSource, tmp_path: Path) -> None:
    write_detections(OneCar(), source, tmp_path, pictures=True, video=True)  # type: ignore[arg-type]
    assert len(list((tmp_path / "pictures").glob("*.png"))) == 3
    assert (tmp_path / "video.mp4").stat().st_size > 1000
