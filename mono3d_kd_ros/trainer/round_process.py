"""A round of online distillation in a process of its own: it can be stopped at any time, and its memory is given back."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

from mono3d_kd_core.errors import DataError
from mono3d_kd_core.io.settings import write_settings
from mono3d_kd_core.training.online.round import Plan, Verdict, read_verdict

ROUND = "mono3d_kd_core.training.online.round"
GRACE_S = 10.0
"""How long a round may take to stop before it is killed."""


class RoundProcess:
    """Runs a plan; its log, its bundle and its verdict come to lie in the plan's folder.

    `threads` are the cores that it may use, 0 meaning all, `niceness` is how much it stands back for others.
    """

    def __init__(self, plan: Plan, threads: int, niceness: int, module: str = ROUND) -> None:
        self.plan = plan
        plan.out.mkdir(parents=True)
        file = plan.out / "plan.yaml"
        write_settings(file, plan)
        cores = str(threads or os.cpu_count() or 1)
        with (plan.out / "log.txt").open("wb") as log:
            self._process = subprocess.Popen(
                ["nice", "-n", str(niceness), sys.executable, "-m", module, str(file)], stdout=log,
                stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, env=os.environ | {"OMP_NUM_THREADS": cores},
                start_new_session=True,
            )  # fmt: skip

    @property
    def ended(self) -> bool:
        """Whether it has come to an end, good or bad."""
        return self._process.poll() is not None

    def verdict(self) -> Verdict:
        """Return what came of it, once it has ended. Raises DataError, with its last words, where it failed."""
        if self._process.returncode:
            lines = (self.plan.out / "log.txt").read_text(errors="replace").strip().splitlines()
            raise DataError(lines[-1] if lines else f"exit status {self._process.returncode}")
        return read_verdict(self.plan.out)

    def stop(self) -> None:
        """Give it up."""
        os.killpg(self._process.pid, signal.SIGINT)
        try:
            self._process.wait(GRACE_S)
        except subprocess.TimeoutExpired:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()


def next_round(folder: Path) -> int:
    """Return the number after the last round that a folder holds."""
    return 1 + max((int(path.name[6:]) for path in folder.glob("round_*")), default=0)
