"""The nodes that a launch file starts: each in a process of its own, or all in one."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml
from launch.actions import Shutdown
from launch_ros.actions import Node

GRACE_S = "20"
"""Seconds that a node has to end: on a busy machine the frame in work and PyTorch's own end take longer than launch's 5."""


@dataclass(frozen=True)
class LaunchedNode:
    """A node of this package: a file of parameters, those that count before it, and what its topics are called here.

    Parameters that are None or empty are left to the file. `on_exit` is done when its process has ended.
    """

    executable: str
    file: str
    parameters: Mapping[str, Any] = field(default_factory=dict)
    remappings: Mapping[str, str] = field(default_factory=dict)
    namespace: str = ""
    on_exit: Shutdown | None = None

    @property
    def given(self) -> dict[str, Any]:
        """The parameters that are said."""
        return {name: value for name, value in self.parameters.items() if value not in ("", None)}


@dataclass(frozen=True)
class Style:
    """How nodes are started."""

    log_level: str = "info"
    respawn: bool = False
    together: bool = False
    """All in one process."""

    def actions(self, nodes: Sequence[LaunchedNode]) -> list[Node]:
        """Return the processes to start."""
        return [self._together(nodes)] if self.together and nodes else [self._alone(node) for node in nodes]

    def _alone(self, node: LaunchedNode) -> Node:
        return self._process(
            executable=node.executable, name=node.executable, namespace=node.namespace, on_exit=node.on_exit,
            parameters=[node.file, node.given], remappings=list(node.remappings.items()),
            arguments=["--ros-args", "--log-level", self.log_level],
        )  # fmt: skip

    def _together(self, nodes: Sequence[LaunchedNode]) -> Node:
        """One process ends with the first of its nodes that ends, and what any of them wants done then is done."""
        arguments = ["--nodes", *(node.executable for node in nodes), "--ros-args", "--log-level", self.log_level]
        for node in nodes:
            arguments += ["-r", f"{node.executable}:__ns:=/{node.namespace.strip('/')}"]
            for source, target in node.remappings.items():
                arguments += ["-r", f"{node.executable}:{source}:={target}"]
        ends = [node.on_exit for node in nodes if node.on_exit is not None]
        files = [str(file) for node in nodes for file in parameter_files(node)]
        return self._process(executable="composed", parameters=files, arguments=arguments, on_exit=ends or None)

    def _process(self, **more: Any) -> Node:
        return Node(
            package="mono3d_kd", output="screen", emulate_tty=True, respawn=self.respawn, respawn_delay=2.0,
            sigterm_timeout=GRACE_S, sigkill_timeout=GRACE_S, **more,
        )  # fmt: skip


def parameter_files(node: LaunchedNode) -> Iterator[Path]:
    """Write the parameters of a node that shares its process: what a file says to all nodes would reach the others too."""
    folder, own = Path(tempfile.mkdtemp(prefix="mono3d_kd_launch_")), f"/**/{node.executable}"
    content = yaml.safe_load(Path(node.file).read_text(encoding="utf-8")) or {}
    of_file = {own if name == "/**" else name: section for name, section in content.items()}
    for name, sections in (("file", of_file), ("given", {own: {"ros__parameters": node.given}} if node.given else {})):
        if sections:
            path = folder / f"{node.executable}_{name}.yaml"
            path.write_text(yaml.safe_dump(sections, sort_keys=False), encoding="utf-8")
            yield path
