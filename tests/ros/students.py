"""A student's node with a puppet for a detector, seen from outside; several test modules share it."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any

from lifecycle_msgs.msg import Transition
from lifecycle_msgs.srv import ChangeState, GetState
from rcl_interfaces.msg import Parameter, ParameterType, ParameterValue
from rcl_interfaces.srv import SetParameters
from sensor_msgs.msg import CameraInfo, Image
from vision_msgs.msg import Detection3DArray

from mono3d_kd_core.geometry.camera import CameraModel
from mono3d_kd_ros import messages
from tests.ros.harness import CAMERA, SECOND, Diagnostics, Peer, camera_info, image, stamps, wait_for

PUPPET = "tests.ros.puppet_student"


@dataclass
class Student:
    """A running student's node, seen from outside. Times go up from test to test."""

    peer: Peer
    process: Any
    log: Path
    name: str = "/student_node"
    image_topic: str = "/image"
    info_topic: str = "/camera_info"
    image_type: type = Image
    clock: Iterator[int] = field(default_factory=lambda: count(100 * SECOND, SECOND // 10))

    def __post_init__(self) -> None:
        self.arrays = self.peer.listen(Detection3DArray, f"{self.name}/detections")
        self.diagnostics = Diagnostics(self.peer, self.name)

    def ready(self) -> None:
        """Wait until the node listens, and is heard."""
        self.images = self.publisher(self.image_type, self.image_topic)
        self.infos = self.publisher(CameraInfo, self.info_topic)
        wait_for(lambda: self.peer.node.count_publishers(f"{self.name}/detections"), what="detections")
        time.sleep(0.2)  # the graph knows the writer a moment before it is matched

    def publisher(self, kind: type, topic: str) -> Any:
        """Return a publisher that the node hears."""
        return self.peer.publisher(kind, topic)

    def calibrate(self, camera: CameraModel = CAMERA, **options: str) -> None:
        """Publish a CameraInfo."""
        self.infos.publish(camera_info(camera=camera, **options))

    def send(self, message: Any = None, **what: Any) -> int:
        """Publish an image, by default one that lets the puppet find one car; return its stamp."""
        stamp = next(self.clock)
        if message is None:
            message = image(stamp, **what)
        message.header.stamp = messages.time_message(stamp)
        self.images.publish(message)
        return stamp

    def settle(self) -> None:
        """Calibrate and send until an image is answered: the first best-effort messages to a new node may be lost."""

        def answered() -> bool:
            self.calibrate()
            self.send()
            time.sleep(0.1)
            return bool(self.arrays)

        wait_for(answered, what=f"an array of {self.name}")

    def answer(self, stamp: int) -> Detection3DArray:
        """Wait for the array of an image."""
        return wait_for(
            lambda: next((a for a in list(self.arrays) if stamps([a]) == [stamp]), None), what=f"an array of {stamp}"
        )

    def works(self) -> bool:
        """Tell whether the next good frame is answered as it should be."""
        self.calibrate()
        return len(self.answer(self.send(boxes=2)).detections) == 2

    def counts(self) -> dict[str, int]:
        """Return received, published and drops by reason of a fresh status."""
        values = Diagnostics.values(self.diagnostics.next())
        drops = {k.removeprefix("dropped: "): int(v) for k, v in values.items() if k.startswith("dropped: ")}
        return {"received": int(values["frames received"]), "published": int(values["frames published"]), **drops}

    def calibration(self, words: str) -> Any:
        """Wait for a status whose message or calibration has the words."""
        return self.diagnostics.next(lambda s: words in s.message or words in Diagnostics.values(s)["calibration"])

    def dropped(self, reason: str) -> Any:
        """Wait for a status that counts a drop for the reason and explains it."""
        return self.diagnostics.next(lambda status: f" {reason}" in status.message)

    def change(self, transition: int) -> bool:
        """Ask for a lifecycle transition; tell whether it succeeded."""
        request = ChangeState.Request(transition=Transition(id=transition))
        return bool(self.peer.call(ChangeState, f"{self.name}/change_state", request).success)

    def state(self) -> str:
        """Return the lifecycle state."""
        return str(self.peer.call(GetState, f"{self.name}/get_state", GetState.Request()).current_state.label)

    def set(self, name: str, value: ParameterValue) -> Any:
        """Set a parameter; return the result."""
        request = SetParameters.Request(parameters=[Parameter(name=name, value=value)])
        return self.peer.call(SetParameters, f"{self.name}/set_parameters", request).results[0]


def real(value: float) -> ParameterValue:
    """Return a parameter's value."""
    return ParameterValue(type=ParameterType.PARAMETER_DOUBLE, double_value=value)


def text(value: str) -> ParameterValue:
    """Return a parameter's value."""
    return ParameterValue(type=ParameterType.PARAMETER_STRING, string_value=value)
