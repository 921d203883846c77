"""The camera-only detector as a node: images in, detections out."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rclpy.qos import DurabilityPolicy, QoSProfile
from sensor_msgs.msg import CameraInfo, CompressedImage, Image
from std_msgs.msg import Header
from vision_msgs.msg import Detection3DArray, LabelInfo, VisionInfo
from visualization_msgs.msg import MarkerArray

from mono3d_kd_core.drawing import draw_boxes
from mono3d_kd_core.errors import DataError
from mono3d_kd_core.geometry.boxes import Boxes3D
from mono3d_kd_core.geometry.camera import CameraModel
from mono3d_kd_core.geometry.rigid import Matrix
from mono3d_kd_ros import messages
from mono3d_kd_ros.inputs.camera_input import CameraInput, is_rectified
from mono3d_kd_ros.inputs.subscriptions import image_type, subscribe
from mono3d_kd_ros.inputs.transform_input import TransformInput
from mono3d_kd_ros.markers import markers_message
from mono3d_kd_ros.node import process
from mono3d_kd_ros.node.delays import DelayOutputs
from mono3d_kd_ros.node.diagnostics import ERROR, WARN, Condition, Finding
from mono3d_kd_ros.node.frame_node import FrameNode, Refused
from mono3d_kd_ros.node.managed_node import describe
from mono3d_kd_ros.node.worker import Worker
from mono3d_kd_ros.settings import StudentSettings
from mono3d_kd_ros.student.bundle_swap import BundleSwap
from mono3d_kd_ros.student.live_model import ImageDetector, LiveModel, load_detector
from mono3d_kd_ros.student.placement import Placement

FIRST_CAMERA_INFO_S = 0.3
"""Drivers publish the first image just before the first CameraInfo; it is worth waiting this long for it."""


@dataclass(frozen=True)
class ImageArrival:
    """An image message and the moment it arrived, in seconds of the steady clock."""

    message: Image | CompressedImage
    arrived: float


class StudentNode(FrameNode[StudentSettings]):
    """Subscribes to `image` and `camera_info`, publishes `~/detections`, `~/markers`, `~/overlay` and diagnostics.

    The executor's thread only takes messages in; the network runs on a thread of its own, on the latest image. Each image
    is answered by one array, also an empty one, or counted as dropped with a reason.
    """

    def __init__(self, load: Callable[[StudentSettings], ImageDetector] = load_detector, **node_options: Any) -> None:
        super().__init__("student_node", StudentSettings, **node_options)
        self._load = load
        self._model: LiveModel | None = None
        self._camera: CameraInput | None = None
        self._camera_warnings: list[str] = []
        self._swap = BundleSwap(self, lambda: self._model, self._on_swap)

    def configure(self) -> None:
        """Load and warm up the model, and create the outputs."""
        self._model = LiveModel(self._load, self.settings)
        self.statistics.late_after = self.settings.late_after
        latched = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
        self.outputs = {
            "detections": self.create_publisher(Detection3DArray, "~/detections", 10),
            "markers": self.create_publisher(MarkerArray, "~/markers", 10),
            "overlay": self.create_publisher(Image, "~/overlay", 2),
            "vision_info": self.create_publisher(VisionInfo, "~/vision_info", latched),
            "label_info": self.create_publisher(LabelInfo, "~/label_info", latched),
        }
        self.delays = DelayOutputs(self)

    def activate(self) -> None:
        """Listen to the camera, and tell what will be published."""
        image_topic, info_topic = self.resolve_topic_name("image"), self.resolve_topic_name("camera_info")
        rectified = is_rectified(image_topic, self.settings.image_is_rectified)
        self._camera = CameraInput(info_topic, rectified, self._on_camera)
        self.worker = Worker(self.work, lambda arrival, reason: self.statistics.drop(reason), name="inference")
        if self.settings.target_frame or self.settings.ground_frame:
            self.transforms = TransformInput(self)
        kind = image_type(image_topic, self.settings.compressed)
        self.inputs = [
            subscribe(self, CameraInfo, "camera_info", self._camera.take),
            subscribe(self, kind, "image", self._on_image, lost=self.statistics.lose),
        ]
        self._publish_infos()
        which = "P of the CameraInfo (rectified)" if rectified else "K and D of the CameraInfo (raw)"
        self.get_logger().info(f"listening to {image_topic} with {which} on {info_topic}")

    def deactivate(self) -> None:
        """Stop listening; the frame in work is still answered, one that waits is counted as stopped."""
        self.stop_listening()
        if self.worker is not None:
            self.worker.stop()
            self.worker = None
        self.stop_transforms()
        self._camera = None

    def cleanup(self) -> None:
        """Free the model and the outputs."""
        super().cleanup()
        if self._model is not None:
            self._model.close()
            self._model = None
        self._camera_warnings = []

    def _on_camera(self, camera: CameraModel, frame: str) -> None:
        assert self._model is not None
        self._camera_warnings = self._model.detector.check_camera(camera)
        self.get_logger().info(f"calibration of {frame or 'a camera without a frame id'}: {self._camera}")
        for warning in self._camera_warnings:
            self.get_logger().warning(warning)

    def _on_image(self, message: Image | CompressedImage) -> None:
        self.statistics.receive()
        if self.settings.skip_unwatched and not self.watched("detections", "markers", "overlay"):
            self.statistics.drop("nobody_listens")
        elif self.worker is not None:
            self.worker.put(ImageArrival(message, time.monotonic()))

    def answer(self, item: ImageArrival) -> None:
        """Detect in one image and publish what is found."""
        assert self._model is not None
        assert self._camera is not None
        message, detector, camera = item.message, self._model.detector, _known(self._camera)
        image = _decode(message)
        if image.shape[:2] != (camera.height, camera.width):
            sizes = f"the image is {image.shape[1]}x{image.shape[0]}, its CameraInfo {camera.width}x{camera.height}"
            raise Refused("size_mismatch", sizes)
        camera_frame = message.header.frame_id or self._camera.frame
        placement = Placement(self.settings, self.transforms)
        T_camera_ground = placement.over_ground(message.header, camera_frame)
        pose = None if T_camera_ground is None else detector.over_ground(T_camera_ground)
        boxes = self._chosen(_detect(detector, image, camera, pose), detector)
        header, T = placement.of_detections(message.header, camera_frame)
        self.outputs["detections"].publish(messages.detections_message(boxes, header, T))
        if self.watched("markers"):
            self.outputs["markers"].publish(markers_message(boxes, header, T))
        if self.watched("overlay"):
            self.outputs["overlay"].publish(messages.image_message(draw_boxes(image, boxes, camera), message.header))

    def _chosen(self, boxes: Boxes3D, detector: ImageDetector) -> Boxes3D:
        """Apply the live thresholds; boxes come best first."""
        return boxes[boxes.score >= self._score_threshold(detector)][: self.get_parameter("max_detections").value]

    def _score_threshold(self, detector: ImageDetector) -> float:
        """The threshold in force: the parameter, or the card's where that is negative."""
        chosen = float(self.get_parameter("score_threshold").value)
        return chosen if chosen >= 0 else detector.card.score_threshold

    def _publish_infos(self) -> None:
        assert self._model is not None
        detector = self._model.detector
        card = detector.card
        header = Header(stamp=self.get_clock().now().to_msg())
        location = f"{self.get_fully_qualified_name()}/label_info"
        self.outputs["vision_info"].publish(messages.vision_info_message(card.architecture, location, header))
        label_info = messages.label_info_message(card.classes, max(0.0, self._score_threshold(detector)), header)
        self.outputs["label_info"].publish(label_info)

    def _on_swap(self) -> None:
        """Tell what is different with another bundle."""
        assert self._model is not None
        if self._camera is not None and (camera := self._camera.wait(0.0)) is not None:
            self._camera_warnings = self._model.detector.check_camera(camera)
        self._publish_infos()

    def condition(self) -> Condition:
        """Tell how the frames flow, whether the camera is calibrated, and which model runs."""
        values = {"model": self.get_parameter("model").value, "calibration": str(self._camera)}
        if self._model is not None:
            card = self._model.detector.card
            values |= {"model": self._model.settings.model, "models replaced": str(self._model.replaced)}
            values |= {"model hash": card.weights_sha256, "architecture": card.architecture}
        findings = [Finding(WARN, warning) for warning in self._camera_warnings]
        if self._camera is not None and self._camera.error:
            findings.append(Finding(ERROR, self._camera.error))
        elif self._camera is not None and not self._camera.missing and not self._camera.frame:
            findings.append(Finding(WARN, f"{self._camera.topic} has an empty frame_id"))
        return self.flow(findings, values)


def _known(camera_input: CameraInput) -> CameraModel:
    """Return the camera; raise Refused where none has come, or one that cannot be used."""
    camera = camera_input.wait(FIRST_CAMERA_INFO_S)
    if camera is None:
        raise Refused("no_camera_info" if camera_input.missing else "bad_camera_info", str(camera_input))
    return camera


def _detect(detector: ImageDetector, image: NDArray[np.uint8], camera: CameraModel, pose: Matrix | None) -> Boxes3D:
    try:
        boxes = detector.detect(image, camera, pose)
    except Exception as error:
        raise Refused("detector_error", describe(error)) from error
    if not all(np.isfinite(column).all() for column in (boxes.centre, boxes.size, boxes.yaw, boxes.score)):
        raise Refused("not_finite", "the detector's boxes hold numbers that are not finite")
    return boxes


def _decode(message: Image | CompressedImage) -> NDArray[np.uint8]:
    try:
        return messages.image_array(message)
    except DataError as error:
        raise Refused("bad_image", str(error)) from error


def main(arguments: list[str] | None = None) -> None:
    """Run the node: `python -m mono3d_kd_ros.student_node --ros-args -p model:=BUNDLE -r image:=/camera/image_rect`."""
    sys.exit(process.run(StudentNode, arguments))


if __name__ == "__main__":
    main()
