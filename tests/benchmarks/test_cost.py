"""What a process costs is known while it runs, and of several that followed each other."""

from __future__ import annotations

import resource
import sys
from itertools import pairwise
from pathlib import Path

import pytest

from benchmarks.distillation.bench import means
from benchmarks.distillation.cost import Cost, run

WORK = """
import time
room = bytearray(64 << 20)
while time.process_time() < 0.8:
    pass
"""


def test_a_process_tells_its_cost_while_it_runs(tmp_path: Path) -> None:
    kept, before, heard = tmp_path / "cost.json", Cost(10.0, 5.0, 1.0), []

    def note(cost: Cost) -> None:
        (before + cost).write(kept)
        found = Cost.read(kept)
        assert found is not None
        heard.append(found)

    def children() -> float:
        usage = resource.getrusage(resource.RUSAGE_CHILDREN)
        return usage.ru_utime + usage.ru_stime

    start = children()
    status, cost = run([sys.executable, "-c", WORK], note, every=0.1)
    assert status == 0
    assert cost.processor == pytest.approx(children() - start, abs=1e-3)
    assert cost.processor >= 0.8
    assert cost.seconds >= 0.8
    assert cost.mebibytes > 64
    assert len(heard) > 1
    assert all(5 < a.processor <= b.processor + 0.02 for a, b in pairwise(heard))  # the clock ticks in hundredths
    assert heard[0].mebibytes > 1
    assert heard[-1] == before + cost == Cost(10 + cost.seconds, 5 + cost.processor, cost.mebibytes)


def test_a_failure_is_told() -> None:
    assert run([sys.executable, "-c", "raise SystemExit(3)"])[0] == 3


def test_what_was_not_noted_is_not_known(tmp_path: Path) -> None:
    assert Cost.read(tmp_path / "cost.json") is None
    assert means([None, None]) == "? | ? | ?"
    assert means([Cost(60, 120, 300), None, Cost(180, 240, 500)]) == "2.0 | 3.0 | 400"
