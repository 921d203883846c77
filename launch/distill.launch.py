"""Let a LiDAR teacher label a drive online, and keep what it says as targets for a student; with `online`, let it learn.

ros2 launch mono3d_kd distill.launch.py teacher:=BUNDLE bag:=DRIVE out:=TARGETS
ros2 launch mono3d_kd distill.launch.py teacher:=BUNDLE out:=TARGETS image_topic:=A camera_info_topic:=B points_topic:=C
ros2 launch mono3d_kd distill.launch.py teacher:=BUNDLE bag:=DRIVE out:=TARGETS online:=true loop:=true model:=BUNDLE
"""

from launch import LaunchContext, LaunchDescription, LaunchDescriptionEntity
from launch.actions import OpaqueFunction

from mono3d_kd_core.resources import resource
from mono3d_kd_ros.starting import launching
from mono3d_kd_ros.starting.launched_nodes import LaunchedNode


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
            "min_score": number(arguments.text("min_score")),
            "autostart": arguments.flag("autostart"), "use_sim_time": arguments.flag("use_sim_time"),
        },
        inputs,
        on_exit=launching.end_of_all(arguments, "all that the bag holds is labelled") if ends else None,
    )  # fmt: skip
    # Composed, the player must not end the process before the teacher has looked at everything.
    player = launching.player(
        arguments, wait_for=[topics.image, inputs["points"]], reliable=True, stay=ends and arguments.flag("composed")
    )
    nodes = [teacher, *(online(arguments, inputs) if arguments.flag("online") else []), *player]
    return [*launching.transport(), *launching.processes(arguments, nodes), *launching.rviz(arguments, topics)]


def number(text: str) -> float | None:
    """Return an argument that is a number, None where it is not given."""
    return float(text) if text else None


def online(arguments: launching.Arguments, inputs: dict[str, str]) -> list[LaunchedNode]:
    """Return the student, the node that trains it from the teacher's targets, and the one that compares the two."""
    shared = {"autostart": arguments.flag("autostart"), "use_sim_time": arguments.flag("use_sim_time")}
    model = arguments.text("model") or str(resource("config/models/keypoint_sim"))
    store = arguments.text("out").rstrip("/")
    camera = {name: inputs[name] for name in ("image", "camera_info")}
    detections = {"student": "student_node/detections", "teacher": "teacher_node/detections"}
    lesson = {
        "store": store, "model": model, "out": store and f"{store}_rounds", "student": "student_node",
    }  # fmt: skip
    return [
        launching.node(arguments, "student_node", shared | {"model": model}, camera, file="student.yaml"),
        launching.node(arguments, "trainer_node", shared | lesson, {}, file="trainer.yaml"),
        launching.node(arguments, "agreement_node", shared, detections, file="agreement.yaml"),
    ]


def generate_launch_description() -> LaunchDescription:
    """Describe the launch."""
    arguments = {
        "params_file": (str(resource("config/teacher.yaml")), "Parameters of the teacher's node."),
        "teacher": ("", "The teacher's bundle; empty: the one of params_file."),
        "out": ("", "Folder of the target store to write or to go on with; empty: publish only."),
        "min_score": ("", "Leave out the teacher's boxes that score less; empty: as params_file says, which keeps all."),
        "online": ("false", "Run a student too, train it from the targets, and swap better bundles in; needs out."),
        "model": ("", "The student's bundle to start from, for online; empty: the demo's."),
        "rig": ("", "Rig file: topics, frames, sync; empty: what the bag and the topics say."),
    }
    return LaunchDescription([*launching.declare(arguments), OpaqueFunction(function=actions)])
