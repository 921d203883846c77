"""The main job in one command: a drive is replayed into the student's node, and what it publishes is kept and shown.

`python -m mono3d_kd_ros.demo [--drive BAG_OR_KITTI_RAW_DRIVE] [--model BUNDLE] [--out demo_output]`
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from rich.console import Console

from mono3d_kd_core.errors import Mono3DError
from mono3d_kd_core.resources import config_dir
from mono3d_kd_ros.demo.drive import path_or_none
from mono3d_kd_ros.demo.show import DEFAULT_MODEL, DEFAULT_RATE, run


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


if __name__ == "__main__":
    sys.exit(main())
