"""The launch files, where ROS 2's launch is installed (it is not on PyPI)."""

from __future__ import annotations

import importlib.util
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

pytest.importorskip("launch_ros", reason="ROS 2's launch is not in this environment")

from launch import LaunchContext
from launch.actions import DeclareLaunchArgument, OpaqueFunction
from launch_ros.actions import Node
from vision_msgs.msg import Detection3DArray

from mono3d_kd_core.frames import Rig, SensorFrame
from mono3d_kd_core.geometry.rigid import T_CAMERA_BODY
from mono3d_kd_core.io.bag_writer import TOPICS, BagWriter
from tests.conftest import REPOSITORY
from tests.ros.harness import CAMERA, SECOND, Peer, wait_for


def described(name: str) -> Any:
    spec = importlib.util.spec_from_file_location(name, REPOSITORY / "launch" / f"{name}.launch.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.generate_launch_description()


def nodes(name: str, **arguments: str) -> dict[str, Node]:
    """Return the nodes that a launch file would start, by executable."""
    context = LaunchContext()
    context.launch_configurations.update(arguments)
    found = []
    for entity in described(name).entities:
        if isinstance(entity, DeclareLaunchArgument):
            entity.execute(context)
        elif isinstance(entity, OpaqueFunction):
            found += [action for action in entity.execute(context) or [] if isinstance(action, Node)]
    return {str(node.node_executable): node for node in found}


@pytest.fixture
def bag(tmp_path: Path) -> Path:
    import numpy as np

    rig = Rig(CAMERA, T_CAMERA_BODY, "camera", "lidar")
    picture, points = np.zeros((CAMERA.height, CAMERA.width, 3), np.uint8), np.zeros((1, 4), np.float32)
    with BagWriter(tmp_path / "bag") as writer:
        writer.write_frame(SensorFrame("000000", SECOND, picture, points, rig))
    return tmp_path / "bag"


@pytest.mark.parametrize("name", ["detect", "distill"])
def test_arguments_have_the_words_of_nav2(name: str) -> None:
    declared = {e.name for e in described(name).entities if isinstance(e, DeclareLaunchArgument)}
    assert declared >= {"namespace", "use_sim_time", "params_file", "autostart", "log_level", "use_respawn", "bag", "rviz"}


def test_a_camera_needs_one_node() -> None:
    assert list(nodes("detect", model="m", image_topic="/cam/image_rect")) == ["student_node"]


def test_a_bag_brings_its_player_and_its_topics(bag: Path) -> None:
    found = nodes("detect", model="m", bag=str(bag))
    assert list(found) == ["student_node", "bag_player"]
    remappings = found["student_node"]._Node__remappings
    assert ("image", TOPICS.image) in [tuple(side[0].text for side in pair) for pair in remappings]
    assert list(nodes("distill", teacher="t", bag=str(bag), rviz="true")) == ["teacher_node", "bag_player", "rviz2"]


def test_online_brings_a_student_its_trainer_and_the_comparison(bag: Path) -> None:
    found = nodes("distill", teacher="t", bag=str(bag), out="/targets/", online="true")
    assert list(found) == ["teacher_node", "student_node", "trainer_node", "agreement_node", "bag_player"]
    (given,) = [p for p in found["trainer_node"]._Node__parameters if isinstance(p, dict)]
    values = {str(key[0].text): evaluated(value) for key, value in given.items()}
    assert (values["store"], values["out"]) == ("/targets", "/targets_rounds")
    assert values["model"].endswith("keypoint_sim")


@pytest.mark.parametrize(("given", "said"), [("", []), ("0.3", [0.3]), ("0", [0.0])])
def test_the_teacher_leaves_out_what_it_is_told_to(bag: Path, given: str, said: list[float]) -> None:
    teacher = nodes("distill", teacher="t", bag=str(bag), min_score=given)["teacher_node"]
    (parameters,) = [p for p in teacher._Node__parameters if isinstance(p, dict)]
    assert [value for key, value in parameters.items() if key[0].text == "min_score"] == said


def test_a_bag_is_detected_in_with_the_demo_s_model_if_none_is_given(bag: Path, tmp_path: Path) -> None:
    def model(**arguments: str) -> object:
        (given,) = [p for p in nodes("detect", **arguments)["student_node"]._Node__parameters if isinstance(p, dict)]
        return {str(key[0].text): value for key, value in given.items()}.get("model")

    assert "keypoint_sim" in str(evaluated(model(bag=str(bag))))
    assert evaluated(model(bag=str(bag), model="mine")) == "mine"
    assert model() is None
    assert model(bag=str(bag), params_file=str(tmp_path / "own.yaml")) is None


def test_composed_all_nodes_share_a_process_and_have_their_own_parameters_and_topics(bag: Path, tmp_path: Path) -> None:
    own = tmp_path / "own.yaml"
    sections = {"/**": {"late_after": 9.0, "queue": 5}, "/other/teacher_node": {"queue": 6}}
    own.write_text(yaml.safe_dump({name: {"ros__parameters": values} for name, values in sections.items()}))
    given = {"teacher": "t", "bag": str(bag), "out": "/targets", "online": "true", "params_file": str(own)}
    found = nodes("distill", composed="true", namespace="front", **given)
    assert list(found) == ["composed"]
    command = [part if isinstance(part, str) else part[0].text for part in found["composed"]._Node__arguments]
    executables = ["teacher_node", "student_node", "trainer_node", "agreement_node", "bag_player"]
    assert command[: command.index("--ros-args")] == ["--nodes", *executables]
    renamed = {side.partition(":=")[0]: side.partition(":=")[2] for side in command if ":=" in side}
    assert renamed["student_node:image"] == renamed["teacher_node:image"] == TOPICS.image
    assert (renamed["trainer_node:__ns"], renamed["bag_player:__ns"]) == ("/front", "/")
    parameters: dict[str, dict[str, Any]] = {}
    for file in found["composed"]._Node__parameters:
        for name, section in yaml.safe_load(Path(str(file.param_file[0].text)).read_text()).items():
            parameters.setdefault(name, {}).update(section["ros__parameters"])
    assert set(parameters) == {f"/**/{name}" for name in executables} | {"/other/teacher_node"}
    assert parameters["/**/teacher_node"].items() >= {"queue": 5, "late_after": 9.0, "out": "/targets"}.items()
    assert parameters["/**/student_node"]["late_after"] == 0.5
    # The teacher ends the process when it has seen all; alone, the player ends with the bag.
    assert parameters["/**/bag_player"]["stay"]
    alone = nodes("distill", **given)["bag_player"]
    (said,) = [p for p in alone._Node__parameters if isinstance(p, dict)]
    assert [value for key, value in said.items() if key[0].text == "stay"] == [False]


def evaluated(value: Any) -> str:
    """Return the text of launch's normalised parameter value, which some versions hold as YAML."""
    text = "".join(part.text for part in value) if isinstance(value, tuple) else str(value)
    return str(yaml.safe_load(text))


@pytest.mark.slow
@pytest.mark.ros
@pytest.mark.parametrize("composed", ["false", "true"])
def test_ros2_launch_replays_a_bag_into_the_node_and_ends_with_it(
    bag: Path, peer: Peer, tmp_path: Path, composed: str
) -> None:
    if shutil.which("ros2") is None:
        pytest.skip("there is no ros2 command")
    if subprocess.run(["ros2", "pkg", "prefix", "mono3d_kd"], capture_output=True).returncode:
        pytest.skip("this package is not installed into a sourced workspace: colcon build")
    found = peer.listen(Detection3DArray, "/student_node/detections")
    command = ["ros2", "launch", "mono3d_kd", "detect.launch.py", f"bag:={bag}", f"composed:={composed}"]
    with open(tmp_path / "log.txt", "w") as log:
        code = subprocess.run(command, stdout=log, stderr=log, stdin=subprocess.DEVNULL, timeout=110).returncode
    text = (tmp_path / "log.txt").read_text()
    assert code == 0, text
    assert f"[{'composed' if composed == 'true' else 'student_node'}-1]: process has finished cleanly" in text
    wait_for(lambda: found)
    assert [array.header.stamp.sec for array in found] == [1]
    assert found[0].header.frame_id == "camera"
