"""A thread that works through items one after another, with a queue that never grows beyond what was agreed."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from typing import Generic, Literal, TypeVar

Item = TypeVar("Item")


class Worker(Generic[Item]):
    """Calls `handle` for each item, in order, on a thread of its own.

    When more than `capacity` items wait, one is handed to `drop` instead: the oldest ("oldest": with capacity 1 a mailbox
    that always holds the latest) or the one that came ("newest": nothing that was accepted is lost). `handle` and `drop`
    must not raise.
    """

    def __init__(
        self,
        handle: Callable[[Item], None],
        drop: Callable[[Item, str], None],
        capacity: int = 1,
        sacrifice: Literal["oldest", "newest"] = "oldest",
        name: str = "worker",
    ) -> None:
        self._handle, self._drop = handle, drop
        self._capacity, self._sacrifice = capacity, sacrifice
        self._items: deque[Item] = deque()
        self._changed = threading.Condition()
        self._stopping = self._busy = False
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def put(self, item: Item) -> None:
        """Queue an item. Items beyond the capacity are dropped as "busy", after `stop` as "stopped"."""
        with self._changed:
            victim, reason = self._place(item)
            self._changed.notify_all()
        if victim is not None:
            self._drop(victim, reason)

    def _place(self, item: Item) -> tuple[Item | None, str]:
        """Append the item where it fits; return what is dropped for it, and why."""
        if self._stopping:
            return item, "stopped"
        if len(self._items) < self._capacity:
            self._items.append(item)
            return None, ""
        if self._sacrifice == "newest":
            return item, "busy"
        self._items.append(item)
        return self._items.popleft(), "busy"

    def __len__(self) -> int:
        """How many items wait, the one in work not counted."""
        with self._changed:
            return len(self._items)

    def wait_until_idle(self, timeout: float) -> bool:
        """Wait until nothing waits or is in work; False when that takes longer than `timeout` seconds."""
        with self._changed:
            return self._changed.wait_for(lambda: not self._items and not self._busy, timeout)

    def stop(self, finish: bool = False, timeout: float | None = None) -> bool:
        """End the thread after the item in work; with `finish` after all that wait, else these are dropped as "stopped".

        Returns False when the item in work takes longer than `timeout` seconds: the thread then ends by itself, later.
        """
        with self._changed:
            self._stopping = True
            waiting = [] if finish else list(self._items)
            if not finish:
                self._items.clear()
            self._changed.notify_all()
        for item in waiting:
            self._drop(item, "stopped")
        self._thread.join(timeout)
        return not self._thread.is_alive()

    def _run(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: bool(self._items) or self._stopping)
                if not self._items:
                    return
                item = self._items.popleft()
                self._busy = True
            self._handle(item)
            with self._changed:
                self._busy = False
                self._changed.notify_all()
