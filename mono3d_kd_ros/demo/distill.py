"""The whole loop in small: a LiDAR teacher labels a drive online, a student learns from that alone and runs as a node.

`python -m mono3d_kd_ros.demo.distill [--drive BAG_OR_KITTI_RAW_DRIVE] [--teacher BUNDLE] [--out demo_output/distill]`
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import time
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from mono3d_kd_core.deploy.bundle import Bundle, read_card
from mono3d_kd_core.deploy.detector import Detector
from mono3d_kd_core.errors import DataError, Mono3DError
from mono3d_kd_core.io.kitti import KittiObjectSource
from mono3d_kd_core.resources import config_dir
from mono3d_kd_core.training.choice import planned_run
from mono3d_kd_core.training.matching import found_share
from mono3d_kd_ros.demo.drive import drive_as_bag, path_or_none
from mono3d_kd_ros.demo.show import DEFAULT_MODEL, DEFAULT_RATE, enter_graph, run
from mono3d_kd_ros.starting.processes import NodeProcess

DEFAULT_TEACHER = "models/pointpillars_sim"
NEAR, WITHIN = 40.0, 2.0
"""A teacher's box nearer than this counts as found by a student's box within so many metres."""


def main(arguments: list[str] | None = None) -> int:
    """Run the loop; return the exit status."""
    options, console = _options(arguments), Console()
    try:
        enter_graph(console)
        return _loop(options, console)
    except Mono3DError as error:
        console.print(f"[red]demo-distill:[/] {error}", soft_wrap=True)
        return 2
    except KeyboardInterrupt:
        console.print("demo-distill: stopped")
        return 130


def _loop(options: argparse.Namespace, console: Console) -> int:
    out: Path = options.out
    out.mkdir(parents=True, exist_ok=True)
    minimum = read_card(options.teacher).score_threshold
    bag = drive_as_bag(options.drive, out, console)

    console.rule("teacher: LiDAR online, targets stored")
    targets = label_online(bag, options.teacher, out, console)

    console.rule("student: learns from these targets alone")
    shutil.rmtree(out / "run", ignore_errors=True)
    changes = [f"schedule.epochs={options.epochs}", f"schedule.validate_every={options.epochs}"]
    changes += ["schedule.batch_size=4", "schedule.learning_rate=1.0e-3", f"weights={options.student}"]
    licence = f"as {options.teacher} and the drive {bag.name}"
    bundle = planned_run(options.recipe, changes, [targets], [], out / "run", licence).train()

    console.rule("node: the student alone, camera only")
    summary = run(bag, bundle.path, out, DEFAULT_RATE, console)
    shares = _shares(targets, options.student, bundle, minimum)
    (out / "agreement.json").write_text(json.dumps(shares, indent=2) + "\n")
    table = Table("the teacher's cars nearer than 40 m", "before", "after", title="what the student learned of this drive")
    for name in ("recall", "precision"):
        table.add_row(f"{name} within 2 m", *(f"{shares[when][name]:.2f}" for when in ("before", "after")))
    console.print(table)
    return 0 if summary["arrays_out"] else 1


def label_online(bag: Path, teacher: Path, out: Path, console: Console) -> Path:
    """Replay `bag` into the teacher's node, which holds the player whenever it must, and return the target store."""
    targets, logs, account = out / "targets", out / "logs", out / "teacher.json"
    logs.mkdir(exist_ok=True)
    shutil.rmtree(targets, ignore_errors=True)
    account.unlink(missing_ok=True)
    from mono3d_kd_core.io.bag import BagSource

    source = BagSource(bag)
    topics = source.rig_file.topics
    if topics.points is None:
        raise DataError(f"{bag}: has no point clouds, so a LiDAR teacher has nothing to look at")
    names = {"image": topics.image, "camera_info": topics.camera_info, "points": topics.points}
    parameters = {
        "model": str(teacher), "out": str(targets), "bag": str(bag), "mode": "lossless", "exit_at_end": True,
        "summary": str(account),
    } | {f"qos_overrides.{name}.subscription.reliability": "reliable" for name in names.values()}  # fmt: skip
    player = {
        "bag": str(bag), "reliable": True, "publish_clock": False,
        "wait_for_subscribers": f"[{', '.join(names.values())}]",
    }  # fmt: skip
    with (
        NodeProcess("teacher_node", logs / "teacher_node.log", parameters, names) as node,
        NodeProcess("bag_player", logs / "bag_player_teacher.log", player) as playing,
        Progress(TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn(), console=console) as progress,
    ):
        task = progress.add_task("the teacher looks", total=len(source))
        while node.returncode is None:
            time.sleep(0.2)
            progress.update(task, completed=len(list((targets / "label_2").glob("*.txt"))))
            if playing.returncode:
                raise DataError(f"the bag player failed; its last words:\n{playing.last_words()}")
        if node.returncode or not account.is_file():
            raise DataError(f"the teacher's node failed; its last words:\n{node.last_words()}")
    console.print(f"frames: {account.read_text().strip()}", soft_wrap=True)
    return targets


def _shares(targets: Path, before: Path, after: Bundle, minimum: float) -> dict[str, dict[str, float]]:
    """Recall and precision of the student before and after, against the teacher's cars of the same drive."""
    source = KittiObjectSource(targets)
    truth = [labels.boxes() for labels in (source.labels(i) for i in range(len(source)))]
    truth = [boxes[boxes.score >= minimum] for boxes in truth]
    result = {}
    for name, path in (("before", before), ("after", after.path)):
        detector = Detector.load(path)
        found = [detector.detect(frame.image, frame.rig.camera) for frame in source]
        share = found_share(found, truth, "Car", WITHIN, NEAR, detector.score_threshold)
        result[name] = {"recall": share.recall, "precision": share.precision, "objects": float(share.objects)}
    return result


def _options(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m mono3d_kd_ros.demo.distill", description=__doc__.splitlines()[0])
    models = config_dir()
    parser.add_argument("--drive", type=path_or_none, help="bag or KITTI raw drive; default: a short simulated drive")
    parser.add_argument("--teacher", type=Path, default=models / DEFAULT_TEACHER, help="the LiDAR teacher's bundle")
    parser.add_argument("--student", type=Path, default=models / DEFAULT_MODEL, help="the student to start from")
    parser.add_argument("--recipe", default="keypoint_small", help="must fit the student to start from")
    parser.add_argument("--epochs", type=int, default=12)
    parser.add_argument("--out", type=Path, default=Path("demo_output/distill"), help="folder for everything it makes")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
