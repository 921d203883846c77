"""The replay of the demo: player, student's node and recorder in one ROS graph."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

import rclpy
from diagnostic_msgs.msg import DiagnosticArray
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from sensor_msgs.msg import CameraInfo, Image
from tf2_msgs.msg import TFMessage
from vision_msgs.msg import Detection3DArray
from visualization_msgs.msg import MarkerArray

from mono3d_kd_core.errors import DataError
from mono3d_kd_core.io.bag import BagSource
from mono3d_kd_core.io.open import open_source
from mono3d_kd_ros.demo.recorder import LATCHED, Recorder, Topic
from mono3d_kd_ros.starting.processes import NodeProcess

NODE = "student_node"
DETECTIONS, MARKERS = f"/{NODE}/detections", f"/{NODE}/markers"
START_UP = 90.0
"""Seconds that the nodes have to load their model and find each other."""
SETTLE = 3.0
"""Seconds without a new detection array after which the replay counts as answered."""


@dataclass(frozen=True)
class Replay:
    """What came of a replay: frames_in == arrays_out + sum(dropped)."""

    frames_in: int
    arrays_out: int
    dropped: dict[str, int]
    latency_ms: list[float]
    """From the image's arrival at the recorder to that of its detections, wall clock."""
    detections_topic: str = DETECTIONS


def replay(bag: Path, model: Path, detections: Path, rate: float, console: Console) -> Replay:
    """Replay `bag` into a student's node with `model` and record what it publishes into the MCAP bag `detections`."""
    source = open_source(bag)
    if not isinstance(source, BagSource):
        raise DataError(f"{bag}: only bags can be replayed")
    topics, images = source.rig_file.topics, source.report.images
    logs = detections.parent / "logs"
    logs.mkdir(exist_ok=True)
    rclpy.init(args=[])
    node = Node("demo")
    # A busy machine loses best-effort images between processes; here every image should arrive.
    reliable = {
        f"qos_overrides.{topic}.subscription.reliability": "reliable" for topic in (topics.image, topics.camera_info)
    }
    student = NodeProcess(
        "student_node", logs / "student_node.log", {"model": str(model), **reliable},
        {"image": topics.image, "camera_info": topics.camera_info},
    )  # fmt: skip
    recorder = Recorder(
        node, detections,
        {
            topics.image: Topic(Image), topics.camera_info: Topic(CameraInfo),
            DETECTIONS: Topic(Detection3DArray), MARKERS: Topic(MarkerArray), "/tf_static": Topic(TFMessage, LATCHED),
        },
    )  # fmt: skip
    try:
        with student:
            counts = _Counts(node)
            executor = SingleThreadedExecutor()
            executor.add_node(node)
            _wait_for(student, node, executor, topics.image, console)
            player = {
                "bag": str(bag), "rate": rate, "reliable": True, "publish_clock": False,
                "wait_for_subscribers": f"[{topics.camera_info}, {topics.image}]", "least_subscribers": 2,
            }  # fmt: skip
            with NodeProcess("bag_player", logs / "bag_player.log", player) as playing:
                _watch(playing, recorder, topics.image, images, executor)
            return _account(recorder, topics.image, images, counts)
    finally:
        recorder.close()
        node.destroy_node()
        rclpy.try_shutdown()


class _Counts:
    """What the student's node says of its frames in /diagnostics, the latest word."""

    def __init__(self, node: Node) -> None:
        self.values: dict[str, str] = {}
        node.create_subscription(DiagnosticArray, "/diagnostics", self._read, 10)

    def _read(self, message: DiagnosticArray) -> None:
        for status in message.status:
            if NODE in status.name:
                self.values = {pair.key: pair.value for pair in status.values}

    @property
    def received(self) -> int:
        return int(self.values.get("frames received", 0))

    @property
    def dropped(self) -> dict[str, int]:
        return {key[9:]: int(value) for key, value in self.values.items() if key.startswith("dropped: ")}


def _wait_for(student: NodeProcess, node: Node, executor: SingleThreadedExecutor, topic: str, console: Console) -> None:
    """Wait until the student's node is active: it then subscribes to the images."""
    with console.status("starting the student's node"):
        give_up = time.monotonic() + START_UP
        while NODE not in (subscriber.node_name for subscriber in node.get_subscriptions_info_by_topic(topic)):
            executor.spin_once(0.1)
            if student.returncode is not None or time.monotonic() > give_up:
                raise DataError(f"the student's node did not start; its last words:\n{student.last_words()}")


def _watch(
    player: NodeProcess, recorder: Recorder, topic: str, frames: int, executor: SingleThreadedExecutor
) -> None:
    """Spin until the bag has been played and the node has answered what it will."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns) as progress:
        task = progress.add_task("replaying into the student's node", total=frames)
        quiet_since = time.monotonic()
        answered = 0
        while player.returncode is None or time.monotonic() - quiet_since < SETTLE:
            executor.spin_once(0.1)
            if len(recorder.arrivals[DETECTIONS]) > answered:
                answered, quiet_since = len(recorder.arrivals[DETECTIONS]), time.monotonic()
                progress.update(task, completed=answered)
            if player.returncode is None:
                quiet_since = time.monotonic()
    if player.returncode:
        raise DataError(f"the bag player failed; its last words:\n{player.last_words()}")


def _account(recorder: Recorder, topic: str, frames: int, counts: _Counts) -> Replay:
    """Balance what was sent with what came back; what never reached the node was lost on the way."""
    arrays = len(recorder.arrivals[DETECTIONS])
    dropped = dict(counts.dropped)
    missing = frames - arrays - sum(dropped.values())
    if missing > 0:
        lost = min(missing, max(frames - counts.received, 0))
        dropped |= {name: n for name, n in (("not_delivered", lost), ("not_answered", missing - lost)) if n}
    seen = dict(recorder.arrivals[topic])
    latency = [(now - seen[stamp]) / 1e6 for stamp, now in recorder.arrivals[DETECTIONS] if stamp in seen]
    return Replay(frames, arrays, dropped, latency)
