"""The teacher's node as a process: what it stores online is what reading the bag directly gives."""

from __future__ import annotations

import json
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="ROS 2 is not in this environment")

from vision_msgs.msg import Detection3DArray

from mono3d_kd_core.frames import Rig, SensorFrame
from mono3d_kd_core.geometry.camera import CameraModel
from mono3d_kd_core.geometry.rigid import T_CAMERA_BODY, transform
from mono3d_kd_core.io.bag import BagSource
from mono3d_kd_core.io.bag_writer import TOPICS, BagWriter
from mono3d_kd_core.io.messages import image_message
from mono3d_kd_core.targets import Provenance, TargetSettings, TargetStore, make_targets
from mono3d_kd_ros import messages
from tests.ros.harness import HEIGHT, SECOND, WIDTH, Diagnostics, Peer, node_process, stamps, wait_for
from tests.ros.puppet_teacher import Puppet

FRAMES, START, STEP = 16, 2_000 * SECOND, SECOND // 10
LONELY = (5, 11)
"""Images between two sweeps of the LiDAR: no cloud belongs to them."""


def some_frames() -> Iterator[SensorFrame]:
    draw = np.random.default_rng(1)
    mounting = transform(T_CAMERA_BODY[:3, :3], [0.1, -0.2, -0.3])
    rig = Rig(CameraModel.pinhole(WIDTH, HEIGHT, 60.0, 60.0, 31.5, 23.5), mounting, "camera_optical", "lidar")
    for number in range(FRAMES):
        picture = draw.integers(0, 255, (HEIGHT, WIDTH, 3), np.uint8)
        points = draw.uniform(0, 1, (40, 4)).astype(np.float32)
        yield SensorFrame(f"{number:06d}", START + number * STEP, picture, points, rig)


@pytest.fixture(scope="module")
def bag(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A drive whose ids are not simply 0, 1, 2...: two images have no cloud and are dropped."""
    path = tmp_path_factory.mktemp("bags") / "drive"
    with BagWriter(path) as writer:
        for number, frame in enumerate(some_frames()):
            writer.write_frame(frame)
            if number in LONELY:
                stamp = frame.stamp + STEP // 2
                writer.write(TOPICS.image, image_message(frame.image, stamp, "camera_optical"), stamp)
    return path


@pytest.fixture(scope="module")
def offline(bag: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The targets of the bag, read directly."""
    out = tmp_path_factory.mktemp("targets") / "offline"
    teacher = Puppet()
    with TargetStore(out, Provenance.of(teacher, TargetSettings())) as store:
        report = make_targets(BagSource(bag), teacher, store)
    assert report.processed == FRAMES
    return out


@contextmanager
def teacher(log: Path, seconds: float = 0.0, **parameters: Any) -> Iterator[Any]:
    remaps = {"image": TOPICS.image, "camera_info": TOPICS.camera_info, "points": TOPICS.points}
    given = {"model": f"'{seconds}'", "mode": "lossless", "queue": 3} | parameters
    with node_process("tests.ros.puppet_teacher", given, remaps, log) as process:
        yield process


@contextmanager
def player(log: Path, bag: Path, **parameters: Any) -> Iterator[Any]:
    wait = f"['{TOPICS.image}', '{TOPICS.points}', '{TOPICS.camera_info}', '/tf_static']"
    given = {"bag": bag, "wait_for_subscribers": wait, "publish_clock": False} | parameters
    with node_process("mono3d_kd_ros.bag_player", given, {}, log) as process:
        yield process


def contents(store: Path) -> dict[str, bytes]:
    return {str(p.relative_to(store)): p.read_bytes() for p in sorted(store.rglob("*")) if p.is_file()}


def account(path: Path) -> dict[str, Any]:
    result: dict[str, Any] = json.loads(path.read_text())
    assert result["received"] == result["processed"] + sum(result["dropped"].values())
    return result


def test_lossless_the_store_is_the_one_of_the_bag_read_directly(
    peer: Peer, bag: Path, offline: Path, tmp_path: Path
) -> None:
    online = tmp_path / "online"
    options = {"bag": bag, "out": online, "exit_at_end": True, "summary": tmp_path / "1.json"}
    arrays = peer.listen(Detection3DArray, "/teacher_node/detections")
    with teacher(tmp_path / "log.txt", 0.15, **options) as process:
        wait_for(lambda: peer.node.count_publishers("/teacher_node/detections"), what="the teacher's detections")
        with player(tmp_path / "player.txt", bag, rate=4.0, reliable=True) as playing:
            assert playing.wait(60) == 0
        assert process.wait(30) == 0
    first = account(tmp_path / "1.json")
    assert first["received"] == FRAMES + len(LONELY)
    assert first["processed"] == FRAMES
    assert first["dropped"] == {"no_partner": len(LONELY)}
    assert first["pauses"] > 0
    assert contents(online) == contents(offline)
    check_published(arrays, offline)


def check_published(arrays: list[Any], offline: Path) -> None:
    """Detections have the images' headers and are the boxes that are stored."""
    by_stamp = dict(zip(stamps(arrays), arrays))
    store = TargetStore(offline)
    assert len(by_stamp) > FRAMES / 2  # this listener may have joined late
    for id_ in store.ids:
        targets = store.read(id_)
        if targets.stamp not in by_stamp:
            continue
        array = by_stamp[targets.stamp]
        assert array.header.frame_id == "camera_optical"
        np.testing.assert_allclose(messages.boxes_of(array).centre, targets.boxes.centre, atol=1e-9)


@pytest.mark.slow
def test_live_what_is_dropped_is_counted_and_the_rest_is_the_same(bag: Path, offline: Path, tmp_path: Path) -> None:
    online = tmp_path / "online"
    options = {"bag": bag, "out": online, "mode": "live", "queue": 1, "summary": tmp_path / "live.json"}
    with teacher(tmp_path / "log.txt", 0.3, **options) as process:
        with player(tmp_path / "player.txt", bag) as playing:
            assert playing.wait(60) == 0
        time.sleep(0.5)
        process.send_signal(signal.SIGINT)
        assert process.wait(15) == 0
    result = account(tmp_path / "live.json")
    assert result["dropped"]["busy"] > 0
    stored = contents(online)
    targets = [name for name in stored if name.startswith("targets/")]
    assert 0 < len(targets) == result["processed"] < FRAMES
    whole = contents(offline)
    assert {name for name in stored if stored[name] != whole.get(name)} == {"index.json"}


@pytest.mark.slow
def test_a_replay_goes_on_where_another_was_interrupted(bag: Path, offline: Path, tmp_path: Path) -> None:
    online, log = tmp_path / "online", tmp_path / "log.txt"
    with (
        teacher(log, 0.2, bag=bag, out=online, summary=tmp_path / "1.json") as process,
        player(tmp_path / "player.txt", bag, reliable=True),
    ):
        interrupt_after(4, online, process)
    first = account(tmp_path / "1.json")
    assert len(TargetStore(online)) == first["processed"] < FRAMES
    assert len(json.loads((online / "index.json").read_text())["frames"]) == first["processed"]

    with teacher(log, bag=bag, out=online, summary=tmp_path / "2.json", exit_at_end=True) as process:
        with player(tmp_path / "player.txt", bag, rate=10.0, reliable=True) as playing:
            assert playing.wait(60) == 0
        assert process.wait(30) == 0
    second = account(tmp_path / "2.json")
    assert second["dropped"] == {"no_partner": len(LONELY), "already_stored": first["processed"]}
    assert contents(online) == contents(offline)
    assert "Traceback" not in log.read_text()


def interrupt_after(frames: int, store: Path, process: Any) -> None:
    """Interrupt a node when so many frames are stored."""
    wait_for(lambda: len(list(store.glob("targets/*.safetensors"))) >= frames, 30)
    process.send_signal(signal.SIGINT)
    assert process.wait(15) == 0


def test_a_bag_that_loops_is_stored_once_and_published_each_time(
    peer: Peer, bag: Path, offline: Path, tmp_path: Path
) -> None:
    online = tmp_path / "online"
    arrays = peer.listen(Detection3DArray, "/teacher_node/detections")
    with (
        teacher(tmp_path / "log.txt", bag=bag, out=online, summary=tmp_path / "1.json") as process,
        player(tmp_path / "player.txt", bag, rate=4.0, reliable=True, loop=True),
    ):
        wait_for(lambda: len(arrays) > 2 * FRAMES, 90, "the second round")
        process.send_signal(signal.SIGINT)
        assert process.wait(30) == 0
    result = account(tmp_path / "1.json")
    assert result["processed"] == FRAMES
    assert result["dropped"]["already_stored"] > 0
    assert contents(online) == contents(offline)
    check_published(arrays[-FRAMES:], offline)


@pytest.mark.slow
def test_without_the_bag_frames_are_numbered_after_those_stored(bag: Path, tmp_path: Path) -> None:
    online, stored = tmp_path / "online", 0
    for summary in (tmp_path / "1.json", tmp_path / "2.json"):
        with (
            teacher(tmp_path / "log.txt", 0.2, out=online, summary=summary) as process,
            player(tmp_path / "player.txt", bag, reliable=True),
        ):
            interrupt_after(stored + 3, online, process)
        stored += account(summary)["processed"]
        assert len(TargetStore(online)) == stored


@pytest.mark.slow
def test_a_store_of_another_teacher_and_a_missing_player_are_told(peer: Peer, offline: Path, tmp_path: Path) -> None:
    with teacher(tmp_path / "log.txt", out=offline, responses=False):
        diagnostics = Diagnostics(peer, "/teacher_node")
        status = diagnostics.next(lambda s: "configure failed" in s.message)
        assert "its targets were made with other settings: responses was True and is False now" in status.message
    with teacher(tmp_path / "log.txt"):
        Diagnostics(peer, "/teacher_node").next(lambda s: "there is no player /bag_player to hold" in s.message)
