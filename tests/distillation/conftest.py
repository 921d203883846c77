"""The host that most methods' tests teach; files about other hosts have a student of their own."""

from __future__ import annotations

import pytest
import torch

from mono3d_kd_core.students.keypoint import KeypointStudent
from tests.distillation.privileged import TINY


@pytest.fixture
def student() -> KeypointStudent:
    torch.manual_seed(0)
    return KeypointStudent(TINY)
