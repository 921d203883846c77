"""A round of online distillation that trains nothing: the first candidate is better, the second is not, the third fails."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from pathlib import Path

from mono3d_kd_core.errors import DataError
from mono3d_kd_core.io.settings import read_settings
from mono3d_kd_core.training.online.round import VERDICT, Figure, Plan, Verdict, is_better

SCORES = [0.9, 0.4]


def run(plan: Plan) -> int:
    """Write the verdict that the number of the round asks for."""
    if plan.seed > len(SCORES):
        print("the puppet was told to fail")
        return 1
    before, after = Figure(0.5, 0.5), Figure(SCORES[plan.seed - 1], SCORES[plan.seed - 1])
    better = is_better(before, after, 100, plan)
    # The student's puppet knows the bundle "vans".
    content = asdict(Verdict("vans", before, after, 100, 10, 5, better))
    (plan.out / VERDICT).write_text(json.dumps(content))
    return 0


if __name__ == "__main__":
    if sys.argv[1:2] and sys.argv[1].endswith("plan.yaml"):
        sys.exit(run(read_settings(Path(sys.argv[1]), Plan, DataError)))
    from mono3d_kd_ros.node import process  # a round needs no ROS, and starts sooner without
    from mono3d_kd_ros.trainer_node import TrainerNode

    sys.exit(process.run(lambda: TrainerNode("tests.ros.puppet_round")))
