"""What a process costs, noted while it runs, so that what a killed one has cost is known."""

from __future__ import annotations

import json
import os
import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from mono3d_kd_core.io.files import write_atomically

LOOK = 0.2
"""Seconds between two looks at whether a process has ended."""


@dataclass(frozen=True)
class Cost:
    """Seconds, seconds of processors, and the most memory at once, in MiB."""

    seconds: float = 0.0
    processor: float = 0.0
    mebibytes: float = 0.0

    def __add__(self, later: Cost) -> Cost:
        """Return the cost of both, one after the other."""
        most = max(self.mebibytes, later.mebibytes)
        return Cost(self.seconds + later.seconds, self.processor + later.processor, most)

    @classmethod
    def read(cls, path: Path) -> Cost | None:
        """Read what was noted; None where nothing was."""
        return cls(**json.loads(path.read_text())) if path.is_file() else None

    def write(self, path: Path) -> None:
        """Note it."""
        write_atomically(path, json.dumps(asdict(self)).encode())


def run(command: Sequence[str], note: Callable[[Cost], None] = lambda cost: None, every: float = 30.0) -> tuple[int, Cost]:
    """Run a command in a process of its own; return its exit status and its cost, which `note` hears now and then."""
    start = noted = time.monotonic()
    process = subprocess.Popen(command)
    while True:
        ended, status, usage = os.wait4(process.pid, os.WNOHANG)
        now = time.monotonic()
        if ended:
            process.returncode = os.waitstatus_to_exitcode(status)
            cost = Cost(now - start, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024)
            note(cost)
            return process.returncode, cost
        if now - noted >= every:
            note(Cost(now - start, *_so_far(process.pid)))
            noted = now
        time.sleep(LOOK)


def _so_far(pid: int) -> tuple[float, float]:
    """Return the processor seconds and the most MiB of a process that runs (Linux's proc(5))."""
    times = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[11:13]
    status = dict(line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines())
    return sum(map(int, times)) / os.sysconf("SC_CLK_TCK"), int(status.get("VmHWM", "0 kB").split()[0]) / 1024
