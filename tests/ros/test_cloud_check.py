"""The check of the LiDAR: said once, of the first clouds, and only where there is something to say."""

from __future__ import annotations

import pytest

from mono3d_kd_core.deploy.trained_lidar import TrainedLidar
from mono3d_kd_ros.teacher.cloud_check import CLOUDS, CloudCheck
from tests.deploy.test_trained_lidar import sweep

TRAINED = TrainedLidar.of([sweep()])


def test_differences_are_told_once_and_kept() -> None:
    told: list[str] = []
    check = CloudCheck(TRAINED, told.append)
    for number in range(2 * CLOUDS):
        assert bool(told) == (number >= CLOUDS)
        check.look(sweep(16, scale=255.0, seed=number))
    assert told == check.remarks
    assert [words in text for words, text in zip(("about 16 beams", "divide them by 25"), told)] == [True, True]


@pytest.mark.parametrize(
    ("trained", "beams"), [(TRAINED, 64), (None, 16)], ids=["like the trained one", "unknown what it was trained on"]
)
def test_nothing_is_said_where_there_is_nothing_to_say(trained: TrainedLidar | None, beams: int) -> None:
    check = CloudCheck(trained, pytest.fail)
    for number in range(CLOUDS):
        check.look(sweep(beams, seed=number))
        check.look(None)
    assert check.remarks == []
