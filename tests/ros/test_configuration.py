"""The files of parameters say what the nodes understand, and the launch files what the nodes are called."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
import yaml
from pydantic import BaseModel

pytest.importorskip("rclpy", reason="ROS 2 is not in this environment")

from mono3d_kd_ros.agreement_node import PLOTS as AGREEMENT
from mono3d_kd_ros.node.delays import NAMES as DELAYS
from mono3d_kd_ros.settings import AgreementSettings, PlayerSettings, StudentSettings, TeacherSettings, TrainerSettings
from tests.conftest import REPOSITORY

FILES: list[tuple[str, type[BaseModel]]] = [
    ("student", StudentSettings), ("teacher", TeacherSettings), ("agreement", AgreementSettings),
    ("trainer", TrainerSettings), ("player", PlayerSettings),
]  # fmt: skip


def parameters(name: str) -> dict[str, Any]:
    content = yaml.safe_load((REPOSITORY / f"config/{name}.yaml").read_text())
    result: dict[str, Any] = content["/**"]["ros__parameters"]
    return result


@pytest.mark.parametrize(("name", "model"), FILES)
def test_a_file_of_parameters_is_valid_and_complete(name: str, model: type[BaseModel]) -> None:
    given = parameters(name)
    model(**given)  # an unknown key would be silently ignored by ROS, but not here
    lists = {key for key, field in model.model_fields.items() if field.default == []}  # ROS has no empty lists in YAML
    assert given.keys() == model.model_fields.keys() - lists


@pytest.mark.parametrize(("name", "model"), FILES)
def test_types_are_those_that_ros_will_insist_on(name: str, model: type[BaseModel]) -> None:
    for key, value in parameters(name).items():
        assert type(value) is type(model.model_fields[key].default), key


@pytest.mark.parametrize("model", [model for _, model in FILES])
def test_every_parameter_is_described(model: type[BaseModel]) -> None:
    assert all(field.description for field in model.model_fields.values())


def test_rviz_shows_what_the_nodes_publish() -> None:
    content = yaml.safe_load((REPOSITORY / "config/rviz/mono3d_kd.rviz").read_text())
    displays = content["Visualization Manager"]["Displays"]
    topics = {d["Topic"]["Value"] for d in displays if "Topic" in d}
    assert topics >= {"/student_node/overlay", "/student_node/markers", "/student_node/detections", "/lidar/points"}
    assert any(d["Class"] == "rviz_default_plugins/TF" for d in displays)


def test_foxglove_shows_topics_that_the_nodes_publish() -> None:
    content = json.loads((REPOSITORY / "config/foxglove/mono3d_kd.json").read_text())
    panels = content["configById"]
    shown = set(panels["3D!scene"]["topics"]) | {panels["Image!camera"]["imageMode"]["imageTopic"]}
    assert shown == {"/lidar/points", "/student_node/markers", "/teacher_node/markers", "/student_node/overlay"}
    plotted = [path["value"] for panel in panels.values() for path in panel.get("paths", [])]
    delays = {f"/student_node/debug/{name}.data" for name in DELAYS}
    agreement = {f"/agreement_node/car/{name}.data" for name in AGREEMENT}
    assert set(plotted) == delays | agreement

    def names(tree: Any) -> set[str]:
        return {tree} if isinstance(tree, str) else names(tree["first"]) | names(tree["second"])

    assert names(content["layout"]) == set(panels)


PANEL_KEYS = {
    "3D": {"cameraState", "followMode", "followTf", "layers", "scene", "topics", "transforms", "publish", "imageMode"},
    "Image": {"imageMode", "cameraState", "followMode", "layers", "scene", "topics", "transforms", "publish"},
    "DiagnosticSummary": {"minLevel", "pinnedIds", "hardwareIdFilter", "topicToRender", "sortByLevel"},
    "Plot": {
        "title", "paths", "showXAxisLabels", "showYAxisLabels", "showLegend", "legendDisplay", "xAxisVal", "minYValue",
        "maxYValue", "isSynced", "sidebarDimension", "foxglovePanelTitle",
    },
}  # fmt: skip
"""What the panels are configured by, as in the layouts that Foxglove exports and its open predecessor reads."""


def test_foxglove_panels_are_configured_by_keys_that_they_have_and_would_draw_something() -> None:
    content = json.loads((REPOSITORY / "config/foxglove/mono3d_kd.json").read_text())
    assert content.keys() == {"configById", "globalVariables", "userNodes", "playbackConfig", "layout"}
    panels = content["configById"]
    for name, panel in panels.items():
        assert panel.keys() <= PANEL_KEYS[name.partition("!")[0]], name
        # A path that is not enabled, or a topic that is not visible, draws nothing and says nothing.
        assert all(path["enabled"] and path["timestampMethod"] == "receiveTime" for path in panel.get("paths", []))
        assert all(topic["visible"] for topic in panel.get("topics", {}).values())
    assert panels["3D!scene"]["followMode"] in ("follow-pose", "follow-position", "follow-none")
    assert {layer["layerId"] for layer in panels["3D!scene"]["layers"].values()} == {"foxglove.Grid"}
    assert panels["DiagnosticSummary!all"]["topicToRender"] == "/diagnostics"


@pytest.mark.parametrize("file", ["foxglove/mono3d_kd.json", "rviz/mono3d_kd.rviz"])
def test_nodes_whose_topics_are_shown_are_launched_under_these_names(file: str) -> None:
    shown = set(re.findall(r'"?/(\w+_node)/', (REPOSITORY / "config" / file).read_text()))
    launched = "".join(path.read_text() for path in (REPOSITORY / "launch").glob("*.launch.py"))
    assert shown >= {"student_node", "teacher_node"}
    assert {name for name in shown if f'arguments, "{name}"' not in re.sub(r"\s+", " ", launched)} == set()
