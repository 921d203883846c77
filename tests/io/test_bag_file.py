"""A broken bag is named, with what is wrong and what to do; a bag with foreign messages is still read."""

from __future__ import annotations

from pathlib import Path

import pytest
from rosbags.rosbag2 import CompressionMode, StoragePlugin, Writer
from rosbags.typesys import Stores, get_types_from_msg, get_typestore

from mono3d_kd_core.errors import DataError
from mono3d_kd_core.io.bag_file import BagFile, is_bag
from tests.io.bags import IMAGE, INFO, POINTS, drive, only, write_ros1, write_ros2
from tests.io.drives import START

MCAP, SQLITE = StoragePlugin.MCAP, StoragePlugin.SQLITE3


def read_all(path: Path) -> int:
    with BagFile(path) as bag:
        return len([bag.decode(message) for message in bag.messages()])


def cut(path: Path, share: float) -> None:
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * share)])


def test_topics_and_messages(tmp_path: Path) -> None:
    with BagFile(write_ros2(tmp_path / "bag", drive(3))) as bag:
        assert {name: (t.type, t.count) for name, t in bag.topics.items()} == {
            IMAGE: ("sensor_msgs/msg/Image", 3), INFO: ("sensor_msgs/msg/CameraInfo", 3),
            POINTS: ("sensor_msgs/msg/PointCloud2", 3), "/tf_static": ("tf2_msgs/msg/TFMessage", 1),
        }  # fmt: skip
        images = list(bag.messages([IMAGE]))
        assert [bag.stamp(m) for m in images] == [m.time for m in images] == [START + i * 100_000_000 for i in range(3)]
        assert len(list(bag.messages([IMAGE, POINTS], start=images[1].time, stop=images[2].time))) == 2


@pytest.mark.parametrize("share", [0.5, 0.99])
@pytest.mark.parametrize(
    ("storage", "compression"), [(MCAP, CompressionMode.NONE), (SQLITE, CompressionMode.NONE), (MCAP, CompressionMode.FILE)]
)
def test_a_truncated_rosbag2(tmp_path: Path, storage: StoragePlugin, compression: CompressionMode, share: float) -> None:
    bag = write_ros2(tmp_path / "bag", drive(30), storage, compression)
    cut(next(path for path in bag.iterdir() if path.name != "metadata.yaml"), share)
    with pytest.raises(DataError, match="/bag: the bag cannot be read"):
        read_all(bag)


def test_a_truncated_bare_mcap_and_what_repairs_it(tmp_path: Path) -> None:
    file = write_ros2(tmp_path / "bag", drive()) / "bag.mcap"
    cut(file, 0.5)
    with pytest.raises(DataError, match=r"bag.mcap: the bag cannot be read: File end magic is invalid; .*mcap recover"):
        BagFile(file)


def test_a_truncated_ros_1_bag(tmp_path: Path) -> None:
    file = write_ros1(tmp_path / "drive.bag", drive())
    cut(file, 0.5)
    with pytest.raises(DataError, match=r"drive.bag: the bag cannot be read: .*rosbag reindex"):
        read_all(file)


def test_an_empty_file_and_another_kind_of_file(tmp_path: Path) -> None:
    for name in ("empty.mcap", "empty.db3", "empty.bag"):
        (tmp_path / name).write_bytes(b"")
        with pytest.raises(DataError, match=f"{name}: the bag cannot be read"):
            BagFile(tmp_path / name)
        (tmp_path / name).write_bytes(b"this is a letter to a friend" * 20)
        with pytest.raises(DataError, match=f"{name}: the bag cannot be read"):
            BagFile(tmp_path / name)
    (tmp_path / "movie.mp4").write_bytes(b"")
    with pytest.raises(DataError, match=r"movie.mp4: this is no bag; known are \.bag \(ROS 1\), \.mcap, \.db3 and folders"):
        BagFile(tmp_path / "movie.mp4")
    with pytest.raises(DataError, match="nowhere: there is no such file or folder"):
        BagFile(tmp_path / "nowhere")
    (tmp_path / "photos").mkdir()
    with pytest.raises(DataError, match=r"photos: no bag is here: neither metadata\.yaml nor any"):
        BagFile(tmp_path / "photos")


def test_a_missing_part_is_named(tmp_path: Path) -> None:
    bag = write_ros2(tmp_path / "bag", drive())
    text = (bag / "metadata.yaml").read_text()
    (bag / "metadata.yaml").write_text(text.replace("- bag.mcap\n", "- bag.mcap\n  - bag_1.mcap\n"))
    with pytest.raises(DataError, match=r"/bag: the bag cannot be read: Some database files are missing: .*bag_1\.mcap"):
        BagFile(bag)


def test_metadata_that_is_broken_or_missing_beside_compressed_files(tmp_path: Path) -> None:
    bag = write_ros2(tmp_path / "bag", drive(), MCAP, CompressionMode.FILE)
    (bag / "metadata.yaml").write_text("rosbag2_bagfile_information: {version: 5}")
    with pytest.raises(DataError, match=r"/bag: the bag cannot be read: A metadata key is missing"):
        BagFile(bag)
    (bag / "metadata.yaml").unlink()
    with pytest.raises(DataError, match=r"/bag: metadata.yaml is missing, without which compressed files are unreadable"):
        BagFile(bag)
    assert is_bag(bag)
    assert not is_bag(tmp_path)


def test_a_type_that_nobody_knows_does_not_spoil_the_rest(tmp_path: Path) -> None:
    types = get_typestore(Stores.ROS2_KILTED)
    types.register(get_types_from_msg("uint8 secret", "acme_msgs/msg/Opaque"))
    with Writer(tmp_path / "bag", version=9, storage_plugin=MCAP) as writer:
        opaque = writer.add_connection("/opaque", "acme_msgs/msg/Opaque", typestore=types)
        image = writer.add_connection(IMAGE, "sensor_msgs/msg/Image", typestore=types)
        writer.write(opaque, START, b"\x00\x01\x00\x00\x07")
        recorded = only(drive(1), IMAGE)[0]
        writer.write(image, START, types.serialize_cdr(recorded.message, "sensor_msgs/msg/Image"))
    with BagFile(tmp_path / "bag") as bag:
        assert bag.decode(next(bag.messages([IMAGE]))).width == 64
        with pytest.raises(DataError, match=r"/opaque has the type acme_msgs/msg/Opaque, which is not known"):
            bag.decode(next(bag.messages(["/opaque"])))


def test_a_message_shorter_than_its_type(tmp_path: Path) -> None:
    types = get_typestore(Stores.ROS2_KILTED)
    with Writer(tmp_path / "bag", version=9, storage_plugin=MCAP) as writer:
        image = writer.add_connection(IMAGE, "sensor_msgs/msg/Image", typestore=types)
        writer.write(image, START, b"\x00\x01\x00\x00\x07")
    with BagFile(tmp_path / "bag") as bag:
        message = next(bag.messages())
        with pytest.raises(DataError, match=r"a message of /camera/image_rect is broken"):
            bag.decode(message)
        with pytest.raises(DataError, match=r"/camera/image_rect is broken: it has no whole header"):
            bag.stamp(message)
