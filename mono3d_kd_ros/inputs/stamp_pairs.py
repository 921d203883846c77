"""What two nodes say of the same image, brought together by its stamp."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any, Literal

Side = Literal["student", "teacher"]
OTHER: dict[Side, Side] = {"student": "teacher", "teacher": "student"}
JUMP_NS = 1_000_000_000
"""A stamp this much before the newest of its side is a clock that has jumped back: a bag that begins anew."""


class StampPairs:
    """Pairs items of equal stamps (ns); `found(student, teacher)` hears each pair, `jumped()` a jump back in time.

    The sides may be apart by `capacity` items: a teacher works for seconds. What is given up is counted in `alone`.
    """

    def __init__(self, found: Callable[[Any, Any], None], jumped: Callable[[], None], capacity: int) -> None:
        self._found, self._jumped, self._capacity = found, jumped, capacity
        self._waiting: dict[Side, dict[int, Any]] = {"student": {}, "teacher": {}}
        self._newest: dict[Side, int] = {}
        self.alone: Counter[str] = Counter()

    def add(self, side: Side, stamp: int, item: Any) -> None:
        """Take an item of one side."""
        if stamp < self._newest.get(side, stamp) - JUMP_NS:
            self._start_anew()
        self._newest[side] = max(stamp, self._newest.get(side, stamp))
        if stamp in self._waiting[OTHER[side]]:
            other = self._waiting[OTHER[side]].pop(stamp)
            self._found(*((item, other) if side == "student" else (other, item)))
            return
        waiting = self._waiting[side]
        waiting[stamp] = item
        if len(waiting) > self._capacity:
            del waiting[next(iter(waiting))]
            self.alone[side] += 1

    def _start_anew(self) -> None:
        """Forget what waits: the other side's may be of the round before, with the same stamps."""
        for side, waiting in self._waiting.items():
            self.alone[side] += len(waiting)
            waiting.clear()
        self._newest.clear()
        self._jumped()
