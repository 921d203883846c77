"""What the launch files share: their arguments in Nav2's words, and the actions made of them."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from launch import LaunchContext
from launch.actions import DeclareLaunchArgument, SetEnvironmentVariable, Shutdown
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import Node

from mono3d_kd_core.io.bag_file import BagFile
from mono3d_kd_core.io.rig import RigFile, Topics
from mono3d_kd_core.resources import resource
from mono3d_kd_ros.starting.launched_nodes import LaunchedNode, Style
from mono3d_kd_ros.starting.transport import large_message_environment

COMMON = {
    "namespace": ("", "Namespace of the nodes, such as front_camera."),
    "use_sim_time": ("false", "Take the time from /clock; a bag that is played here then publishes it."),
    "autostart": ("true", "Configure and activate the nodes at the start."),
    "log_level": ("info", "debug, info, warn, error."),
    "use_respawn": ("false", "Start a node again when it dies."),
    "composed": ("false", "Run the nodes in one process, with one interpreter and one PyTorch for all."),
    "image_topic": ("", "Topic of the images; their name says whether they are rectified and compressed."),
    "camera_info_topic": ("", "Topic of the CameraInfo."),
    "points_topic": ("", "Topic of the point clouds."),
    "bag": ("", "A bag to replay: ROS 1 or 2. Topics that are not given are then chosen from it."),
    "rate": ("1.0", "Speed of the replay."),
    "loop": ("false", "Replay the bag again and again."),
    "rviz": ("false", "Open RViz."),
    "fixed_frame": ("camera", "The frame that RViz shows."),
}
"""Arguments of every launch file: default, description."""

DEFAULT_TOPICS = Topics(image="image", camera_info="camera_info", points="points")


def declare(arguments: Mapping[str, tuple[str, str]]) -> list[DeclareLaunchArgument]:
    """Declare launch arguments, the common ones included."""
    return [
        DeclareLaunchArgument(name, default_value=default, description=description)
        for name, (default, description) in {**COMMON, **arguments}.items()
    ]


@dataclass(frozen=True)
class Arguments:
    """The launch arguments as they were given."""

    context: LaunchContext

    def text(self, name: str) -> str:
        """Return an argument."""
        return str(LaunchConfiguration(name).perform(self.context))

    def flag(self, name: str) -> bool:
        """Return an argument that is true or false."""
        return self.text(name).lower() in ("true", "1", "yes", "on")

    def topics(self) -> Topics:
        """Return the topics: as given, else as the bag has them, else `image`, `camera_info` and `points`."""
        if self.text("bag"):
            with BagFile(Path(self.text("bag"))) as bag:
                known = RigFile.guess({t.name: t.type for t in bag.topics.values()}, str(bag.path)).topics
        else:
            known = DEFAULT_TOPICS
        given = {name: self.text(f"{name}_topic") for name in ("image", "camera_info", "points")}
        return known.model_copy(update={name: topic for name, topic in given.items() if topic})


def transport() -> list[SetEnvironmentVariable]:
    """Let images and clouds through between processes."""
    return [SetEnvironmentVariable(name, value) for name, value in large_message_environment().items()]


def node(
    arguments: Arguments, executable: str, parameters: Mapping[str, Any], remappings: Mapping[str, str],
    file: str = "", on_exit: Shutdown | None = None,
) -> LaunchedNode:  # fmt: skip
    """Return a node of this package: its file of parameters, then those that the launch arguments say.

    The file is the one of config/ that is named, or else the argument params_file.
    """
    chosen = str(resource(f"config/{file}")) if file else arguments.text("params_file")
    return LaunchedNode(executable, chosen, parameters, remappings, arguments.text("namespace"), on_exit)


def processes(arguments: Arguments, nodes: Sequence[LaunchedNode]) -> list[Node]:
    """Return what starts the nodes, each by itself or composed."""
    style = Style(arguments.text("log_level"), arguments.flag("use_respawn"), arguments.flag("composed"))
    return style.actions(nodes)


def end_of_all(arguments: Arguments, reason: str) -> Shutdown | None:
    """Return what ends the launch when a process that it is about has ended; RViz keeps it open."""
    return None if arguments.flag("rviz") else Shutdown(reason=reason)


def player(
    arguments: Arguments, wait_for: Sequence[str], on_exit: Shutdown | None = None, **parameters: Any
) -> list[LaunchedNode]:
    """Return the player of the bag, if there is one to replay."""
    if not arguments.text("bag"):
        return []
    settings = {
        "bag": arguments.text("bag"), "rate": float(arguments.text("rate")), "loop": arguments.flag("loop"),
        "publish_clock": arguments.flag("use_sim_time"), "wait_for_subscribers": list(wait_for),
    }  # fmt: skip
    return [LaunchedNode("bag_player", str(resource("config/player.yaml")), settings | parameters, on_exit=on_exit)]


def rviz(arguments: Arguments, topics: Topics) -> list[Node]:
    """Return RViz, if it is asked for, showing the topics and the frame that are in use."""
    if not arguments.flag("rviz"):
        return []
    text = resource("config/rviz/mono3d_kd.rviz").read_text(encoding="utf-8")
    namespace = arguments.text("namespace").strip("/")
    changes = {
        "/student_node/": f"/{namespace}/student_node/" if namespace else "/student_node/",
        "/teacher_node/": f"/{namespace}/teacher_node/" if namespace else "/teacher_node/",
        "/lidar/points": topics.points or "/lidar/points",
        "Fixed Frame: camera": f"Fixed Frame: {arguments.text('fixed_frame')}",
    }
    for old, new in changes.items():
        text = text.replace(old, new)
    file = Path(tempfile.mkdtemp(prefix="mono3d_kd_rviz_")) / "mono3d_kd.rviz"
    file.write_text(text, encoding="utf-8")
    return [Node(package="rviz2", executable="rviz2", name="rviz2", arguments=["-d", str(file)])]
