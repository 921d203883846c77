"""Generate and install the message packages that the ROS 2 wheels of PyPI lack, from the definitions in `interfaces/`.

Run it with the Python of the environment that holds the wheels: `.venv/bin/python scripts/build_interfaces.py`. It calls the
generators of the wheels, compiles what rclpy needs with Fast DDS (the C type support and the Python conversion), and puts
the package where the wheels have theirs, so that nothing needs to be sourced. A package that is up to date is skipped.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import os
import shutil
import sys
import sysconfig
import tempfile
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

from interface_libraries import compile_package, require_compilers
from interface_sources import DEFINITIONS, PREFIX, BuildError, Layout, convert_to_idl, definitions, generate

SITE_PACKAGES = Path(sysconfig.get_path("platlib"))


def main() -> None:
    """Build the packages that are asked for, or all."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("packages", nargs="*", help="names of folders in interfaces/; all by default")
    parser.add_argument("--force", action="store_true", help="build also what is up to date")
    options = parser.parse_args()
    try:
        for name in options.packages or sorted(folder.name for folder in DEFINITIONS.iterdir()):
            build(name, options.force)
    except BuildError as error:
        sys.exit(f"build_interfaces: {error}")


def build(package: str, force: bool = False) -> None:
    """Generate, compile and install one package, unless the installed one comes from the same sources and wheels."""
    stamp = fingerprint(package)
    installed = Layout(package, PREFIX).stamp
    if not force and installed.is_file() and installed.read_text() == stamp:
        print(f"{package}: up to date")
        return
    require_compilers()
    with tempfile.TemporaryDirectory(prefix=f"{package}-", dir=PREFIX) as folder:
        layout = Layout(package, Path(folder))
        try:
            with quiet():
                dependencies = convert_to_idl(layout)
                generate(layout, dependencies)
        except Exception as error:
            raise BuildError(f"{package}: a generator failed: {error}") from error
        compile_package(layout, dependencies)
        write_index(layout)
        layout.stamp.write_text(stamp)
        install(layout)
    print(f"{package}: built and installed into {PREFIX}")


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Hide what the generators print: every file they read. They exchange sys.stdout, hence the file descriptor."""
    sys.stdout.flush()
    terminal = os.dup(1)
    with open(os.devnull, "w") as nothing:
        os.dup2(nothing.fileno(), 1)
    try:
        yield
    finally:
        sys.stdout.flush()
        os.dup2(terminal, 1)
        os.close(terminal)


def fingerprint(package: str) -> str:
    """Return a digest of everything that the result depends on: definitions, these scripts, Python, numpy and the wheels."""
    digest = hashlib.sha256()
    for file in [*sorted(Path(__file__).parent.glob("*interface*.py")), *definitions(package)]:
        digest.update(f"{file.parent.name}/{file.name}\0".encode() + file.read_bytes())
    wheels = {f"{d.name}=={d.version}" for d in metadata.distributions() if d.name.startswith("ros-") or d.name == "numpy"}
    digest.update("\n".join([str(PREFIX), sys.version, *sorted(wheels)]).encode())
    return digest.hexdigest()


def write_index(layout: Layout) -> None:
    """Write the entries by which ament finds the package and its interfaces."""
    files = sorted(f"{file.parent.name}/{file.name}" for file in layout.share.glob("*/*"))
    for index, text in (("packages", ""), ("rosidl_interfaces", "\n".join(files))):
        entry = layout.share.parent / "ament_index" / "resource_index" / index / layout.package
        entry.parent.mkdir(parents=True, exist_ok=True)
        entry.write_text(text)


def install(layout: Layout) -> None:
    """Move what was built into the environment; the stamp comes last, so that an interrupted run is done again."""
    Layout(layout.package, PREFIX).stamp.unlink(missing_ok=True)
    stamp = layout.stamp.rename(layout.root / "build-stamp")
    replace(layout.share, PREFIX / "share" / layout.package)
    for source in layout.python.rglob("*.c"):
        source.unlink()
    replace(layout.python, SITE_PACKAGES / layout.package)
    for library in layout.lib.iterdir():
        library.replace(PREFIX / "lib" / library.name)
    for entry in layout.root.glob("share/ament_index/resource_index/*/*"):
        target = PREFIX / entry.relative_to(layout.root)
        target.parent.mkdir(parents=True, exist_ok=True)
        entry.replace(target)
    stamp.replace(Layout(layout.package, PREFIX).stamp)


def replace(source: Path, target: Path) -> None:
    """Move a folder to where another may be."""
    shutil.rmtree(target, ignore_errors=True)
    shutil.move(source, target)


if __name__ == "__main__":
    main()
