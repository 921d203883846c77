"""A ROS domain of one's own: nobody else's nodes are heard, and nobody hears ours."""

from __future__ import annotations

import fcntl
import os
import tempfile
from pathlib import Path
from typing import TextIO

DOMAINS = range(1, 102)
"""Ids above 101 would collide with the ports that Linux hands out to outgoing connections."""

_held_locks: list[TextIO] = []


def reserve_domain() -> int:
    """Reserve a domain that no other process of this project holds on this machine, for as long as this process lives.

    Raises RuntimeError when none is free.
    """
    for domain in DOMAINS:
        try:
            lock = open(Path(tempfile.gettempdir()) / f"mono3d_kd_ros_domain_{domain}.lock", "a")  # noqa: SIM115
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:  # another process has it
            continue
        _held_locks.append(lock)
        return domain
    raise RuntimeError(f"no ROS domain is free: {len(DOMAINS)} processes of this project hold one each")


def private_graph() -> int | None:
    """Give this process and its children a graph of their own on this machine; call it before anything starts ROS.

    Returns the domain that was chosen, None when the user has chosen one (ROS_DOMAIN_ID), which then stays.
    """
    os.environ.setdefault("ROS_AUTOMATIC_DISCOVERY_RANGE", "LOCALHOST")
    if os.environ.get("ROS_DOMAIN_ID"):
        return None
    domain = reserve_domain()
    os.environ["ROS_DOMAIN_ID"] = str(domain)
    return domain
