"""Stages of a longer run: each is done once, by one recipe, and never mistaken for another's."""

from __future__ import annotations

from pathlib import Path

from mono3d_kd_core.deploy.bundle import Bundle, load_bundle
from mono3d_kd_core.errors import ModelError
from mono3d_kd_core.io.files import read_text


def finished_bundle(out: Path, plan: str, resume: bool) -> Bundle | None:
    """Return the bundle of the stage in `out` that was done before, None where it has to be trained (further).

    plan is the stage's recipe as text. Raises ModelError where the stage to go on with was begun by another one.
    """
    written = out / "recipe.yaml"
    if resume and written.is_file() and read_text(written) != plan:
        raise ModelError(f"{written}: the stage was begun with another recipe; give another --out, or the same recipe")
    if not resume or not (out / "bundle" / "card.yaml").is_file():
        return None
    return load_bundle(out / "bundle")
