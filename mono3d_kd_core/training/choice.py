"""From a recipe's name to the run that it describes: of a student or of a LiDAR teacher."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from mono3d_kd_core.deploy.validation import validated
from mono3d_kd_core.training.recipe import Recipe, find_recipe, read_recipe
from mono3d_kd_core.training.run import Run
from mono3d_kd_core.training.teacher import TeacherRun
from mono3d_kd_core.training.teacher_recipe import RECIPES


def planned_run(
    recipe: str, changes: list[str] | None, data: Sequence[Path], val: Sequence[Path], out: Path, licence: str = ""
) -> Run | TeacherRun:
    """Return the run of a recipe (a file, or the name of a packaged one), not yet started. Raises ModelError in words."""
    path = find_recipe(recipe)
    content = read_recipe(path, changes)
    if teacher := RECIPES.get(str(content.get("architecture"))):
        return TeacherRun(validated(teacher, content, str(path)), data, val, out, licence)
    return Run(validated(Recipe, content, str(path)), data, val, out, licence)
