"""Settings in YAML, checked: what is wrong is said with the file, the key and the nearest valid key."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ValidationError

from mono3d_kd_core.errors import CalibrationError, Mono3DError
from mono3d_kd_core.io.files import read_text, write_atomically

Settings = TypeVar("Settings", bound=BaseModel)


def read_yaml(path: Path, error: type[Mono3DError] = CalibrationError) -> Any:
    """Read a YAML file. Raises `error` naming it when it is none."""
    try:
        return yaml.safe_load(read_text(path))
    except yaml.YAMLError as problem:
        raise error(f"{path}: this is not YAML: {' '.join(str(problem).split())}") from problem


def read_settings(path: Path, model: type[Settings], error: type[Mono3DError] = CalibrationError) -> Settings:
    """Read a YAML file as `model`. Raises `error` naming the file, the key, and what is wrong with it."""
    return validated(model, read_yaml(path, error), str(path), error)


def validated(
    model: type[Settings], content: Any, where: str, error: type[Mono3DError] = CalibrationError
) -> Settings:
    """Build `model` from `content`, as read from `where` (a file, for the message). Raises `error` in words."""
    if not isinstance(content, dict):
        raise error(f"{where}: expected keys and values, found {type(content).__name__}")
    try:
        return model.model_validate(content)
    except ValidationError as problems:
        raise error(f"{where}: " + "; ".join(_in_words(model, dict(problem)) for problem in problems.errors())) from None


def write_settings(path: Path, settings: BaseModel, comment: str = "") -> None:
    """Write settings as YAML, atomically; `comment` goes on top."""
    text = yaml.safe_dump(settings.model_dump(mode="json", exclude_none=True), sort_keys=False, default_flow_style=None)
    write_atomically(path, ("".join(f"# {line}\n" for line in comment.splitlines()) + text).encode())


def _in_words(model: type[BaseModel], problem: dict[str, Any]) -> str:
    *parents, key = problem["loc"] or ("",)
    where = ".".join(map(str, [*parents, key]))
    if problem["type"] != "extra_forbidden":
        return f"{where}: {problem['msg']}" if where else str(problem["msg"])
    known = list(_model_at(model, parents).model_fields)
    near = difflib.get_close_matches(str(key), known, n=1)
    return f"unknown key {where}" + (f", did you mean {near[0]}?" if near else f"; known are {', '.join(known)}")


def _model_at(model: type[BaseModel], parents: Sequence[Any]) -> type[BaseModel]:
    """Follow keys down through nested models; lists and other values are passed over."""
    for key in parents:
        field = model.model_fields.get(str(key))
        branches = [] if field is None else [field.annotation, *getattr(field.annotation, "__args__", ())]
        model = next((b for b in branches if isinstance(b, type) and issubclass(b, BaseModel)), model)
    return model
