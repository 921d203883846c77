"""The console script `mono3d-kd`: one file per verb, found by name."""

from __future__ import annotations

import importlib
import pkgutil
import sys

import typer

from mono3d_kd_core.errors import Mono3DError

app = typer.Typer(
    name="mono3d-kd", no_args_is_help=True, pretty_exceptions_enable=False, add_completion=False,
    help="Turn recorded camera+LiDAR drives into a camera-only 3D detector.",
)  # fmt: skip


@app.callback()
def _root() -> None:
    """Keep a single verb a verb."""


for _module in pkgutil.iter_modules(__path__):
    # A verb is a module without a leading underscore that has a function `command`.
    if not _module.name.startswith("_"):
        _verb = importlib.import_module(f"{__name__}.{_module.name}")
        app.command(_module.name.replace("_", "-"))(_verb.command)


def main() -> None:
    """Run the command line; the user's mistakes end with a message and exit code 2."""
    try:
        app()
    except Mono3DError as error:
        print(f"mono3d-kd: {error}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        print("mono3d-kd: stopped", file=sys.stderr)
        sys.exit(130)
