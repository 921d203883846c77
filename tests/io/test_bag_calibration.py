"""Camera and LiDAR of a bag lie where CameraInfo and tf say at the image's stamp, or an error says what is missing."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from rosbags.rosbag2 import StoragePlugin

from mono3d_kd_core.errors import CalibrationError, DataError
from mono3d_kd_core.frames import SensorFrame
from mono3d_kd_core.geometry.camera import CameraModel
from mono3d_kd_core.geometry.rigid import T_CAMERA_BODY, apply, inverse, to_pose, transform
from mono3d_kd_core.io.bag import BagSource
from mono3d_kd_core.io.messages import camera_info_message, transform_message
from mono3d_kd_core.io.rig import Calibration, Frames, Pose, RigFile, Topics
from tests.io.bags import (
    IMAGE,
    INFO,
    POINTS,
    Recorded,
    drive,
    messages_of,
    only,
    without,
    write_ros2,
)
from tests.io.drives import START, rotation, same_frame, small_frame, small_rig

MS = 1_000_000
MCAP, SQLITE = StoragePlugin.MCAP, StoragePlugin.SQLITE3
RIG = RigFile(topics=Topics(image=IMAGE, camera_info=INFO, points=POINTS), rectified=True)


def accounted(source: BagSource) -> None:
    """Assert that every image sent is a frame or was dropped for a reason."""
    report = source.report
    assert report.images == report.frames + sum(report.image_drops.values())
    assert report.frames == len(list(source))


def test_a_late_camera_info_serves_the_images_before_it_and_is_noted(tmp_path: Path) -> None:
    messages = drive()
    for info in only(messages, INFO)[:2]:
        messages.remove(info)
    source = BagSource(write_ros2(tmp_path / "bag", messages))
    same_frame(small_frame(0), source[0])
    assert any("comes after the first 2 images" in note for note in source.report.notes)


def test_a_camera_info_that_changes_goes_with_its_images_and_is_noted(tmp_path: Path) -> None:
    zoomed = small_rig()
    zoomed = replace(zoomed, camera=CameraModel.from_projection(64, 24, np.diag([2, 2, 1.0]) @ zoomed.camera.P))
    frames = [small_frame(0), small_frame(1), small_frame(2, zoomed), small_frame(3, zoomed)]
    source = BagSource(write_ros2(tmp_path / "bag", messages_of(frames)))
    for frame, read in zip(frames, source, strict=True):
        same_frame(frame, read)
    assert any("changes its calibration 1 times" in note for note in source.report.notes)


def changed_infos(**changes: object) -> list[Recorded]:
    messages = drive(2)
    for m in only(messages, INFO):
        for name, value in changes.items():
            setattr(m.message, name, value)
    return messages


@pytest.mark.parametrize(
    ("messages", "message"),
    [
        (without(drive(2), INFO), r"no camera_info goes with /camera/image_rect; name the topic, or give `camera`"),
        (changed_infos(p=np.zeros(12)), r"/camera/camera_info: P is empty, so the rectified image has no calibration"),
        (changed_infos(width=128, height=48), r"camera_info belongs to another resolution: .*128x48.* are 64x24"),
        (changed_infos(binning_x=2, binning_y=2), r"camera_info belongs to another resolution: .*32x12.* are 64x24"),
        (changed_infos(distortion_model="magic"), r"unknown distortion model \"magic\""),
        (changed_infos(d=np.zeros(3)), r"D has 3 numbers, expected 4 or 5"),
        (without(drive(2), "/tf_static"), r'the frame "camera" is in no transform; .*give T_camera_lidar in a rig file'),
    ],
)
def test_what_is_wrong_with_the_calibration_is_said_before_anything_runs(
    tmp_path: Path, messages: list[Recorded], message: str
) -> None:
    with pytest.raises(CalibrationError, match=message):
        BagSource(write_ros2(tmp_path / "bag", messages))


def test_a_missing_camera_info_topic_lists_those_that_are_there(tmp_path: Path) -> None:
    messages = drive(2)
    messages = [m._replace(topic="/other/info") if m.topic == INFO else m for m in messages]
    bag = write_ros2(tmp_path / "bag", messages)
    with pytest.raises(DataError, match=r"there is no topic /camera/camera_info; topics of CameraInfo are /other/info"):
        BagSource(bag, RIG)


def test_binned_images_have_their_own_camera(tmp_path: Path) -> None:
    full = replace(small_rig(), camera=small_rig(128, 48).camera)
    messages = drive(2)
    for m in only(messages, INFO):
        for name, value in vars(camera_info_message(full.camera, m.time, "camera")).items():
            setattr(m.message, name, value)
        m.message.binning_x = m.message.binning_y = 2
    camera = BagSource(write_ros2(tmp_path / "bag", messages))[0].rig.camera
    assert (camera.width, camera.height) == (64, 24)
    np.testing.assert_allclose(camera.P, full.camera.resized(64, 24).P)


def test_a_rig_file_takes_the_place_of_camera_info_and_tf(tmp_path: Path) -> None:
    messages = without(without(drive(), INFO), "/tf_static")
    rig = small_rig()
    xyz, quaternion = to_pose(rig.T_camera_lidar)
    given = RigFile(
        topics=Topics(image=IMAGE, points=POINTS), rectified=True,
        camera=Calibration(width=64, height=24, K=rig.camera.K.ravel().tolist(), P=rig.camera.P.ravel().tolist()),
        T_camera_lidar=Pose(xyz=xyz.tolist(), quaternion=quaternion.tolist()),
    )  # fmt: skip
    given.save(tmp_path / "rig.yaml")
    bag = write_ros2(tmp_path / "bag", messages)
    for rig_file in (given, tmp_path / "rig.yaml"):
        same_frame(small_frame(1), BagSource(bag, rig_file)[1])


def test_a_stereo_rectification_moves_the_camera_frame_into_the_picture(tmp_path: Path) -> None:
    turned = replace(small_rig(), camera=replace(small_rig().camera, R=rotation(1, 0.05)))
    source = BagSource(write_ros2(tmp_path / "bag", messages_of([small_frame(0, turned)])))
    rig = source[0].rig
    np.testing.assert_array_equal(rig.camera.R, np.eye(3))
    points = np.array([[9.0, 1, 0.5], [20, -3, 1]])
    expected = turned.camera.project(apply(turned.T_camera_lidar, points))[0]
    np.testing.assert_allclose(rig.camera.project(apply(rig.T_camera_lidar, points))[0], expected, atol=1e-9)


def moving(count: int) -> tuple[list[Recorded], list[SensorFrame]]:
    """Return a drive whose camera pans: a transform of 10 Hz, half way between the images, and the frames it means."""
    frames = [small_frame(i) for i in range(count)]
    samples = []
    for i in range(count):
        T = inverse(transform(rotation(1, 0.1 * i), np.zeros(3)) @ frames[0].rig.T_camera_lidar)
        stamp = START + (i * 100 - 50) * MS
        samples.append(Recorded("/tf", transform_message("lidar", "camera", T, stamp), stamp))
    messages = without(messages_of(frames), "/tf_static") + samples
    return sorted(messages, key=lambda m: m.time), frames


def test_a_moving_camera_is_where_tf_says_at_the_image_s_stamp(tmp_path: Path) -> None:
    messages, frames = moving(5)
    source = BagSource(write_ros2(tmp_path / "bag", messages))
    assert source.ids == ["000000", "000001", "000002", "000003"]  # after the last sample nothing is known
    assert source.report.image_drops == {"no_transform": 1}
    for index, frame in enumerate(source):
        expected = transform(rotation(1, 0.1 * (index + 0.5)), np.zeros(3)) @ frames[0].rig.T_camera_lidar
        np.testing.assert_allclose(frame.rig.T_camera_lidar[:3, :3], expected[:3, :3], atol=1e-9)
    accounted(source)


def test_static_transforms_may_come_after_the_data_and_in_a_chain(tmp_path: Path) -> None:
    messages = without(drive(), "/tf_static")
    T = small_rig().T_camera_lidar
    base = transform(rotation(2, 0.7), [1.0, 2, 3])
    late = START + 10_000 * MS
    messages += [
        Recorded("/tf_static", transform_message("base_link", "lidar", base, late), late),
        Recorded("/tf_static", transform_message("base_link", "camera", base @ inverse(T), late), late),
    ]
    same_frame(small_frame(3), BagSource(write_ros2(tmp_path / "bag", messages))[3])


def test_frames_that_do_not_hang_together_are_named(tmp_path: Path) -> None:
    messages = without(drive(), "/tf_static")
    for parent, child in (("a", "camera"), ("b", "lidar")):
        messages.append(Recorded("/tf_static", transform_message(parent, child, np.eye(4), START), START))
    with pytest.raises(CalibrationError, match=r'no transforms connect "camera" with "lidar".*give T_camera_lidar'):
        BagSource(write_ros2(tmp_path / "bag", messages))


def test_headers_without_a_frame_need_one_from_the_rig_file(tmp_path: Path) -> None:
    messages = drive(2)
    for m in only(messages, POINTS):
        m.message.header.frame_id = ""
    bag = write_ros2(tmp_path / "bag", messages)
    with pytest.raises(CalibrationError, match=r"headers name no frame; give frames.lidar in a rig file"):
        BagSource(bag)
    same_frame(small_frame(1), BagSource(bag, RIG.model_copy(update={"frames": Frames(lidar="lidar")}))[1])


def test_a_camera_frame_that_is_not_optical_is_noted(tmp_path: Path) -> None:
    messages = drive(2)
    messages[0] = Recorded("/tf_static", transform_message("lidar", "camera", np.eye(4), START), START)
    source = BagSource(write_ros2(tmp_path / "bag", messages))
    assert any('is "camera" its optical frame' in note for note in source.report.notes)
    assert not BagSource(write_ros2(tmp_path / "good", drive(2))).report.notes


def test_a_raw_image_keeps_its_lens(tmp_path: Path) -> None:
    lens = CameraModel(64, 24, small_rig().camera.K, "plumb_bob", np.array([-0.3, 0.1, 0, 0, 0]))
    frame = small_frame(0, replace(small_rig(), camera=lens))
    messages = [m._replace(topic=m.topic.replace("rect", "raw")) for m in messages_of([frame])]
    camera = BagSource(write_ros2(tmp_path / "bag", messages))[0].rig.camera
    assert (camera.rectified, camera.distortion, camera.D[0]) == (False, "plumb_bob", -0.3)


def test_a_camera_alone_stands_in_its_own_body_frame(tmp_path: Path) -> None:
    source = BagSource(write_ros2(tmp_path / "bag", without(without(drive(1), POINTS), "/tf_static")))
    np.testing.assert_array_equal(source[0].rig.T_camera_lidar, T_CAMERA_BODY)


