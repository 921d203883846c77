"""One round of online distillation: learn from a teacher's fresh targets, and judge on frames held back which is better.

`python -m mono3d_kd_core.training.online.round PLAN.yaml` runs a round as a process of its own, so that it can be stopped at
any time and its memory is given back; the verdict lies in the round's folder.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field

from mono3d_kd_core.errors import DataError, Mono3DError
from mono3d_kd_core.io.files import write_atomically
from mono3d_kd_core.io.settings import read_settings
from mono3d_kd_core.targets.store import TargetStore
from mono3d_kd_core.training.online.shares import frames_of, lesson, link_frames

VERDICT = "verdict.json"


class Plan(BaseModel):
    """What a round learns from, what it starts from, and what it must show."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    store: Path
    """The teacher's target store, which may grow meanwhile."""
    student: Path
    """The bundle in use: where training starts, and what must be beaten."""
    out: Path
    """Folder of the round."""
    recipe: str = "keypoint_small"
    """Must describe a student of the same shape."""
    replay: tuple[Path, ...] = ()
    """Folders with labels of what was known before, such as simulated sets: they keep it from being forgotten."""
    recent: int = Field(default=100, gt=0)
    replayed: int = Field(default=100, ge=0)
    """Frames drawn from the store's older ones, and as many from each folder of `replay`."""
    epochs: int = Field(default=12, gt=0)
    learning_rate: float = Field(default=3e-4, gt=0)
    batch_size: int = Field(default=4, gt=0)
    margin: float = Field(default=0.02, ge=0)
    """By how much F1 must rise."""
    least_objects: int = Field(default=20, ge=1)
    """With fewer of the teacher's objects in the frames held back nothing is decided."""
    seed: int = 0


@dataclass(frozen=True)
class Figure:
    """How a student does on the frames held back, at its own score threshold, within 40 m and 2 m, over all classes."""

    recall: float
    precision: float

    @property
    def f1(self) -> float:
        """The harmonic mean of both; 0 where nothing is found."""
        both = self.recall + self.precision
        return 2 * self.recall * self.precision / both if both > 0 else 0.0


@dataclass(frozen=True)
class Verdict:
    """What came of a round. `bundle` is the candidate's folder, objects those of the teacher in the judged frames."""

    bundle: str
    before: Figure
    after: Figure
    objects: int
    trained_frames: int
    judged_frames: int
    better: bool


def is_better(before: Figure, after: Figure, objects: int, plan: Plan) -> bool:
    """Tell whether the candidate should take over: enough was judged, and it wins by more than the margin."""
    return objects >= plan.least_objects and after.f1 > before.f1 + plan.margin


def run_round(plan: Plan) -> Verdict:
    """Train a candidate and compare it with the student in use. Raises Mono3DError in words."""
    from mono3d_kd_core.training.choice import planned_run

    stored = TargetStore(plan.store).ids
    taught = lesson(frames_of(stored, "training"), plan.recent, plan.replayed, plan.seed)
    held_back = {share: frames_of(stored, share) for share in ("calibration", "judging")}
    if not taught or not all(held_back.values()):
        raise DataError(f"{plan.store}: {len(stored)} frames are too few to learn from some and to judge on others")
    lessons = [link_frames(plan.store, taught, plan.out / "lesson")]
    for number, folder in enumerate(plan.replay):
        known = lesson([path.stem for path in sorted((folder / "label_2").glob("*.txt"))], 1, plan.replayed, plan.seed)
        lessons.append(link_frames(folder, known, plan.out / f"replay_{number}"))
    calibration = link_frames(plan.store, held_back["calibration"], plan.out / "calibration")
    judging = link_frames(plan.store, held_back["judging"], plan.out / "judging")
    changes = [
        f"weights={plan.student}", f"schedule.epochs={plan.epochs}", f"schedule.validate_every={plan.epochs}",
        f"schedule.learning_rate={plan.learning_rate}", f"schedule.batch_size={plan.batch_size}",
        f"schedule.seed={plan.seed}",
    ]  # fmt: skip
    bundle = planned_run(plan.recipe, changes, lessons, [calibration], plan.out / "run").train(quiet=True)
    before, objects = judge(plan.student, judging)
    after, _ = judge(bundle.path, judging)
    frames = sum(len(list((folder / "label_2").iterdir())) for folder in lessons)
    better = is_better(before, after, objects, plan)
    return Verdict(str(bundle.path), before, after, objects, frames, len(held_back["judging"]), better)


def judge(bundle: Path, folder: Path) -> tuple[Figure, int]:
    """Return how a student's bundle does on a folder of targets, and how many objects were asked for."""
    from mono3d_kd_core.deploy.detector import Detector
    from mono3d_kd_core.io.kitti import KittiObjectSource
    from mono3d_kd_core.training.examples import trusted_score
    from mono3d_kd_core.training.matching import FoundShare, found_share

    source, least = KittiObjectSource(folder), trusted_score(str(folder))
    truth = [source.labels(i).boxes() for i in range(len(source))]
    if least is not None:
        truth = [boxes[boxes.score >= least] for boxes in truth]
    detector = Detector.load(bundle)
    found = [detector.detect(frame.image, frame.rig.camera) for frame in source]
    names = sorted({str(label) for boxes in truth for label in boxes.label} & set(detector.classes))
    shares = [found_share(found, truth, name, score=detector.score_threshold) for name in names]

    def mean(values: Sequence[float], shares: Sequence[FoundShare]) -> float:
        total = sum(share.objects for share in shares)
        return sum(value * share.objects for value, share in zip(values, shares)) / total if total else 0.0

    figure = Figure(mean([s.recall for s in shares], shares), mean([s.precision for s in shares], shares))
    return figure, sum(share.objects for share in shares)


def read_verdict(folder: Path) -> Verdict:
    """Read the verdict of a round. Raises DataError when there is none."""
    try:
        content = json.loads((folder / VERDICT).read_text())
    except (OSError, ValueError) as error:
        raise DataError(f"{folder / VERDICT}: cannot be read: {error}") from error
    return Verdict(**content | {when: Figure(**content[when]) for when in ("before", "after")})


def main(arguments: Sequence[str]) -> int:
    """Run the round of a plan file; return the exit status."""
    try:
        plan = read_settings(Path(arguments[0]), Plan, DataError)
        plan.out.mkdir(parents=True, exist_ok=True)
        verdict = run_round(plan)
    except Mono3DError as error:
        print(error, file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130
    write_atomically(plan.out / VERDICT, (json.dumps(asdict(verdict), indent=1) + "\n").encode())
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
