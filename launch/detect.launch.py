"""Detect objects in a camera's images, live or from a bag.

ros2 launch mono3d_kd detect.launch.py model:=BUNDLE image_topic:=/camera/image_rect camera_info_topic:=/camera/camera_info
ros2 launch mono3d_kd detect.launch.py model:=BUNDLE bag:=DRIVE rviz:=true
"""

from launch import LaunchContext, LaunchDescription, LaunchDescriptionEntity
from launch.actions import OpaqueFunction

from mono3d_kd_core.resources import resource
from mono3d_kd_ros.starting import launching

PARAMETERS = str(resource("config/student.yaml"))


def actions(context: LaunchContext) -> list[LaunchDescriptionEntity]:
    """Make the actions, now that the arguments are known."""
    arguments = launching.Arguments(context)
    topics = arguments.topics()
    student = launching.node(
        arguments, "student_node",
        {
            "model": model(arguments), "target_frame": arguments.text("target_frame"),
            "autostart": arguments.flag("autostart"), "use_sim_time": arguments.flag("use_sim_time"),
        },
        {"image": topics.image, "camera_info": topics.camera_info or "camera_info"},
    )  # fmt: skip
    end = launching.end_of_all(arguments, "the bag has been played")
    nodes = [student, *launching.player(arguments, wait_for=[topics.image], on_exit=end)]
    return [*launching.transport(), *launching.processes(arguments, nodes), *launching.rviz(arguments, topics)]


def model(arguments: launching.Arguments) -> str:
    """Return the bundle that was asked for; the demo's for a bag, if nobody says another in parameters of their own."""
    asked, own_parameters = arguments.text("model"), arguments.text("params_file") != PARAMETERS
    if asked or own_parameters or not arguments.text("bag"):
        return asked
    return str(resource("config/models/keypoint_sim"))


def generate_launch_description() -> LaunchDescription:
    """Describe the launch."""
    arguments = {
        "params_file": (PARAMETERS, "Parameters of the student's node."),
        "model": ("", "The student's bundle; empty: the one of params_file, or for a bag the demo's."),
        "target_frame": ("", "Frame of the detections, by tf; empty: that of the images."),
    }
    return LaunchDescription([*launching.declare(arguments), OpaqueFunction(function=actions)])
