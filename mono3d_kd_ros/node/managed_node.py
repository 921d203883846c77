"""What the nodes share: a lifecycle whose errors are never lost, parameters from settings, and diagnostics once a second."""

from __future__ import annotations

import threading
import traceback
from collections.abc import Callable
from typing import Any, Generic

from diagnostic_msgs.msg import DiagnosticArray
from rclpy.clock import Clock, ClockType
from rclpy.lifecycle import LifecycleNode, LifecycleState, TransitionCallbackReturn

from mono3d_kd_core.errors import Mono3DError
from mono3d_kd_ros import compat
from mono3d_kd_ros.node import parameters
from mono3d_kd_ros.node.diagnostics import ERROR, Condition, Finding, status
from mono3d_kd_ros.node.parameters import Settings

RESULT = TransitionCallbackReturn


class ManagedNode(LifecycleNode, Generic[Settings]):
    """A lifecycle node. Subclasses say what `configure`, `activate`, `deactivate` and `cleanup` do, and how they are.

    A transition that raises is logged, shown in the diagnostics until the next one succeeds, and leaves the node in the
    state it came from (configure, activate) or unconfigured (deactivate, cleanup). `cleanup` must cope with half a
    configuration. `settings` are the parameters as they were when the node was configured.
    """

    settings: Settings

    def __init__(self, name: str, settings_type: type[Settings], **node_options: Any) -> None:
        super().__init__(name, **node_options)
        self._settings_type = settings_type
        parameters.declare(self, settings_type)
        self.state_name = "unconfigured"
        self.last_error = ""
        self._diagnostics = self.create_publisher(DiagnosticArray, "/diagnostics", 10)
        # A steady clock: it also ticks when use_sim_time is set and nobody publishes /clock, which must be reported.
        self._timer = self.create_timer(1.0, self.publish_diagnostics, clock=Clock(clock_type=ClockType.STEADY_TIME))

    def configure(self) -> None:
        """Load what is needed and create the outputs."""
        raise NotImplementedError

    def activate(self) -> None:
        """Begin to listen."""
        raise NotImplementedError

    def deactivate(self) -> None:
        """Listen no longer, and come to rest."""
        raise NotImplementedError

    def cleanup(self) -> None:
        """Give back what `configure` took."""
        raise NotImplementedError

    def condition(self) -> Condition:
        """Return the findings and values for the diagnostics."""
        raise NotImplementedError

    def start(self, finished: threading.Event) -> None:
        """Configure and activate when the parameter `autostart` says so; failures stay in the log and the diagnostics."""
        if self.get_parameter("autostart").value and self.trigger_configure() == RESULT.SUCCESS:
            self.trigger_activate()

    def close(self) -> int:
        """Leave every state in order, as at the end of the process; return the exit code."""
        self.trigger_shutdown()
        self.publish_diagnostics()
        return 0

    def on_configure(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Read the parameters, then `configure`."""

        def configure() -> None:
            self.settings = parameters.read(self, self._settings_type)
            self.get_logger().info(f"the distribution's conversions: {compat.describe()}")
            self.configure()

        return self._transition("configure", "inactive", configure, undo=self.cleanup)

    def on_activate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """`activate`, wrapped."""
        return self._transition("activate", "active", self.activate, undo=self.deactivate)

    def on_deactivate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """`deactivate`, wrapped."""
        return self._transition("deactivate", "inactive", self.deactivate)

    def on_cleanup(self, state: LifecycleState) -> TransitionCallbackReturn:
        """`cleanup`, wrapped."""
        return self._transition("cleanup", "unconfigured", self.cleanup)

    def on_shutdown(self, state: LifecycleState) -> TransitionCallbackReturn:
        """`deactivate` and `cleanup`, as far as the state needs them."""

        def shut_down() -> None:
            if self.state_name == "active":
                self.deactivate()
            if self.state_name != "unconfigured":
                self.cleanup()

        return self._transition("shutdown", "finalized", shut_down)

    def on_error(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Give everything back after a failed deactivation or cleanup, so that the node can be configured again."""
        for step in (self.deactivate, self.cleanup):
            self._attempt(f"recovery ({step.__name__})", step)
        self.state_name = "unconfigured"
        return RESULT.SUCCESS

    def publish_diagnostics(self) -> None:
        """Publish the node's condition on /diagnostics."""
        condition = self.condition()
        findings = list(condition.findings)
        if self.last_error:
            findings.append(Finding(ERROR, self.last_error))
        values = {"lifecycle state": self.state_name, "last error": self.last_error or "none", **condition.values}
        message = DiagnosticArray(status=[status(self.get_fully_qualified_name(), "mono3d_kd", findings, values)])
        message.header.stamp = self.get_clock().now().to_msg()
        self._diagnostics.publish(message)

    def _transition(
        self, name: str, reached: str, step: Callable[[], None], undo: Callable[[], None] | None = None
    ) -> TransitionCallbackReturn:
        """Take a step; on failure undo it where it can be undone, or else go through `on_error`."""
        if self._attempt(name, step):
            self.state_name, self.last_error = reached, ""
            return RESULT.SUCCESS
        if undo is None:
            return RESULT.ERROR
        error = self.last_error
        self._attempt(f"undoing {name}", undo)
        self.last_error = error
        return RESULT.FAILURE

    def _attempt(self, name: str, step: Callable[[], None]) -> bool:
        """Run a step and keep what it raises: rclpy would swallow it without a word."""
        try:
            step()
        except Exception as error:
            self.last_error = f"{name} failed: {describe(error)}"
            detail = "" if isinstance(error, Mono3DError) else "\n" + traceback.format_exc()
            self.get_logger().error(self.last_error + detail)
            return False
        return True


def describe(error: BaseException) -> str:
    """Return an error in one line: its text when it is meant for people, else with its type."""
    return str(error) if isinstance(error, Mono3DError) else f"{type(error).__name__}: {error}"
