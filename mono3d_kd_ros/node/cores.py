"""How the threads of a node share the cores, with each other and with other processes."""

from __future__ import annotations

import os
import sys

SPINS = "1000"
"""Rounds of waiting, a few ten microseconds, after which PyTorch's idle threads sleep (GNU OpenMP's default: 300 000).

Threads that spin for longer keep whom they wait for off the core as soon as cores are scarce.
"""

SWITCH_S = 0.1e-3
"""How long a Python thread may keep another from running (CPython's default: 5 ms)."""


def share() -> None:
    """Let waiting threads make room; to be called before PyTorch is loaded. What the environment says already, stays."""
    if not os.environ.get("OMP_WAIT_POLICY"):
        os.environ.setdefault("GOMP_SPINCOUNT", SPINS)
    sys.setswitchinterval(SWITCH_S)
