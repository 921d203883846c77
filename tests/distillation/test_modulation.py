"""Who is preferred while the student lags, and afterwards."""

from __future__ import annotations

import pytest
import torch

from mono3d_kd_core.distillation.modulation import Modulation


def told(*steps: tuple[float, float]) -> Modulation:
    modulation = Modulation()
    for student, teacher in steps:
        modulation.update(torch.tensor(student), torch.tensor(teacher))
    return modulation


def test_a_student_that_lags_as_never_before_feeds_nothing_back() -> None:
    assert told((1.0, 0.5)).gate().item() == 0
    assert told((1.0, 1.0), *[(0.9, 0.2)] * 50).gate().item() == 0


def test_the_gate_opens_as_the_student_comes_level() -> None:
    modulation = told((1.0, 0.5))  # twice as bad
    for _ in range(2000):
        modulation.update(torch.tensor(0.6), torch.tensor(0.5))
    assert modulation.ratio.item() == pytest.approx(1.2, rel=1e-3)
    assert modulation.gate().item() == pytest.approx((2 - 1.2) / (2 - 1), abs=1e-3)
    for _ in range(2000):
        modulation.update(torch.tensor(0.4), torch.tensor(0.5))
    assert modulation.gate().item() == 1


def test_losses_are_smoothed() -> None:
    modulation = told((1.0, 1.0), (2.0, 1.0))
    assert modulation.ratio.item() == pytest.approx(0.99 * 1 + 0.01 * 2)


def test_its_memory_is_kept() -> None:
    modulation, later = told((1.0, 0.5), (0.7, 0.5)), Modulation()
    later.load_state_dict(modulation.state_dict())
    assert later.gate() == modulation.gate()
    assert later.ratio == modulation.ratio
