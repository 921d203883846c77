"""The bench's arms: every one is a plan that the recipes accept, of the epochs and the seed that were asked for."""

from __future__ import annotations

from argparse import Namespace
from pathlib import Path

import pytest
import yaml

from benchmarks.distillation.arms import ARMS, Arm
from benchmarks.distillation.bench import Job, changed, timed
from mono3d_kd_core.training.bev_start import completed, shape_of
from mono3d_kd_core.training.choice import planned_run, recipe_of
from mono3d_kd_core.training.cmkd.recipe import CmkdRecipe
from mono3d_kd_core.training.privileged.add_bev import AddBevRecipe, AddBevRun
from mono3d_kd_core.training.recipe import find_recipe, read_recipe


def options(**changes: object) -> Namespace:
    usual = {"train": "data/train", "val": "data/val", "out": "runs", "set": [], "epochs": 6, "teacher_epochs": None}
    return Namespace(**(usual | {"one_teacher": False} | changes))


@pytest.mark.parametrize("arm", ARMS, ids=lambda arm: f"{arm.host}: {arm.name}")
def test_every_arm_is_a_plan(arm: Arm, tmp_path: Path) -> None:
    job = Job(arm, 3, options())
    plan = tmp_path / "plan.yaml"
    plan.write_text(yaml.safe_dump(job.plan()))
    data = [Path("data/train")] if arm.takes_data else []
    content = planned_run(str(plan), None, data, [], tmp_path / "run").recipe.model_dump()
    parts = content.get("stages") or content.get("phases") or [content]
    schedules = [part["schedule"] for part in parts]
    assert sum(schedule["epochs"] for schedule in schedules) == 6
    assert {schedule["seed"] for schedule in schedules} == {3}


def test_arms_have_places_of_their_own_and_teachers_that_exist() -> None:
    assert len({Job(arm, 0, options()).place for arm in ARMS}) == len(ARMS)
    for i, arm in enumerate(ARMS):
        if arm.teacher_of is not None:
            owner = next(other for other in ARMS if (other.host, other.name) == (arm.host, arm.teacher_of))
            assert ARMS.index(owner) < i
            assert owner.teacher_of is None


def test_all_seeds_may_have_one_teacher() -> None:
    arms = {arm.name: arm for arm in ARMS if arm.host == "keypoint"}
    once = options(one_teacher=True, teacher_epochs=9)
    first = Job(arms["MonoSTL"], 0, once).plan()["teacher"]["schedule"]
    assert (first["epochs"], first["validate_every"], first["seed"]) == (9, 9, 0)
    for name in ("MonoSTL", "MonoDistill"):
        plan = Job(arms[name], 2, once).plan()
        assert plan["teacher"] == {"bundle": "runs/keypoint/monostl/seed0/run/teacher/bundle"}
        assert plan["schedule"]["seed"] == 2
    taught = next(arm for arm in ARMS if arm.name == "of 5 %, from HVDistill")
    plan = Job(taught, 2, once).plan()
    assert plan["backbone_weights"] == "runs/lidar/hvdistill/seed0/run/bundle"
    assert plan["labels"]["seed"] == 2
    own = Job(arms["MonoDistill"], 2, options()).plan()
    assert own["teacher"] == {"bundle": "runs/keypoint/monostl/seed2/run/teacher/bundle"}
    assert "teacher" not in Job(arms["labels alone"], 2, once).plan()


def test_stages_share_the_epochs_as_they_did() -> None:
    content = {"stages": [{"schedule": {"epochs": 8}}, {"schedule": {"epochs": 4}}], "schedule": None}
    stages = timed(content, 6, 1)["stages"]
    assert [stage["schedule"]["epochs"] for stage in stages] == [4, 2]


@pytest.mark.parametrize(
    ("recipe", "change", "found"),
    [
        ("keypoint_small", "schedule.accumulate=2", 2),
        ("monostl_small", "data.workers=3", 3),
        ("monostl_small", "teacher.schedule.batch_size=4", 4),
        ("add_bev_small", "augment.flip=0", 0),  # a section that this recipe leaves as it is
        ("second_small", "workers=2", 2),
    ],
)
def test_a_change_is_made_where_the_recipe_has_the_key(recipe: str, change: str, found: int) -> None:
    key = change.partition("=")[0]
    content = changed(read_recipe(find_recipe(recipe)), change)
    value = recipe_of(content, recipe)
    for word in key.split("."):
        value = getattr(value, word)
    assert value == found


@pytest.mark.parametrize(
    ("recipe", "change"),
    [
        ("keypoint_small", "workers=2"),  # where LiDAR teachers have it
        ("second_small", "data.workers=2"),
        ("keypoint_small", "teach.depth=objects"),
        ("skd_wm3d_small", "student.encoder_layers=1"),
    ],
)
def test_other_recipes_stay_as_they_are(recipe: str, change: str) -> None:
    plain = read_recipe(find_recipe(recipe))
    assert changed(read_recipe(find_recipe(recipe)), change) == plain


def test_changes_that_only_make_sense_together_are_made() -> None:
    volume = ("student.low=[0.0, -25.6, -3.0]", "student.high=[51.2, 25.6, 1.0]", "student.cell=0.4")
    content = recipe_of(changed(read_recipe(find_recipe("add_bev_small")), *volume), "add_bev_small")
    assert isinstance(content, AddBevRecipe)
    assert content.student.grid.shape[:2] == (128, 128)


@pytest.mark.parametrize(("recipe", "parts"), [("cmkd_small", "stages"), ("hvdistill_small", "phases")])
def test_a_schedule_is_that_of_every_part(recipe: str, parts: str) -> None:
    plain = read_recipe(find_recipe(recipe))
    content = changed(read_recipe(find_recipe(recipe)), "schedule.batch_size=2")
    assert [part["schedule"] for part in content[parts]] == [part["schedule"] | {"batch_size": 2} for part in plain[parts]]
    assert changed(read_recipe(find_recipe(recipe)), "schedule.unheard_of=2") == plain


def test_students_of_the_birds_eye_host_have_one_shape(tmp_path: Path) -> None:
    arms = {arm.name: arm for arm in ARMS if arm.host == "birds-eye"}
    cmkd = CmkdRecipe.model_validate(Job(arms["CMKD"], 0, options()).plan())
    assert cmkd.teacher is not None
    assert cmkd.teacher.bundle is not None
    theirs = completed(cmkd.student, shape_of(cmkd.teacher.bundle))
    add = planned_run("add_bev_small", None, [tmp_path], [], tmp_path / "run")
    assert isinstance(add, AddBevRun)
    assert add.student_config == theirs
    assert add.recipe.augment == cmkd.augment


def test_a_schedule_of_a_teacher_is_not_for_arms_that_are_given_theirs() -> None:
    content = read_recipe(find_recipe("monostl_small"), ["teacher={bundle: runs/teacher}"])
    assert changed(content, "teacher.schedule.batch_size=4")["teacher"] == {"bundle": "runs/teacher"}
