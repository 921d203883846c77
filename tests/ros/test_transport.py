"""The middleware is set up for large messages, and never against the user's will."""

from __future__ import annotations

import shutil
from collections import namedtuple
from pathlib import Path

import pytest

from mono3d_kd_ros.starting.transport import large_message_environment

Usage = namedtuple("Usage", "total used free")


@pytest.fixture
def room(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda path: Usage(8 << 30, 0, 8 << 30))


@pytest.mark.usefixtures("room")
def test_shared_memory_is_made_large_enough() -> None:
    [(name, file)] = large_message_environment({}).items()
    assert name == "FASTDDS_DEFAULT_PROFILES_FILE"
    assert "<segment_size>67108864</segment_size>" in Path(file).read_text()


@pytest.mark.usefixtures("room")
def test_older_distributions_have_another_name_for_it() -> None:
    assert list(large_message_environment({"ROS_DISTRO": "jazzy"})) == ["FASTRTPS_DEFAULT_PROFILES_FILE"]


def test_a_small_container_falls_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda path: Usage(64 << 20, 0, 64 << 20))
    assert large_message_environment({}) == {"FASTDDS_BUILTIN_TRANSPORTS": "LARGE_DATA"}


@pytest.mark.usefixtures("room")
@pytest.mark.parametrize(
    "chosen",
    [
        {"FASTDDS_BUILTIN_TRANSPORTS": "SHM"},
        {"FASTRTPS_DEFAULT_PROFILES_FILE": "x"},
        {"RMW_IMPLEMENTATION": "rmw_zenoh_cpp"},
    ],
)
def test_what_the_user_has_chosen_stays(chosen: dict[str, str]) -> None:
    assert large_message_environment(chosen) == {}
