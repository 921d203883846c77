"""The time of a replay: it follows the wall clock at a rate, and stands still while paused."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable


class Playback:
    """When messages of a recording are due. Times are ns of the recording; safe to use from several threads.

    `steady` gives the wall clock in ns.
    """

    def __init__(self, rate: float = 1.0, paused: bool = False, steady: Callable[[], int] = time.monotonic_ns) -> None:
        self._steady = steady
        self._changed = threading.Condition()
        self._rate, self._paused, self._stopped = rate, paused, False
        self._anchor = 0
        self._wall = steady()
        self._steps = 0

    def start(self, at: int) -> None:
        """Set the recording's time."""
        with self._changed:
            self._anchor, self._wall = at, self._steady()
            self._changed.notify_all()

    @property
    def now(self) -> int:
        """The recording's time."""
        with self._changed:
            return self._now()

    @property
    def paused(self) -> bool:
        """Whether the time stands still."""
        with self._changed:
            return self._paused

    def pause(self) -> None:
        """Let the time stand still."""
        with self._changed:
            self._hold()
            self._paused = True
            self._changed.notify_all()

    def resume(self) -> None:
        """Let the time run on."""
        with self._changed:
            self._hold()
            self._paused, self._steps = False, 0
            self._changed.notify_all()

    def set_rate(self, rate: float) -> None:
        """Change the speed from this moment on."""
        with self._changed:
            self._hold()
            self._rate = rate
            self._changed.notify_all()

    def step(self) -> bool:
        """Let one message through while paused; False when it is not paused."""
        with self._changed:
            self._steps += self._paused
            self._changed.notify_all()
            return self._paused

    def stop(self) -> None:
        """End every wait."""
        with self._changed:
            self._stopped = True
            self._changed.notify_all()

    def wait_until(self, moment: int) -> bool:
        """Wait until the recording's time has come to `moment`, or a step was asked for; False once it is stopped."""
        with self._changed:
            while not self._stopped:
                if self._paused and self._steps:
                    self._steps -= 1
                    self._anchor = max(self._anchor, moment)
                    return True
                ahead = moment - self._now()
                if ahead <= 0 and not self._paused:
                    return True
                self._changed.wait(None if self._paused else ahead / self._rate / 1e9)
            return False

    def _now(self) -> int:
        return self._anchor if self._paused else self._anchor + round((self._steady() - self._wall) * self._rate)

    def _hold(self) -> None:
        """Count on from this moment."""
        self._anchor, self._wall = self._now(), self._steady()
