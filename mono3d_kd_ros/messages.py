"""Every conversion between ROS messages and the core's values; markers are in `markers.py`."""

from __future__ import annotations

import array
from collections.abc import Sequence

import numpy as np
from builtin_interfaces.msg import Time
from geometry_msgs.msg import Point, Pose, Quaternion, Transform, TransformStamped, Vector3
from numpy.typing import NDArray
from sensor_msgs.msg import CameraInfo, CompressedImage, Image, PointCloud2, PointField
from std_msgs.msg import Header
from tf2_msgs.msg import TFMessage
from vision_msgs.msg import Detection3D, Detection3DArray, LabelInfo, ObjectHypothesisWithPose, VisionClass, VisionInfo

from mono3d_kd_core.geometry.boxes import Boxes3D
from mono3d_kd_core.geometry.camera import CameraModel
from mono3d_kd_core.geometry.camera_info import Window, from_camera_info
from mono3d_kd_core.geometry.rigid import (
    T_CAMERA_BODY,
    Matrix,
    apply,
    inverse,
    rotation_from_quaternion,
    transform,
)
from mono3d_kd_core.io.cloud_codec import DecodedCloud, encode_cloud
from mono3d_kd_core.io.image_codec import encode_image
from mono3d_kd_ros import compat


def nanoseconds(stamp: Time) -> int:
    """Return a stamp as integer nanoseconds."""
    return int(stamp.sec) * 1_000_000_000 + int(stamp.nanosec)


def time_message(stamp: int) -> Time:
    """Return integer nanoseconds as a stamp."""
    return Time(sec=stamp // 1_000_000_000, nanosec=stamp % 1_000_000_000)


def image_array(message: Image | CompressedImage) -> NDArray[np.uint8]:
    """Return the picture (H,W,3) uint8 RGB of a raw or compressed image. Raises DataError in words."""
    return compat.rgb(message)


def image_message(image: NDArray[np.uint8], header: Header) -> Image:
    """Return a picture (H,W,3) uint8 RGB as rgb8."""
    data, step = encode_image(image, "rgb8")
    height, width = image.shape[:2]
    return Image(header=header, height=height, width=width, encoding="rgb8", step=step, data=array.array("B", data))


def camera_model(message: CameraInfo, rectified: bool, topic: str = "camera_info") -> CameraModel:
    """Return the camera of the image that comes with a CameraInfo: P and R for a rectified one, else K and D.

    Binning and region of interest are applied. Raises CalibrationError, naming the topic, where it cannot be used.
    """
    roi = message.roi
    return from_camera_info(
        message.width, message.height, message.distortion_model, message.d, message.k, message.r, message.p,
        binning=(message.binning_x, message.binning_y), roi=Window(roi.x_offset, roi.y_offset, roi.width, roi.height),
        rectified=rectified, name=topic,
    )  # fmt: skip


def camera_info_message(camera: CameraModel, header: Header) -> CameraInfo:
    """Return the CameraInfo of a camera at full resolution; no distortion is written as plumb_bob with zeros."""
    model, D = (camera.distortion, camera.D) if camera.distortion != "none" else ("plumb_bob", np.zeros(5))
    return CameraInfo(
        header=header, width=camera.width, height=camera.height, distortion_model=model, d=D.tolist(),
        k=camera.K.ravel(), r=camera.R.ravel(), p=camera.P.ravel(),
    )  # fmt: skip


def cloud(message: PointCloud2) -> DecodedCloud:
    """Return the points (N,4) float32 x y z intensity of a cloud with any field layout. Raises DataError in words."""
    return compat.points(message)


def cloud_message(points: NDArray[np.float32], header: Header) -> PointCloud2:
    """Return points (N,4) x y z intensity as an unorganised cloud of float32."""
    encoded = encode_cloud(points)
    fields = [PointField(name=f.name, offset=f.offset, datatype=f.datatype, count=f.count) for f in encoded.fields]
    return PointCloud2(
        header=header, height=1, width=encoded.width, fields=fields, is_bigendian=False, is_dense=True,
        point_step=encoded.point_step, row_step=len(encoded.data), data=array.array("B", encoded.data),
    )  # fmt: skip


def transforms(message: TFMessage) -> list[tuple[str, str, int, Matrix]]:
    """Return parent frame, child frame, stamp in ns and T_parent_child (4,4) of every transform in the message.

    Raises CalibrationError for a quaternion of length zero.
    """
    return [
        (t.header.frame_id, t.child_frame_id, nanoseconds(t.header.stamp), _matrix(t.transform)) for t in message.transforms
    ]


def transform_message(T_parent_child: Matrix, parent: str, child: str, stamp: int) -> TransformStamped:
    """Return a rigid (4,4) transform as a stamped message."""
    position, orientation = T_parent_child[:3, 3], compat.quaternion_from_matrix(T_parent_child)
    message = TransformStamped(header=Header(frame_id=parent, stamp=time_message(stamp)), child_frame_id=child)
    message.transform.translation = Vector3(x=position[0], y=position[1], z=position[2])
    message.transform.rotation = _quaternion(orientation)
    return message


def optical_from_picture(camera: CameraModel) -> Matrix:
    """Return the transform of the picture's z-up body frame into the optical frame that CameraInfo names.

    They differ by the rectification R of a stereo camera, which the core's rigs take into the extrinsics.
    """
    return transform(camera.R.T if camera.rectified else np.eye(3), np.zeros(3)) @ T_CAMERA_BODY


def detections_message(boxes: Boxes3D, header: Header, T_target_boxes: Matrix = T_CAMERA_BODY) -> Detection3DArray:
    """Return boxes as detections in the header's frame, into which `T_target_boxes` (4,4) maps the boxes' frame.

    The pose's x axis is along the heading, and size is length, width, height along its axes. Each detection has one
    hypothesis: the class name, the score, and the pose with a 6x6 row-major covariance: the variance of the range along
    the ray from the boxes' origin, m^2, zero where it is unknown; nothing is claimed of the other directions.
    """
    positions, orientations = boxes.poses(T_target_boxes)
    covariances = _range_covariance(boxes, positions - T_target_boxes[:3, 3])
    detections = []
    for i in range(len(boxes)):
        pose = Pose(position=_point(positions[i]), orientation=_quaternion(orientations[i]))
        result = ObjectHypothesisWithPose()
        result.hypothesis.class_id = str(boxes.label[i])
        result.hypothesis.score = float(boxes.score[i])
        result.pose.pose = pose
        result.pose.covariance = covariances[i].ravel()
        detection = Detection3D(header=header, results=[result])
        detection.bbox.center = pose
        detection.bbox.size = Vector3(x=boxes.size[i, 0], y=boxes.size[i, 1], z=boxes.size[i, 2])
        detections.append(detection)
    return Detection3DArray(header=header, detections=detections)


def boxes_of(message: Detection3DArray, T_target_boxes: Matrix = T_CAMERA_BODY, frame: str = "camera") -> Boxes3D:
    """Return detections as boxes in the z-up `frame`, which `T_target_boxes` maps into the message's frame."""
    found = message.detections
    if not found:
        return Boxes3D.empty(frame)
    T = inverse(T_target_boxes)
    centres = [d.bbox.center for d in found]
    positions = np.array([[c.position.x, c.position.y, c.position.z] for c in centres])
    headings = np.array([rotation_from_quaternion(_xyzw(c.orientation))[:, 0] for c in centres]) @ T[:3, :3].T
    size = np.array([[d.bbox.size.x, d.bbox.size.y, d.bbox.size.z] for d in found])
    best = [d.results[0] for d in found]
    variance = np.array([np.trace(np.reshape(r.pose.covariance, (6, 6))[:3, :3]) for r in best])
    return Boxes3D(
        apply(T, positions), size, np.arctan2(headings[:, 1], headings[:, 0]),
        np.array([r.hypothesis.class_id for r in best]), np.array([r.hypothesis.score for r in best]),
        np.where(variance > 0, np.sqrt(np.maximum(variance, 0)), np.nan), frame,
    )  # fmt: skip


def label_info_message(classes: Sequence[str], threshold: float, header: Header) -> LabelInfo:
    """Return the classes, numbered in order, and the score below which nothing is published."""
    class_map = [VisionClass(class_id=i, class_name=name) for i, name in enumerate(classes)]
    return LabelInfo(header=header, class_map=class_map, threshold=float(threshold))


def vision_info_message(method: str, location: str, header: Header) -> VisionInfo:
    """Return what made the detections, and where its classes are described."""
    return VisionInfo(header=header, method=method, database_location=location, database_version=0)


def _range_covariance(boxes: Boxes3D, rays: Matrix) -> NDArray[np.float64]:
    """Covariances (N,6,6) with depth_std^2 r r^T in the block of the position, r (N,3) being scaled to unit length."""
    result = np.zeros((len(boxes), 6, 6))
    length = np.linalg.norm(rays, axis=1)
    known = np.isfinite(boxes.depth_std) & (length > 0)
    unit = rays[known] / length[known, None] * boxes.depth_std[known, None]
    result[known, :3, :3] = unit[:, :, None] * unit[:, None, :]
    return result


def _matrix(message: Transform) -> Matrix:
    t = message.translation
    T = compat.quaternion_matrix(np.array(_xyzw(message.rotation)))
    T[:3, 3] = t.x, t.y, t.z
    return T


def _xyzw(q: Quaternion) -> list[float]:
    return [q.x, q.y, q.z, q.w]


def _point(xyz: Matrix) -> Point:
    return Point(x=xyz[0], y=xyz[1], z=xyz[2])


def _quaternion(xyzw: Matrix) -> Quaternion:
    return Quaternion(x=xyzw[0], y=xyzw[1], z=xyzw[2], w=xyzw[3])
