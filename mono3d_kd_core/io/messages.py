"""Values as the messages of rosbags' ROS 2 type store, for writing bags."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from mono3d_kd_core.geometry.boxes import Boxes3D
from mono3d_kd_core.geometry.camera import CameraModel
from mono3d_kd_core.geometry.rigid import T_CAMERA_BODY, Matrix, to_pose
from mono3d_kd_core.io.cloud_codec import encode_cloud
from mono3d_kd_core.io.image_codec import encode_compressed, encode_image
from mono3d_kd_core.io.typestore import ros2_types


def message(name: str, /, **fields: Any) -> Any:
    """Build a message by the short name of its type, such as sensor_msgs/Image."""
    return ros2_types().types[name.replace("/", "/msg/")](**fields)


def header(stamp: int, frame: str) -> Any:
    """Return a header; `stamp` in ns."""
    seconds, nanoseconds = divmod(stamp, 1_000_000_000)
    time = message("builtin_interfaces/Time", sec=seconds, nanosec=nanoseconds)
    return message("std_msgs/Header", stamp=time, frame_id=frame)


def image_message(image: NDArray[np.uint8], stamp: int, frame: str) -> Any:
    """Return a picture (H,W,3) RGB as sensor_msgs/Image, rgb8."""
    data, step = encode_image(image)
    height, width = image.shape[:2]
    return message(
        "sensor_msgs/Image", header=header(stamp, frame), height=height, width=width, encoding="rgb8",
        is_bigendian=0, step=step, data=np.frombuffer(data, np.uint8),
    )  # fmt: skip


def jpeg_message(image: NDArray[np.uint8], stamp: int, frame: str, quality: int = 95) -> Any:
    """Return a picture (H,W,3) RGB as sensor_msgs/CompressedImage, named as image_transport does."""
    data = np.frombuffer(encode_compressed(image, "jpeg", quality), np.uint8)
    described = "rgb8; jpeg compressed bgr8"
    return message("sensor_msgs/CompressedImage", header=header(stamp, frame), format=described, data=data)


def camera_info_message(camera: CameraModel, stamp: int, frame: str) -> Any:
    """Return a camera as sensor_msgs/CameraInfo; without distortion it is a plumb_bob of zeros."""
    bends = camera.distortion != "none"
    return message(
        "sensor_msgs/CameraInfo", header=header(stamp, frame), height=camera.height, width=camera.width,
        distortion_model=camera.distortion if bends else "plumb_bob", d=camera.D if bends else np.zeros(5),
        k=camera.K.ravel(), r=camera.R.ravel(), p=camera.P.ravel(), binning_x=0, binning_y=0,
        roi=message("sensor_msgs/RegionOfInterest", x_offset=0, y_offset=0, height=0, width=0, do_rectify=False),
    )  # fmt: skip


def points_message(points: NDArray[np.float32], stamp: int, frame: str) -> Any:
    """Return points (N,4) x y z intensity as sensor_msgs/PointCloud2."""
    cloud = encode_cloud(points)
    fields = [
        message("sensor_msgs/PointField", name=f.name, offset=f.offset, datatype=f.datatype, count=f.count)
        for f in cloud.fields
    ]
    return message(
        "sensor_msgs/PointCloud2", header=header(stamp, frame), height=1, width=cloud.width, fields=fields,
        is_bigendian=False, point_step=cloud.point_step, row_step=cloud.point_step * cloud.width,
        data=np.frombuffer(cloud.data, np.uint8), is_dense=True,
    )  # fmt: skip


def transform_message(parent: str, child: str, T_parent_child: Matrix, stamp: int) -> Any:
    """Return one transform as tf2_msgs/TFMessage."""
    position, quaternion = to_pose(T_parent_child)
    transform = message(
        "geometry_msgs/Transform", translation=_xyz("Vector3", position), rotation=_quaternion(quaternion)
    )
    stamped = message(
        "geometry_msgs/TransformStamped", header=header(stamp, parent), child_frame_id=child, transform=transform
    )
    return message("tf2_msgs/TFMessage", transforms=[stamped])


def detections_message(
    boxes: Boxes3D, stamp: int, frame: str, T_frame_boxes: Matrix = T_CAMERA_BODY
) -> Any:
    """Return boxes as vision_msgs/Detection3DArray, one hypothesis each; class_id is the class name.

    T_frame_boxes maps the boxes' frame into `frame`; the default is that of boxes in "camera" and the optical frame.
    Where depth_std is known, it is the covariance along the viewing ray, row-major 6x6.
    """
    positions, quaternions = boxes.poses(T_frame_boxes)
    detections = []
    for i in range(len(boxes)):
        pose = message("geometry_msgs/Pose", position=_xyz("Point", positions[i]), orientation=_quaternion(quaternions[i]))
        covariance = np.zeros((6, 6))
        covariance[:3, :3] = _along(positions[i], boxes.depth_std[i])
        hypothesis = message("vision_msgs/ObjectHypothesis", class_id=str(boxes.label[i]), score=float(boxes.score[i]))
        result = message(
            "vision_msgs/ObjectHypothesisWithPose", hypothesis=hypothesis,
            pose=message("geometry_msgs/PoseWithCovariance", pose=pose, covariance=covariance.ravel()),
        )  # fmt: skip
        bbox = message("vision_msgs/BoundingBox3D", center=pose, size=_xyz("Vector3", boxes.size[i]))
        detections.append(
            message("vision_msgs/Detection3D", header=header(stamp, frame), results=[result], bbox=bbox, id="")
        )
    return message("vision_msgs/Detection3DArray", header=header(stamp, frame), detections=detections)


def _along(position: Matrix, std: float) -> Matrix:
    """Return the (3,3) covariance of an uncertainty of `std` metres along the ray to `position`; zero where unknown."""
    length = np.linalg.norm(position)
    if not (np.isfinite(std) and length > 0):
        return np.zeros((3, 3))
    ray = position / length
    return np.asarray(std**2 * np.outer(ray, ray))


def _xyz(type_: str, values: Matrix) -> Any:
    x, y, z = map(float, values)
    return message(f"geometry_msgs/{type_}", x=x, y=y, z=z)


def _quaternion(values: Matrix) -> Any:
    x, y, z, w = map(float, values)
    return message("geometry_msgs/Quaternion", x=x, y=y, z=z, w=w)
