"""One showing: a drive is replayed into the student's node; pictures, a bag, a table and summary.json come of it."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

from rich.console import Console
from rich.table import Table

from mono3d_kd_core.deploy.bundle import read_card
from mono3d_kd_ros.demo.drive import drive_as_bag
from mono3d_kd_ros.demo.pictures import draw_demo
from mono3d_kd_ros.demo.replay import Replay, replay
from mono3d_kd_ros.starting.domain import private_graph
from mono3d_kd_ros.starting.transport import large_message_environment

DEFAULT_MODEL = "models/keypoint_sim"
DEFAULT_RATE = 0.5
"""How fast to replay, so that two cores keep up with 10 Hz."""


def run(drive: Path | None, model: Path, out: Path, rate: float, console: Console) -> dict[str, object]:
    """Replay `drive` (None: a simulated one) into the node with `model`; write everything into `out`."""
    read_card(model)
    enter_graph(console)
    out.mkdir(parents=True, exist_ok=True)
    bag = drive_as_bag(drive, out, console)
    detections = out / "detections"
    shutil.rmtree(detections, ignore_errors=True)
    result = replay(bag, model, detections, rate, console)
    summary = _summary(result)
    (out / "summary.json").write_text(json.dumps(summary, indent=2) + "\n")
    found = draw_demo(bag, detections, result.detections_topic, out, console)
    _show(summary, found, out, console)
    return summary


def enter_graph(console: Console) -> None:
    """Keep the demo's graph to itself, and say how to look into it; large messages get through."""
    domain = private_graph()
    os.environ.update(large_message_environment())
    if domain is not None:
        console.print(f"in ROS domain {domain}; to watch it from another terminal: export ROS_DOMAIN_ID={domain}")


def _summary(result: Replay) -> dict[str, object]:
    from numpy import percentile

    latency = result.latency_ms
    p50, p95 = (round(float(percentile(latency, q)), 1) for q in (50, 95)) if len(latency) else (None, None)
    return {
        "frames_in": result.frames_in,
        "arrays_out": result.arrays_out,
        "dropped": result.dropped,
        "latency_ms": {"p50": p50, "p95": p95},
    }


def _show(summary: dict[str, object], found: dict[str, int], out: Path, console: Console) -> None:
    table = Table("what", "figure", title="demo")
    table.add_row("images replayed", str(summary["frames_in"]))
    table.add_row("detection arrays published", str(summary["arrays_out"]))
    table.add_row("images dropped", str(summary["dropped"] or "none"))
    latency = summary["latency_ms"]
    if isinstance(latency, dict):
        table.add_row("image to detections, ms", f"p50 {latency['p50']}, p95 {latency['p95']}")
    for label, count in found.items():
        table.add_row(f"{label} detections", str(count))
    console.print(table)
    for name in ("overlay.png", "overlay.mp4", "detections", "summary.json"):
        console.print(f"  {out / name}")
    if not summary["arrays_out"]:
        console.print(f"[red]the node published nothing; its log is {out / 'logs' / 'student_node.log'}[/]")
