"""What the nodes share that answer images: a worker thread, an account of every frame, and its diagnostics."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any, Protocol, TypeVar

from rclpy.publisher import Publisher
from rclpy.subscription import Subscription

from mono3d_kd_ros.inputs.subscriptions import qos_findings
from mono3d_kd_ros.inputs.transform_input import TransformInput
from mono3d_kd_ros.node.delays import DelayOutputs
from mono3d_kd_ros.node.diagnostics import WARN, Condition, Finding, Limits, frame_values, judge
from mono3d_kd_ros.node.managed_node import ManagedNode, describe
from mono3d_kd_ros.node.statistics import FrameStatistics
from mono3d_kd_ros.node.worker import Worker
from mono3d_kd_ros.settings import NodeSettings

AnySettings = TypeVar("AnySettings", bound=NodeSettings)


class Arrival(Protocol):
    """Something to be answered; `arrived` is when, in seconds of the steady clock."""

    @property
    def arrived(self) -> float: ...


class Refused(Exception):
    """A frame cannot be answered: a short reason that is counted, and an explanation."""

    def __init__(self, reason: str, text: str) -> None:
        super().__init__(text)
        self.reason = reason


class FrameNode(ManagedNode[AnySettings]):
    """A node that answers each image once, on a thread of its own, or counts it as dropped with a reason.

    Subclasses set `worker`, `inputs`, `outputs`, `delays` and `transforms` in their transitions, and say how an item is
    answered.
    """

    def __init__(self, name: str, settings_type: type[AnySettings], **node_options: Any) -> None:
        super().__init__(name, settings_type, **node_options)
        self.statistics = FrameStatistics()
        self.worker: Worker[Any] | None = None
        self.inputs: list[Subscription[Any]] = []
        self.outputs: dict[str, Publisher[Any]] = {}
        self.transforms: TransformInput | None = None
        self.delays: DelayOutputs | None = None
        self._why: dict[str, str] = {}

    def answer(self, item: Any) -> None:
        """Answer an item on the worker's thread; raise Refused where it cannot be."""
        raise NotImplementedError

    def work(self, item: Arrival) -> None:
        """Answer an item, or count why not."""
        begin = time.monotonic()
        try:
            self.answer(item)
        except Refused as refusal:
            self.refuse(refusal.reason, str(refusal))
        except Exception as error:
            self.refuse("internal_error", describe(error))
        else:
            end = time.monotonic()
            self.statistics.publish(end - begin, end - item.arrived)
            if self.delays is not None:
                self.delays.publish(end - begin, end - item.arrived)

    def refuse(self, reason: str, text: str) -> None:
        """Count a frame as dropped."""
        self.statistics.drop(reason)
        if text:
            self._why[reason] = text
            self.get_logger().warning(f"frame dropped, {reason}: {text}", throttle_duration_sec=5.0)

    def watched(self, *outputs: str) -> bool:
        """Tell whether anybody subscribes to one of the outputs."""
        return any(self.outputs[name].get_subscription_count() for name in outputs)

    def stop_listening(self) -> None:
        """Give up the inputs."""
        for subscription in self.inputs:
            self.destroy_subscription(subscription)
        self.inputs = []

    def stop_transforms(self) -> None:
        """Give up tf."""
        if self.transforms is not None:
            self.transforms.close()
            self.transforms = None

    def cleanup(self) -> None:
        """Give up the outputs."""
        for publisher in self.outputs.values():
            self.destroy_publisher(publisher)
        self.outputs = {}
        if self.delays is not None:
            self.delays.close()
            self.delays = None

    def limits(self) -> Limits:
        """Return when the flow of frames is worth a warning."""
        return Limits(
            silence_warn=self.settings.silence_warn, silence_error=self.settings.silence_error,
            expected_hz=self.settings.expected_rate,
        )  # fmt: skip

    def flow(self, findings: list[Finding], values: Mapping[str, str]) -> Condition:
        """Return the condition of the frames' flow, with what the node itself has found."""
        frames = self.statistics.snapshot()
        all_values = frame_values(frames) | dict(values)
        if self.state_name != "active":
            return Condition([], all_values)
        found = judge(frames, self.limits(), self.resolve_topic_name("image"), self._why) + qos_findings(self, self.inputs)
        if self.transforms is not None and self.transforms.error:
            found.append(Finding(WARN, self.transforms.error))
        if self.get_parameter("use_sim_time").value and self.get_clock().now().nanoseconds == 0:
            found.append(Finding(WARN, "use_sim_time is set, but nobody publishes /clock"))
        return Condition(found + findings, all_values)

