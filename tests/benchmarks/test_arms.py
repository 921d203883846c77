"""The bench's arms: every one is a plan that the recipes accept, of the epochs and the seed that were asked for."""

from __future__ import annotations

from argparse import Namespace
from pathlib import Path

import pytest
import yaml

from benchmarks.distillation.arms import ARMS, Arm
from benchmarks.distillation.bench import Job, changed, timed
from mono3d_kd_core.training.choice import planned_run


@pytest.mark.parametrize("arm", ARMS, ids=lambda arm: f"{arm.host}: {arm.name}")
def test_every_arm_is_a_plan(arm: Arm, tmp_path: Path) -> None:
    job = Job(arm, 3, Namespace(train="data/train", val="data/val", out="runs", set=[]))
    job.options.epochs = 6
    plan = tmp_path / "plan.yaml"
    plan.write_text(yaml.safe_dump(job.plan()))
    data = [Path("data/train")] if arm.takes_data else []
    content = planned_run(str(plan), None, data, [], tmp_path / "run").recipe.model_dump()
    parts = content.get("stages") or content.get("phases") or [content]
    schedules = [part["schedule"] for part in parts]
    assert sum(schedule["epochs"] for schedule in schedules) == 6
    assert {schedule["seed"] for schedule in schedules} == {3}


def test_arms_have_places_of_their_own_and_teachers_that_exist() -> None:
    options = Namespace(out="runs")
    assert len({Job(arm, 0, options).place for arm in ARMS}) == len(ARMS)
    for i, arm in enumerate(ARMS):
        if arm.teacher_of is not None:
            owner = next(other for other in ARMS if (other.host, other.name) == (arm.host, arm.teacher_of))
            assert ARMS.index(owner) < i
            assert owner.teacher_of is None


def test_stages_share_the_epochs_as_they_did() -> None:
    content = {"stages": [{"schedule": {"epochs": 8}}, {"schedule": {"epochs": 4}}], "schedule": None}
    stages = timed(content, 6, 1)["stages"]
    assert [stage["schedule"]["epochs"] for stage in stages] == [4, 2]


def test_a_change_is_for_recipes_that_have_the_section() -> None:
    assert changed({"student": {"width": 1}}, "student.width=0.5") == {"student": {"width": 0.5}}
    assert changed({"teacher": None}, "labels.repeat=4") == {"teacher": None}
