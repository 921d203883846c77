"""The page on ROS names what exists."""

from __future__ import annotations

import re

import pytest

from mono3d_kd_ros.settings import PlayerSettings, StudentSettings, TeacherSettings
from tests.conftest import REPOSITORY

PAGE = (REPOSITORY / "docs/ros.md").read_text()
SOURCES = "".join(path.read_text() for path in (REPOSITORY / "mono3d_kd_ros").rglob("*.py"))
SOURCES += (REPOSITORY / "mono3d_kd_core/io/sync.py").read_text()
"""What the nodes are made of, and the synchroniser, whose reasons the teacher's node passes on."""


def test_every_reason_of_a_drop_is_explained() -> None:
    counted = set(re.findall(r'(?:Refused|refuse|drop|_dropped)\(\s*"([a-z_]+)"', SOURCES))
    assert counted
    assert {reason for reason in counted if f"`{reason}`" not in PAGE} == set()


def test_every_reason_explained_exists() -> None:
    table = PAGE.partition("| reason |")[2].partition("## ")[0]
    first_column = "\n".join(line.split("|")[1] for line in table.splitlines()[2:] if "|" in line)
    named = set(re.findall(r"`([a-z_]+)`", first_column)) - {"queue"}
    assert {reason for reason in named if f'"{reason}"' not in SOURCES} == set()


@pytest.mark.parametrize("name", ["score_threshold", "late_after", "silence_error", "wait_for_subscribers", "queue"])
def test_parameters_that_are_named_exist(name: str) -> None:
    assert f"`{name}`" in PAGE or f"{name}:=" in PAGE
    assert any(name in model.model_fields for model in (StudentSettings, TeacherSettings, PlayerSettings))


def named_tests() -> list[tuple[str, str]]:
    """Return the files, and what to look for in them, that the tables of faults name as tests."""
    page = (REPOSITORY / "docs/reliability.md").read_text().partition("## Measured")[0]
    rows = [line.split("|")[3] for line in page.splitlines() if line.startswith("| ") and line.count("|") == 4]
    found = []
    for row in rows:
        folder = "ros"
        for part in row.replace("(slow)", "").split(";"):
            file, _, words = part.strip().partition(": ")
            for name in file.split(", "):
                folder, name = name.rsplit("/", 1) if "/" in name else (folder, name)
                found += [(f"{folder}/{name}", word.strip()) for word in (words.split(",") if words else [""])]
    return [(file, word) for file, word in found if file not in ("ros/test", "ros/---")]


def test_every_fault_has_the_test_that_is_named() -> None:
    named = named_tests()
    assert len(named) > 40
    for file, word in named:
        path = REPOSITORY / "tests" / f"{file}.py"
        assert path.is_file(), file
        functions = re.findall(r"def (test_\w+)", path.read_text())
        assert any(word in function for function in functions), f"{file}: {word}"
