from __future__ import annotations

from typing import Any

import pytest

from mono3d_kd_core.doctor.alignment import Alignment, Alternative
from mono3d_kd_core.doctor.verdict import alignment_findings

GOOD: dict[str, Any] = {
    "samples": 10, "agreement": 2.5, "turn": (0.1, -0.1, 0.2), "turned": Alternative(2.6, 1.0),
    "shifts": {-1: Alternative(1.5, 0.0), 1: Alternative(1.8, 0.1)}, "others": {"inverse": Alternative(0.1, 0.0)},
}  # fmt: skip


def verdict(**changes: Any) -> list[tuple[str, str]]:
    """Severity and subject of each finding, and the text of all."""
    return [(f.severity, f.about) for f in alignment_findings(Alignment(**{**GOOD, **changes}), 0.1, 0.02)]


def text(**changes: Any) -> str:
    return " ".join(f.text for f in alignment_findings(Alignment(**{**GOOD, **changes}), 0.1, 0.02))


def test_what_fits_is_fine() -> None:
    assert verdict() == [("fine", "alignment"), ("fine", "time")]


def test_a_turn_that_fits_better_is_named_by_its_angles() -> None:
    changes = {"agreement": 0.9, "turn": (-2.1, 0.1, 0.3), "turned": Alternative(2.6, 1.0)}
    assert verdict(**changes) == [("warning", "alignment")]
    assert "turned by yaw -2.1 degrees" in text(**changes)


@pytest.mark.parametrize(
    "changes",
    [
        {"turn": (0.3, -0.3, 1.0), "turned": Alternative(2.9, 1.0)},  # good calibrations are no better
        {"turn": (2.0, 0.0, 0.0), "turned": Alternative(2.55, 1.0)},  # hardly better
        {"turn": (2.0, 0.0, 0.0), "turned": Alternative(2.9, 0.6)},  # in some frames only
    ],
)
def test_small_or_doubtful_turns_are_no_warning(changes: dict[str, Any]) -> None:
    assert verdict(**changes)[0] == ("fine", "alignment")


def test_few_frames_cannot_warn() -> None:
    changes = {"samples": 2, "agreement": 0.9, "turn": (-2.1, 0.1, 0.3)}
    assert verdict(**changes) == [("note", "alignment")]
    assert "uncertain" in text(**changes)


@pytest.mark.parametrize(("shift", "which", "offset"), [(1, "following", "-0.08"), (-1, "preceding", "0.12")])
def test_another_moment_that_fits_better_corrects_the_offset(shift: int, which: str, offset: str) -> None:
    changes = {"shifts": {shift: Alternative(2.8, 0.9), -shift: Alternative(1.5, 0)}, "turned": Alternative(2.7, 1.0)}
    assert verdict(**changes) == [("warning", "time")]
    assert f"clouds of the {which} frames" in text(**changes)
    assert f"sync.offset {offset} in" in text(**changes)


def test_a_standing_scene_tells_no_time() -> None:
    changes = {"shifts": {-1: Alternative(2.48, 0.4), 1: Alternative(2.49, 0.5)}}
    assert verdict(**changes) == [("fine", "alignment"), ("note", "time")]


def test_an_inverted_transform_is_named() -> None:
    changes = {"agreement": -0.1, "turned": Alternative(0.5, 0.9), "others": {"inverse": Alternative(2.4, 1.0)}}
    assert verdict(**changes) == [("warning", "alignment")]
    assert "inverted" in text(**changes)


def test_the_wrong_view_is_named() -> None:
    changes = {"agreement": 1.2, "turned": Alternative(1.5, 0.9), "others": {"other view": Alternative(2.4, 1.0)}}
    assert "`rectified` is wrong" in text(**changes)


def test_chance_is_said_to_be_chance() -> None:
    changes = {"agreement": 0.1, "turned": Alternative(0.3, 0.9)}
    assert verdict(**changes) == [("warning", "alignment")]
    assert "by chance" in text(**changes)


def test_nothing_to_see_is_a_note() -> None:
    assert [f.severity for f in alignment_findings(None, 0.1, 0.0)] == ["note"]
