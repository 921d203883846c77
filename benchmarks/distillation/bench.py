"""All methods on all hosts over seeds: train what is missing, detect, and let `mono3d-kd compare` judge.

    PYTHONPATH=. python benchmarks/distillation/bench.py --train DIR --val DIR [--test DIR] --out DIR [--seeds 3]

Students of one host see equally many pictures. What is finished is not done again: the same command goes on where it was
stopped. OUT/table.md has, for each host, mean and standard deviation, the verdicts, and what each method cost in training.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from string import Template
from typing import Any

import numpy as np
import yaml
from pydantic import BaseModel
from rich.progress import track

from benchmarks.distillation.arms import ARMS, Arm
from benchmarks.distillation.cost import Cost, run
from mono3d_kd_core.deploy.bundle import load_bundle
from mono3d_kd_core.deploy.loading import load_teacher
from mono3d_kd_core.io.files import write_atomically
from mono3d_kd_core.io.kitti import KittiLabels
from mono3d_kd_core.training.choice import recipe_of
from mono3d_kd_core.training.examples import open_labelled
from mono3d_kd_core.training.recipe import ScheduleConfig, apply_change, find_recipe, read_recipe

METRICS = ("Car/3d@0.7/moderate", "Car/bev@0.7/moderate", "Car/3d@0.5/moderate", "Car/bev@0.5/moderate")
SCHEDULED = ("schedule", "baseline")
PARTS = ("stages", "phases")
COST = "cost.json"
"""Below an arm's place; brought up to date while it is trained."""


@dataclass(frozen=True)
class Job:
    """One arm with one seed, and its place on disk."""

    arm: Arm
    seed: int
    options: argparse.Namespace

    @property
    def place(self) -> Path:
        """Where its plan, run, detections and cost lie."""
        return place(Path(self.options.out), self.arm.host, self.arm.name, self.seed)

    @property
    def bundle(self) -> Path:
        """Where its model lies when it is trained."""
        return self.place / "run" / self.arm.stage / "bundle"

    def plan(self) -> dict[str, Any]:
        """Return its recipe: the packaged one, changed by arm and options."""
        first = 0 if self.options.one_teacher else self.seed
        names = {"TRAIN": self.options.train, "RUNS": self.options.out, "SEED": self.seed, "START": first}
        changes = [Template(change).substitute(names) for change in self.arm.changes]
        recipe = read_recipe(find_recipe(self.arm.recipe), changes)
        content = timed(recipe, self.options.epochs, self.seed, self.options.teacher_epochs)
        content = changed(content, *self.options.set)
        trained = (content.get("teacher") or {}).get("schedule") is not None
        if trained and (self.arm.teacher_of is not None or first != self.seed):
            owner = place(Path(self.options.out), self.arm.host, self.arm.teacher_of or self.arm.name, first)
            content["teacher"] = {"bundle": str(owner / "run" / "teacher" / "bundle")}
        return content

    def train(self) -> None:
        """Train the arm in a process of its own, or go on with it, and note what it cost."""
        if (self.bundle / "card.yaml").is_file():
            return
        self.place.mkdir(parents=True, exist_ok=True)
        plan, run = self.place / "plan.yaml", self.place / "run"
        plan.write_text(yaml.safe_dump(self.plan(), sort_keys=False))
        command = ["train", str(plan), "--out", str(run)]
        command += ["--val", self.options.val] if self.arm.validates and self.options.val else []
        command += ["--data", self.options.train] if self.arm.takes_data else []
        begun = any(run.rglob("last.ckpt")) or any(run.rglob("card.yaml"))
        before = self.cost or Cost()
        verb([*command, *(["--resume"] if begun else [])], lambda cost: (before + cost).write(self.place / COST))

    def detect(self) -> Path:
        """Write what the model finds on the test frames; returns the folder."""
        out = self.place / "detections"
        done = self.place / "detections.done"
        if not done.is_file():
            if self.arm.kind == "teacher":
                observe(self.bundle, Path(self.options.test), out)
            else:
                found = ["--model", str(self.bundle), "--out", str(out), "--score", "0", "--limit", "100"]
                verb(["detect", self.options.test, *found])
            write_atomically(done, b"")
        return out

    @property
    def cost(self) -> Cost | None:
        """What its training took, as far as it was noted."""
        return Cost.read(self.place / COST)

    @property
    def parameters(self) -> int:
        """How many numbers its model has."""
        return sum(tensor.numel() for tensor in load_bundle(self.bundle).tensors.values())


def place(out: Path, host: str, arm: str, seed: int) -> Path:
    """Return the folder of an arm with a seed."""
    return out / host / re.sub(r"[^a-z0-9.]+", "_", arm.lower()).strip("_") / f"seed{seed}"


def timed(content: dict[str, Any], epochs: int, seed: int, of_teacher: int | None = None) -> dict[str, Any]:
    """Give every schedule of a recipe so many epochs (parts share them as they did before), the seed, one validation.

    A teacher of its own is trained for `of_teacher` epochs, where that is given.
    """
    for name in SCHEDULED:
        if content.get(name) is not None:
            content[name] |= {"epochs": epochs, "validate_every": epochs, "seed": seed}
    if (content.get("teacher") or {}).get("schedule") is not None:
        own = of_teacher or epochs
        content["teacher"]["schedule"] |= {"epochs": own, "validate_every": own, "seed": seed}
    for name in PARTS:
        parts = content.get(name, [])
        ends = np.cumsum([part["schedule"]["epochs"] for part in parts])
        shares = np.diff(np.rint(ends / ends[-1] * epochs), prepend=0) if len(parts) else []
        for part, share in zip(parts, shares):
            own = max(1, int(share))
            part["schedule"] |= {"epochs": own, "validate_every": own, "seed": seed}
    return content


def changed(content: dict[str, Any], *changes: str) -> dict[str, Any]:
    """Apply each "key=value" where the recipe has the key, so that one option serves recipes of all kinds.

    A recipe in parts has a schedule in each. Settings that only make sense together are read together.
    """
    recipe = recipe_of(content, "the bench's plan")
    for change in changes:
        *sections, last = change.partition("=")[0].split(".")
        if sections == ["schedule"] and last in ScheduleConfig.model_fields:
            for name in PARTS:
                for part in content.get(name, []):
                    apply_change(part, change)
        known: Any = recipe
        for section in sections:
            known = getattr(known, section, None)
        if isinstance(known, BaseModel) and last in type(known).model_fields:
            apply_change(content, change)
    return content


def verb(command: Sequence[str], note: Callable[[Cost], None] = lambda cost: None) -> None:
    """Run a verb of mono3d-kd in a process of its own; `note` hears what it costs. The bench ends where the verb fails."""
    status, _ = run([sys.executable, "-m", "mono3d_kd_core.cli", *command], note)
    if status:
        sys.exit(f"mono3d-kd {' '.join(command)} ended with {status}")


def observe(bundle: Path, test: Path, out: Path) -> None:
    """Write what a LiDAR teacher sees as result files."""
    teacher, source = load_teacher(bundle), open_labelled(test)
    for index in track(range(len(source)), f"asking {bundle}"):
        frame = source[index]
        boxes = frame.rig.boxes_in_camera(teacher.observe(frame).boxes)
        KittiLabels.from_boxes(boxes, frame.rig.camera).write(out / f"{frame.id}.txt")


def judge(host: str, jobs: Mapping[str, Sequence[Job]], options: argparse.Namespace) -> str:
    """Return a host's part of the table: what compare says, and the costs."""
    out = Path(options.out) / f"{host}.md"
    found = {name: [job.detect() for job in mine] for name, mine in jobs.items() if mine[0].arm.kind != "backbone"}
    parts = [f"## {host}", ""]
    if len(found) > 1:
        runs = [f"{name}={','.join(map(str, folders))}" for name, folders in found.items()]
        metrics = [word for metric in METRICS for word in ("--metric", metric)]
        verb(["compare", "--labels", options.test, "--markdown", str(out), *metrics, *runs])
        parts.append(out.read_text())
    parts += [
        "| | training, minutes | of processors | memory, MiB | parameters at inference |",
        "|---|---|---|---|---|",
    ]
    for name, mine in jobs.items():
        parts.append(f"| {name} | {means([job.cost for job in mine])} | {mine[0].parameters / 1e6:.2f} M |")
    return "\n".join(parts) + "\n"


def means(costs: Sequence[Cost | None]) -> str:
    """Return the cells of the table for what trainings cost on average, of those whose cost was noted."""
    noted = [cost for cost in costs if cost is not None]
    if not noted:
        return "? | ? | ?"
    seconds, busy = fmean(cost.seconds for cost in noted), fmean(cost.processor for cost in noted)
    return f"{seconds / 60:.1f} | {busy / 60:.1f} | {fmean(cost.mebibytes for cost in noted):.0f}"


def main() -> None:
    """Run what is missing, seed by seed, and write the table after each."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--train", required=True, help="labelled set in KITTI's layout with LiDAR")
    parser.add_argument("--val", help="labelled frames that trainings validate on; without, they do not")
    parser.add_argument("--test", help="labelled frames that models are judged by; default: those of --val")
    parser.add_argument("--out", required=True)
    parser.add_argument("--epochs", type=int, default=12, help="of each student, each teacher and each backbone")
    parser.add_argument("--teacher-epochs", type=int, help="of the teachers that see depth, if not as many")
    parser.add_argument("--one-teacher", action="store_true", help="all seeds have the first's depth teachers and backbones")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--host", action="append", help="these only: keypoint, query, birds-eye, lidar")
    parser.add_argument("--arm", action="append", help="these only, by name; an arm needs the one whose teacher it has")
    parser.add_argument("--set", action="append", default=[], help="change a key of all recipes that have it")
    options = parser.parse_args()
    options.test = options.test or options.val
    if options.test is None:
        parser.error("give --test, --val, or both")
    for name in ("train", "val", "test", "out"):
        if getattr(options, name):
            setattr(options, name, str(Path(getattr(options, name)).resolve()))
    chosen = [
        arm for arm in ARMS
        if (options.host is None or arm.host in options.host) and (options.arm is None or arm.name in options.arm)
    ]  # fmt: skip
    jobs: dict[str, dict[str, list[Job]]] = {}
    for seed in range(options.seeds):
        for arm in chosen:
            if seed and options.one_teacher and arm.kind == "backbone":
                continue
            job = Job(arm, seed, options)
            job.train()
            jobs.setdefault(arm.host, {}).setdefault(arm.name, []).append(job)
        table = "\n".join(judge(host, mine, options) for host, mine in jobs.items())
        write_atomically(Path(options.out) / "table.md", table.encode())
    print(table)


if __name__ == "__main__":
    main()
