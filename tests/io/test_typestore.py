"""The message types in bags are the official ones, as kept for ROS in interfaces/."""

from __future__ import annotations

from rosbags.typesys import Stores, get_types_from_msg, get_typestore

from mono3d_kd_core.io.typestore import ROS2_TYPES, ros1_types, ros2_types
from tests.conftest import REPOSITORY


def test_detections_have_the_type_hash_of_the_interface_files() -> None:
    kept = get_typestore(Stores.ROS2_KILTED)
    for name in ROS2_TYPES:
        package, _, type_ = name.split("/")
        kept.register(get_types_from_msg((REPOSITORY / "interfaces" / package / "msg" / f"{type_}.msg").read_text(), name))
    for name in ROS2_TYPES:
        assert ros2_types().hash_rihs01(name) == kept.hash_rihs01(name)


def test_ros_1_s_transforms_have_the_official_digest() -> None:
    # `rosmsg md5 tf2_msgs/TFMessage` and `rosmsg md5 tf/tfMessage`.
    for name in ("tf2_msgs/msg/TFMessage", "tf/msg/tfMessage"):
        assert ros1_types().generate_msgdef(name)[1] == "94810edda583a504dfda3829e70d7eec"
