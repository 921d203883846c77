"""Drives move, keep identities, repeat to the byte, and nobody drives through anybody."""

from __future__ import annotations

import numpy as np
import pytest

from mono3d_kd_core.geometry.boxes import Boxes3D
from mono3d_kd_core.geometry.overlap import bev_iou
from mono3d_kd_core.simulation.drive import INTERVAL, SimulatedDrive, SimulatedScenes
from mono3d_kd_core.simulation.labels import upright_boxes
from mono3d_kd_core.simulation.rig import KITTI
from mono3d_kd_core.simulation.world import build_world

SMALL = KITTI.resized(160, 48)


def test_the_same_seed_gives_the_same_bytes_in_any_order() -> None:
    one, other = SimulatedDrive(7, 5, SMALL), SimulatedDrive(7, 5, SMALL)
    late = other.shot(3)
    for k in (0, 3):
        a, b = one.shot(k), late if k == 3 else other.shot(k)
        assert a.frame.image.tobytes() == b.frame.image.tobytes()
        assert a.frame.points is not None
        assert b.frame.points is not None
        assert a.frame.points.tobytes() == b.frame.points.tobytes()


def test_other_seeds_give_other_worlds() -> None:
    a, b = SimulatedScenes(1, 2, SMALL), SimulatedScenes(2, 2, SMALL)
    assert (a[0].image != b[0].image).any()
    assert (a[0].image != a[1].image).any()


def test_frames_follow_each_other_at_10_hz() -> None:
    drive = SimulatedDrive(7, 4, SMALL)
    frames = list(drive)
    assert [f.id for f in frames] == ["000000", "000001", "000002", "000003"] == list(drive.ids)
    assert np.diff([f.stamp for f in frames]).tolist() == [INTERVAL] * 3


def test_velocities_are_how_far_things_get() -> None:
    world = build_world(3, seconds=3.0)
    before, after = world.actors(1.0), world.actors(1.1)
    moving = 0
    for a, b in zip(before, after):
        assert a.identity == b.identity
        assert a.actor.size == b.actor.size
        np.testing.assert_allclose((b.pose - a.pose)[:3, 3] / 0.1, a.velocity, atol=0.6)
        moving += np.linalg.norm(a.velocity) > 0.3
    assert moving >= 3


def test_the_test_vehicle_drives_on_and_rocks() -> None:
    world = build_world(3, seconds=3.0)
    poses = np.array([world.ego(t) for t in np.arange(0, 3, 0.1)])
    steps = np.linalg.norm(np.diff(poses[:, :3, 3], axis=0), axis=1)
    assert (steps < 3.5).all()
    pitch = np.arcsin(-poses[:, 2, 0])
    assert pitch.std() > 1e-4
    np.testing.assert_allclose(np.linalg.det(poses[:, :3, :3]), 1, atol=1e-9)


@pytest.mark.parametrize("index", range(4))
def test_moving_vehicles_keep_clear_of_each_other(index: int) -> None:
    world = build_world(5, index, seconds=6.0)
    for t in (0.0, 3.0, 6.0):
        actors = [a for a in world.actors(t) if a.actor.size[0] > 2.4]
        boxes = upright_boxes(
            [a.pose for a in actors], [a.actor.size for a in actors], [a.actor.kind for a in actors], np.eye(4)
        )
        overlap = bev_iou(boxes.bev(), boxes.bev())
        np.fill_diagonal(overlap, 0)
        lanes = np.array([np.linalg.norm(a.velocity) > 0.5 for a in actors])
        # The street's own traffic; who crosses at a junction in a single scene is not looked at here.
        assert (overlap[np.ix_(lanes, lanes)] > 0.02).sum() <= 2


def test_validation_shows_streets_that_training_never_does() -> None:
    train = {build_world(1, i, "train").street.kind for i in range(6)}
    val = {build_world(1, i, "val").street.kind for i in range(6)}
    assert not train & val


def test_boxes_of_a_drive_are_in_the_camera_frame() -> None:
    truth = SimulatedDrive(7, 1, SMALL).shot(0).truth
    assert isinstance(truth.boxes, Boxes3D)
    assert truth.boxes.frame == "camera"
    assert (np.diff(truth.boxes.centre[:, 0]) >= 0).all()
