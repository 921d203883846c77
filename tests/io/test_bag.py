"""Every kind of bag gives the same frames, and every image of it is a frame or counted by the reason it is none."""

from __future__ import annotations

import multiprocessing
import pickle
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from rosbags.rosbag2 import CompressionMode, StoragePlugin

from mono3d_kd_core.errors import DataError
from mono3d_kd_core.io.bag import BagSource
from mono3d_kd_core.io.rig import RigFile, Sync, Topics
from tests.io.bags import (
    IMAGE,
    INFO,
    POINTS,
    drive,
    messages_of,
    only,
    set_stamp,
    without,
    write_ros1,
    write_ros2,
)
from tests.io.drives import START, same_frame, small_frame

MS = 1_000_000
MCAP, SQLITE = StoragePlugin.MCAP, StoragePlugin.SQLITE3
RIG = RigFile(topics=Topics(image=IMAGE, camera_info=INFO, points=POINTS), rectified=True)


def accounted(source: BagSource) -> None:
    """Assert that every image sent is a frame or was dropped for a reason."""
    report = source.report
    assert report.images == report.frames + sum(report.image_drops.values())
    assert report.frames == len(list(source))


@pytest.mark.parametrize(
    ("storage", "compression"),
    [
        (MCAP, CompressionMode.NONE), (MCAP, CompressionMode.STORAGE), (MCAP, CompressionMode.FILE),
        (MCAP, CompressionMode.MESSAGE), (SQLITE, CompressionMode.NONE), (SQLITE, CompressionMode.FILE),
        (SQLITE, CompressionMode.MESSAGE),
    ],
)  # fmt: skip
def test_rosbag2_in_any_storage_and_compression(
    tmp_path: Path, storage: StoragePlugin, compression: CompressionMode
) -> None:
    source = BagSource(write_ros2(tmp_path / "bag", drive(), storage, compression))
    assert source.ids == ["000000", "000001", "000002", "000003"]
    for index, frame in enumerate(source):
        same_frame(small_frame(index), frame)
        same_frame(small_frame(index), source[index])
    accounted(source)


def test_ros_1(tmp_path: Path) -> None:
    source = BagSource(write_ros1(tmp_path / "drive.bag", drive()))
    for index, frame in enumerate(source):
        same_frame(small_frame(index), frame)
        same_frame(small_frame(index), source[index])
    accounted(source)


@pytest.mark.parametrize(("storage", "suffix"), [(MCAP, "mcap"), (SQLITE, "db3")])
def test_a_bare_file_and_a_folder_without_metadata(tmp_path: Path, storage: StoragePlugin, suffix: str) -> None:
    bag = write_ros2(tmp_path / "bag", drive(), storage)
    (bag / "metadata.yaml").unlink()
    file = next(bag.glob(f"*.{suffix}"))
    for path in (file, bag):
        same_frame(small_frame(2), BagSource(path)[2])
    assert "metadata.yaml is missing" in str(BagSource(bag).report.notes)


def test_a_bag_in_several_ros_1_files(tmp_path: Path) -> None:
    messages = drive(4)
    (tmp_path / "split").mkdir()
    write_ros1(tmp_path / "split" / "drive_0.bag", messages[:7])
    write_ros1(tmp_path / "split" / "drive_1.bag", messages[7:])
    assert [frame.id for frame in BagSource(tmp_path / "split")] == ["000000", "000001", "000002", "000003"]


def test_compressed_images(tmp_path: Path) -> None:
    ramp = np.linspace(0, 255, 64).astype(np.uint8)[None, :, None].repeat(24, 0).repeat(3, 2)
    frames = [replace(small_frame(i), image=ramp) for i in range(2)]
    source = BagSource(write_ros2(tmp_path / "bag", messages_of(frames, jpeg=True)))
    assert source.rig_file.topics.image == "/camera/image_rect/compressed"
    assert np.abs(source[1].image.astype(int) - ramp).max() <= 3


def test_a_camera_alone(tmp_path: Path) -> None:
    messages = without(without(drive(), POINTS), "/tf_static")
    source = BagSource(write_ros2(tmp_path / "bag", messages))
    assert [frame.points for frame in source] == [None] * 4
    np.testing.assert_array_equal(source[3].image, small_frame(3).image)
    accounted(source)


def test_ids_count_images_so_that_they_agree_with_and_without_lidar(tmp_path: Path) -> None:
    messages = drive(5)
    messages.remove(only(messages, POINTS)[1])
    bag = write_ros2(tmp_path / "bag", messages)
    both = BagSource(bag)
    camera = BagSource(bag, RigFile(topics=Topics(image=IMAGE, camera_info=INFO), rectified=True))
    assert both.ids == ["000000", "000002", "000003", "000004"]
    assert both.report.image_drops == {"no_partner": 1}
    stamps = {frame.id: frame.stamp for frame in camera}
    assert {frame.id: frame.stamp for frame in both}.items() < stamps.items()


def test_a_source_works_in_other_processes(tmp_path: Path) -> None:
    source = BagSource(write_ros2(tmp_path / "bag", drive()))
    same_frame(source[1], pickle.loads(pickle.dumps(source))[1])
    with multiprocessing.get_context("fork").Pool(2) as pool:
        for index, frame in enumerate(pool.map(source.__getitem__, range(4), chunksize=1)):
            same_frame(small_frame(index), frame)


def test_headers_count_not_the_time_of_recording(tmp_path: Path) -> None:
    # Clouds arrive 250 ms late, as from a slow driver; their stamps are right.
    late = [m._replace(time=m.time + 250 * MS) if m.topic == POINTS else m for m in drive()]
    source = BagSource(write_ros2(tmp_path / "bag", sorted(late, key=lambda m: m.time)))
    for index, frame in enumerate(source):
        same_frame(small_frame(index), frame)
    same_frame(small_frame(3), source[3])


def test_messages_recorded_at_the_same_time_are_told_apart(tmp_path: Path) -> None:
    messages = [m._replace(time=START) for m in drive()]
    source = BagSource(write_ros2(tmp_path / "bag", messages))
    for index in (2, 0, 3, 1):
        same_frame(small_frame(index), source[index])


def test_a_camera_that_is_50_ms_off_needs_an_offset(tmp_path: Path) -> None:
    messages = [set_stamp(m, m.time + 45 * MS) if m.topic == POINTS else m for m in drive()]
    bag = write_ros2(tmp_path / "bag", messages)
    tight = Sync(offset=0.0, tolerance=0.02)
    with pytest.raises(DataError, match=r"none of the 4 images .*4 out_of_tolerance.*typically -0\.045 s from the nearest"):
        BagSource(bag, RIG.model_copy(update={"sync": tight}))
    source = BagSource(bag, RIG.model_copy(update={"sync": Sync(offset=-0.045, tolerance=0.02)}))
    np.testing.assert_array_equal(source.sync_errors, [0, 0, 0, 0])
    np.testing.assert_array_equal(BagSource(bag, RIG).sync_errors, [-45 * MS] * 4)


def test_a_camera_of_30_hz_and_a_lidar_of_10(tmp_path: Path) -> None:
    frames = [replace(small_frame(i), stamp=START + i * 33 * MS) for i in range(9)]
    messages = [m for m in messages_of(frames) if m.topic != POINTS or (m.time - START) // MS in (33, 132, 231)]
    source = BagSource(write_ros2(tmp_path / "bag", messages))
    assert source.ids == ["000001", "000004", "000007"]
    assert source.report.image_drops == {"no_partner": 6}
    accounted(source)


def test_bad_stamps_are_counted_by_reason(tmp_path: Path) -> None:
    messages = drive(6)
    images = only(messages, IMAGE)
    set_stamp(images[1], 0)
    set_stamp(images[3], images[2].time)
    set_stamp(images[4], images[2].time - 20 * MS)
    source = BagSource(write_ros2(tmp_path / "bag", messages))
    assert source.ids == ["000000", "000002", "000005"]
    assert source.report.image_drops == {"zero_stamp": 1, "duplicate_stamp": 1, "not_monotonic": 1}
    accounted(source)


def test_a_bag_of_a_looping_replay_pairs_each_round(tmp_path: Path) -> None:
    first, second = drive(20), drive(20)
    again = [m._replace(time=m.time + 3000 * MS) for m in without(second, "/tf_static")]
    source = BagSource(write_ros2(tmp_path / "bag", first + again))
    assert len(source) == 40
    same_frame(replace(small_frame(5), id="000025"), source[25])
    accounted(source)


def test_an_image_that_cannot_be_decoded_is_left_out_and_counted(tmp_path: Path) -> None:
    messages = drive()
    broken = only(messages, IMAGE)[2].message
    broken.data = broken.data[:100]
    source = BagSource(write_ros2(tmp_path / "bag", messages))
    assert [frame.id for frame in source] == ["000000", "000001", "000003"]
    assert source.report.image_drops == {"undecodable": 1}
    assert "frame 000002: /camera/image_rect: image of 64x24 rgb8" in source.report.notes[0]
    with pytest.raises(DataError, match=r"frame 000002: /camera/image_rect: .*truncated"):
        source[2]
    accounted(source)


def test_wrong_topics_list_the_right_ones(tmp_path: Path) -> None:
    bag = write_ros2(tmp_path / "bag", drive(2))
    with pytest.raises(DataError, match=r"no topic /front; topics of Image or CompressedImage are /camera/image_rect"):
        BagSource(bag, RigFile(topics=Topics(image="/front"), rectified=False))
    with pytest.raises(DataError, match=r"/lidar/points is of type sensor_msgs/msg/PointCloud2, expected Image"):
        BagSource(bag, RigFile(topics=Topics(image=POINTS), rectified=False))


