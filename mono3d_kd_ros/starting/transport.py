"""What the middleware needs so that images and clouds reach other processes."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from pathlib import Path

from mono3d_kd_core.resources import resource

SHARED_MEMORY = Path("/dev/shm")
NEEDED_BYTES = 512 * 1024 * 1024
"""Some participants with segments of 64 MB each; containers often have 64 MB in all."""

CHOICES = ("FASTDDS_BUILTIN_TRANSPORTS", "FASTDDS_DEFAULT_PROFILES_FILE", "FASTRTPS_DEFAULT_PROFILES_FILE")
OLDER_NAME = ("humble", "iron", "jazzy")
"""Distributions whose Fast DDS is of version 2, where the variable has the older name."""


def large_message_environment(environment: Mapping[str, str] = os.environ) -> dict[str, str]:
    """Return the variables to set for nodes of this project; none where the user has chosen already.

    Shared memory with a large segment where there is room for it, else Fast DDS' LARGE_DATA mode, which loses best-effort
    images when the machine is busy. Other middlewares need nothing.
    """
    if environment.get("RMW_IMPLEMENTATION", "rmw_fastrtps_cpp") != "rmw_fastrtps_cpp":
        return {}
    if any(environment.get(name) for name in CHOICES):
        return {}
    if not SHARED_MEMORY.is_dir() or shutil.disk_usage(SHARED_MEMORY).free < NEEDED_BYTES:
        return {"FASTDDS_BUILTIN_TRANSPORTS": "LARGE_DATA"}
    older = environment.get("ROS_DISTRO", "") in OLDER_NAME
    return {CHOICES[2] if older else CHOICES[1]: str(resource("config/fastdds.xml"))}
