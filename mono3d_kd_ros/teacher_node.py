"""The LiDAR teacher as a node: images and clouds in, detections and stored targets out."""

from __future__ import annotations

import json
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rclpy.qos import QoSProfile, ReliabilityPolicy, qos_profile_sensor_data
from sensor_msgs.msg import CameraInfo, PointCloud2
from std_msgs.msg import Header
from vision_msgs.msg import Detection3DArray
from visualization_msgs.msg import MarkerArray

from mono3d_kd_core.errors import CalibrationError, DataError
from mono3d_kd_core.frames import SensorFrame
from mono3d_kd_core.geometry.tree import TransformError
from mono3d_kd_core.io.files import write_atomically
from mono3d_kd_core.io.rig import RigFile, Sync, Topics
from mono3d_kd_ros import messages
from mono3d_kd_ros.inputs.camera_input import is_rectified
from mono3d_kd_ros.inputs.subscriptions import image_type, subscribe
from mono3d_kd_ros.inputs.transform_input import TransformInput
from mono3d_kd_ros.markers import markers_message
from mono3d_kd_ros.node import process
from mono3d_kd_ros.node.delays import DelayOutputs
from mono3d_kd_ros.node.diagnostics import WARN, Condition, Finding, Limits
from mono3d_kd_ros.node.frame_node import FrameNode, Refused
from mono3d_kd_ros.node.worker import Worker
from mono3d_kd_ros.settings import TeacherSettings
from mono3d_kd_ros.teacher.bundle import TeacherBundle, load_bundle
from mono3d_kd_ros.teacher.cloud_check import CloudCheck
from mono3d_kd_ros.teacher.end_of_replay import EndOfReplay
from mono3d_kd_ros.teacher.labelling import Labelling
from mono3d_kd_ros.teacher.player_control import PlayerControl
from mono3d_kd_ros.teacher.rig_input import FrameNumbers, RigInput, Sighting, bag_of

ON_THE_WAY = 64
"""Frames that may still come after the player was asked to hold."""


class TeacherNode(FrameNode[TeacherSettings]):
    """Subscribes to `image`, `camera_info`, `points` and tf; publishes `~/detections` and `~/markers`, stores targets.

    Detections have the header of the image, so that they compare with the student's. Each image becomes a stored frame or
    is counted as dropped with a reason. In the mode lossless the player is held while too many frames wait.
    """

    def __init__(self, load: Callable[[TeacherSettings], TeacherBundle] = load_bundle, **node_options: Any) -> None:
        super().__init__("teacher_node", TeacherSettings, **node_options)
        self._load = load
        self._labelling: Labelling | None = None
        self._cloud_check: CloudCheck | None = None
        self._numbers: FrameNumbers | None = None
        self._rig: RigFile | None = None
        self._input: RigInput | None = None
        self._player: PlayerControl | None = None
        self._end: EndOfReplay | None = None
        self._finished: threading.Event | None = None
        self._cloud_drops: dict[str, int] = {}
        self._pauses = 0

    def start(self, finished: threading.Event) -> None:
        """Begin; `finished` is set at the end of the replay, if the parameters say so."""
        self._finished = finished
        super().start(finished)

    def close(self) -> int:
        """End in order, and give the account of all frames."""
        code = super().close()
        text = json.dumps(self.account())
        self.get_logger().info(f"account {text}")
        summary = self.get_parameter("summary").value
        if summary:
            write_atomically(Path(summary), (text + "\n").encode())
        return code

    def configure(self) -> None:
        """Load the teacher, open the store and create the outputs."""
        s = self.settings
        bag = bag_of(s.bag, s.rig)
        self._rig = bag.rig_file if bag is not None else self._own_rig()
        bundle = self._load(s)
        self._labelling = Labelling(bundle.teacher, s)
        self._cloud_check = CloudCheck(bundle.lidar, self.get_logger().warning)
        self._numbers = FrameNumbers(bag, first=self._labelling.next_number)
        self.statistics.late_after = float("inf") if s.mode == "lossless" else s.late_after
        self.outputs = {
            "detections": self.create_publisher(Detection3DArray, "~/detections", 10),
            "markers": self.create_publisher(MarkerArray, "~/markers", 10),
        }
        self.delays = DelayOutputs(self)

    def _own_rig(self) -> RigFile:
        """Return the rig of the rig file, or of the topics that the node listens to."""
        if self.settings.rig:
            return RigFile.load(Path(self.settings.rig))
        names = (self.resolve_topic_name(name) for name in ("image", "camera_info", "points"))
        image, info, points = names
        return RigFile(
            topics=Topics(image=image, camera_info=info, points=points),
            rectified=is_rectified(image, self.settings.image_is_rectified),
            sync=Sync(tolerance=self.settings.sync_tolerance),
        )

    def activate(self) -> None:
        """Listen to camera, LiDAR, tf and the player."""
        assert self._rig is not None
        assert self._numbers is not None
        s = self.settings
        lossless = s.mode == "lossless"
        capacity = s.queue + (ON_THE_WAY if lossless else 0)
        self.worker = Worker(self._work_and_tell, self._drop, capacity, "newest", "teacher")
        self._input = RigInput(self._rig, self._numbers, self._on_sighting, self.refuse)
        self.transforms = TransformInput(self)
        player = f"/{s.player.lstrip('/')}"  # one player for all namespaces
        self._player = PlayerControl(self, player, s.queue, s.queue // 2) if lossless else None
        self._end = EndOfReplay(self, player, self._on_end)
        qos = QoSProfile(depth=100, reliability=ReliabilityPolicy.RELIABLE) if lossless else qos_profile_sensor_data
        kind = image_type(self.resolve_topic_name("image"), s.compressed)
        self.inputs = [
            subscribe(self, CameraInfo, "camera_info", self._input.add_camera_info, qos),
            subscribe(self, kind, "image", self._on_image, qos, lost=self.statistics.lose),
            subscribe(self, PointCloud2, "points", self._input.add_points, qos),
        ]

    def deactivate(self) -> None:
        """Stop listening; in the mode lossless all that has come is still answered."""
        self.stop_listening()
        if self._end is not None:
            self._end.close()
        if self._input is not None:
            self._input.flush()
            self._cloud_drops = self._input.cloud_drops
            self._input = None
        if self.worker is not None:
            self.worker.stop(finish=self.settings.mode == "lossless")
            self.worker = None
        self._end = None
        if self._player is not None:
            self._player.close()
            self._pauses += self._player.pauses
            self._player = None
        self.stop_transforms()

    def cleanup(self) -> None:
        """Free the teacher and the outputs, and finish the store."""
        super().cleanup()
        if self._labelling is not None:
            labelling, self._labelling = self._labelling, None
            labelling.close()
        self._cloud_check = self._numbers = None

    def _on_image(self, message: Any) -> None:
        self.statistics.receive()
        if self._input is not None:
            self._input.add_image(message, time.monotonic())

    def _on_sighting(self, sighting: Sighting) -> None:
        if self.worker is not None:
            self.worker.put(sighting)
            self._tell_player()

    def _drop(self, sighting: Sighting, reason: str) -> None:
        self.statistics.drop(reason)

    def _work_and_tell(self, sighting: Sighting) -> None:
        self.work(sighting)
        self._tell_player()
        self._leave_at_end()

    def _tell_player(self) -> None:
        if self._player is not None and self.worker is not None:
            self._player.update(len(self.worker))

    def _on_end(self) -> None:
        """Answer the last pair too, which otherwise waits for a message that might be nearer in time."""
        if self._input is not None:
            self._input.flush()
        self._leave_at_end()

    def _leave_at_end(self) -> None:
        ended = self._end is not None and self._end.reached
        if ended and self.statistics.in_work == 0 and self.settings.exit_at_end and self._finished is not None:
            self._finished.set()

    def answer(self, item: Sighting) -> None:
        """Let the teacher look at one frame, store and publish what it says; what is stored already is published again."""
        assert self._labelling is not None
        assert self._cloud_check is not None
        frame = self._frame(item)
        self._cloud_check.look(frame.points)
        known = self._labelling.stored(frame)
        boxes = self._labelling.label(frame) if known is None else known
        header = Header(stamp=item.image.header.stamp, frame_id=item.camera_frame)
        T = messages.optical_from_picture(item.camera)
        self.outputs["detections"].publish(messages.detections_message(boxes, header, T))
        if self.watched("markers"):
            self.outputs["markers"].publish(markers_message(boxes, header, T))
        if known is not None:
            raise Refused("already_stored", "")

    def _frame(self, item: Sighting) -> SensorFrame:
        assert self._rig is not None
        assert self.transforms is not None
        T = self._rig.extrinsics()
        try:
            if T is None:
                timeout = self.settings.transform_timeout
                T = self.transforms.lookup(item.camera_frame, item.lidar_frame, item.stamp, timeout)
            return item.frame(T)
        except TransformError as error:
            raise Refused("no_transform", str(error)) from error
        except CalibrationError as error:
            raise Refused("no_calibration", str(error)) from error
        except DataError as error:
            raise Refused("undecodable", str(error)) from error

    def limits(self) -> Limits:
        """Return when the flow of frames is worth a warning; a player that is held is silent on purpose."""
        return Limits(float("inf"), float("inf")) if self.settings.mode == "lossless" else super().limits()

    def account(self) -> dict[str, Any]:
        """Return what became of every image: received = processed + the sum of dropped, once all is worked off."""
        frames = self.statistics.snapshot()
        return {
            "received": frames.received, "processed": frames.published, "dropped": frames.dropped,
            "lost_on_the_way": frames.lost, "clouds_dropped": self._cloud_drops, "pauses": self._pauses,
            "processing_ms": asdict(frames.processing),
        }  # fmt: skip

    def condition(self) -> Condition:
        """Tell how the frames flow, what waits, whether the player obeys, and whether the LiDAR is like the trained one."""
        values = {"model": self.get_parameter("model").value, "out": self.get_parameter("out").value}
        findings = []
        if self._labelling is not None:
            values |= self._labelling.model
        if self._cloud_check is not None:
            findings = [Finding(WARN, remark) for remark in self._cloud_check.remarks]
        if self._input is not None:
            values |= {f"clouds dropped: {reason}": str(n) for reason, n in self._input.cloud_drops.items()}
            values["sync error [ms]"] = f"{self._input.sync_error_ms:.2f}"
            if self._input.waiting_for_camera:
                findings.append(Finding(WARN, "no CameraInfo yet"))
        if self.worker is not None:
            values["frames waiting"] = str(len(self.worker))
        ended = self._end is not None and self._end.reached
        if self._player is not None and self._player.unanswered and not ended:
            findings.append(Finding(WARN, f"the mode is lossless, but there is no player {self._player.name} to hold"))
        return self.flow(findings, values)


def main(arguments: list[str] | None = None) -> None:
    """Run the node: `python -m mono3d_kd_ros.teacher_node --ros-args -p model:=BUNDLE -p out:=TARGETS -r points:=/lidar`."""
    sys.exit(process.run(TeacherNode, arguments))


if __name__ == "__main__":
    main()
