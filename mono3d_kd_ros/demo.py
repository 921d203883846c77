"""The main job in one command: a drive is replayed into the student's node, and what it publishes is kept and shown.

`python -m mono3d_kd_ros.demo [--drive BAG_OR_KITTI_RAW_DRIVE] [--model BUNDLE] [--out demo_output]`
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
from pathlib import Path

from rich.console import Console
from rich.table import Table

from mono3d_kd_core.deploy.bundle import read_card
from mono3d_kd_core.errors import Mono3DError
from mono3d_kd_core.resources import config_dir
from mono3d_kd_ros.demo_drive import drive_as_bag
from mono3d_kd_ros.demo_pictures import draw_demo
from mono3d_kd_ros.demo_replay import Replay, replay
from mono3d_kd_ros.processes import private_graph

DEFAULT_MODEL = "models/keypoint_sim"
DEFAULT_RATE = 0.5
"""How fast to replay, so that two cores keep up with 10 Hz."""


def main(arguments: list[str] | None = None) -> int:
    """Run the demo; return the exit status."""
    options = _options(arguments)
    console = Console()
    try:
        summary = run(options.drive, options.model, options.out, options.rate, console)
    except Mono3DError as error:
        console.print(f"[red]demo:[/] {error}", soft_wrap=True)
        return 2
    except KeyboardInterrupt:
        console.print("demo: stopped")
        return 130
    return 0 if summary["arrays_out"] else 1


def run(drive: Path | None, model: Path, out: Path, rate: float, console: Console) -> dict[str, object]:
    """Replay `drive` (None: a simulated one) into the node with `model`; write everything into `out`."""
    read_card(model)
    private_graph()
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


def _options(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m mono3d_kd_ros.demo", description=__doc__.splitlines()[0])
    parser.add_argument("--drive", type=path_or_none, help="bag or KITTI raw drive; default: a short simulated drive")
    parser.add_argument("--model", type=Path, default=config_dir() / DEFAULT_MODEL, help="the student's bundle")
    parser.add_argument("--out", type=Path, default=Path("demo_output"), help="folder for everything that it makes")
    parser.add_argument("--rate", type=float, default=DEFAULT_RATE, help="speed of the replay, 1 is real time")
    options = parser.parse_args(arguments)
    if options.rate <= 0:
        parser.error("--rate must be above 0")
    return options


def path_or_none(text: str) -> Path | None:
    """Read a path from the command line; empty means none."""
    # `make demo` passes an empty DRIVE on.
    return Path(text) if text else None


if __name__ == "__main__":
    sys.exit(main())
