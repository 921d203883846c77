"""The house keeps its shape: imports never climb the floors, and the core never sees ROS."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from tests.conftest import REPOSITORY

CORE = REPOSITORY / "mono3d_kd_core"
ROS_PACKAGES = {
    "rclpy", "rosidl_runtime_py", "rosidl_parser", "ament_index_python", "launch", "launch_ros", "tf2_ros", "tf2_py",
    "tf_transformations", "cv_bridge", "sensor_msgs_py", "message_filters", "rosbag2_py", "builtin_interfaces", "std_msgs",
    "sensor_msgs", "geometry_msgs", "vision_msgs", "visualization_msgs", "diagnostic_msgs", "lifecycle_msgs", "tf2_msgs",
    "nav_msgs", "rosgraph_msgs", "mono3d_kd_ros",
}  # fmt: skip

FLOORS = [
    {"errors", "resources"},
    {"geometry"},
    {"frames", "drawing"},
    {"io", "heads"},
    {"teachers", "students", "simulation", "doctor"},
    {"distillation", "targets"},
    {"training", "evaluation", "deploy"},
    {"cli"},
]
FLOOR_OF = {name: level for level, names in enumerate(FLOORS) for name in names}


def imports(path: Path) -> Iterator[str]:
    """Yield the dotted name of every module that a source file imports anywhere, also inside functions."""
    package = path.relative_to(REPOSITORY).with_suffix("").parts[:-1]
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"), str(path))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = ".".join(package[: len(package) - node.level + 1]) if node.level else ""
            module = ".".join(part for part in (base, node.module or "") if part)
            yield module
            yield from (f"{module}.{alias.name}" for alias in node.names)


def core_sources() -> list[Path]:
    return sorted(CORE.rglob("*.py"))


def part_of(module: str) -> str | None:
    """Return the part of the core that a module belongs to: `mono3d_kd_core.io.bag` is in `io`."""
    pieces = module.split(".")
    return pieces[1] if pieces[0] == "mono3d_kd_core" and len(pieces) > 1 else None


def test_no_core_source_imports_ros() -> None:
    found = {
        f"{path.relative_to(REPOSITORY)}: {name}"
        for path in core_sources()
        for name in imports(path)
        if name.split(".")[0] in ROS_PACKAGES
    }
    assert not found


def test_every_part_of_the_core_has_a_floor() -> None:
    parts = {path.relative_to(CORE).parts[0].removesuffix(".py") for path in core_sources()}
    assert parts - {"__init__", "__main__"} <= set(FLOOR_OF)


def test_imports_never_climb() -> None:
    climbing = set()
    for path in core_sources():
        own = path.relative_to(CORE).parts[0].removesuffix(".py")
        for name in imports(path):
            part = part_of(name)
            if part in FLOOR_OF and own in FLOOR_OF and FLOOR_OF[part] > FLOOR_OF[own]:
                climbing.add(f"{path.relative_to(REPOSITORY)} imports {name}")
    assert not climbing


def test_the_core_imports_where_ros_is_blocked() -> None:
    modules = [".".join(path.relative_to(REPOSITORY).with_suffix("").parts) for path in core_sources()]
    modules = [m.removesuffix(".__init__") for m in modules if not m.endswith("__main__")]
    program = (
        "import importlib, sys\n"
        f"for name in {sorted(ROS_PACKAGES)!r}: sys.modules[name] = None\n"
        f"for name in {modules!r}: importlib.import_module(name)\n"
    )
    run = subprocess.run([sys.executable, "-c", program], cwd=REPOSITORY, capture_output=True, text=True, timeout=110)
    assert run.returncode == 0, run.stderr
