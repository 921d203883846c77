"""Recipes: the packaged ones are valid, and mistakes are named."""

from __future__ import annotations

from pathlib import Path

import pytest

from mono3d_kd_core.errors import ModelError
from mono3d_kd_core.training.choice import recipe_of
from mono3d_kd_core.training.cmkd.recipe import CmkdRecipe
from mono3d_kd_core.training.privileged.add_bev import AddBevRecipe
from mono3d_kd_core.training.recipe import find_recipe, load_recipe, read_recipe
from tests.conftest import REPOSITORY

PACKAGED = sorted((REPOSITORY / "config" / "recipes").glob("keypoint*.yaml"))


@pytest.mark.parametrize("path", PACKAGED, ids=lambda path: path.stem)
def test_packaged_recipes_are_valid_and_found_by_name(path: Path) -> None:
    assert load_recipe(path).schedule.epochs > 0
    assert find_recipe(path.stem) == path


def test_changes_override_the_file() -> None:
    recipe = load_recipe(PACKAGED[0], ["schedule.epochs=7", "student.classes=[Car]", "data.min_score=5"])
    assert (recipe.schedule.epochs, recipe.student.classes, recipe.data.min_score) == (7, ("Car",), 5.0)


@pytest.mark.parametrize("name", ["cmkd_small", "add_bev_small"])
def test_one_change_of_a_birds_eye_students_pictures_brings_no_crops_back(name: str) -> None:
    recipe = recipe_of(read_recipe(find_recipe(name), ["augment.flip=0"]), name)
    assert isinstance(recipe, CmkdRecipe | AddBevRecipe)
    assert (recipe.augment.flip, recipe.augment.scale_crop) == (0, 0)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("schedule.epoch=3", r"keypoint.*yaml: unknown key schedule\.epoch, did you mean epochs\?"),
        ("student.backbon=dla34", r"unknown key student\.backbon, did you mean backbone\?"),
        ("schedule.epochs=many", r"schedule\.epochs: .*integer"),
        ("student.input_width=100", r"student\.input_width: .*multiple of 32"),
        ("student.classes=[Unicorn]", "class Unicorn needs its mean length, width, height"),
        ("epochs", "expected key=value"),
    ],
)
def test_mistakes_are_named_with_file_and_key(change: str, message: str) -> None:
    with pytest.raises(ModelError, match=message):
        load_recipe(PACKAGED[0], [change])


def test_an_unknown_recipe_lists_the_known_ones() -> None:
    with pytest.raises(ModelError, match="keypoint_small"):
        find_recipe("keypoint_smal")


def test_a_file_that_is_no_recipe_says_so(tmp_path: Path) -> None:
    path = tmp_path / "bad.yaml"
    path.write_text("[1, 2")
    with pytest.raises(ModelError, match=r"bad\.yaml"):
        load_recipe(path)
