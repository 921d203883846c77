"""The message types that bags are read and written with, without any ROS installation."""

from __future__ import annotations

from functools import cache

from rosbags.typesys import Stores, get_types_from_msg, get_typestore
from rosbags.typesys.store import Typestore

ROS1_TYPES = {
    "tf2_msgs/msg/TFMessage": "geometry_msgs/TransformStamped[] transforms",
    "tf/msg/tfMessage": "geometry_msgs/TransformStamped[] transforms",
}
"""What ROS 1 bags carry besides the common messages."""

ROS2_TYPES = {
    "vision_msgs/msg/ObjectHypothesis": "string class_id\nfloat64 score",
    "vision_msgs/msg/ObjectHypothesisWithPose": "ObjectHypothesis hypothesis\ngeometry_msgs/PoseWithCovariance pose",
    "vision_msgs/msg/BoundingBox3D": "geometry_msgs/Pose center\ngeometry_msgs/Vector3 size",
    "vision_msgs/msg/Detection3D": (
        "std_msgs/Header header\nObjectHypothesisWithPose[] results\nBoundingBox3D bbox\nstring id"
    ),
    "vision_msgs/msg/Detection3DArray": "std_msgs/Header header\nDetection3D[] detections",
}
"""The part of vision_msgs 4.1 that detections need; no type store of rosbags has it."""


@cache
def ros1_types() -> Typestore:
    """Return the types of ROS 1 Noetic, with tf's."""
    return _with(get_typestore(Stores.ROS1_NOETIC), ROS1_TYPES)


@cache
def ros2_types() -> Typestore:
    """Return the types of ROS 2 Kilted, with vision_msgs' detections."""
    return _with(get_typestore(Stores.ROS2_KILTED), ROS2_TYPES)


def _with(store: Typestore, definitions: dict[str, str]) -> Typestore:
    for name, definition in definitions.items():
        store.register(get_types_from_msg(definition, name))
    return store
