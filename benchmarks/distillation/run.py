"""How much a LiDAR teacher helps a camera student: CMKD's parts against labels, over seeds, into one table.

    python benchmarks/distillation/run.py --train DIR --val DIR --out DIR [--unlabelled DIR] [--seeds 3] [--set key=value]

Every student sees equally many pictures. `labels` learns from the labels of a share of train, all others from the teacher
alone on all of train, whose labels they do not see; `both + unlabelled` from further drives, too. What is finished is not
done again: the same command goes on where it was stopped. OUT/table.md has mean and standard deviation.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.progress import track

from mono3d_kd_core.deploy.detector import Detector
from mono3d_kd_core.deploy.loading import load_teacher
from mono3d_kd_core.deploy.validation import validated
from mono3d_kd_core.io.files import write_atomically
from mono3d_kd_core.training.average_precision import AveragePrecision
from mono3d_kd_core.training.cmkd.recipe import CmkdRecipe
from mono3d_kd_core.training.cmkd.run import CmkdRun
from mono3d_kd_core.training.examples import Labelled, open_labelled
from mono3d_kd_core.training.recipe import find_recipe, read_recipe
from mono3d_kd_core.training.reference import Reference

ANSWERS = {
    "boxes": {"pseudo_labels": 1.0},
    "dense": {"classification": 24.0, "box": 8.0, "direction": 1.6},
}  # fmt: skip
"""CMKD's two ways of teaching responses, the paper's own and the released one, whose terms count threefold here."""
FIGURES = {
    "BEV 0.7": "val/APBEV_Car_moderate", "3D 0.7": "val/AP3D_Car_moderate",
    "BEV 0.5": "val_loose/APBEV_Car_moderate", "3D 0.5": "val_loose/AP3D_Car_moderate",
}  # fmt: skip


@dataclass(frozen=True)
class Arm:
    """One way of learning: its stages' terms, and whether it sees labels or further drives."""

    name: str
    stages: tuple[dict[str, float], ...]
    labels: bool = False
    unlabelled: bool = False


def arms(features: float, depth: float, answers: str) -> tuple[Arm, ...]:
    """Return the arms; the weights of the features and of depth depend on the teacher's map."""
    said = ANSWERS[answers]
    # A PointPillars' map is empty wherever no point fell; equally weighted, a student would learn emptiness.
    seen = {"features": features, "empty_weight": 0.05, "depth": depth}
    return (
        Arm("labels", ({"labels": 1.0, "depth": depth},), labels=True),
        Arm("features", (seen,)),
        Arm("responses", (said | {"depth": depth},)),
        Arm("both", (seen, seen | said)),
        Arm("both + unlabelled", (seen, seen | said), unlabelled=True),
    )


@dataclass(frozen=True)
class Bench:
    """What all arms share."""

    options: argparse.Namespace

    def recipe(self, arm: Arm, seed: int) -> CmkdRecipe:
        """Return the recipe of an arm: the base with its sources and stages, the epochs divided between the stages."""
        o = self.options
        path = find_recipe(o.recipe)
        content = read_recipe(path, o.set)
        share = o.labelled if arm.labels else 1.0
        source: dict[str, Any] = {"path": o.train, "share": share, "labels": arm.labels, "repeat": round(1 / share)}
        sources = [source | ({"targets": o.targets} if o.targets and not arm.labels else {})]
        if o.targets:
            # A stored map cannot be mirrored; who learns from labels needs none.
            content["augment"] = {"flip": 0.5 if arm.labels else 0.0, "scale_crop": 0.0, "colour": 0.0}
        if o.weights:
            content |= {"weights": o.weights, "weights_of": "image"}
        if arm.unlabelled:
            sources.append({"path": o.unlabelled, "targets": o.unlabelled_targets})
        content["teacher"] = content["teacher"] | {"start": not arm.labels}
        schedule = content["stages"][0]["schedule"] | {"seed": seed, "bfloat16": o.bfloat16}
        first = round(o.epochs * o.first)
        lengths = [o.epochs] if len(arm.stages) == 1 else [first, o.epochs - first]
        stages = []
        for number, (teach, epochs) in enumerate(zip(arm.stages, lengths)):
            if epochs:
                own = schedule | {"epochs": epochs, "validate_every": epochs}
                stages.append({"name": f"stage{number + 1}", "teach": teach, "schedule": own})
        return validated(CmkdRecipe, content | {"sources": sources, "stages": stages, "val": []}, str(path))

    def figures(self, arm: Arm, seed: int) -> dict[str, float]:
        """Train an arm with a seed, or go on with it, and evaluate it; or read what it got."""
        out = Path(self.options.out) / arm.name.replace(" + ", "_") / f"seed{seed}"
        result = out / "figures.json"
        if not result.is_file():
            bundle = CmkdRun(self.recipe(arm, seed), [], [Path(self.options.val)], out).train(resume=True)
            figures = student_figures(bundle.path, Path(self.options.val), arm.name)
            write_atomically(result, json.dumps(figures, indent=1).encode())
        return dict(json.loads(result.read_text()))

    def teacher(self) -> dict[str, float]:
        """Evaluate the teacher on the same frames."""
        result = Path(self.options.out) / "teacher.json"
        if not result.is_file():
            content = read_recipe(find_recipe(self.options.recipe), self.options.set)
            teacher = load_teacher(content["teacher"]["bundle"])
            average = AveragePrecision(teacher.classes)
            val: Labelled = open_labelled(Path(self.options.val))
            for index in track(range(len(val)), "evaluating the teacher"):
                frame = val[index]
                average.add([teacher.observe(frame).boxes], [Reference.of(val.labels(index), frame.rig)])
            result.parent.mkdir(parents=True, exist_ok=True)
            write_atomically(result, json.dumps(average.figures(), indent=1).encode())
        return dict(json.loads(result.read_text()))


def student_figures(bundle: Path, val: Path, name: str) -> dict[str, float]:
    """Return the average precisions of a student on a labelled set."""
    device = "cuda" if torch.cuda.is_available() else "cpu"
    detector = Detector.load(bundle, score_threshold=0.0, max_detections=100, device=device)
    source = open_labelled(val)
    average = AveragePrecision(detector.classes)
    for index in track(range(len(source)), f"evaluating {name}"):
        frame = source[index]
        boxes = detector.detect(frame.image, frame.rig.camera, frame.rig.T_camera_lidar)
        average.add([boxes], [Reference.of(source.labels(index), frame.rig)])
    return average.figures()


def table(rows: dict[str, Sequence[dict[str, float]]]) -> str:
    """Return the figures as a Markdown table, mean ± standard deviation over the seeds."""
    lines = [f"| Car, moderate, AP R40 | {' | '.join(FIGURES)} | seeds |", "|---" * (len(FIGURES) + 2) + "|"]
    for name, found in rows.items():
        cells = []
        for key in FIGURES.values():
            values = [each.get(key, float("nan")) for each in found]
            spread = f" ± {np.std(values, ddof=1):.2f}" if len(values) > 1 else ""
            cells.append(f"{np.mean(values):.2f}{spread}")
        lines.append(f"| {name} | {' | '.join(cells)} | {len(found)} |")
    return "\n".join(lines) + "\n"


def main() -> None:
    """Run what is missing, seed by seed, and write the table after each."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--train", required=True, help="labelled set in KITTI's layout with LiDAR")
    parser.add_argument("--val", required=True)
    parser.add_argument("--out", required=True)
    parser.add_argument("--unlabelled", help="a further drive: a set, a raw drive or a bag")
    parser.add_argument("--unlabelled-targets", help="its target store, where train has one")
    parser.add_argument("--targets", help="target store with the teacher's maps and answers to train")
    parser.add_argument("--weights", help="bundle of a student whose image network all arms start with")
    parser.add_argument("--bfloat16", action="store_true", help="compute in bfloat16 where there is no GPU")
    parser.add_argument("--recipe", default="cmkd_small")
    parser.add_argument("--labelled", type=float, default=0.1, help="share of train whose labels the arm `labels` sees")
    parser.add_argument("--epochs", type=int, default=14, help="of train, all stages together")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument(
        "--arms", nargs="+", choices=[arm.name for arm in arms(0, 0, "boxes")], help="only these; default: all"
    )
    parser.add_argument(
        "--answers", choices=ANSWERS, default="boxes", help="teach the teacher's boxes, or its dense answers"
    )
    parser.add_argument("--first", type=float, default=0.5, help="share of the epochs with features alone in `both`")
    parser.add_argument("--features", type=float, default=4.0, help="weight of the features")
    parser.add_argument("--depth", type=float, default=3.0, help="weight of the depth of the LiDAR's points")
    parser.add_argument("--set", action="append", default=[], help="change a key of the recipe: student.width=1.0")
    options = parser.parse_args()
    bench = Bench(options)
    chosen = [
        arm
        for arm in arms(options.features, options.depth, options.answers)
        if (options.unlabelled or not arm.unlabelled) and (not options.arms or arm.name in options.arms)
    ]
    rows: dict[str, Sequence[dict[str, float]]] = {"LiDAR teacher": [bench.teacher()]}
    for seed in range(options.seeds):
        for arm in chosen:
            rows[arm.name] = [*rows.get(arm.name, []), bench.figures(arm, seed)]
            write_atomically(Path(options.out) / "table.md", table(rows).encode())
    print(table(rows))


if __name__ == "__main__":
    main()
