"""Rig files: read, checked, and refused in words."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from mono3d_kd_core.errors import CalibrationError
from mono3d_kd_core.geometry.rigid import T_CAMERA_BODY, apply
from mono3d_kd_core.simulation.drive import SimulatedScenes
from mono3d_kd_core.simulation.rig import KITTI, SimulatedRig
from tests.conftest import REPOSITORY

TEXT = """
camera: {frame: cam, width: 320, height: 120, intrinsics: [200, 200, 160, 55]}
lidar: {frame: top, model: vlp16}
mounts:
  - {parent: base, child: top, translation: [0.5, 0, 1.9]}
  - {parent: top, child: cam, translation: [0.3, 0, -0.4], rotation_degrees: [0, 2, 0], optical: true}
"""


def written(folder: Path, text: str) -> Path:
    path = folder / "rig.yaml"
    path.write_text(text)
    return path


def test_frames_are_chained_from_the_road_up(tmp_path: Path) -> None:
    sensors = SimulatedRig.read(written(tmp_path, TEXT)).sensors()
    np.testing.assert_allclose(apply(sensors.T_base_camera, np.zeros(3)), [0.8, 0, 1.5])
    # Two degrees down: a point 10 m ahead of the LiDAR, at its height, is above and ahead in the camera.
    ahead = apply(sensors.rig.T_camera_lidar, np.array([10.0, 0, 0]))
    c, s = np.cos(np.radians(2)), np.sin(np.radians(2))
    np.testing.assert_allclose(ahead, [0, -(s * 9.7 + c * 0.4), c * 9.7 - s * 0.4], atol=1e-12)


def test_kittis_rig_looks_straight_ahead_from_1_65_metres() -> None:
    sensors = KITTI.sensors()
    np.testing.assert_allclose(sensors.T_base_camera[:3, :3] @ T_CAMERA_BODY[:3, :3], np.eye(3), atol=1e-12)
    assert sensors.T_base_camera[2, 3] == pytest.approx(1.65)


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        (("child: top,", "child: roof,"), 'rig.yaml: mounts: the frame "top" is not mounted on anything'),
        (("parent: base", "parent: cam"), "goes round in a circle"),
        (("[200, 200, 160, 55]", "[9, 200, 160, 55]"), "field of view of 174 degrees"),
        (("[200, 200, 160, 55]", "[-200, 200, 160, 55]"), "must be positive"),
        (("model: vlp16", "model: vlp17"), "lidar.model"),
        (("width: 320", "wdith: 320"), "did you mean width?"),
        (("camera:", "camera: ["), "not YAML"),
    ],
)
def test_a_rig_that_cannot_be_is_refused_in_words(tmp_path: Path, change: tuple[str, str], complaint: str) -> None:
    path = written(tmp_path, TEXT.replace(*change))
    with pytest.raises(CalibrationError, match=r"rig\.yaml") as refusal:
        SimulatedRig.read(path)
    assert complaint in str(refusal.value)


def test_resizing_keeps_the_field_of_view() -> None:
    small = KITTI.resized(621, 188)
    before, after = KITTI.sensors().rig.camera, small.sensors().rig.camera
    point = np.array([[2.0, 1.0, 20.0]])
    uv, resized = before.project(point)[0], after.project(point)[0]
    # 188 rows of 375 are wider than 621 columns of 1242: what is too much is cut off at both sides alike.
    scale = 188 / 375
    cut = np.array([(1242 * scale - 621) / 2, 0])
    np.testing.assert_allclose((uv + 0.5) * scale - cut, resized + 0.5, atol=1e-9)


@pytest.mark.parametrize("path", sorted((REPOSITORY / "config" / "rigs").glob("sim_*.yaml")), ids=lambda p: p.stem)
def test_the_shipped_rigs_can_be_used(path: Path) -> None:
    rig = SimulatedRig.read(path)
    frame = SimulatedScenes(1, 1, rig.resized(rig.camera.width // 8, rig.camera.height // 8))[0]
    assert frame.image.std() > 5
