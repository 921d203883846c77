"""Online distillation: the student learns from the teacher's fresh targets, and is replaced only by a better one."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from rclpy.clock import Clock, ClockType

from mono3d_kd_core.errors import DataError, Mono3DError
from mono3d_kd_core.targets.store import PROVENANCE, TargetStore
from mono3d_kd_core.training.online.round import Plan, Verdict
from mono3d_kd_core.training.online.shares import frames_of
from mono3d_kd_ros.node import process
from mono3d_kd_ros.node.diagnostics import WARN, Condition, Finding
from mono3d_kd_ros.node.managed_node import ManagedNode
from mono3d_kd_ros.settings import TrainerSettings
from mono3d_kd_ros.trainer.handover import Handover
from mono3d_kd_ros.trainer.round_process import ROUND, RoundProcess, next_round


class TrainerNode(ManagedNode[TrainerSettings]):
    """Watches a target store grow, trains in a process of its own, and hands a better bundle to the student's node.

    A candidate takes over by the student's parameter `model` and its service `~/load_bundle`, and only when it wins on
    frames that were held back. A round that fails, or a bundle that is refused, changes nothing.
    """

    def __init__(self, round_module: str = ROUND, **node_options: Any) -> None:
        super().__init__("trainer_node", TrainerSettings, **node_options)
        self._round_module = round_module
        self._timer: Any = None
        self._handover: Handover | None = None
        self._round: RoundProcess | None = None
        self._number = 0
        self._learned = 0
        self._in_use = ""
        self._verdict: Verdict | None = None
        self._waiting: str | None = None
        self._taken_over = 0
        self._error = ""

    def configure(self) -> None:
        """Check what is given, and count the rounds that `out` already holds."""
        s = self.settings
        for name in ("store", "model", "out"):
            if not getattr(s, name):
                raise Mono3DError(f"the parameter `{name}` is empty")
        self._plan(0)
        self._in_use = s.model
        self._number = next_round(Path(s.out)) - 1

    def activate(self) -> None:
        """Begin to watch the store."""
        self._handover = Handover(self, self.settings.student, self._on_taken, self._on_refused)
        self._timer = self.create_timer(1.0, self._look, clock=Clock(clock_type=ClockType.STEADY_TIME))

    def deactivate(self) -> None:
        """Watch no longer; a round in work is given up."""
        if self._timer is not None:
            self.destroy_timer(self._timer)
            self._timer = None
        if self._round is not None:
            self._round.stop()
            self._round = None
        if self._handover is not None:
            self._handover.close()
            self._handover = None
        self._waiting = None

    def cleanup(self) -> None:
        """Forget what was learned from."""
        self._learned = 0

    def _look(self) -> None:
        """Do the next thing: hand over, see to the round in work, or begin one."""
        if self._waiting is not None:
            self._hand_over(self._waiting)
        elif self._round is not None:
            if self._round.ended:
                self._finish_round(self._round)
        elif (frames := self._stored()) >= self._learned + self.settings.fresh:
            self._learned = frames
            self._begin_round()

    def _stored(self) -> int:
        """Return how many frames there are to learn from."""
        store = Path(self.settings.store)
        return len(frames_of(TargetStore(store).ids, "training")) if (store / PROVENANCE).is_file() else 0

    def _plan(self, number: int) -> Plan:
        s = self.settings
        return Plan(
            store=Path(s.store), student=Path(self._in_use or s.model), out=Path(s.out) / f"round_{number:04d}",
            recipe=s.recipe, replay=tuple(map(Path, s.replay)), recent=s.recent, replayed=s.replayed, epochs=s.epochs,
            learning_rate=s.learning_rate, batch_size=s.batch_size, margin=s.margin, least_objects=s.least_objects,
            seed=number,
        )  # fmt: skip

    def _begin_round(self) -> None:
        self._number += 1
        plan = self._plan(self._number)
        self._round = RoundProcess(plan, self.settings.threads, self.settings.niceness, self._round_module)
        self.get_logger().info(f"round {self._number} learns from {self._learned} frames and more; its log is in {plan.out}")

    def _finish_round(self, ended: RoundProcess) -> None:
        self._round, self._error = None, ""
        try:
            self._verdict = ended.verdict()
        except DataError as error:
            self._error = f"round {self._number} failed: {error}"
            self.get_logger().error(self._error)
            return
        self.get_logger().info(f"round {self._number}: {in_words(self._verdict)}")
        if self._verdict.better:
            self._hand_over(self._verdict.bundle)

    def _hand_over(self, bundle: str) -> None:
        """Offer a bundle to the student's node; it waits until the node is there."""
        assert self._handover is not None
        if self._handover.possible:
            self._waiting, self._error = None, ""
            self._handover.offer(bundle)
        else:
            self._waiting, self._error = bundle, f"there is no node {self.settings.student} to take {bundle}"

    def _on_taken(self, bundle: str) -> None:
        self._in_use = bundle
        self._taken_over += 1
        self.get_logger().info(f"{bundle} took over")

    def _on_refused(self, bundle: str, reason: str) -> None:
        self._error = f"{self.settings.student} refused {bundle}: {reason}"
        self.get_logger().error(self._error)

    def condition(self) -> Condition:
        """Tell what goes on, and how the last round ended."""
        values = {
            "rounds": str(self._number), "taken over": str(self._taken_over), "bundle in use": self._in_use,
            "learning now": "yes" if self._round is not None else "no",
            "last round": in_words(self._verdict) if self._verdict is not None else "none",
        }  # fmt: skip
        return Condition([Finding(WARN, self._error)] if self._error else [], values)


def in_words(verdict: Verdict) -> str:
    """Return a verdict in one line."""
    return (
        f"F1 {verdict.before.f1:.2f} before, {verdict.after.f1:.2f} after, on {verdict.objects} objects of "
        f"{verdict.judged_frames} frames held back: {'better' if verdict.better else 'not better, left out'}"
    )


def main(arguments: list[str] | None = None) -> None:
    """Run: `python -m mono3d_kd_ros.trainer_node --ros-args -p store:=TARGETS -p model:=BUNDLE -p out:=ROUNDS`."""
    sys.exit(process.run(TrainerNode, arguments))


if __name__ == "__main__":
    main()
