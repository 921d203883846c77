"""The message packages made from `interfaces/` are the ones that every ROS 2 machine has."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import REPOSITORY

pytest.importorskip("rclpy", reason="ROS 2 is not in this environment")

# The type hashes (REP-2011) of the released packages, as in the .json type descriptions of vision_msgs 4.1 and tf2_msgs.
# Two nodes talk to each other only if these are equal.
RELEASED = {
    "vision_msgs/msg/BoundingBox2D": "008eacbb0cf8f26e83795547bed013eec3675485ef386ec056d80eaaf1c1ce2f",
    "vision_msgs/msg/BoundingBox2DArray": "2464e82838009386d371b523211c21c91d74d313fcdd6788223c531d621cf691",
    "vision_msgs/msg/BoundingBox3D": "bbb73a65c163d7f9bb29009c7bde9f7faa576bd2d23299c4511d19230dab4698",
    "vision_msgs/msg/BoundingBox3DArray": "a81938db9576b10c2eecd7c5a5da3eac496efd00221b25ed051dfbc81fb56da6",
    "vision_msgs/msg/Classification": "f74db28d0eaef3afb78f48bf2161cd709a1383a0309d3454383b25be11345143",
    "vision_msgs/msg/Detection2D": "0d12b69df5c593b3455b7346fac8205437a7d4bcb09b9e0e0b2dde787ded38ea",
    "vision_msgs/msg/Detection2DArray": "214274120007f4a683866481336b70310268cfa107aebe9d594a6acf75bda968",
    "vision_msgs/msg/Detection3D": "ddd703be132ab0b69d33121f1bb034132bfbb3b0ac5f9fb1516005ba1c8a265b",
    "vision_msgs/msg/Detection3DArray": "793f5eab9595ac1c0da07873cc859db42eae51f0ee76056db8562515d830e018",
    "vision_msgs/msg/LabelInfo": "3d37df4015cdf660cc851c51897f2acd957e1ca6205ba0a99aebffb9406b0783",
    "vision_msgs/msg/ObjectHypothesis": "51da43cec11c01957a64d1e05a24acd18aae7745ec30b74348ad5f6d634f7f90",
    "vision_msgs/msg/ObjectHypothesisWithPose": "41c12344c0396c48b81df12467c192d99b2a0eb1463c5c37194e4223251c80bc",
    "vision_msgs/msg/Point2D": "eab0e83f44ab4de92ceaf76dd7d0e7638f2bdd1d16ffbe16c7a136c48e407247",
    "vision_msgs/msg/Pose2D": "b0b5d1d7b4c20dd4fcde3ed1d4b289a919290572007d67a97043814db25d3648",
    "vision_msgs/msg/VisionClass": "1e4a11f0fed50b5623cb8ff26ca0e37952a48a9c074d16f804b44e9164c2037a",
    "vision_msgs/msg/VisionInfo": "95d3116a17484ad91c9a2686e1d54890bbfc3ff6c6a2de137738c4950d45d284",
    "tf2_msgs/msg/TF2Error": "db2485e7d6a0ec75bf087e058ee45df682acc3a621ca7780503d10aac141809a",
    "tf2_msgs/msg/TFMessage": "e369d0f05a23ae52508854b66f6aa0437f3449d652e8cbf22d5abe85d020f087",
    "tf2_msgs/srv/FrameGraph": "0d1fbc6222c018ba5f33822904a2fdd4063705289956d3fdde07cd8c50fe8067",
    "tf2_msgs/action/LookupTransform": "0b8adf6bc0b5958879e3265b41a457e03558fe523890a81252c70eba97a82c5d",
}


def share(package: str) -> Path:
    """Return where a message package keeps its descriptions, in a distro or in this environment."""
    from ament_index_python.packages import get_package_share_directory

    try:
        return Path(get_package_share_directory(package))
    except (LookupError, OSError):  # not in the index, or no distro is sourced
        return Path(sys.prefix) / "share" / package


@pytest.mark.parametrize("type_name", RELEASED)
def test_type_hash_is_the_released_one(type_name: str) -> None:
    package, kind, name = type_name.split("/")
    file = share(package) / kind / f"{name}.json"
    if not file.is_file():
        pytest.skip("this distro is older than type descriptions")
    hashes = {entry["type_name"]: entry["hash_string"] for entry in json.loads(file.read_text())["type_hashes"]}
    assert hashes[type_name] == f"RIHS01_{RELEASED[type_name]}"


def test_every_definition_is_checked() -> None:
    files = (REPOSITORY / "interfaces").glob("*/*/*.*")
    assert {"/".join([*file.parts[-3:-1], file.stem]) for file in files} == set(RELEASED)


def test_a_second_build_does_nothing() -> None:
    if not (Path(sys.prefix) / "share" / "vision_msgs" / "build-stamp").is_file():
        pytest.skip("the message packages of this environment come from a distro")
    script = REPOSITORY / "scripts" / "build_interfaces.py"
    run = subprocess.run([sys.executable, script], capture_output=True, text=True, timeout=100)
    assert run.stdout.splitlines() == ["tf2_msgs: up to date", "vision_msgs: up to date"], run.stderr


@pytest.mark.ros
def test_messages_services_and_actions_reach_a_node(ros_context: object) -> None:
    from geometry_msgs.msg import Vector3
    from rclpy.action import ActionClient, ActionServer
    from rclpy.executors import SingleThreadedExecutor
    from rclpy.node import Node
    from tf2_msgs.action import LookupTransform
    from tf2_msgs.srv import FrameGraph
    from vision_msgs.msg import Detection3D, Detection3DArray, ObjectHypothesisWithPose

    node = Node("interfaces", context=ros_context)
    executor = SingleThreadedExecutor(context=ros_context)
    executor.add_node(node)

    hypothesis = ObjectHypothesisWithPose()
    hypothesis.hypothesis.class_id, hypothesis.hypothesis.score = "Car", 0.75
    hypothesis.pose.covariance[0] = 0.5
    detection = Detection3D(id="7", results=[hypothesis])
    detection.bbox.size = Vector3(x=4.0, y=2.0, z=1.5)
    sent, received = Detection3DArray(detections=[detection]), []
    node.create_subscription(Detection3DArray, "detections", received.append, 10)
    publisher = node.create_publisher(Detection3DArray, "detections", 10)
    assert wait_until(executor, lambda: publisher.get_subscription_count() == 1)
    publisher.publish(sent)
    assert wait_until(executor, lambda: bool(received))
    assert received == [sent]

    def answer(_: FrameGraph.Request, response: FrameGraph.Response) -> FrameGraph.Response:
        response.frame_yaml = "camera: {parent: lidar}"
        return response

    node.create_service(FrameGraph, "graph", answer)
    client = node.create_client(FrameGraph, "graph")
    assert client.wait_for_service(10)
    reply = client.call_async(FrameGraph.Request())
    assert wait_until(executor, reply.done)
    assert reply.result().frame_yaml == "camera: {parent: lidar}"

    def look_up(goal: object) -> LookupTransform.Result:
        goal.succeed()
        result = LookupTransform.Result()
        result.transform.child_frame_id = goal.request.source_frame
        return result

    ActionServer(node, LookupTransform, "look_up", look_up)
    lookup = ActionClient(node, LookupTransform, "look_up")
    assert lookup.wait_for_server(10)
    accepted = lookup.send_goal_async(LookupTransform.Goal(source_frame="lidar"))
    assert wait_until(executor, accepted.done)
    result = accepted.result().get_result_async()
    assert wait_until(executor, result.done)
    assert result.result().result.transform.child_frame_id == "lidar"
    executor.shutdown()
    node.destroy_node()


def wait_until(executor: object, condition: object, seconds: float = 20.0) -> bool:
    """Spin until a condition holds; False if it does not in time."""
    from time import monotonic

    end = monotonic() + seconds
    while monotonic() < end and not condition():
        executor.spin_once(timeout_sec=0.05)
    return condition()
