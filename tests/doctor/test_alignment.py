from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from mono3d_kd_core.doctor.alignment import STEPS, Alignment, Sample, align, turned
from mono3d_kd_core.frames import FrameSource, Rig, SensorFrame
from mono3d_kd_core.geometry.camera import CameraModel
from mono3d_kd_core.geometry.rigid import inverse
from mono3d_kd_core.io.kitti_raw import KittiRawSource
from tests.doctor.boards import CAMERA, RIG, drive


def samples(
    frames: Sequence[SensorFrame] | FrameSource, indices: Sequence[int] = range(1, 5), late: int = 0
) -> list[Sample]:
    """Samples of a drive; `late` pairs each image with the sweep of so many frames later."""
    found = []
    for i in indices:
        sweeps = {shift: frames[i + shift + late].points for shift in (-1, 0, 1) if 0 <= i + shift + late < len(frames)}
        rig = frames[i].rig
        known = {shift: points for shift, points in sweeps.items() if points is not None}
        found.append(Sample.of(frames[i].image, rig.camera, rig.T_camera_lidar, known))
    return found


def judged(found: list[Sample]) -> Alignment:
    alignment = align(found)
    assert alignment is not None
    return alignment


def with_turn(turn: Sequence[float]) -> Rig:
    return dataclasses.replace(RIG, T_camera_lidar=turned(RIG.T_camera_lidar, turn))


def test_the_true_calibration_agrees_and_no_turn_helps() -> None:
    alignment = judged(samples(drive(6)))
    assert alignment.agreement > 3
    np.testing.assert_allclose(alignment.turn, 0, atol=0.2)
    assert all(other.agreement < 0.9 * alignment.agreement for other in alignment.shifts.values())


@pytest.mark.parametrize("turn", [(2, 0, 0), (-1, 0, 0), (0, 1.5, 0), (1, -1, 0)])
def test_a_turned_calibration_is_measured(turn: tuple[float, float, float]) -> None:
    alignment = judged(samples(drive(6, rig=with_turn(turn))))
    np.testing.assert_allclose(alignment.turn, -np.array(turn), atol=0.3)
    assert alignment.turned.agreement > 1.3 * alignment.agreement
    assert alignment.turned.share_better == 1


@pytest.mark.parametrize("late", [-1, 1])
def test_a_shift_of_one_frame_is_found(late: int) -> None:
    alignment = judged(samples(drive(6), range(2, 4), late))
    assert alignment.shifts[-late].agreement > 1.1 * alignment.agreement
    assert alignment.shifts[-late].agreement > alignment.shifts[late].agreement


def test_an_inverted_transform_is_found() -> None:
    wrong = dataclasses.replace(RIG, T_camera_lidar=inverse(RIG.T_camera_lidar))
    found = samples(drive(6, rig=wrong))
    # Where nothing is in view there is nothing to compare; here half a turn of edges remains.
    alignment = align(found)
    assert alignment is None or alignment.others["inverse"].agreement > alignment.agreement


def test_the_wrong_view_of_a_camera_is_found() -> None:
    # The image is rectified, but the camera claims that it is raw; K is that of a longer lens.
    K = np.array([[440.0, 0, 319.5], [0, 440, 110], [0, 0, 1]])
    confused = CameraModel(CAMERA.width, CAMERA.height, K, P=CAMERA.P, rectified=False)
    alignment = judged(samples(drive(6, rig=dataclasses.replace(RIG, camera=confused))))
    assert alignment.others["other view"].agreement > 1.1 * alignment.turned.agreement


def test_without_edges_there_is_no_judgement() -> None:
    frames = [dataclasses.replace(frame, points=frame.points[:5]) for frame in drive(4) if frame.points is not None]
    assert align(samples(frames, range(1, 3))) is None


def test_progress_is_told() -> None:
    calls = []
    align(samples(drive(3), [1]), lambda: calls.append(1))
    assert len(calls) == STEPS


@pytest.mark.slow
def test_a_real_drive_fits_and_tampering_is_measured(shared_data: Path) -> None:
    source = KittiRawSource(shared_data / "kitti/raw/2011_09_26/2011_09_26_drive_0052_sync")
    found = samples(source, range(2, 34, 8))
    alignment = judged(found)
    assert alignment.agreement > 2
    assert np.abs(alignment.turn).max() < 0.4
    for turn in ((2, 0, 0), (0, -1, 0)):
        tampered = [dataclasses.replace(s, T_camera_lidar=turned(s.T_camera_lidar, turn)) for s in found]
        np.testing.assert_allclose(judged(tampered).turn, np.array(alignment.turn) - turn, atol=0.3)
    late = judged(samples(source, range(2, 34, 8), late=1))
    assert late.shifts[-1].agreement > 1.05 * late.agreement
