"""From a recipe's name to the run that it describes: of a student, of a LiDAR teacher, or of one taught by the other."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from mono3d_kd_core.deploy.validation import validated
from mono3d_kd_core.errors import ModelError
from mono3d_kd_core.training.add_bev import AddBevRecipe, AddBevRun
from mono3d_kd_core.training.cmkd import CmkdRecipe, CmkdRun
from mono3d_kd_core.training.hvdistill import HvDistillRun
from mono3d_kd_core.training.hvdistill_recipe import HvDistillRecipe
from mono3d_kd_core.training.privileged import PrivilegedRun
from mono3d_kd_core.training.privileged_recipe import RECIPES as PRIVILEGED
from mono3d_kd_core.training.recipe import QueryRecipe, Recipe, find_recipe, read_recipe
from mono3d_kd_core.training.run import Run
from mono3d_kd_core.training.teacher import TeacherRun
from mono3d_kd_core.training.teacher_recipe import RECIPES
from mono3d_kd_core.training.weak import WeakRun
from mono3d_kd_core.training.weak_recipe import SkdRecipe


def planned_run(
    recipe: str,
    changes: list[str] | None,
    data: Sequence[Path],
    val: Sequence[Path],
    out: Path | None,
    licence: str = "",
) -> Run | AddBevRun | TeacherRun | CmkdRun | HvDistillRun | PrivilegedRun:
    """Return the run of a recipe (a file, or the name of a packaged one), not yet started. Raises ModelError in words.

    Without `out` it is written to runs/ and the recipe's name.
    """
    path = find_recipe(recipe)
    content = read_recipe(path, changes)
    out = out if out is not None else Path("runs") / path.stem
    architecture = str(content.get("architecture"))
    if architecture == "cmkd":
        return CmkdRun(validated(CmkdRecipe, content, str(path)), data, val, out, licence)
    if architecture == "hvdistill":
        return HvDistillRun(validated(HvDistillRecipe, content, str(path)), data, val, out, licence)
    if architecture == "skd_wm3d":
        weak = validated(SkdRecipe, content, str(path))
        if not data and not weak.sources:
            raise ModelError(f"{path}: this recipe names no data; give --data, or sources")
        return WeakRun.of(weak, data, val, out, licence)
    if not data:
        raise ModelError(f"{path}: this recipe names no data; give --data")
    if teacher := RECIPES.get(architecture):
        return TeacherRun(validated(teacher, content, str(path)), data, val, out, licence)
    if architecture == "add_bev":
        return AddBevRun(validated(AddBevRecipe, content, str(path)), data, val, out, licence)
    if method := PRIVILEGED.get(architecture):
        return PrivilegedRun(validated(method, content, str(path)), data, val, out, licence)
    plain = QueryRecipe if architecture == "query" else Recipe
    return Run(validated(plain, content, str(path)), data, val, out, licence)
