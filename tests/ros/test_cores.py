"""Threads that wait make room, as OpenMP itself tells it."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import REPOSITORY

LOAD = "import ctypes, sys; from mono3d_kd_ros.node import cores; cores.share(); ctypes.CDLL(sys.argv[1])"


@pytest.fixture(scope="module")
def openmp() -> Path:
    """The library that PyTorch brings along."""
    spec = importlib.util.find_spec("torch")
    assert spec is not None
    found = sorted(Path(spec.origin or "").parent.glob("lib/libgomp*"))
    if not found:
        pytest.skip("PyTorch has another OpenMP here than GNU's")
    return found[0]


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({}, "GOMP_SPINCOUNT = '1000'"),
        ({"GOMP_SPINCOUNT": "77"}, "GOMP_SPINCOUNT = '77'"),
        ({"OMP_WAIT_POLICY": "ACTIVE"}, "OMP_WAIT_POLICY = 'ACTIVE'"),
    ],
    ids=["nothing said", "a count of the user's", "a policy of the user's"],
)
def test_idle_threads_sleep_soon_if_nobody_wants_it_otherwise(openmp: Path, given: dict[str, str], told: str) -> None:
    known = {name: value for name, value in os.environ.items() if not name.startswith(("OMP_", "GOMP_"))}
    environment = known | given | {"OMP_DISPLAY_ENV": "VERBOSE", "OMP_NUM_THREADS": "2"}
    command = [sys.executable, "-c", LOAD, str(openmp)]
    run = subprocess.run(command, cwd=REPOSITORY, env=environment, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    assert told in run.stderr
    assert ("'1000'" in run.stderr) == (not given)
