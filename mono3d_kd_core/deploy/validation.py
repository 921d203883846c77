"""Settings of models, checked: what is wrong is said with the file, the key and the nearest valid key."""

from __future__ import annotations

from typing import Any

from mono3d_kd_core.errors import ModelError
from mono3d_kd_core.io import settings
from mono3d_kd_core.io.settings import Settings


def validated(model: type[Settings], content: Any, where: str) -> Settings:
    """Build `model` from `content`, as read from `where` (a file, for the message). Raises ModelError in words."""
    return settings.validated(model, content, where, ModelError)
