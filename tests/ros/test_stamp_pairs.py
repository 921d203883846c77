"""Items of two sides with the same stamp meet, once; what stays alone is counted."""

from __future__ import annotations

from mono3d_kd_ros.inputs.stamp_pairs import StampPairs

SECOND = 1_000_000_000


class Pairs:
    def __init__(self, capacity: int = 3) -> None:
        self.found: list[tuple[str, str]] = []
        self.jumps = 0
        self.pairs = StampPairs(lambda student, teacher: self.found.append((student, teacher)), self._jumped, capacity)

    def _jumped(self) -> None:
        self.jumps += 1


def test_a_teacher_that_is_behind_still_meets_the_same_image() -> None:
    pairs = Pairs()
    for number in range(3):
        pairs.pairs.add("student", number * SECOND, f"s{number}")
    pairs.pairs.add("teacher", 1 * SECOND, "t1")
    pairs.pairs.add("student", 3 * SECOND, "s3")
    pairs.pairs.add("teacher", 3 * SECOND, "t3")
    assert pairs.found == [("s1", "t1"), ("s3", "t3")]
    assert pairs.jumps == 0


def test_what_waits_is_bounded_and_given_up_oldest_first() -> None:
    pairs = Pairs(capacity=2)
    for number in range(5):
        pairs.pairs.add("student", number * SECOND, f"s{number}")
    assert pairs.pairs.alone == {"student": 3}
    pairs.pairs.add("teacher", 2 * SECOND, "t2")
    pairs.pairs.add("teacher", 3 * SECOND, "t3")
    assert pairs.found == [("s3", "t3")]


def test_after_a_jump_back_the_old_round_meets_nobody() -> None:
    pairs = Pairs()
    pairs.pairs.add("student", 10 * SECOND, "old 10")
    pairs.pairs.add("student", 11 * SECOND, "old 11")
    pairs.pairs.add("student", 8 * SECOND, "new 8")  # the bag begins anew
    pairs.pairs.add("teacher", 8 * SECOND, "new 8")
    pairs.pairs.add("teacher", 10 * SECOND, "new 10")
    pairs.pairs.add("student", 10 * SECOND, "new 10")
    assert pairs.jumps == 1
    assert pairs.found == [("new 8", "new 8"), ("new 10", "new 10")]
    assert pairs.pairs.alone == {"student": 2, "teacher": 0}
