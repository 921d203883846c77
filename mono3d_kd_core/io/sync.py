"""One synchroniser of camera and LiDAR for recorded and live data."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Generic, Literal, TypeVar

ImageT = TypeVar("ImageT")
PointsT = TypeVar("PointsT")

DropReason = Literal[
    "zero_stamp",  # the header's stamp is zero or negative: nobody filled it in
    "duplicate_stamp",  # the stamp of the message before
    "not_monotonic",  # earlier than the message before
    "time_jump",  # its partner's stream had already jumped back, as when a bag loops
    "no_partner",  # the nearest message of the other stream belongs to another, or there is none
    "out_of_tolerance",  # the partner is too far away in time
    "queue_overflow",  # too many waited for the other stream
    "not_ready",  # too many pairs waited for `release`
]

JUMP = 1_000_000_000
"""Nanoseconds back from which a stamp is a jump of the clock, not a message out of order."""


@dataclass(frozen=True)
class Pair(Generic[ImageT, PointsT]):
    """An image and the cloud that belongs to it, with their own stamps in nanoseconds."""

    image_stamp: int
    points_stamp: int
    image: ImageT
    points: PointsT


@dataclass(frozen=True)
class _Message:
    """A message that waits. time is its stamp on the common clock; epoch counts the jumps of the clock before it."""

    epoch: int
    time: int
    stamp: int
    payload: object


@dataclass
class StampCheck:
    """Judges the stamps of one stream, in the order in which its messages arrive."""

    jump: int = JUMP
    epoch: int = 0
    """How often the clock has jumped back."""
    start: int = 0
    """The first time of this epoch."""
    last: int = -(2**63)

    def refuse(self, stamp: int, offset: int = 0) -> DropReason | None:
        """Return why a message cannot be used, or None; after a jump back by more than `jump` all starts anew."""
        time = stamp - offset
        if stamp <= 0:
            return "zero_stamp"
        if time < self.last - self.jump:
            self.epoch, self.start = self.epoch + 1, time
        elif time <= self.last:
            return "duplicate_stamp" if time == self.last else "not_monotonic"
        elif self.last < 0:
            self.start = time
        self.last = time
        return None


@dataclass
class _Stream:
    check: StampCheck
    waiting: deque[_Message] = field(default_factory=deque)
    passed: _Message | None = None
    """The last message that was paired or dropped."""
    received: int = 0
    drops: Counter[str] = field(default_factory=Counter)

    def take(self) -> _Message:
        self.passed = self.waiting.popleft()
        return self.passed

    def drop(self, reason: DropReason) -> None:
        self.take()
        self.drops[reason] += 1

    def join(self, epoch: int, start: int) -> None:
        """Move into a later epoch what lies near its start: this stream has been on the new clock all along."""
        near = self.check.jump // 2
        moved = [m.epoch < epoch and abs(m.time - start) <= near for m in self.waiting]
        if True in moved:
            first = moved.index(True)
            self.waiting = deque(
                m if i < first else replace(m, epoch=epoch) for i, m in enumerate(self.waiting)
            )
            self.check.epoch = epoch


class Synchroniser(Generic[ImageT, PointsT]):
    """Pairs images and clouds one to one and in order of time.

    Two messages are a pair when each is the other's nearest in time (at equal distance the earlier one counts) and they
    are at most `tolerance` ns apart. `offset` is what a camera's stamp shows more than a LiDAR's of the same moment, ns.
    A pair is given out as soon as no message that can still come would be nearer; so the same messages give the same
    pairs, however the two streams are interleaved, as long as each is in its own order and no more than `queue` wait.
    When a stream's clock jumps back (a bag loops, a driver restarts) its new messages only meet those of the new time.
    Every message is paired, waits, or is counted in `drops` by its reason. Not thread-safe.
    """

    def __init__(self, tolerance: int, offset: int = 0, *, queue: int = 32, jump: int = JUMP) -> None:
        self._tolerance, self._offset, self._queue = tolerance, offset, queue
        self._images = _Stream(StampCheck(jump))
        self._points = _Stream(StampCheck(jump))
        self._ended = False
        self._held: deque[Pair[ImageT, PointsT]] | None = None
        self.paired = 0
        """How many pairs were given out."""

    @property
    def drops(self) -> dict[str, Counter[str]]:
        """How many messages of "image" and of "points" were dropped, by reason."""
        return {"image": self._images.drops, "points": self._points.drops}

    @property
    def received(self) -> dict[str, int]:
        """How many messages of "image" and of "points" have come."""
        return {"image": self._images.received, "points": self._points.received}

    def add_image(self, stamp: int, image: ImageT) -> list[Pair[ImageT, PointsT]]:
        """Take an image and return the pairs that are certain now."""
        return self._add(self._images, self._points, stamp, self._offset, image)

    def add_points(self, stamp: int, points: PointsT) -> list[Pair[ImageT, PointsT]]:
        """Take a cloud and return the pairs that are certain now."""
        return self._add(self._points, self._images, stamp, 0, points)

    def flush(self) -> list[Pair[ImageT, PointsT]]:
        """Return the pairs that are left when nothing more will come, and forget all but the counts."""
        self._ended = True
        pairs = self._given(list(self._certain()))
        self._ended = False
        for stream in (self._images, self._points):
            stream.check, stream.passed = StampCheck(stream.check.jump), None
        return pairs

    def hold(self) -> None:
        """Keep pairs back until `release`, at most `queue`: what else they need, such as a CameraInfo, is not there yet."""
        self._held = deque() if self._held is None else self._held

    def release(self) -> list[Pair[ImageT, PointsT]]:
        """Return the pairs held back, and hold no longer."""
        held, self._held = list(self._held or ()), None
        return self._given(held)

    def _add(
        self, own: _Stream, other: _Stream, stamp: int, offset: int, payload: object
    ) -> list[Pair[ImageT, PointsT]]:
        own.received += 1
        epoch = own.check.epoch
        if reason := own.check.refuse(stamp, offset):
            own.drops[reason] += 1
            return []
        own.waiting.append(_Message(self._epoch(own, other, epoch), stamp - offset, stamp, payload))
        pairs = list(self._certain())
        if len(own.waiting) > self._queue:
            own.drop("queue_overflow")
        return self._given(pairs)

    def _epoch(self, own: _Stream, other: _Stream, before: int) -> int:
        """Return the epoch of a message just admitted; the two streams jump one after the other."""
        mine, theirs = own.check, other.check
        if mine.epoch > before:
            mine.epoch = max(mine.epoch, theirs.epoch)
            other.join(mine.epoch, mine.start)
        elif mine.epoch < theirs.epoch:
            first_of_all = mine.start == mine.last
            if first_of_all or abs(mine.last - theirs.start) <= mine.jump // 2:
                mine.epoch = theirs.epoch
        return mine.epoch

    def _certain(self) -> Iterator[Pair[ImageT, PointsT]]:
        """Decide about the earliest message again and again, until that needs one that has not come yet."""
        while self._images.waiting or self._points.waiting:
            own, other = self._by_time()
            first = own.waiting[0]
            partner = other.waiting[0] if other.waiting else None
            gone = other.check.epoch > first.epoch
            if partner is None and not gone and not self._ended:
                return
            if partner is None or partner.epoch != first.epoch:
                own.drop("time_jump" if gone else "no_partner")
                continue
            gap = partner.time - first.time
            if _distance(first, other.passed) <= gap:
                own.drop("no_partner")
                continue
            following = own.waiting[1] if len(own.waiting) > 1 else None
            if following is None and gap > 0 and not self._ended and own.check.epoch == first.epoch:
                return
            if _distance(partner, following) < gap:
                own.drop("no_partner")
            elif gap > self._tolerance:
                own.drop("out_of_tolerance")
                other.drop("out_of_tolerance")
            else:
                image, points = self._images.take(), self._points.take()
                yield Pair(image.stamp, points.stamp, image.payload, points.payload)  # type: ignore[arg-type]

    def _by_time(self) -> tuple[_Stream, _Stream]:
        """Return the stream whose first message is the earlier one, and the other."""
        images, points = self._images, self._points
        if not points.waiting:
            return images, points
        if not images.waiting:
            return points, images
        image, cloud = images.waiting[0], points.waiting[0]
        return (images, points) if (image.epoch, image.time) <= (cloud.epoch, cloud.time) else (points, images)

    def _given(self, pairs: list[Pair[ImageT, PointsT]]) -> list[Pair[ImageT, PointsT]]:
        if self._held is None:
            self.paired += len(pairs)
            return pairs
        self._held.extend(pairs)
        while len(self._held) > self._queue:
            self._held.popleft()
            self._images.drops["not_ready"] += 1
            self._points.drops["not_ready"] += 1
        return []


def _distance(a: _Message, b: _Message | None) -> float:
    """Nanoseconds between two messages; infinite across a jump of the clock, and to none."""
    return abs(a.time - b.time) if b is not None and a.epoch == b.epoch else float("inf")
