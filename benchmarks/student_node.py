"""What the student's node costs beyond its network, and whether it grows: `python -m benchmarks.student_node overhead|soak`.

overhead: an image message in to its Detection3DArray out, seen from another process, minus the bare `Detector.detect` of the
same image in this process just before; both after a rest, as between the images of a camera at 10 Hz (`--rest 0`: without).
Threads that wake from a rest are slow on some machines, and not equally so in two processes; so the same is also told minus
the detector's time in the node itself, `~/debug/processing_time_ms`. soak: thousands of frames as fast as the node answers
them, with its memory, threads and descriptors on the way.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import threading
import time
from pathlib import Path

import numpy as np
import rclpy
from rclpy.executors import SingleThreadedExecutor
from rclpy.serialization import deserialize_message, serialize_message
from rclpy.signals import SignalHandlerOptions
from sensor_msgs.msg import CameraInfo, Image
from std_msgs.msg import Float64, Header
from vision_msgs.msg import Detection3DArray

from mono3d_kd_core.deploy.bundle import Card, save_bundle
from mono3d_kd_core.deploy.detector import Detector
from mono3d_kd_core.geometry.camera import CameraModel
from mono3d_kd_core.resources import resource
from mono3d_kd_core.simulation.drive import SimulatedDrive
from mono3d_kd_core.students.keypoint import KeypointConfig, KeypointStudent
from mono3d_kd_ros import messages
from mono3d_kd_ros.starting.processes import NodeProcess
from mono3d_kd_ros.starting.transport import large_message_environment

CAMERA = CameraModel.pinhole(1242, 375, 721.5, 721.5, 609.6, 172.9)
PATIENCE = 60.0
REST_S = 0.05
"""PyTorch's threads may spin for a while after their work, on the cores that the other process is going to need."""


class Driver:
    """A camera driver that publishes one image at a time and waits for its detections."""

    def __init__(self) -> None:
        rclpy.init(args=[], signal_handler_options=SignalHandlerOptions.NO)
        self.node = rclpy.create_node("camera_driver")
        self._images = self.node.create_publisher(Image, "image", 5)
        self._infos = self.node.create_publisher(CameraInfo, "camera_info", 5)
        self.node.create_subscription(Detection3DArray, "/student_node/detections", self._heard, 10, raw=True)
        self.node.create_subscription(Float64, "/student_node/debug/processing_time_ms", self._told, 10)
        self._answers: dict[int, float] = {}
        self._processing: list[float] = []
        self._came = threading.Condition()
        executor = SingleThreadedExecutor()
        executor.add_node(self.node)
        threading.Thread(target=executor.spin, daemon=True).start()

    def connect(self) -> None:
        """Wait for the node and calibrate it."""
        end = time.monotonic() + PATIENCE
        while not (self._images.get_subscription_count() and self.node.count_publishers("/student_node/detections")):
            if time.monotonic() > end:
                raise SystemExit("the student's node did not start")
            time.sleep(0.1)
        time.sleep(1.0)
        self._infos.publish(messages.camera_info_message(CAMERA, Header(frame_id="camera")))
        time.sleep(0.5)

    def ask(self, message: Image, stamp: int, timeout: float = PATIENCE) -> float | None:
        """Publish an image; return the seconds until its detections have come, None where they do not."""
        message.header.stamp = messages.time_message(stamp)
        serialised = serialize_message(message)  # that drivers in Python are slow is not the node's business
        begin = time.perf_counter()
        self._images.publish(serialised)
        with self._came:
            if not self._came.wait_for(lambda: stamp in self._answers, timeout):
                return None
            return self._answers.pop(stamp) - begin

    def processing_ms(self, number: int, timeout: float = 1.0) -> float:
        """Return how long the detector worked, in the node, on image `number` of those answered; NaN if it never says."""
        with self._came:
            self._came.wait_for(lambda: len(self._processing) > number, timeout)
            return self._processing[number] if len(self._processing) > number else np.nan

    def _told(self, message: Float64) -> None:
        with self._came:
            self._processing.append(message.data)
            self._came.notify_all()

    def _heard(self, serialised: bytes) -> None:
        now = time.perf_counter()
        message = deserialize_message(serialised, Detection3DArray)
        with self._came:
            self._answers[messages.nanoseconds(message.header.stamp)] = now
            self._came.notify_all()


def street(count: int) -> list[np.ndarray]:
    """Return pictures of a simulated street, a second apart."""
    drive = SimulatedDrive(1, 10 * count)
    return [drive[10 * i].image for i in range(count)]


def some_images(count: int) -> list[np.ndarray]:
    """Return noise of low frequency: its content does not matter, its size does."""
    draw = np.random.default_rng(0)
    return [np.kron(draw.integers(0, 255, (75, 69, 3)), np.ones((5, 18, 1))).astype(np.uint8) for _ in range(count)]


def overhead(driver: Driver, model: Path, frames: int, rest: float) -> None:
    """Print what lies between the bare detector and the node, frame by frame."""
    detector = Detector.load(model, score_threshold=0.0, max_detections=1000)
    pictures = street(8)
    bare, node, within, boxes = [], [], [], []
    for number in range(frames):
        image = pictures[number % len(pictures)]
        time.sleep(rest)
        begin = time.perf_counter()
        found = detector.detect(image, CAMERA)
        bare.append((time.perf_counter() - begin) * 1e3)
        boxes.append(int((found.score >= detector.card.score_threshold).sum()))
        message = messages.image_message(image, Header(frame_id="camera"))
        time.sleep(rest)
        seconds = driver.ask(message, (number + 1) * 10**8, timeout=5.0)
        node.append(np.nan if seconds is None else seconds * 1e3)
        within.append(np.nan if seconds is None else driver.processing_ms(len(within) - int(np.isnan(within).sum())))
    lost = int(np.isnan(node).sum())
    rows = {
        "bare detect": bare, "image in, array out": node, "overhead": np.subtract(node, bare),
        "detector within the node": within, "all but the detector": np.subtract(node, within),
    }  # fmt: skip
    for name, values in rows.items():
        p50, p95 = np.nanpercentile(values[5:], [50, 95])
        print(f"{name:24s} p50 {p50:7.1f} ms   p95 {p95:7.1f} ms")
    counts = f"{len(node)} frames with {np.mean(boxes):.0f} boxes, {lost} without an answer"
    print(f"{counts}; {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}")


def soak(driver: Driver, pid: int, frames: int) -> None:
    """Print how the process fares while it answers frame after frame."""
    sent = [messages.image_message(image, Header(frame_id="camera")) for image in some_images(4)]
    answered, begin = 0, time.monotonic()
    for number in range(frames + 1):
        if number % (frames // 10) == 0:
            resident = int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20
            descriptors, threads = (len(os.listdir(f"/proc/{pid}/{what}")) for what in ("fd", "task"))
            print(f"{number:6d} sent, {answered:6d} answered, RSS {resident:.1f} MiB, {descriptors} fds, {threads} threads")
        answered += driver.ask(sent[number % 4], (number + 1) * 10**8, timeout=2.0) is not None
    print(f"{answered / (time.monotonic() - begin):.1f} frames a second")


def tiny_bundle(folder: Path) -> Path:
    """Write the bundle of an untrained network of the real shape but small, so that a soak takes minutes."""
    config = KeypointConfig(input_height=64, input_width=192, width=0.25, neck_channels=16, head_channels=16)
    student = KeypointStudent(config)
    card = Card(
        kind="student", architecture="keypoint", config=config.model_dump(mode="json"), classes=list(config.classes),
        score_threshold=0.0,
    )  # fmt: skip
    save_bundle(folder, card, student.state_dict())
    return folder


def main() -> None:
    """Run a benchmark."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=["overhead", "soak"])
    parser.add_argument("--model", type=Path, help="default: the shipped one, for the soak a small untrained one")
    parser.add_argument("--rest", type=float, default=REST_S, help="seconds before each image (default: %(default)s)")
    parser.add_argument("--frames", type=int, help="default: 200, for the soak 10000")
    options = parser.parse_args()
    os.environ |= large_message_environment() | {"ROS_AUTOMATIC_DISCOVERY_RANGE": "LOCALHOST"}
    os.environ.setdefault("ROS_DOMAIN_ID", "77")
    with tempfile.TemporaryDirectory() as folder:
        shipped = resource("config/models/keypoint_sim") if options.what == "overhead" else tiny_bundle(Path(folder) / "b")
        model = options.model or shipped
        driver = Driver()
        with NodeProcess("student_node", Path(folder) / "log.txt", {"model": str(model)}) as node:
            driver.connect()
            if options.what == "overhead":
                overhead(driver, model, options.frames or 200, options.rest)
            else:
                soak(driver, node.pid, options.frames or 10_000)


if __name__ == "__main__":
    main()
