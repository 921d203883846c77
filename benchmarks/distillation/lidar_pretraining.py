"""What HVDistill is worth to a LiDAR teacher: random against taught backbones, with few and many labels, into one table.

    PYTHONPATH=. python benchmarks/distillation/lidar_pretraining.py --train DIR --val DIR --out DIR [--seeds 3]

Backbones are taught on --pretrain (--train by default), no label of which is read then, once with both views and once with
the image plane alone. Then each kind of start is trained on 1, 5 and 100 % of the labels of --train: the same frames and as
many steps for all starts of a seed. What is finished is not done again: the same command goes on where it was stopped.
OUT/table.md has mean and standard deviation over the seeds.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from rich.progress import track

from mono3d_kd_core.deploy.loading import load_teacher
from mono3d_kd_core.io.files import write_atomically
from mono3d_kd_core.training.average_precision import AveragePrecision
from mono3d_kd_core.training.choice import planned_run
from mono3d_kd_core.training.examples import open_labelled
from mono3d_kd_core.training.reference import Reference

STARTS = {"random": None, "HVDistill": "hybrid", "HVDistill, image plane only": "image_plane"}
"""Start -> the views by which its backbone was taught."""
CLASSES = ("Car", "Pedestrian", "Cyclist")
SHOWN = {"Car 3D": "val/AP3D_Car_moderate", "Car BEV": "val/APBEV_Car_moderate"} | {
    f"{name} 3D": f"val/AP3D_{name}_moderate" for name in CLASSES[1:]
}


@dataclass(frozen=True)
class Bench:
    """What all runs share."""

    options: argparse.Namespace

    @property
    def out(self) -> Path:
        """Where everything is kept."""
        return Path(self.options.out)

    def backbone(self, views: str, seed: int) -> Path:
        """Teach a backbone, or go on with it; return its bundle."""
        o = self.options
        out = self.out / "backbones" / views / f"seed{seed}"
        if not (out / "bundle" / "card.yaml").is_file():
            lidar = json.dumps({"recipe": o.recipe, "set": o.set})
            changes = [*o.hvdistill_set, f"lidar={lidar}", f"views={views}"]
            phases = planned_run(o.hvdistill, changes, [], [], out).recipe.model_dump(mode="json")["phases"]
            for phase in phases:
                phase["schedule"] |= {"seed": seed, "epochs": o.pretrain_epochs or phase["schedule"]["epochs"]}
            run = planned_run(o.hvdistill, [*changes, f"phases={json.dumps(phases)}"], self._drives, [], out)
            run.train(resume=(out / "recipe.yaml").is_file())
        return out / "bundle"

    @property
    def _drives(self) -> list[Path]:
        return [Path(path) for path in self.options.pretrain or [self.options.train]]

    def figures(self, start: str, share: float, seed: int) -> dict[str, float]:
        """Train a teacher, or go on with it, and evaluate it; or read what it got."""
        o, views = self.options, STARTS[start]
        out = self.out / "teachers" / (views or "random") / f"labels{share:g}" / f"seed{seed}"
        result = out / "figures.json"
        if not result.is_file():
            # Few frames are shown more often, so that all learn for equally many steps.
            labels = {"share": share, "seed": seed, "repeat": max(1, round(1 / share))}
            changes = [*o.set, f"labels={json.dumps(labels)}", f"schedule.seed={seed}", f"schedule.epochs={o.epochs}"]
            changes.append(f"schedule.validate_every={o.epochs}")
            if views is not None:
                changes.append(f"backbone_weights={self.backbone(views, seed)}")
            run = planned_run(o.recipe, changes, [Path(o.train)], [], out)
            bundle = out / "bundle"
            if not (bundle / "card.yaml").is_file():
                run.train(resume=(out / "checkpoints" / "last.ckpt").is_file())
            write_atomically(result, json.dumps(teacher_figures(bundle, Path(o.val), start), indent=1).encode())
        return dict(json.loads(result.read_text()))


def teacher_figures(bundle: Path, val: Path, name: str) -> dict[str, float]:
    """Return the average precisions of a LiDAR teacher on a labelled set."""
    teacher, source = load_teacher(bundle), open_labelled(val)
    average = AveragePrecision(teacher.classes)
    for index in track(range(len(source)), f"evaluating {name}"):
        frame = source[index]
        average.add([teacher.observe(frame).boxes], [Reference.of(source.labels(index), frame.rig)])
    return average.figures()


def table(rows: dict[tuple[float, str], Sequence[dict[str, float]]]) -> str:
    """Return the figures as a Markdown table, mean ± standard deviation over the seeds."""
    lines = [f"| labels | start | {' | '.join(SHOWN)} | seeds |", "|---" * (len(SHOWN) + 3) + "|"]
    for (share, start), found in rows.items():
        cells = []
        for key in SHOWN.values():
            values = [each.get(key, float("nan")) for each in found]
            spread = f" ± {np.std(values, ddof=1):.2f}" if len(values) > 1 else ""
            cells.append(f"{np.mean(values):.2f}{spread}")
        lines.append(f"| {100 * share:g} % | {start} | {' | '.join(cells)} | {len(found)} |")
    return "\n".join(["AP R40, moderate.", "", *lines]) + "\n"


def main() -> None:
    """Run what is missing, seed by seed, and write the table after each."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--train", required=True, help="labelled set in KITTI's layout with LiDAR")
    parser.add_argument("--val", required=True, help="labelled set to evaluate on; choose nothing by it")
    parser.add_argument("--out", required=True)
    parser.add_argument("--pretrain", action="append", help="drive to teach backbones on; repeatable. Default: --train")
    parser.add_argument("--hvdistill", default="hvdistill_small", help="recipe that teaches backbones")
    parser.add_argument("--recipe", default="second_small", help="recipe of the LiDAR teacher")
    parser.add_argument("--shares", type=float, nargs="+", default=[0.01, 0.05, 1.0])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=10, help="of the LiDAR teacher, counted in all of train")
    parser.add_argument("--pretrain-epochs", type=int, help="of each phase; default: the recipe's")
    parser.add_argument("--set", action="append", default=[], help="change a key of the teacher's recipe")
    parser.add_argument("--hvdistill-set", action="append", default=[], help="change a key of HVDistill's recipe")
    bench = Bench(parser.parse_args())
    rows: dict[tuple[float, str], Sequence[dict[str, Any]]] = {}
    for seed in range(bench.options.seeds):
        for share in bench.options.shares:
            for start in STARTS:
                rows[share, start] = [*rows.get((share, start), []), bench.figures(start, share, seed)]
                write_atomically(bench.out / "table.md", table(rows).encode())
    print(table(rows))


if __name__ == "__main__":
    main()
