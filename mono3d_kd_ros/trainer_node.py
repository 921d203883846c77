"""Online distillation: the student learns from the teacher's fresh targets, and is replaced only by a better one."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

from rcl_interfaces.msg import Parameter, ParameterType, ParameterValue
from rcl_interfaces.srv import SetParameters
from rclpy.clock import Clock, ClockType
from rclpy.task import Future
from std_srvs.srv import Trigger

from mono3d_kd_core.errors import DataError, Mono3DError
from mono3d_kd_core.io.settings import write_settings
from mono3d_kd_core.targets.store import PROVENANCE, TargetStore
from mono3d_kd_core.training.online import Plan, Verdict, read_verdict
from mono3d_kd_core.training.shares import frames_of
from mono3d_kd_ros import process
from mono3d_kd_ros.diagnostics import WARN, Condition, Finding
from mono3d_kd_ros.managed_node import ManagedNode
from mono3d_kd_ros.settings import TrainerSettings

ROUND = "mono3d_kd_core.training.online"
GRACE_S = 10.0
"""How long a round may take to stop before it is killed."""


class TrainerNode(ManagedNode[TrainerSettings]):
    """Watches a target store grow, trains in a process of its own, and hands a better bundle to the student's node.

    A candidate takes over by the student's parameter `model` and its service `~/load_bundle`, and only when it wins on
    frames that were held back. A round that fails, or a bundle that is refused, changes nothing.
    """

    def __init__(self, round_module: str = ROUND, **node_options: Any) -> None:
        super().__init__("trainer_node", TrainerSettings, **node_options)
        self._round_module = round_module
        self._timer: Any = None
        self._student: tuple[Any, ...] = ()
        self._process: subprocess.Popen[bytes] | None = None
        self._round = 0
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
        self._round = max((int(path.name[6:]) for path in Path(s.out).glob("round_*")), default=0)

    def activate(self) -> None:
        """Begin to watch the store."""
        student = self.settings.student
        self._student = (
            self.create_client(SetParameters, f"{student}/set_parameters"),
            self.create_client(Trigger, f"{student}/load_bundle"),
        )
        self._timer = self.create_timer(1.0, self._look, clock=Clock(clock_type=ClockType.STEADY_TIME))

    def deactivate(self) -> None:
        """Watch no longer; a round in work is given up."""
        if self._timer is not None:
            self.destroy_timer(self._timer)
            self._timer = None
        self._stop_round()
        for client in self._student:
            self.destroy_client(client)
        self._student, self._waiting = (), None

    def cleanup(self) -> None:
        """Forget what was learned from."""
        self._learned = 0

    def _look(self) -> None:
        """Do the next thing: hand over, see to the round in work, or begin one."""
        if self._waiting is not None:
            self._hand_over()
        elif self._process is not None:
            if self._process.poll() is not None:
                self._finish_round()
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
        self._round += 1
        plan = self._plan(self._round)
        plan.out.mkdir(parents=True)
        write_settings(plan.out / "plan.yaml", plan)
        threads = str(self.settings.threads or os.cpu_count() or 1)
        command = ["nice", "-n", str(self.settings.niceness), sys.executable, "-m", self._round_module]
        with (plan.out / "log.txt").open("wb") as log:
            self._process = subprocess.Popen(
                [*command, str(plan.out / "plan.yaml")], stdout=log, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL,
                env=os.environ | {"OMP_NUM_THREADS": threads}, start_new_session=True,
            )  # fmt: skip
        self.get_logger().info(f"round {self._round} learns from {self._learned} frames and more; its log is in {plan.out}")

    def _finish_round(self) -> None:
        assert self._process is not None
        code, self._process = self._process.returncode, None
        out = self._plan(self._round).out
        self._error = ""
        try:
            if code:
                raise DataError(f"round {self._round} failed: {_last_line(out / 'log.txt') or f'exit status {code}'}")
            self._verdict = read_verdict(out)
        except DataError as error:
            self._error = str(error)
            self.get_logger().error(self._error)
            return
        self.get_logger().info(f"round {self._round}: {in_words(self._verdict)}")
        if self._verdict.better:
            self._waiting = self._verdict.bundle
            self._hand_over()

    def _hand_over(self) -> None:
        """Ask the student's node to take the bundle that waits, once its services are there."""
        name_model, load = self._student
        if not (name_model.service_is_ready() and load.service_is_ready()):
            self._error = f"there is no node {self.settings.student} to take {self._waiting}"
            return
        bundle, self._waiting, self._error = self._waiting, None, ""
        value = ParameterValue(type=ParameterType.PARAMETER_STRING, string_value=bundle)
        request = SetParameters.Request(parameters=[Parameter(name="model", value=value)])

        def named(future: Future[Any]) -> None:
            result = future.result().results[0]
            if result.successful:
                load.call_async(Trigger.Request()).add_done_callback(loaded)
            else:
                self._refused(bundle, result.reason)

        def loaded(future: Future[Any]) -> None:
            response = future.result()
            if not response.success:
                self._refused(bundle, response.message)
                return
            self._in_use = bundle
            self._taken_over += 1
            self.get_logger().info(f"{bundle} took over")

        name_model.call_async(request).add_done_callback(named)

    def _refused(self, bundle: str, reason: str) -> None:
        self._error = f"{self.settings.student} refused {bundle}: {reason}"
        self.get_logger().error(self._error)

    def _stop_round(self) -> None:
        if self._process is None:
            return
        os.killpg(self._process.pid, signal.SIGINT)
        try:
            self._process.wait(GRACE_S)
        except subprocess.TimeoutExpired:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
        self._process = None

    def condition(self) -> Condition:
        """Tell what goes on, and how the last round ended."""
        values = {
            "rounds": str(self._round), "taken over": str(self._taken_over), "bundle in use": self._in_use,
            "learning now": "yes" if self._process is not None else "no",
            "last round": in_words(self._verdict) if self._verdict is not None else "none",
        }  # fmt: skip
        return Condition([Finding(WARN, self._error)] if self._error else [], values)


def in_words(verdict: Verdict) -> str:
    """Return a verdict in one line."""
    return (
        f"F1 {verdict.before.f1:.2f} before, {verdict.after.f1:.2f} after, on {verdict.objects} objects of "
        f"{verdict.judged_frames} frames held back: {'better' if verdict.better else 'not better, left out'}"
    )


def _last_line(log: Path) -> str:
    lines = log.read_text(errors="replace").strip().splitlines()
    return lines[-1] if lines else ""


def main(arguments: list[str] | None = None) -> None:
    """Run: `python -m mono3d_kd_ros.trainer_node --ros-args -p store:=TARGETS -p model:=BUNDLE -p out:=ROUNDS`."""
    sys.exit(process.run(TrainerNode, arguments))


if __name__ == "__main__":
    main()
