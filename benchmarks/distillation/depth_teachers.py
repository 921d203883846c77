"""What teachers that see depth are worth to the keypoint student: MonoDistill, MonoSTL and ADD with their ablations.

    PYTHONPATH=. python benchmarks/distillation/depth_teachers.py --train DIR --val DIR --out DIR [--seeds 3]

Every student sees equally many pictures with the same labels; students of one method and seed share one teacher. What is
finished is not done again: the same command goes on where it was stopped. OUT/table.md has mean and standard deviation.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.distillation.run import student_figures, table
from mono3d_kd_core.io.files import write_atomically
from mono3d_kd_core.training.choice import planned_run


@dataclass(frozen=True)
class Arm:
    """One way of learning: a packaged recipe, changes to it, and whose teacher it shares; None trains its own."""

    name: str
    recipe: str
    changes: tuple[str, ...] = ()
    teacher_of: str | None = None


ARMS = (
    Arm("labels alone", "keypoint_small"),
    Arm("MonoSTL", "monostl_small"),
    Arm("MonoSTL, unweighted", "monostl_small", ("teach.weighting=none",), "MonoSTL"),
    Arm("MonoSTL, teacher's confidence", "monostl_small", ("teach.weighting=teacher_confidence",), "MonoSTL"),
    Arm(
        "MonoDistill", "monostl_small",
        ("teach.weighting=none", "teach.relation=affinity", "teach.relations=1"), "MonoSTL",
    ),
    Arm("ADD", "add_small"),
    Arm("ADD, no 3D encoding", "add_small", ("teach.position=false",), "ADD"),
    Arm("ADD, no attention", "add_small", ("teach.attention=false",), "ADD"),
    Arm("ADD, depth of boxes", "add_small", ("teach.depth=objects",)),
)  # fmt: skip


def folder(out: Path, name: str, seed: int) -> Path:
    """Return where an arm's run of a seed is kept."""
    return out / name.lower().replace(", ", "_").replace(" ", "_").replace("'", "") / f"seed{seed}"


def figures(options: argparse.Namespace, arm: Arm, seed: int) -> dict[str, float]:
    """Train an arm with a seed, or go on with it, and evaluate it; or read what it got."""
    out, train, val = (Path(getattr(options, name)) for name in ("out", "train", "val"))
    place = folder(out, arm.name, seed)
    result = place / "figures.json"
    if not result.is_file():
        changes = [*options.set, f"schedule.epochs={options.epochs}", f"schedule.validate_every={options.epochs}"]
        changes += [f"schedule.seed={seed}", *arm.changes]
        if arm.teacher_of is not None:
            changes.append(f"teacher={{bundle: {folder(out, arm.teacher_of, seed) / 'teacher' / 'bundle'}}}")
        elif arm.recipe != "keypoint_small":
            epochs = f"teacher.schedule.epochs={options.epochs}"
            changes += [epochs, f"teacher.schedule.validate_every={options.epochs}", f"teacher.schedule.seed={seed}"]
        run = planned_run(arm.recipe, changes, [train], [val], place)
        # A run of several stages knows which of them have begun.
        resume = arm.recipe != "keypoint_small" or (place / "checkpoints" / "last.ckpt").is_file()
        found = student_figures(run.train(resume=resume).path, val, arm.name)
        write_atomically(result, json.dumps(found, indent=1).encode())
    return dict(json.loads(result.read_text()))


def main() -> None:
    """Run what is missing, seed by seed, and write the table after each."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--train", required=True, help="labelled set in KITTI's layout with LiDAR")
    parser.add_argument("--val", required=True)
    parser.add_argument("--out", required=True)
    parser.add_argument("--epochs", type=int, default=12, help="of each student and each teacher")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--arm", action="append", help="run these only, by name; an arm needs the one whose teacher it has")
    parser.add_argument("--set", action="append", default=[], help="change a key of all recipes: student.width=1.0")
    options = parser.parse_args()
    rows: dict[str, Sequence[dict[str, float]]] = {}
    for seed in range(options.seeds):
        for arm in ARMS:
            if options.arm is None or arm.name in options.arm:
                rows[arm.name] = [*rows.get(arm.name, []), figures(options, arm, seed)]
                write_atomically(Path(options.out) / "table.md", table(rows).encode())
    print(table(rows))


if __name__ == "__main__":
    main()
