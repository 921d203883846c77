"""The arms of the bench: what is taught, on which host, by which recipe."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Arm:
    """One way of learning: a packaged recipe and changes to it.

    $TRAIN, $RUNS, $SEED and $START (the seed of what it starts from) are filled in. teacher_of names the arm of the same
    host whose teacher it shares; None trains its own. stage is the last stage's folder below the run. A backbone is not
    evaluated, others start from it.
    """

    host: str
    name: str
    recipe: str
    changes: tuple[str, ...] = ()
    teacher_of: str | None = None
    stage: str = ""
    kind: Literal["student", "teacher", "backbone"] = "student"
    takes_data: bool = True
    validates: bool = True


MONODISTILL = ("teach.weighting=none", "teach.relation=affinity", "teach.relations=1")
FEATURES = "features: 4, empty_weight: 0.05, depth: 3"
ANSWERS = "classification: 8, box: 2, direction: 0.4, depth: 3"


def _depth_teachers(host: str, labels: str, monostl: str, add: str) -> tuple[Arm, ...]:
    return (
        Arm(host, "labels alone", labels),
        Arm(host, "MonoSTL", monostl, stage="student"),
        Arm(host, "MonoSTL, unweighted", monostl, ("teach.weighting=none",), "MonoSTL", "student"),
        Arm(host, "MonoSTL, answers 0.3", monostl, ("teach.responses=0.3",), "MonoSTL", "student"),
        Arm(host, "MonoDistill", monostl, MONODISTILL, "MonoSTL", "student"),
        Arm(host, "ADD", add, stage="student"),
        Arm(host, "ADD, no 3D encoding", add, ("teach.position=false",), "ADD", "student"),
        Arm(host, "ADD, no attention", add, ("teach.attention=false",), "ADD", "student"),
        Arm(host, "ADD, depth of boxes", add, ("teach.depth=objects",), stage="student"),
    )


def _weak() -> tuple[Arm, ...]:
    """To be read beside "labels alone", which is full supervision of the same detector."""
    recipe = "skd_wm3d_small"
    return (
        Arm("keypoint", "SKD-WM3D", recipe),
        Arm("keypoint", "SKD-WM3D, no modulation", recipe, ("teach.modulation=false",)),
        Arm("keypoint", "2D boxes alone", recipe, ("teach.self_teacher=false",)),
        Arm("keypoint", "2D boxes, depth as label", recipe, ("teach.self_teacher=false", "teach.student_pseudo=1")),
    )


def _cmkd() -> tuple[Arm, ...]:
    """CMKD's students see no label; their teacher has seen those of other frames."""

    def arm(name: str, stage: str, *changes: str, labels: str = "false") -> Arm:
        sources = f"sources=[{{path: $TRAIN, labels: {labels}}}]"
        return Arm("birds-eye", name, "cmkd_small", (sources, *changes), stage=stage, takes_data=False)

    def only(stage: str, teach: str) -> str:
        schedule = "{epochs: 1, batch_size: 4, learning_rate: 2.0e-3, weight_decay: 0.01}"
        return f"stages=[{{name: {stage}, teach: {{{teach}}}, schedule: {schedule}}}]"

    alone = only("labels", "labels: 1, depth: 3")
    return (
        arm("labels alone", "labels", alone, "teacher.start=false", labels="true"),
        arm("CMKD", "responses"),
        arm("CMKD, features only", "features", only("features", FEATURES)),
        arm("CMKD, responses only", "responses", only("responses", ANSWERS)),
        Arm("birds-eye", "ADD", "add_bev_small", stage="student"),
    )


def _hvdistill() -> tuple[Arm, ...]:
    arms = [
        Arm("lidar", "HVDistill", "hvdistill_small", kind="backbone"),
        Arm("lidar", "HVDistill, image plane only", "hvdistill_small", ("views=image_plane",), kind="backbone"),
    ]
    for share, repeat in ((0.01, 100), (0.05, 20), (1.0, 1)):
        few = (f"labels.share={share}", f"labels.repeat={repeat}", "labels.seed=$SEED")
        of = f"of {100 * share:g} %"
        arms.append(Arm("lidar", f"{of}, from scratch", "second_small", few, kind="teacher"))
        for name, folder in (("HVDistill", "hvdistill"), ("image plane", "hvdistill_image_plane_only")):
            start = f"backbone_weights=$RUNS/lidar/{folder}/seed$START/run/bundle"
            arms.append(Arm("lidar", f"{of}, from {name}", "second_small", (*few, start), kind="teacher"))
    return tuple(arms)


ARMS = (
    *_depth_teachers("keypoint", "keypoint_small", "monostl_small", "add_small"),
    Arm("keypoint", "MonoSTL, teacher's confidence", "monostl_small", ("teach.weighting=teacher_confidence",), "MonoSTL",
        "student"),
    *_weak(),
    *_depth_teachers("query", "query_small", "monostl_query_small", "add_query_small"),
    *_cmkd(),
    *_hvdistill(),
)  # fmt: skip
