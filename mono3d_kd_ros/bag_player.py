"""Replays a bag where `ros2 bag` is not installed: any bag that the core reads, ROS 1's too."""

from __future__ import annotations

import sys
import threading
import time
from pathlib import Path
from typing import Any

from rclpy.clock import Clock as RosClock
from rclpy.clock import ClockType
from rclpy.duration import Duration
from rclpy.node import Node
from rclpy.parameter import Parameter
from rclpy.publisher import Publisher
from rclpy.qos import DurabilityPolicy, QoSProfile
from rclpy.qos_overriding_options import QoSOverridingOptions
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import CompressedImage, Image
from std_msgs.msg import Bool

from mono3d_kd_core.errors import Mono3DError
from mono3d_kd_ros.inputs.subscriptions import OVERRIDABLE
from mono3d_kd_ros.messages import time_message
from mono3d_kd_ros.node import parameters, process
from mono3d_kd_ros.player.playback import Playback
from mono3d_kd_ros.player.recording import Recorded, Recording
from mono3d_kd_ros.player.services import SERVICES, answered
from mono3d_kd_ros.settings import PlayerSettings

SECOND = 1_000_000_000
LAG_WORTH_TELLING = SECOND // 5
PATIENCE_S = 60
"""How long a player that must lose nothing waits at its end for slow subscribers."""


class BagPlayer(Node):
    """Publishes the messages of a bag, byte for byte, when they are due; the process ends with the bag.

    `~/pause`, `~/resume`, `~/toggle_paused` and `~/play_next` hold it, `rate` and `loop` may change while it plays, and the
    latched `~/finished` tells whether all has been said.
    """

    def __init__(self, **node_options: Any) -> None:
        super().__init__("bag_player", **node_options)
        parameters.declare(self, PlayerSettings)
        self.settings = settings = parameters.read(self, PlayerSettings)
        if not settings.bag:
            raise Mono3DError("the parameter `bag` is empty; give the path of a bag")
        self.recording = Recording(Path(settings.bag), settings.topics, settings.reliable)
        for text in self.recording.missing.values():
            self.get_logger().warning(text)
        self.playback = Playback(settings.rate, settings.start_paused)
        self.add_on_set_parameters_callback(self._on_parameters)
        options = QoSOverridingOptions(OVERRIDABLE)
        self._outputs: dict[str, Publisher[Any]] = {
            name: self.create_publisher(topic.message_type, name, topic.qos, qos_overriding_options=options)
            for name, topic in self.recording.topics.items()
        }
        self._clock_output = self.create_publisher(Clock, "/clock", 10) if settings.publish_clock else None
        latched = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
        self._finished_output = self.create_publisher(Bool, "~/finished", latched)
        for name, kind in SERVICES.items():
            self.create_service(kind, f"~/{name}", getattr(self, f"_{name}"))
        self.published = 0
        self._lag = self._next = 0
        self._error = ""
        self._thread = threading.Thread(target=self._run, name="player", daemon=True)

    def start(self, finished: threading.Event) -> None:
        """Begin to play; `finished` is set at the end of the bag."""
        self._ended = finished
        self._finished_output.publish(Bool(data=False))
        if self._clock_output is not None:
            steady = RosClock(clock_type=ClockType.STEADY_TIME)
            self.create_timer(1 / self.settings.clock_rate, self._tick, clock=steady)
        self._thread.start()

    def close(self) -> int:
        """Stop playing; return 1 when the bag could not be read to its end."""
        self.playback.stop()
        self._thread.join(5)
        self.recording.close()
        return 1 if self._error else 0

    def _run(self) -> None:
        try:
            if self._wait_for_subscribers():
                self._play()
        except Exception as error:
            self._error = str(error)
            self.get_logger().error(f"the replay ends early: {error}")
        self._finish()

    def _play(self) -> None:
        """Play the bag, again and again while `loop` is set."""
        start = self.recording.start + round(self.settings.start_offset * SECOND)
        stop = self.recording.end
        if self.settings.duration:
            stop = min(stop, start + round(self.settings.duration * SECOND))
        if start >= stop:
            length = (self.recording.end - self.recording.start) / SECOND
            raise Mono3DError(f"start_offset is {self.settings.start_offset} s, but the bag is {length:.1f} s long")
        published = -1
        while published < self.published:  # an empty bag is not begun again
            published, self._next = self.published, start
            self.playback.start(start)
            for message in self.recording.messages(start, stop):
                if not self._publish_when_due(message, start):
                    return
            if not self.get_parameter("loop").value:
                return

    def _publish_when_due(self, message: Recorded, start: int) -> bool:
        """Publish a message at its time; False when the player was stopped meanwhile."""
        due = max(message.time, start)  # a latched message of before is due at once
        self._next = due
        if not self.playback.wait_until(due):
            return False
        if not self.playback.paused:
            self._lag = max(self._lag, self.playback.now - due)
        if self._clock_output is not None:
            self._clock_output.publish(Clock(clock=time_message(due)))
        self._outputs[message.topic].publish(message.data)
        self.published += 1
        return True

    def _tick(self) -> None:
        """Publish the time between messages; it never passes a message that is still to come."""
        if self._clock_output is not None and self._next:
            self._clock_output.publish(Clock(clock=time_message(min(self.playback.now, self._next))))

    def _wait_for_subscribers(self) -> bool:
        """Wait until the topics that need it are heard by all who subscribe; True when it is time to begin."""
        give_up = time.monotonic() + self.settings.wait_timeout
        topics = self.settings.wait_for_subscribers
        if topics == ["images"]:
            topics = [n for n, t in self.recording.topics.items() if t.message_type in (Image, CompressedImage)]
        for topic in topics:
            if topic not in self._outputs:
                raise Mono3DError(f"wait_for_subscribers: {topic} is not played; played are {', '.join(self._outputs)}")
            while not self._heard(topic):
                if self._ended.wait(0.05):
                    return False
                if time.monotonic() > give_up:
                    self.get_logger().warning(f"too few subscribe to {topic} after {self.settings.wait_timeout} s")
                    break
        # The subscribers' side of the match comes a moment after ours.
        return not self._ended.wait(0.3) if topics else True

    def _heard(self, topic: str) -> bool:
        """Tell whether everybody who subscribes to the topic, and as many as are wanted, is connected."""
        output = self._outputs[topic]
        known = self.count_subscribers(output.topic_name)
        return output.get_subscription_count() >= max(self.settings.least_subscribers, known)

    def _finish(self) -> None:
        """Tell that all has been said, and end the process once it has arrived."""
        patience = PATIENCE_S if self.settings.reliable else 2
        for name, output in self._outputs.items():
            if not output.wait_for_all_acked(Duration(seconds=patience)) and self.settings.reliable:
                self.get_logger().error(f"{name}: a subscriber has not taken all messages within {patience} s of the end")
        self._finished_output.publish(Bool(data=True))
        self._finished_output.wait_for_all_acked(Duration(seconds=2))
        if self._lag > LAG_WORTH_TELLING:
            self.get_logger().warning(f"messages were up to {self._lag / SECOND:.1f} s late: the rate is too high here")
        self.get_logger().info(f"published {self.published} messages")
        if not self.settings.stay or self._error:
            self._ended.set()

    def _on_parameters(self, changed: list[Parameter[Any]]) -> Any:
        for parameter in changed:
            if parameter.name == "rate":
                self.playback.set_rate(parameter.value)
        return parameters.ACCEPTED

    def _pause(self, request: Any, response: Any) -> Any:
        self.playback.pause()
        return answered(response, True, "paused")

    def _resume(self, request: Any, response: Any) -> Any:
        self.playback.resume()
        return answered(response, True, "playing")

    def _toggle_paused(self, request: Any, response: Any) -> Any:
        if self.playback.paused:
            return self._resume(request, response)
        return self._pause(request, response)

    def _play_next(self, request: Any, response: Any) -> Any:
        stepped = self.playback.step()
        return answered(response, stepped, "one message more" if stepped else "not paused")


def main(arguments: list[str] | None = None) -> None:
    """Run the player: `python -m mono3d_kd_ros.bag_player --ros-args -p bag:=PATH -p rate:=0.5`."""
    sys.exit(process.run(BagPlayer, arguments))


if __name__ == "__main__":
    main()
