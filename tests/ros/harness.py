"""Processes of nodes, and a node of the test's own that talks to them over DDS."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import rclpy
from diagnostic_msgs.msg import DiagnosticArray
from rclpy.executors import SingleThreadedExecutor
from rclpy.qos import QoSProfile
from sensor_msgs.msg import CameraInfo
from std_msgs.msg import Header

from mono3d_kd_core.geometry.camera import CameraModel
from mono3d_kd_ros import messages
from tests.conftest import REPOSITORY

WIDTH, HEIGHT = 64, 48
CAMERA = CameraModel.pinhole(WIDTH, HEIGHT, 60.0, 60.0, 31.5, 23.5)
SECOND = 1_000_000_000


def wait_for(condition: Callable[[], Any], timeout: float = 60.0, what: str = "") -> Any:
    """Wait until `condition` is truthy and return it; fail the test after `timeout` seconds."""
    end = time.monotonic() + timeout
    while time.monotonic() < end:
        if result := condition():
            return result
        time.sleep(0.01)
    raise AssertionError(f"not within {timeout} s: {what or condition}")


def until(act: Callable[[], object], found: Callable[[], Any], timeout: float = 60.0) -> Any:
    """Act again and again, a tenth of a second apart, until `found` returns something true, and return that."""

    def tried() -> Any:
        act()
        time.sleep(0.1)
        return found()

    return wait_for(tried, timeout)


@contextmanager
def node_process(module: str, parameters: Mapping[str, object], remaps: Mapping[str, str], log: Path) -> Iterator[Any]:
    """Run `python -m module` as a node; end it with SIGINT, and kill it if it does not obey within half a minute."""
    arguments = ["--ros-args"]
    for name, value in parameters.items():
        arguments += ["-p", f"{name}:={value}"]
    for source, target in remaps.items():
        arguments += ["-r", f"{source}:={target}"]
    # A sourced distribution has its packages on PYTHONPATH.
    path = os.pathsep.join([str(REPOSITORY), os.environ.get("PYTHONPATH", "")])
    environment = os.environ | {"ROS_LOG_DIR": str(log.parent), "PYTHONPATH": path}
    with open(log, "w") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", module, *arguments], cwd=REPOSITORY, env=environment, stdout=output, stderr=output
        )
        try:
            yield process
        finally:
            if process.poll() is None:
                process.send_signal(signal.SIGINT)
                try:
                    process.wait(30)
                except subprocess.TimeoutExpired:
                    process.kill()
                    process.wait()


class Peer:
    """A node in the test process that publishes, listens and calls, served by a thread of its own."""

    def __init__(self, name: str = "peer") -> None:
        self.context = rclpy.Context()
        rclpy.init(context=self.context, args=[])
        self.node = rclpy.create_node(name, context=self.context)
        self.executor = SingleThreadedExecutor(context=self.context)
        self.executor.add_node(self.node)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()
        self._publishers: dict[str, Any] = {}

    def _serve(self) -> None:
        while not self._stop.is_set():
            self.executor.spin_once(timeout_sec=0.1)

    def close(self) -> None:
        """End the thread and leave the graph."""
        self._stop.set()
        self._thread.join(5)
        self.executor.shutdown()
        self.node.destroy_node()
        rclpy.try_shutdown(context=self.context)

    def listen(self, kind: type, topic: str, qos: QoSProfile | int = 100) -> list[Any]:
        """Return a list to which every message of the topic is appended."""
        heard: list[Any] = []
        self.node.create_subscription(kind, topic, heard.append, qos)
        return heard

    def publisher(self, kind: type, topic: str, qos: QoSProfile | int = 100, matched: int = 1) -> Any:
        """Return a publisher that has found `matched` subscribers."""
        if topic not in self._publishers:
            self._publishers[topic] = self.node.create_publisher(kind, topic, qos)
        publisher = self._publishers[topic]
        wait_for(lambda: publisher.get_subscription_count() >= matched, what=f"a subscriber of {topic}")
        return publisher

    def call(self, kind: type, service: str, request: Any, timeout: float = 60.0) -> Any:
        """Call a service and return its response."""
        client = self.node.create_client(kind, service)
        wait_for(client.service_is_ready, timeout, f"the service {service}")
        future = client.call_async(request)
        wait_for(future.done, timeout, f"an answer of {service}")
        self.node.destroy_client(client)
        return future.result()


class Diagnostics:
    """What a node says about itself on /diagnostics."""

    def __init__(self, peer: Peer, node_name: str) -> None:
        self._heard = peer.listen(DiagnosticArray, "/diagnostics")
        self._name = node_name

    def all(self) -> list[Any]:
        """Return the node's statuses so far."""
        return [status for array in list(self._heard) for status in array.status if status.name == self._name]

    def next(self, accept: Callable[[Any], bool] = lambda status: True, timeout: float = 60.0) -> Any:
        """Wait for a status after this moment that is accepted."""
        seen = len(self.all())
        return wait_for(
            lambda: next((s for s in self.all()[seen:] if accept(s)), None), timeout, f"a status of {self._name}"
        )

    @staticmethod
    def values(status: Any) -> dict[str, str]:
        """Return the values of a status by name."""
        return {value.key: value.value for value in status.values}


def header(stamp: int, frame: str = "camera_optical") -> Header:
    """Return a header with a stamp in ns."""
    return Header(stamp=messages.time_message(stamp), frame_id=frame)


def image(stamp: int, boxes: int = 1, delay_ms: int = 0, fault: int = 0, frame: str = "camera_optical") -> Any:
    """Return an image that tells the puppet detector what to do."""
    pixels = np.full((HEIGHT, WIDTH, 3), 90, np.uint8)
    pixels[0, 0] = boxes, delay_ms // 10, fault
    return messages.image_message(pixels, header(stamp, frame))


def camera_info(stamp: int = SECOND, camera: CameraModel = CAMERA, frame: str = "camera_optical") -> CameraInfo:
    """Return the CameraInfo of the test camera."""
    return messages.camera_info_message(camera, header(stamp, frame))


def stamps(arrays: Sequence[Any]) -> list[int]:
    """Return the stamps of messages in ns."""
    return [messages.nanoseconds(array.header.stamp) for array in list(arrays)]
