"""Whatever a transition raises is logged, kept and shown, and the node can be brought up again."""

from __future__ import annotations

from typing import Any

import pytest

pytest.importorskip("rclpy", reason="ROS 2 is not in this environment")

from pydantic import BaseModel
from rclpy.lifecycle import TransitionCallbackReturn

from mono3d_kd_ros.node.diagnostics import Condition
from mono3d_kd_ros.node.managed_node import ManagedNode

STEPS = ("configure", "activate", "deactivate", "cleanup")
SUCCESS = TransitionCallbackReturn.SUCCESS


class Settings(BaseModel):
    """No parameters but the one that all have."""

    autostart: bool = False


class Clumsy(ManagedNode[Settings]):
    """Fails once in the step that is named."""

    def __init__(self, fails_in: str, **options: Any) -> None:
        super().__init__("clumsy", Settings, **options)
        self.fails_in = fails_in

    def _step(self, name: str) -> None:
        if self.fails_in == name:
            self.fails_in = ""
            raise RuntimeError(f"{name} was told to fail")

    def configure(self) -> None:
        self._step("configure")

    def activate(self) -> None:
        self._step("activate")

    def deactivate(self) -> None:
        self._step("deactivate")

    def cleanup(self) -> None:
        self._step("cleanup")

    def condition(self) -> Condition:
        return Condition()

    def round(self) -> list[bool]:
        """Go once through all steps, and tell which succeeded."""
        return [getattr(self, f"trigger_{step}")() == SUCCESS for step in STEPS]


@pytest.mark.parametrize("step", STEPS)
def test_an_exception_in_any_transition_is_kept_and_the_next_round_succeeds(ros_context: Any, step: str) -> None:
    node = Clumsy(step, context=ros_context)
    try:
        at = STEPS.index(step)
        for name in STEPS[:at]:
            assert getattr(node, f"trigger_{name}")() == SUCCESS
        assert getattr(node, f"trigger_{step}")() != SUCCESS
        assert node.last_error == f"{step} failed: RuntimeError: {step} was told to fail"
        rest = STEPS[1:] if step == "activate" else STEPS  # it stays configured
        assert [getattr(node, f"trigger_{name}")() == SUCCESS for name in rest] == [True] * len(rest)
        assert node.last_error == ""
        assert node.round() == [True] * 4
    finally:
        node.destroy_node()
