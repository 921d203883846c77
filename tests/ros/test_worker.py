"""The queue between the node's callbacks and its work."""

from __future__ import annotations

import threading

import pytest

from mono3d_kd_ros.node.worker import Worker


class Bench:
    """A worker whose first item is held in work until `go`."""

    def __init__(self, capacity: int, sacrifice: str) -> None:
        self.done: list[int] = []
        self.dropped: list[tuple[int, str]] = []
        self.begun, self.go = threading.Event(), threading.Event()
        self.worker: Worker[int] = Worker(self._handle, lambda i, why: self.dropped.append((i, why)), capacity, sacrifice)  # type: ignore[arg-type]
        self.worker.put(0)
        assert self.begun.wait(5)

    def _handle(self, item: int) -> None:
        self.begun.set()
        assert self.go.wait(5)
        self.done.append(item)


def test_a_mailbox_holds_the_latest() -> None:
    bench = Bench(1, "oldest")
    for item in (1, 2, 3):
        bench.worker.put(item)
    bench.go.set()
    assert bench.worker.wait_until_idle(5)
    assert bench.done == [0, 3]
    assert bench.dropped == [(1, "busy"), (2, "busy")]


def test_a_queue_keeps_what_it_took() -> None:
    bench = Bench(2, "newest")
    for item in (1, 2, 3):
        bench.worker.put(item)
    assert len(bench.worker) == 2
    bench.go.set()
    assert bench.worker.stop(finish=True, timeout=5)
    assert bench.done == [0, 1, 2]
    assert bench.dropped == [(3, "busy")]


@pytest.mark.parametrize("sacrifice", ["oldest", "newest"])
def test_a_stop_ends_after_the_item_in_work(sacrifice: str) -> None:
    bench = Bench(5, sacrifice)
    bench.worker.put(1)
    assert not bench.worker.stop(timeout=0.05)
    bench.worker.put(2)
    bench.go.set()
    assert bench.worker.stop(timeout=5)
    assert bench.done == [0]
    assert bench.dropped == [(1, "stopped"), (2, "stopped")]
