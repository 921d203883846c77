"""Nodes as processes, ended as `ros2 launch` ends them."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType

Parameters = Mapping[str, bool | int | float | str]
GRACE = 15.0
"""Seconds that a node has to end after SIGINT."""


class NodeProcess:
    """`python -m mono3d_kd_ros.<module>` with parameters and remappings; its output goes to `log`.

    A context manager: leaving it sends SIGINT and waits, then SIGKILL.
    """

    def __init__(
        self, module: str, log: Path, parameters: Parameters, remappings: Mapping[str, str] | None = None
    ) -> None:
        arguments = [sys.executable, "-m", f"mono3d_kd_ros.{module}", "--ros-args"]
        for name, value in parameters.items():
            text = str(value).lower() if isinstance(value, bool) else str(value)
            arguments += ["-p", f"{name}:={text}"]
        for name, target in (remappings or {}).items():
            arguments += ["-r", f"{name}:={target}"]
        self.module, self.log = module, log
        with log.open("wb") as output:
            self._process = subprocess.Popen(arguments, stdout=output, stderr=subprocess.STDOUT, start_new_session=True)

    @property
    def returncode(self) -> int | None:
        """The exit status, None while it runs."""
        return self._process.poll()

    @property
    def pid(self) -> int:
        """The id of the process."""
        return self._process.pid

    def end(self) -> int:
        """Ask the process to end as Ctrl-C does, and return its exit status."""
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGINT)
        try:
            return self._process.wait(GRACE)
        except subprocess.TimeoutExpired:
            self._process.kill()
            return self._process.wait()

    def last_words(self, lines: int = 15) -> str:
        """Return the end of its output, for an error message."""
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:])

    def __enter__(self) -> NodeProcess:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.end()
