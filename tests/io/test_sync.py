"""Pairs are mutual nearest neighbours in time, whatever order the two streams arrive in."""

from __future__ import annotations

import itertools
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mono3d_kd_core.io.sync import StampCheck, Synchroniser

MS = 1_000_000
START = 1_700_000_000_000 * MS
Event = tuple[str, int]
Pairs = list[tuple[int, int]]


def synchroniser(tolerance: int = 30, offset: int = 0, queue: int = 1000) -> Synchroniser[int, int]:
    return Synchroniser(tolerance * MS, offset * MS, queue=queue)


def feed(sync: Synchroniser[int, int], events: list[Event], start: int = START) -> Pairs:
    """Feed ("image" or "points", milliseconds) in this order and return the pairs in milliseconds."""
    found = []
    for stream, time in events:
        add = sync.add_image if stream == "image" else sync.add_points
        found += add(start + time * MS, time)
    found += sync.flush()
    for pair in found:
        assert (pair.image_stamp, pair.points_stamp) == (start + pair.image * MS, start + pair.points * MS)
    return [(pair.image, pair.points) for pair in found]


def mutual_nearest(images: list[int], points: list[int], tolerance: int, offset: int) -> Pairs:
    """Pair by the definition, knowing everything; min() prefers the earlier of two equally near ones."""
    if not images or not points:
        return []
    cloud_of = {i: min(points, key=lambda p: abs(i - offset - p)) for i in images}
    image_of = {p: min(images, key=lambda i: abs(i - offset - p)) for p in points}
    return [(i, p) for i, p in cloud_of.items() if image_of[p] == i and abs(i - offset - p) <= tolerance]


def arrivals(images: list[int], points: list[int], delay: int, seed: int) -> list[Event]:
    """Delay each message at random, up to `delay`, keeping each stream in its own order."""
    rng = random.Random(seed)
    timed = []
    for stream, stamps in (("image", images), ("points", points)):
        arrival = itertools.accumulate((time + rng.uniform(0, delay) for time in stamps), max)
        timed += [(when, number, (stream, time)) for number, (when, time) in enumerate(zip(arrival, stamps))]
    return [event for _, _, event in sorted(timed)]


stamps = st.lists(st.integers(0, 2000), unique=True, max_size=40).map(sorted)


@settings(max_examples=300, deadline=None)
@given(stamps, stamps, st.integers(0, 200), st.integers(-60, 60), st.integers(0, 500), st.integers(0, 2**32))
def test_pairs_are_mutual_nearest_neighbours_in_any_interleaving(
    images: list[int], points: list[int], tolerance: int, offset: int, delay: int, seed: int
) -> None:
    sync = synchroniser(tolerance, offset)
    assert feed(sync, arrivals(images, points, delay, seed)) == mutual_nearest(images, points, tolerance, offset)
    for stream, sent in (("image", images), ("points", points)):
        assert sync.received[stream] == len(sent) == sync.paired + sum(sync.drops[stream].values())


@settings(max_examples=200, deadline=None)
@given(st.lists(st.tuples(stamps, stamps), min_size=2, max_size=3), st.integers(0, 200), st.integers(0, 300), st.integers())
def test_a_looping_bag_pairs_each_round_by_itself(
    rounds: list[tuple[list[int], list[int]]], tolerance: int, delay: int, seed: int
) -> None:
    # A round of the bag takes 4 s. In each both streams are there at its start and near its end.
    rounds = [([0, *(t + 500 for t in a), 3000], [10, *(t + 500 for t in b), 3100]) for a, b in rounds]
    sent = [[number * 4000 + time for number, streams in enumerate(rounds) for time in streams[i]] for i in (0, 1)]
    events = [(stream, time % 4000) for stream, time in arrivals(*sent, delay, seed)]
    expected = [pair for images, points in rounds for pair in mutual_nearest(images, points, tolerance, 0)]
    assert feed(synchroniser(tolerance), events) == expected


def test_a_pair_is_given_out_as_soon_as_nothing_nearer_can_come() -> None:
    sync = synchroniser()
    assert sync.add_image(START, 0) == []
    assert len(sync.add_points(START, 0)) == 1  # the same stamp: nothing can be nearer
    assert sync.add_image(START + 100 * MS, 1) == []
    assert sync.add_points(START + 110 * MS, 1) == []  # an image at 105 ms would be nearer
    assert [pair.image for pair in sync.add_image(START + 200 * MS, 2)] == [1]


def test_a_camera_of_30_hz_gives_the_nearest_image_to_each_cloud() -> None:
    images = list(range(0, 1000, 33))
    points = list(range(5, 1000, 100))
    sync = synchroniser()
    pairs = feed(sync, arrivals(images, points, 0, 0))
    assert pairs == [(min(images, key=lambda i: abs(i - p)), p) for p in points]
    assert sync.drops["image"] == {"no_partner": len(images) - len(points)}


def test_a_known_offset_is_taken_off() -> None:
    images, points = [50, 150, 250], [0, 100, 200]
    assert feed(synchroniser(20, 50), arrivals(images, points, 0, 0)) == [(50, 0), (150, 100), (250, 200)]
    assert feed(synchroniser(20, 0), arrivals(images, points, 0, 0)) == []


@pytest.mark.parametrize(
    ("events", "reason", "pairs"),
    [
        ([("image", 0), ("points", 80), ("image", 200)], {"out_of_tolerance": 1, "no_partner": 1}, []),
        ([("image", 0), ("image", 0), ("points", 0)], {"duplicate_stamp": 1}, [(0, 0)]),
        ([("image", 100), ("image", 0), ("points", 100)], {"not_monotonic": 1}, [(100, 100)]),
        ([("image", 0), ("image", 40), ("points", 40)], {"no_partner": 1}, [(40, 40)]),
    ],
)
def test_every_drop_has_its_reason(events: list[Event], reason: dict[str, int], pairs: Pairs) -> None:
    sync = synchroniser()
    assert feed(sync, events) == pairs
    assert sync.drops["image"] == reason


def test_a_stamp_of_zero_is_refused() -> None:
    sync = synchroniser()
    assert feed(sync, [("image", 0), ("points", 0), ("image", 100), ("points", 100)], start=0) == [(100, 100)]
    assert sync.drops == {"image": {"zero_stamp": 1}, "points": {"zero_stamp": 1}}


def test_the_last_messages_before_a_jump_still_meet() -> None:
    # The camera loops first: the old cloud still finds its image, the new image waits for the new cloud.
    before = [("points", 8910), ("image", 8900), ("image", 9000)]
    after = [("image", 0), ("points", 9010), ("points", 9100), ("points", 5), ("image", 100)]
    sync = synchroniser()
    assert feed(sync, before + after) == [(8900, 8910), (9000, 9010), (0, 5)]
    assert sync.drops["points"] == {"time_jump": 1}


def test_one_stamp_far_in_the_future_does_not_stop_the_stream() -> None:
    images = [0, 100, 200, 900_000, 400, 500, 600]
    points = list(range(0, 700, 100))
    events = [event for pair in zip([("image", i) for i in images], [("points", p) for p in points]) for event in pair]
    assert feed(synchroniser(), events) == [(0, 0), (100, 100), (200, 200), (400, 400), (500, 500), (600, 600)]


def test_a_stream_that_falls_silent_makes_the_other_overflow_not_grow() -> None:
    sync = synchroniser(queue=10)
    events: list[Event] = [("image", i * 100) for i in range(50)] + [("points", 4900)]
    assert feed(sync, events) == [(4900, 4900)]
    assert sync.drops["image"] == {"queue_overflow": 40, "no_partner": 9}


def test_pairs_wait_while_held() -> None:
    sync = synchroniser(queue=3)
    sync.hold()
    for time in range(0, 500, 100):
        assert sync.add_image(START + time * MS, time) + sync.add_points(START + time * MS, time) == []
    assert [pair.image for pair in sync.release()] == [200, 300, 400]
    assert sync.drops["image"] == {"not_ready": 2}
    assert sync.paired == 3


def test_after_flush_all_starts_anew() -> None:
    sync = synchroniser()
    both: list[Event] = [("image", 0), ("points", 0)]
    assert feed(sync, both) == feed(sync, both) == [(0, 0)]
    assert sync.paired == 2


def test_one_stream_alone_is_judged_the_same_way() -> None:
    check = StampCheck(jump=10)
    stamps = [0, 5, 5, 3, 8, 100, 60, 61]
    reasons = ["zero_stamp", None, "duplicate_stamp", "not_monotonic", None, None, None, None]
    assert [check.refuse(stamp) for stamp in stamps] == reasons
    assert check.epoch == 1
