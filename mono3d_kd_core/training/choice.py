"""From a recipe's name to the run that it describes: of a student, of a LiDAR teacher, or of one taught by the other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mono3d_kd_core.deploy.validation import validated
from mono3d_kd_core.errors import ModelError
from mono3d_kd_core.training.cmkd.recipe import CmkdRecipe
from mono3d_kd_core.training.cmkd.run import CmkdRun
from mono3d_kd_core.training.hvdistill.recipe import HvDistillRecipe
from mono3d_kd_core.training.hvdistill.run import HvDistillRun
from mono3d_kd_core.training.lidar.recipe import RECIPES as TEACHERS
from mono3d_kd_core.training.lidar.recipe import TeacherRecipe
from mono3d_kd_core.training.lidar.run import TeacherRun
from mono3d_kd_core.training.privileged.add_bev import AddBevRecipe, AddBevRun
from mono3d_kd_core.training.privileged.recipe import RECIPES as PRIVILEGED
from mono3d_kd_core.training.privileged.recipe import AddQueryRecipe, AddRecipe, MonoStlQueryRecipe, MonoStlRecipe
from mono3d_kd_core.training.privileged.run import PrivilegedRun
from mono3d_kd_core.training.recipe import PeakLearning, QueryRecipe, Recipe, Section, find_recipe, read_recipe
from mono3d_kd_core.training.run import Run
from mono3d_kd_core.training.weak.recipe import SkdRecipe
from mono3d_kd_core.training.weak.run import WeakRun

KINDS: Mapping[str, type[Section]] = {
    "add_bev": AddBevRecipe, "cmkd": CmkdRecipe, "hvdistill": HvDistillRecipe, "query": QueryRecipe, "skd_wm3d": SkdRecipe,
    **PRIVILEGED, **TEACHERS,
}  # fmt: skip
"""Architecture -> recipe; without one, that of a keypoint student."""


def recipe_of(content: Mapping[str, Any], where: str) -> Section:
    """Return the recipe that the keys of a file mean. Raises ModelError with `where`, the key and the nearest valid one."""
    return validated(KINDS.get(str(content.get("architecture")), Recipe), content, where)


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
    plan = recipe_of(read_recipe(path, changes), str(path))
    out = out if out is not None else Path("runs") / path.stem
    match plan:
        case CmkdRecipe():
            return CmkdRun(plan, data, val, out, licence)
        case HvDistillRecipe():
            return HvDistillRun(plan, data, val, out, licence)
        case SkdRecipe() if data or plan.sources:
            return WeakRun.of(plan, data, val, out, licence)
    if not data:
        raise ModelError(f"{path}: this recipe names no data; give --data")
    match plan:
        case TeacherRecipe():
            return TeacherRun(plan, data, val, out, licence)
        case AddBevRecipe():
            return AddBevRun(plan, data, val, out, licence)
        case MonoStlRecipe() | AddRecipe() | MonoStlQueryRecipe() | AddQueryRecipe():
            return PrivilegedRun(plan, data, val, out, licence)
    assert isinstance(plan, PeakLearning)  # of KINDS, all else is above
    return Run(plan, data, val, out, licence)
