"""The player as a process: what was recorded is published, byte for byte, to whoever listens."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="ROS 2 is not in this environment")

from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from rosbags.rosbag1 import Writer as Writer1
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import Image, PointCloud2
from std_msgs.msg import Bool
from tf2_msgs.msg import TFMessage

from mono3d_kd_core.frames import Rig, SensorFrame
from mono3d_kd_core.geometry.camera import CameraModel
from mono3d_kd_core.geometry.rigid import T_CAMERA_BODY
from mono3d_kd_core.io.bag_file import BagFile
from mono3d_kd_core.io.bag_writer import TOPICS, BagWriter
from mono3d_kd_core.io.typestore import ros1_types
from mono3d_kd_ros import messages
from mono3d_kd_ros.player.recording import Recording
from mono3d_kd_ros.player.services import SERVICES
from tests.ros.harness import HEIGHT, SECOND, WIDTH, Peer, node_process, stamps, wait_for

PLAYER = "mono3d_kd_ros.bag_player"
FRAMES, START, STEP = 12, 1_000 * SECOND, SECOND // 20
LATCHED = QoSProfile(depth=10, durability=DurabilityPolicy.TRANSIENT_LOCAL)


def some_frames() -> Iterator[SensorFrame]:
    """Yield frames 50 ms apart whose images and points differ."""
    draw = np.random.default_rng(0)
    rig = Rig(CameraModel.pinhole(WIDTH, HEIGHT, 60.0, 60.0, 31.5, 23.5), T_CAMERA_BODY, "camera_optical", "lidar")
    for number in range(FRAMES):
        picture = draw.integers(0, 255, (HEIGHT, WIDTH, 3), np.uint8)
        points = draw.normal(size=(50, 4)).astype(np.float32)
        yield SensorFrame(f"{number:06d}", START + number * STEP, picture, points, rig)


@pytest.fixture(scope="module")
def bag(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("bags") / "short"
    with BagWriter(path) as writer:
        for frame in some_frames():
            writer.write_frame(frame)
    return path


@pytest.fixture
def play(tmp_path: Path) -> Callable[..., Any]:
    """Start a player; it waits for the images' subscriber."""

    @contextmanager
    def start(bag: Path, **options: Any) -> Iterator[Any]:
        parameters = {"bag": bag, "wait_for_subscribers": "['images']"} | options
        with node_process(PLAYER, parameters, {}, tmp_path / "log.txt") as process:
            yield process

    return start


def recorded(bag: Path, topic: str) -> list[bytes]:
    with BagFile(bag) as file:
        return [bytes(message.data) for message in file.messages([topic])]


def test_every_message_arrives_as_it_was_recorded(peer: Peer, bag: Path, play: Callable[..., Any]) -> None:
    images: list[bytes] = []
    clouds: list[bytes] = []
    listeners = [
        peer.node.create_subscription(Image, TOPICS.image, images.append, 100, raw=True),
        peer.node.create_subscription(PointCloud2, TOPICS.points, clouds.append, 100, raw=True),
    ]
    clock = peer.listen(Clock, "/clock")
    with play(bag) as process:
        assert process.wait(30) == 0
    wait_for(lambda: len(images) == len(clouds) == FRAMES)
    for arrived, sent in ((images, recorded(bag, TOPICS.image)), (clouds, recorded(bag, TOPICS.points))):
        # The middleware fills up to a multiple of four bytes.
        assert [data[: len(original)] for data, original in zip(arrived, sent)] == sent
        assert all(len(data) - len(original) < 4 for data, original in zip(arrived, sent))
    times = [messages.nanoseconds(message.clock) for message in clock]
    assert times == sorted(times)
    assert times[0] >= START
    assert times[-1] == START + (FRAMES - 1) * STEP
    for listener in listeners:
        peer.node.destroy_subscription(listener)


def test_a_paused_player_goes_step_by_step_and_serves_late_listeners(
    peer: Peer, bag: Path, play: Callable[..., Any]
) -> None:
    images = peer.listen(Image, TOPICS.image)
    with play(bag, start_paused=True, topics=f"['{TOPICS.image}', '/tf_static']", stay=True) as process:
        request = SERVICES["play_next"].Request
        peer.publisher(Bool, "/unrelated", matched=0)
        finished = peer.listen(Bool, "/bag_player/finished", LATCHED)
        wait_for(lambda: finished)
        assert finished[-1].data is False
        time.sleep(0.3)
        assert not images
        for _ in range(3):  # the transforms, and two images
            assert peer.call(SERVICES["play_next"], "/bag_player/play_next", request()).success
        wait_for(lambda: len(images) == 2)
        time.sleep(0.2)
        assert stamps(images) == [START, START + STEP]
        peer.call(SERVICES["resume"], "/bag_player/resume", SERVICES["resume"].Request())
        assert not peer.call(SERVICES["play_next"], "/bag_player/play_next", request()).success
        wait_for(lambda: finished[-1].data)
        assert len(images) == FRAMES
        transforms = peer.listen(TFMessage, "/tf_static", LATCHED)
        [message] = wait_for(lambda: transforms)
        assert message.transforms[0].header.frame_id
        assert process.poll() is None


def test_a_loop_begins_anew_until_it_is_interrupted(peer: Peer, bag: Path, play: Callable[..., Any]) -> None:
    images = peer.listen(Image, TOPICS.image)
    with play(bag, loop=True, rate=10.0, topics=f"['{TOPICS.image}']") as process:
        wait_for(lambda: len(images) > 2.5 * FRAMES)
        process.send_signal(2)
        assert process.wait(30) == 0
    seen = stamps(images)
    assert seen[:FRAMES] == seen[FRAMES : 2 * FRAMES] == [START + i * STEP for i in range(FRAMES)]


def test_an_offset_leaves_out_the_beginning_but_not_what_was_latched(bag: Path) -> None:
    recording = Recording(bag)
    found = list(recording.messages(START + 6 * STEP, START + 9 * STEP))
    assert [m.topic for m in found].count(TOPICS.image) == 3
    assert found[0].topic == "/tf_static"
    assert recording.topics["/tf_static"].latched
    assert not recording.topics[TOPICS.image].latched
    recording.close()


def test_an_unknown_topic_and_a_missing_bag_are_told_in_words(bag: Path, play: Callable[..., Any], tmp_path: Path) -> None:
    with play(bag, topics="['/nothing']") as process:
        assert process.wait(30) == 2
    text = (tmp_path / "log.txt").read_text()
    assert f"there is no topic /nothing; topics are {TOPICS.camera_info}, {TOPICS.image}" in text
    assert "Traceback" not in text


def test_a_bag_of_ros_1_is_published_as_ros_2(peer: Peer, tmp_path: Path, play: Callable[..., Any]) -> None:
    types = ros1_types()
    header_type, image_type = types.types["std_msgs/msg/Header"], types.types["sensor_msgs/msg/Image"]
    time_type = types.types["builtin_interfaces/msg/Time"]
    pixels = np.arange(12, dtype=np.uint8)
    path = tmp_path / "old.bag"
    with Writer1(path) as writer:
        connection = writer.add_connection("/old/image", "sensor_msgs/msg/Image", typestore=types)
        for second in (5, 6):
            header = header_type(seq=second, stamp=time_type(sec=second, nanosec=7), frame_id="old_camera")
            message = image_type(header, 2, 2, "rgb8", 0, 6, pixels)
            data = types.serialize_ros1(message, "sensor_msgs/msg/Image")
            writer.write(connection, second * SECOND, data)
    images = peer.listen(Image, "/old/image")
    with play(path, rate=100.0) as process:
        assert process.wait(30) == 0
    wait_for(lambda: len(images) == 2)
    assert stamps(images) == [5 * SECOND + 7, 6 * SECOND + 7]
    assert images[0].header.frame_id == "old_camera"
    np.testing.assert_array_equal(messages.image_array(images[0]).ravel(), pixels)


def test_the_quality_of_service_is_that_of_the_recording(bag: Path) -> None:
    recording = Recording(bag)
    assert recording.topics[TOPICS.image].qos.reliability == ReliabilityPolicy.RELIABLE
    assert recording.topics[TOPICS.image].qos.durability == DurabilityPolicy.VOLATILE
    recording.close()
