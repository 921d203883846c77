"""Folding batch normalisation changes no output."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from mono3d_kd_core.deploy.folding import fold_batch_norm
from mono3d_kd_core.students.keypoint import KeypointConfig, KeypointStudent


@pytest.mark.parametrize(("backbone", "neck"), [("resnet18", "fpn"), ("resnet50", "fpn"), ("dla34", "dla_up")])
def test_a_folded_student_says_the_same(backbone: str, neck: str) -> None:
    torch.manual_seed(0)
    config = KeypointConfig.model_validate({"backbone": backbone, "neck": neck, "width": 0.125, "head_channels": 16})
    student = KeypointStudent(config).eval()
    for part in student.modules():
        if isinstance(part, nn.BatchNorm2d):
            nn.init.normal_(part.running_mean, 0, 0.2)
            nn.init.uniform_(part.running_var, 0.5, 2)
            nn.init.normal_(part.weight, 1, 0.2)
    image = torch.randint(0, 255, (1, 3, 64, 96), dtype=torch.uint8)
    with torch.inference_mode():
        before = student(image)
        after = fold_batch_norm(student)(image)
    assert not any(isinstance(part, nn.BatchNorm2d) for part in student.modules())
    torch.testing.assert_close(after.neck, before.neck, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(after.heatmap, before.heatmap, rtol=1e-4, atol=1e-4)
