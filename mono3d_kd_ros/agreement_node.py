"""The student against the teacher, live: does the camera alone still see what the LiDAR sees?"""

from __future__ import annotations

import sys
import time
from typing import Any

import numpy as np
from rclpy.clock import Clock, ClockType
from rclpy.publisher import Publisher
from rclpy.qos import QoSProfile
from rclpy.subscription import Subscription
from std_msgs.msg import Float64
from vision_msgs.msg import Detection3DArray

from mono3d_kd_core.evaluation.agreement import Agreement, AgreementMeter
from mono3d_kd_core.evaluation.errors import Band
from mono3d_kd_core.geometry.boxes import Boxes3D
from mono3d_kd_ros import messages
from mono3d_kd_ros.inputs.stamp_pairs import Side, StampPairs
from mono3d_kd_ros.inputs.subscriptions import subscribe
from mono3d_kd_ros.node import process
from mono3d_kd_ros.node.diagnostics import WARN, Condition, Finding
from mono3d_kd_ros.node.managed_node import ManagedNode
from mono3d_kd_ros.settings import AgreementSettings

PLOTS = ("recall", "precision", "range_error", "lateral_error")
"""Topics below `~/<class>/`: shares in [0, 1], mean absolute errors in metres; NaN where there is nothing to average."""

QUEUE = QoSProfile(depth=100)
"""A teacher that was held up answers many frames at once."""


class AgreementNode(ManagedNode[AgreementSettings]):
    """Subscribes to the detections `student` and `teacher`, publishes figures to plot and diagnostics by distance.

    The figures are those of the frames in the window that both have answered, paired by the stamp of their image.
    """

    def __init__(self, **node_options: Any) -> None:
        super().__init__("agreement_node", AgreementSettings, **node_options)
        self._meter = AgreementMeter(1)
        self._result = self._meter.agreement()
        self._pairs: StampPairs | None = None
        self._inputs: list[Subscription[Any]] = []
        self._outputs: dict[str, Publisher[Any]] = {}
        self._report_timer: Any = None
        self._paired = self._mixed_frames = self._jumps = 0
        self._last_pair: float | None = None

    def configure(self) -> None:
        """Begin with an empty window."""
        s = self.settings
        self._meter = AgreementMeter(
            s.window, student_min_score=s.student_min_score, teacher_min_score=s.teacher_min_score
        )

    def activate(self) -> None:
        """Listen to both."""
        self._pairs = StampPairs(self._on_pair, self._on_jump, self.settings.capacity)
        self._last_pair = time.monotonic()
        self._inputs = [
            subscribe(self, Detection3DArray, "student", lambda message: self._on_array("student", message), QUEUE),
            subscribe(self, Detection3DArray, "teacher", lambda message: self._on_array("teacher", message), QUEUE),
        ]
        self._report_timer = self.create_timer(1.0, self._plot, clock=Clock(clock_type=ClockType.STEADY_TIME))

    def deactivate(self) -> None:
        """Listen no longer; the window stays."""
        for subscription in self._inputs:
            self.destroy_subscription(subscription)
        self._inputs, self._pairs = [], None
        if self._report_timer is not None:
            self.destroy_timer(self._report_timer)
            self._report_timer = None

    def cleanup(self) -> None:
        """Forget everything."""
        self._meter.reset()
        for publisher in self._outputs.values():
            self.destroy_publisher(publisher)
        self._outputs = {}

    def _on_array(self, side: Side, message: Detection3DArray) -> None:
        if self._pairs is not None:
            self._pairs.add(side, messages.nanoseconds(message.header.stamp), message)

    def _on_pair(self, student: Detection3DArray, teacher: Detection3DArray) -> None:
        if student.header.frame_id != teacher.header.frame_id:
            self._mixed_frames += 1
            return
        self._paired += 1
        self._last_pair = time.monotonic()
        self._meter.add(self._in_view(messages.boxes_of(student)), self._in_view(messages.boxes_of(teacher)))

    def _on_jump(self) -> None:
        """Begin anew: the same frames would count twice."""
        self._jumps += 1
        self._meter.reset()
        self._result = self._meter.agreement()

    def _in_view(self, boxes: Boxes3D) -> Boxes3D:
        """Leave out what the camera cannot see; a LiDAR looks all around."""
        half = np.radians(self.settings.field_of_view) / 2
        return boxes[np.abs(np.arctan2(boxes.centre[:, 1], boxes.centre[:, 0])) <= half]

    def _plot(self) -> None:
        """Publish the figures over all distances, class by class."""
        self._result = self._meter.agreement()
        for name, bands in self._result.classes.items():
            for what, value in figures(bands[-1]).items():
                self._output(name, what).publish(Float64(data=value))

    def _output(self, name: str, what: str) -> Publisher[Any]:
        topic = f"~/{_topic_word(name)}/{what}"
        if topic not in self._outputs:
            self._outputs[topic] = self.create_publisher(Float64, topic, 10)
        return self._outputs[topic]

    def condition(self) -> Condition:
        """Tell the figures by class and distance, and what is worse than asked for."""
        values = {"frames paired": str(self._paired), "jumps back in time": str(self._jumps)}
        if self._pairs is None:
            return Condition([], values)
        values |= {f"without the other: {side}": str(count) for side, count in self._pairs.alone.items()}
        result = self._result
        values["frames in the window"] = str(result.frames)
        values |= {
            f"{name} {distance(band)}": sentence(band) for name, bands in result.classes.items() for band in bands
        }
        return Condition(self._findings(result), values)

    def _findings(self, result: Agreement) -> list[Finding]:
        found = []
        silence = time.monotonic() - (self._last_pair or time.monotonic())
        if silence > self.settings.silence_warn:
            topics = " and ".join(self.resolve_topic_name(side) for side in ("student", "teacher"))
            found.append(Finding(WARN, f"{topics}: no frame that both have answered for {silence:.1f} s"))
        if self._mixed_frames:
            text = "have other frame ids than the teacher's, so they are not compared; leave target_frame empty"
            found.append(Finding(WARN, f"{self._mixed_frames} of the student's arrays {text}"))
        for name, bands in result.classes.items():
            everything = bands[-1]
            for what, count, least in (
                ("recall", everything.objects, self.settings.least_recall),
                ("precision", everything.detections, self.settings.least_precision),
            ):
                share = getattr(everything, what)
                if count >= self.settings.least_objects and share < least:
                    found.append(Finding(WARN, f"{name}: {what} {share:.2f} of {count}, at least {least:.2f} is asked for"))
        return found


def figures(band: Band) -> dict[str, float]:
    """Return what is plotted of a band, in the order of PLOTS."""
    errors = (band.errors[axis].mean_abs for axis in ("longitudinal", "lateral"))
    return dict(zip(PLOTS, (band.recall, band.precision, *errors)))


def distance(band: Band) -> str:
    """Return a band's distances in words."""
    if np.isinf(band.far):
        return "everywhere" if band.near == 0 else f"beyond {band.near:.0f} m"
    return f"{band.near:.0f}-{band.far:.0f} m"


def sentence(band: Band) -> str:
    """Return a band's figures in one line."""
    shown = figures(band)
    return (
        f"recall {shown['recall']:.2f} of {band.objects}, precision {shown['precision']:.2f} of {band.detections}, "
        f"range error {shown['range_error']:.2f} m, lateral error {shown['lateral_error']:.2f} m"
    )


def _topic_word(name: str) -> str:
    """Return a class name as a word of a topic."""
    return "".join(letter if letter.isalnum() else "_" for letter in name.lower())


def main(arguments: list[str] | None = None) -> None:
    """Run: `python -m mono3d_kd_ros.agreement_node --ros-args -r student:=/student_node/detections -r teacher:=...`."""
    sys.exit(process.run(AgreementNode, arguments))


if __name__ == "__main__":
    main()
