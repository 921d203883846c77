"""What one real drive teaches: a student from simulation, taught by a LiDAR teacher on it, against the same student without.

    PYTHONPATH=. python benchmarks/distillation/real_drive.py --drive DRIVE --teacher BUNDLE --student BUNDLE \\
        --others KITTI --out DIR

Targets are made first, then the student is trained on from `--student`, then both are looked at on the drive, which one has
learned, and on the frames of other drives, which neither has seen: how many of the teacher's cars and of the labelled ones
nearer than 40 m each finds within 2 m, and how many of its own are right. Frames of the drive among the others are known by
their pixels and left out; neighbours of its frames are to be named with --leave-out. What is done is not done again.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.progress import track

from mono3d_kd_core.deploy.bundle import read_card
from mono3d_kd_core.deploy.detector import Detector
from mono3d_kd_core.deploy.loading import load_teacher
from mono3d_kd_core.errors import DataError
from mono3d_kd_core.frames import FrameSource
from mono3d_kd_core.geometry.boxes import Boxes3D
from mono3d_kd_core.io.files import write_atomically
from mono3d_kd_core.io.kitti import KittiObjectSource
from mono3d_kd_core.io.open import open_source
from mono3d_kd_core.targets import Provenance, Report, TargetSettings, TargetStore, make_targets
from mono3d_kd_core.targets.store import PROVENANCE
from mono3d_kd_core.training.choice import planned_run
from mono3d_kd_core.training.examples import Labelled, open_labelled
from mono3d_kd_core.training.leaks import Guard
from mono3d_kd_core.training.matching import found_share
from mono3d_kd_core.training.recipe import find_recipe, read_recipe

CHANGES = ("schedule.batch_size=4", "schedule.learning_rate=1e-3", "augment.scale_crop=0.3")
"""To the recipe, where --set says nothing else."""
SCORES = (0.3, 0.5)


@dataclass(frozen=True)
class Comparison:
    """Detections of a source's frames and the boxes that they are held against; both in the frame "camera"."""

    against: str
    source: Labelled
    chosen: Sequence[int]
    least: float = -1e9

    def truth(self) -> list[Boxes3D]:
        """Return the boxes of each chosen frame that score enough."""
        found = [self.source.labels(i).boxes() for i in self.chosen]
        return [boxes[boxes.score >= self.least] if self.least > -1e9 else boxes for boxes in found]


def targets_of(source: Path, teacher: Path, store: Path) -> Path:
    """Let the teacher look at every frame that has points and that it has not looked at; label files of it serve, too."""
    if (store / "label_2").is_dir() and not (store / PROVENANCE).is_file():
        return store
    opened, loaded = open_source(source), load_teacher(teacher)
    provenance = Provenance.of(loaded, TargetSettings(responses=False))
    report = Report(len(opened), 0)
    with TargetStore(store, provenance, many_rigs=isinstance(opened, KittiObjectSource)) as targets:
        make_targets(opened, loaded, targets, lambda done, total: print(f"\r{done}/{total}", end=""), report)
    print(f"\n{report}")
    return store


def taught(options: argparse.Namespace, targets: Path) -> Path:
    """Train the student on by the targets, or go on with it; returns its bundle."""
    content, out = read_recipe(find_recipe(options.recipe)), options.out / "student"
    times = {"epochs": options.epochs, "validate_every": options.epochs}
    if content["architecture"] == "cmkd":
        # The drive is no validation set of its own there: a frame that is taught is refused as one.
        (stage,) = content["stages"]
        # Scores that are no probabilities count fully from twice the one that is to be trusted.
        full = max(1.0, 2 * read_card(options.teacher).score_threshold)
        stage |= {"schedule": stage["schedule"] | times, "teach": stage["teach"] | {"full_score": full}}
        changes, val, end = [f"stages={[stage]}"], [], out / stage["name"]
    else:
        changes, val, end = [*CHANGES, *(f"schedule.{name}={n}" for name, n in times.items())], [targets], out
    if not (end / "bundle" / "card.yaml").is_file():
        run = planned_run(options.recipe, [*changes, f"weights={options.student}", *options.set], [targets], val, out)
        run.train((end / "checkpoints" / "last.ckpt").is_file())
    return Path(end / "bundle")


def unseen(source: Labelled, drive: FrameSource, left_out: Sequence[str]) -> list[int]:
    """Return the frames of a source that are none of the drive's."""
    guard = Guard()
    guard.add("the drive", (drive[i] for i in range(len(drive))))
    chosen = []
    for index, name in enumerate(source.ids):
        try:
            guard.check(source.name, source[index])
        except DataError:
            continue
        if name not in left_out:
            chosen.append(index)
    return chosen


def rows(name: str, bundle: Path, comparisons: Sequence[Comparison]) -> list[str]:
    """Return a student's lines of the table."""
    detector = Detector.load(bundle, score_threshold=min(SCORES))
    lines = []
    for comparison in comparisons:
        seen = []
        for index in track(comparison.chosen, f"{name}: {comparison.against}"):
            frame = comparison.source[index]
            seen.append(detector.detect(frame.image, frame.rig.camera, frame.rig.T_camera_lidar))
        for score in SCORES:
            share = found_share(seen, comparison.truth(), "Car", score=score)
            lines.append(
                f"| {name} | {comparison.against}, {len(comparison.chosen)} frames | {score} | {share.objects} | "
                f"{share.recall * share.objects:.0f} ({100 * share.recall:.0f} %) | {100 * share.precision:.0f} % |"
            )
    return lines


def main() -> None:
    """Make targets, train, compare."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--drive", type=Path, required=True, help="a raw drive or a bag, with LiDAR")
    parser.add_argument("--teacher", type=Path, required=True, help="bundle of the LiDAR teacher")
    parser.add_argument("--student", type=Path, required=True, help="bundle of the student from simulation")
    parser.add_argument("--others", type=Path, required=True, help="labelled frames of other drives, in KITTI's layout")
    parser.add_argument("--leave-out", nargs="*", default=[], help="ids of the others that are of the same drive")
    parser.add_argument("--recipe", default="keypoint_small", help="cmkd_boxes for a bird's-eye student")
    parser.add_argument("--epochs", type=int, default=24)
    parser.add_argument("--set", action="append", default=[], help="change a key of the recipe")
    parser.add_argument("--out", type=Path, required=True)
    o = parser.parse_args()
    trusted = read_card(o.teacher).score_threshold
    drive_targets = targets_of(o.drive, o.teacher, o.out / "targets" / "drive")
    other_targets = targets_of(o.others, o.teacher, o.out / "targets" / "others")
    student = taught(o, drive_targets)
    drive, others = open_source(o.drive), open_labelled(o.others)
    drive_said, others_said = open_labelled(drive_targets), open_labelled(other_targets)
    comparisons = [
        Comparison("the drive, against the teacher", drive_said, range(len(drive_said)), trusted),
        Comparison("other drives, against the teacher", others_said, unseen(others_said, drive, o.leave_out), trusted),
        Comparison("other drives, against the labels", others, unseen(others, drive, o.leave_out)),
    ]
    lines = [
        "| student | frames | score at least | cars nearer than 40 m | found within 2 m | right |", "|---" * 6 + "|",
        *rows("before", o.student, comparisons), *rows("after", student, comparisons),
    ]  # fmt: skip
    write_atomically(o.out / "table.md", ("\n".join(lines) + "\n").encode())
    print("\n".join(lines))


if __name__ == "__main__":
    main()
