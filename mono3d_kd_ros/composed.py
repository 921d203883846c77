"""Several nodes in one process: one interpreter and one PyTorch for all, where memory is short."""

from __future__ import annotations

import argparse
import importlib
import sys
from collections.abc import Callable
from typing import Any

from mono3d_kd_ros.node import process

NODES = {
    "student_node": "StudentNode", "teacher_node": "TeacherNode", "agreement_node": "AgreementNode",
    "trainer_node": "TrainerNode", "bag_player": "BagPlayer",
}  # fmt: skip


def maker(name: str) -> Callable[[], Any]:
    """Return what makes a node."""
    made: Callable[[], Any] = getattr(importlib.import_module(f"mono3d_kd_ros.{name}"), NODES[name])
    return made


def main(arguments: list[str] | None = None) -> None:
    """Run: `python -m mono3d_kd_ros.composed --nodes student_node agreement_node --ros-args -p student_node:model:=B`."""
    parser = argparse.ArgumentParser(prog="composed", description=__doc__.splitlines()[0])
    parser.add_argument("--nodes", nargs="+", choices=list(NODES), required=True)
    given = sys.argv[1:] if arguments is None else arguments
    own = given[: given.index("--ros-args")] if "--ros-args" in given else given
    names = dict.fromkeys(parser.parse_args(own).nodes)  # each once
    sys.exit(process.run_together([maker(name) for name in names], given))


if __name__ == "__main__":
    main()
