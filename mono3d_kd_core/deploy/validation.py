"""Settings from a file, checked: what is wrong is said with the file, the key and the nearest valid key."""

from __future__ import annotations

import difflib
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from mono3d_kd_core.errors import ModelError

Model = TypeVar("Model", bound=BaseModel)


def validated(model: type[Model], content: Any, where: str) -> Model:
    """Build `model` from `content`, as read from `where` (a file, for the message). Raises ModelError in words."""
    if not isinstance(content, dict):
        raise ModelError(f"{where}: expected keys and values, found {type(content).__name__}")
    try:
        return model.model_validate(content)
    except ValidationError as error:
        lines = [_in_words(dict(problem), model) for problem in error.errors()]
        raise ModelError(f"{where}: " + "; ".join(lines)) from None


def _in_words(problem: dict[str, Any], model: type[BaseModel]) -> str:
    key = ".".join(map(str, problem["loc"]))
    if problem["type"] != "extra_forbidden":
        return f"{key}: {problem['msg']}"
    known = _keys_beside(problem["loc"], model)
    near = difflib.get_close_matches(str(problem["loc"][-1]), known, n=1)
    return f"unknown key {key}" + (f", did you mean {near[0]}?" if near else f"; known are {', '.join(known)}")


def _keys_beside(location: tuple[int | str, ...], model: type[BaseModel]) -> list[str]:
    """Return the valid keys of the section in which the key at `location` stands."""
    for part in location[:-1]:
        field = model.model_fields.get(str(part))
        if field is None or not (isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel)):
            return []
        model = field.annotation
    return list(model.model_fields)
