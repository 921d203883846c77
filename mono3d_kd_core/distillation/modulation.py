"""Gradient-targeted transfer modulation (Jiang et al., CVPR 2024): who learns from whom, as the two networks come level.

Published: at first the detector lags and is preferred, later it feeds back more to its teacher. The measure of lag, and the
gate made of it, are ours.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

DECAY = 0.99
LEAST_LAG = 1.1
"""Two networks that know nothing are level, too: a lag counts as one from here on."""


class Modulation(nn.Module):
    """Follows both networks' projection losses, smoothed, and their ratio r = student / teacher.

    r_0 is the greatest ratio so far, at least 1.1; the gate g = (r_0 - r) / (r_0 - 1), within 0 and 1, opens as the student
    comes level (r = 1). The state is kept in checkpoints.
    """

    student: Tensor
    teacher: Tensor
    worst: Tensor

    def __init__(self) -> None:
        super().__init__()
        for name, value in (("student", 0.0), ("teacher", 0.0), ("worst", LEAST_LAG)):
            self.register_buffer(name, torch.tensor(value))

    @torch.no_grad()
    def update(self, student: Tensor, teacher: Tensor) -> None:
        """Take in the losses of a step."""
        for mean, value in ((self.student, student), (self.teacher, teacher)):
            mean.copy_(torch.where(mean > 0, DECAY * mean + (1 - DECAY) * value, value))
        self.worst.copy_(torch.maximum(self.worst, self.ratio))

    @property
    def ratio(self) -> Tensor:
        """How far the student lags; 1 is level, and before any step."""
        return torch.where(self.teacher > 0, self.student / self.teacher.clamp_min(1e-6), 1.0)

    def gate(self) -> Tensor:
        """Return g: 0 while the student lags most, 1 when it is level or ahead."""
        return ((self.worst - self.ratio) / (self.worst - 1)).clamp(0, 1)
