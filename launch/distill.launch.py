"""Let a LiDAR teacher label a drive online, and keep what it says as targets for a student.

ros2 launch mono3d_kd distill.launch.py teacher:=BUNDLE bag:=DRIVE out:=TARGETS
ros2 launch mono3d_kd distill.launch.py teacher:=BUNDLE out:=TARGETS image_topic:=A camera_info_topic:=B points_topic:=C
"""

from launch import LaunchContext, LaunchDescription, LaunchDescriptionEntity
from launch.actions import OpaqueFunction

from mono3d_kd_core.resources import resource
from mono3d_kd_ros import launching


def actions(context: LaunchContext) -> list[LaunchDescriptionEntity]:
    """Make the actions, now that the arguments are known."""
    arguments = launching.Arguments(context)
    topics, bag = arguments.topics(), arguments.text("bag")
    inputs = {"image": topics.image, "camera_info": topics.camera_info or "camera_info", "points": topics.points or "points"}
    ends = bool(bag) and not arguments.flag("loop")
    teacher = launching.node(
        arguments, "teacher_node",
        {
            "model": arguments.text("teacher"), "out": arguments.text("out"), "bag": bag,
            "rig": arguments.text("rig"), "mode": "lossless" if bag else "live", "exit_at_end": ends,
            "autostart": arguments.flag("autostart"), "use_sim_time": arguments.flag("use_sim_time"),
        },
        inputs,
        on_exit=launching.end_of_all(arguments, "all that the bag holds is labelled") if ends else None,
    )  # fmt: skip
    return [
        *launching.transport(), teacher,
        *launching.player(arguments, wait_for=[topics.image, inputs["points"]], reliable=True),
        *launching.rviz(arguments, topics),
    ]  # fmt: skip


def generate_launch_description() -> LaunchDescription:
    """Describe the launch."""
    arguments = {
        "params_file": (str(resource("config/teacher.yaml")), "Parameters of the teacher's node."),
        "teacher": ("", "The teacher's bundle; empty: the one of params_file."),
        "out": ("", "Folder of the target store to write or to go on with; empty: publish only."),
        "rig": ("", "Rig file: topics, frames, sync; empty: what the bag and the topics say."),
    }
    return LaunchDescription([*launching.declare(arguments), OpaqueFunction(function=actions)])
