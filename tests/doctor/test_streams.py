from __future__ import annotations

import numpy as np
import pytest

from mono3d_kd_core.doctor.streams import StreamTiming, Sync

START = 1_700_000_000_123_456_789
TENTH = 100_000_000


def test_a_regular_stream() -> None:
    timing = StreamTiming.of("/image", [START + i * TENTH for i in range(51)])
    assert (timing.count, timing.gaps, timing.backwards) == (51, 0, 0)
    assert (timing.rate, timing.duration, timing.longest) == pytest.approx((10, 5, 0.1))
    assert timing.jitter == pytest.approx(0, abs=1e-9)
    assert timing.findings() == []


def test_gaps_and_jitter() -> None:
    rng = np.random.default_rng(0)
    stamps = [START + i * TENTH + int(rng.normal(0, 2e6)) for i in range(100) if i not in (20, 21, 22, 60)]
    timing = StreamTiming.of("/image", stamps)
    assert timing.gaps == 2
    assert timing.longest == pytest.approx(0.4, abs=0.02)
    assert timing.jitter == pytest.approx(0.002 * np.sqrt(2), rel=0.3)
    (finding,) = timing.findings()
    assert finding.severity == "warning"
    assert "missing in 2 places" in finding.text


def test_a_rare_gap_is_only_noted() -> None:
    stamps = [START + i * TENTH for i in range(300) if i != 100]
    assert [finding.severity for finding in StreamTiming.of("/image", stamps).findings()] == ["note"]


def test_stamps_that_stand_still_or_go_back_are_counted() -> None:
    timing = StreamTiming.of("/image", [START, START + TENTH, START + TENTH, START, START + 2 * TENTH])
    assert timing.backwards == 2
    assert timing.findings()[0].severity == "warning"


@pytest.mark.parametrize("stamps", [[], [START], [START, START]])
def test_too_few_messages_have_no_rate(stamps: list[int]) -> None:
    assert np.isnan(StreamTiming.of("/image", stamps).rate)


def sync(errors: list[float], images: int = 10, **drops: int) -> Sync:
    return Sync(images, images - sum(drops.values()), drops, np.array(errors), tolerance=0.05, offset=0.01)


def test_all_images_with_their_clouds_are_fine() -> None:
    assert [f.severity for f in sync([0.001] * 10).findings()] == ["fine"]


def test_many_lost_images_are_a_warning_with_their_reasons() -> None:
    (finding,) = sync([0.0] * 6, no_partner=3, out_of_tolerance=1).findings()
    assert finding.severity == "warning"
    assert finding.text == "6 of 10 images have a cloud; lost: 3 no_partner, 1 out_of_tolerance"


def test_a_constant_error_suggests_an_offset() -> None:
    note = sync([0.04] * 10).findings()[1]
    assert (note.severity, "sync.offset to 0.050" in note.text) == ("note", True)


def test_the_histogram_counts_every_error() -> None:
    errors = [-0.009, 0.0, 0.0, 0.009]
    rows = sync(errors).histogram(bins=3)
    assert [row.split()[-1] for row in rows] == ["1", "2", "1"]
    assert rows[1].count("█") == 2 * rows[0].count("█")
    assert sync([]).histogram() == []
    assert sync([0.0] * 4).histogram() == ["all 4 within 0.1 ms"]
