"""What we write, rosbags reads by itself: types, stamps, values, and the QoS that players need."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rosbags.highlevel import AnyReader
from rosbags.interfaces import QosDurability, QosReliability

from mono3d_kd_core.errors import DataError
from mono3d_kd_core.geometry.boxes import Boxes3D
from mono3d_kd_core.geometry.rigid import T_CAMERA_BODY, rotation_from_quaternion
from mono3d_kd_core.io.bag import BagSource
from mono3d_kd_core.io.bag_writer import BagWriter
from tests.io.drives import START, same_frame, small_frame, small_rig

BOXES = Boxes3D(
    [[12.0, 1.0, -0.5], [30.0, -4.0, -0.2]], [[4.2, 1.7, 1.5], [0.8, 0.6, 1.8]], [0.3, -2.0], ["Car", "Pedestrian"],
    [0.9, 0.4], [0.5, np.nan], frame="camera",
)  # fmt: skip


def foreign(bag: Path) -> dict[str, list[Any]]:
    """Read a bag with rosbags and the types stored in the bag, and nothing of ours."""
    found: dict[str, list[Any]] = {}
    with AnyReader([bag]) as reader:
        for connection, time, data in reader.messages():
            message = reader.deserialize(data, connection.msgtype)
            found.setdefault(connection.topic, []).append((time, message))
    return found


def test_rosbags_reads_the_detections(tmp_path: Path) -> None:
    with BagWriter(tmp_path / "bag") as bag:
        bag.write_detections("/student/detections", BOXES, START + 7, "camera_optical")
        bag.write_detections("/student/detections", Boxes3D.empty("camera"), START + 8, "camera_optical")
    (time, array), (_, empty) = foreign(tmp_path / "bag")["/student/detections"]
    assert time == START + 7
    assert (array.header.stamp.sec, array.header.stamp.nanosec) == divmod(START + 7, 10**9)
    assert array.header.frame_id == "camera_optical"
    assert len(empty.detections) == 0
    car, pedestrian = array.detections
    assert [d.results[0].hypothesis.class_id for d in (car, pedestrian)] == ["Car", "Pedestrian"]
    assert [d.results[0].hypothesis.score for d in (car, pedestrian)] == [0.9, 0.4]
    # In the optical frame x is right, y down, z forward.
    p, q, size = car.bbox.center.position, car.bbox.center.orientation, car.bbox.size
    np.testing.assert_allclose([p.x, p.y, p.z], [-1.0, 0.5, 12.0])
    assert (size.x, size.y, size.z) == (4.2, 1.7, 1.5)
    heading = rotation_from_quaternion([q.x, q.y, q.z, q.w])[:, 0]
    np.testing.assert_allclose(heading, [-np.sin(0.3), 0, np.cos(0.3)], atol=1e-12)
    covariance = car.results[0].pose.covariance.reshape(6, 6)
    ray = np.array([-1.0, 0.5, 12.0]) / np.linalg.norm([-1.0, 0.5, 12.0])
    np.testing.assert_allclose(ray @ covariance[:3, :3] @ ray, 0.25)
    np.testing.assert_allclose(np.trace(covariance), 0.25)
    assert not pedestrian.results[0].pose.covariance.any()


def test_rosbags_reads_the_frames(tmp_path: Path) -> None:
    frame = small_frame(0)
    with BagWriter(tmp_path / "bag") as bag:
        bag.write_frame(frame)
    found = {topic: messages[0][1] for topic, messages in foreign(tmp_path / "bag").items()}
    image, info, cloud = (found[t] for t in ("/camera/image_rect", "/camera/camera_info", "/lidar/points"))
    np.testing.assert_array_equal(image.data.reshape(24, 64, 3), frame.image)
    assert (image.encoding, image.header.frame_id, info.header.frame_id) == ("rgb8", "camera", "camera")
    np.testing.assert_array_equal(info.p.reshape(3, 4), frame.rig.camera.P)
    np.testing.assert_array_equal(info.k.reshape(3, 3), frame.rig.camera.P[:, :3])
    np.testing.assert_array_equal(cloud.data.view("<f4").reshape(-1, 4), frame.points)
    assert [field.name for field in cloud.fields] == ["x", "y", "z", "intensity"]
    transform = found["/tf_static"].transforms[0]
    assert (transform.header.frame_id, transform.child_frame_id) == ("lidar", "camera")
    t, q = transform.transform.translation, transform.transform.rotation
    T = frame.rig.T_camera_lidar
    np.testing.assert_allclose(rotation_from_quaternion([q.x, q.y, q.z, q.w]).T, T[:3, :3], atol=1e-12)
    np.testing.assert_allclose(T[:3, :3] @ [t.x, t.y, t.z] + T[:3, 3], 0, atol=1e-12)


def test_players_are_told_to_latch_static_transforms_and_to_be_reliable(tmp_path: Path) -> None:
    with BagWriter(tmp_path / "bag") as bag:
        bag.write_frame(small_frame(0))
    with AnyReader([tmp_path / "bag"]) as reader:
        qos = {connection.topic: connection.ext.offered_qos_profiles[0] for connection in reader.connections}
    assert qos["/tf_static"].durability == QosDurability.TRANSIENT_LOCAL
    assert {q.durability for topic, q in qos.items() if topic != "/tf_static"} == {QosDurability.VOLATILE}
    assert {q.reliability for q in qos.values()} == {QosReliability.RELIABLE}


def test_rounded_rotations_survive_the_quaternion(tmp_path: Path) -> None:
    rounded = small_rig()
    T = rounded.T_camera_lidar.copy()
    T[:3, :3] = np.round(T[:3, :3], 4)
    frame = small_frame(0, replace(rounded, T_camera_lidar=T))
    with BagWriter(tmp_path / "bag") as bag:
        bag.write_frame(frame)
    same_frame(frame, BagSource(tmp_path / "bag")[0])


def test_the_bag_appears_only_when_it_is_complete(tmp_path: Path) -> None:
    class Interrupted(Exception):
        pass

    def begin() -> None:
        with BagWriter(tmp_path / "bag") as bag:
            bag.write_frame(small_frame(0))
            raise Interrupted

    with pytest.raises(Interrupted):
        begin()
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_is_said_and_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    def begin() -> None:
        with BagWriter(tmp_path / "bag") as bag:
            monkeypatch.setattr(bag._writer, "write", full)
            bag.write_frame(small_frame(0))

    with pytest.raises(DataError, match="bag: cannot be written: No space left on device"):
        begin()
    assert list(tmp_path.iterdir()) == []


def test_what_a_killed_run_left_behind_is_cleared_away(tmp_path: Path) -> None:
    (tmp_path / ".bag.partial" / "bag").mkdir(parents=True)
    with BagWriter(tmp_path / "bag") as bag:
        bag.write_frame(small_frame(0))
    assert [path.name for path in tmp_path.iterdir()] == ["bag"]


def test_a_cloud_without_points_is_a_cloud(tmp_path: Path) -> None:
    with BagWriter(tmp_path / "bag") as bag:
        bag.write_frame(small_frame(0, points=0))
    same_frame(small_frame(0, points=0), BagSource(tmp_path / "bag")[0])


def test_an_existing_bag_is_never_overwritten(tmp_path: Path) -> None:
    (tmp_path / "bag").mkdir()
    with pytest.raises(DataError, match="bag exists already"):
        BagWriter(tmp_path / "bag")


def test_an_extrinsic_that_changes_needs_tf(tmp_path: Path) -> None:
    moved = replace(small_rig(), T_camera_lidar=np.eye(4, k=0) @ T_CAMERA_BODY)
    frames = [small_frame(0), small_frame(1, moved)]

    def write(moving: bool) -> None:
        with BagWriter(tmp_path / "bag") as bag:
            for frame in frames:
                bag.write_frame(frame, moving=moving)

    with pytest.raises(DataError, match="frame 000001 has another extrinsic calibration"):
        write(moving=False)
    write(moving=True)
    for frame, read in zip(frames, BagSource(tmp_path / "bag"), strict=True):
        same_frame(frame, read)
