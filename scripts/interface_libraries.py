"""From the sources of a message package to the libraries that its CMake build would give, as far as rclpy needs them."""

from __future__ import annotations

import glob
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from interface_sources import PREFIX, TYPESUPPORTS, BuildError, Layout


@dataclass(frozen=True)
class Library:
    """One library of a message package.

    sources are patterns of files; merged ones are compiled as a single file, which is several times faster, where their
    names do not clash; siblings: libraries of this package and of those it depends on that it uses; runtime: others.
    """

    kind: str
    sources: tuple[str, ...] = ()
    merged: str = ""
    siblings: tuple[str, ...] = ()
    runtime: tuple[str, ...] = ()


LIBRARIES = (
    Library("rosidl_generator_c",
            ("{layout.headers}/*/detail/*__description.c", "{layout.headers}/*/detail/*__type_support.c"),
            merged="{layout.headers}/*/detail/*__functions.c",
            runtime=("rosidl_runtime_c", "rcutils")),
    Library("rosidl_typesupport_fastrtps_cpp",
            merged="{layout.headers}/*/detail/dds_fastrtps/*__type_support.cpp",
            siblings=("rosidl_generator_c",),
            runtime=("rosidl_typesupport_fastrtps_cpp", "fastcdr", "rmw")),
    Library("rosidl_typesupport_fastrtps_c",
            merged="{layout.headers}/*/detail/*__type_support_c.cpp",
            siblings=("rosidl_generator_c", "rosidl_typesupport_fastrtps_cpp"),
            runtime=("rosidl_typesupport_fastrtps_c", "rosidl_typesupport_fastrtps_cpp", "fastcdr", "rmw")),
    Library("rosidl_typesupport_introspection_c",
            merged="{layout.introspection}/*/*/detail/*__type_support.c",
            siblings=("rosidl_generator_c",),
            runtime=("rosidl_typesupport_introspection_c",)),
    Library("rosidl_typesupport_c",
            merged="{layout.dispatch}/*/*__type_support.cpp",
            siblings=("rosidl_generator_c", *TYPESUPPORTS[1:]),
            runtime=("rosidl_typesupport_c",)),
    Library("rosidl_generator_py",
            ("{layout.python}/*/_*_s.c",),
            siblings=("rosidl_generator_c", "rosidl_typesupport_c"),
            runtime=("rosidl_runtime_c",)),
)  # fmt: skip
"""In an order in which each can be linked with those before it."""


def require_compilers() -> None:
    """Say in words how to get a compiler or the headers of Python where they are missing."""
    for compiler in ("gcc", "g++"):
        if shutil.which(compiler) is None:
            raise BuildError(f"{compiler} is needed to compile message packages: sudo apt install build-essential")
    if not Path(sysconfig.get_path("include"), "Python.h").is_file():
        version = f"{sys.version_info.major}.{sys.version_info.minor}"
        raise BuildError(f"Python's headers are needed to compile message packages: sudo apt install python{version}-dev")


def compile_package(layout: Layout, dependencies: Sequence[str]) -> None:
    """Compile and link all libraries and the Python extension modules of a package into its layout."""
    package = layout.package
    layout.lib.mkdir()
    layout.objects.mkdir()
    extensions = [
        Library(kind, (f"{{layout.python}}/_*.ep.{kind}.c",), siblings=("rosidl_generator_py", kind), runtime=("rmw",))
        for kind in TYPESUPPORTS
    ]
    with ThreadPoolExecutor() as pool:
        everything = [*LIBRARIES, *extensions]
        objects = [[pool.submit(compile_unit, layout, unit) for unit in units(layout, library)] for library in everything]
        for library, compiled in zip(everything, objects, strict=True):
            if library in extensions:
                target = layout.python / f"{package}_s__{library.kind}.so"
            else:
                target = layout.lib / f"lib{package}__{library.kind}.so"
            names = [f"{owner}__{kind}" for owner in (package, *dependencies) for kind in (library.kind, *library.siblings)]
            link(layout, target, [unit.result() for unit in compiled], [*names, *library.runtime])


def units(layout: Layout, library: Library) -> list[Path]:
    """List the translation units of a library."""
    found = [Path(file) for pattern in library.sources for file in sorted(glob.glob(pattern.format(layout=layout)))]
    merged = sorted(glob.glob(library.merged.format(layout=layout)))
    if merged:
        unit = layout.root / f"{library.kind}{Path(merged[0]).suffix}"
        unit.write_text("".join(f'#include "{file}"\n' for file in merged))
        found.append(unit)
    return found


def compile_unit(layout: Layout, source: Path) -> Path:
    """Compile one C or C++ file."""
    import numpy

    compiler = ["g++", "-std=c++17"] if source.suffix == ".cpp" else ["gcc", "-std=c11"]
    wheels = [PREFIX / "include", *sorted(PREFIX.glob("include/*/"))]
    includes = [layout.include, layout.introspection, *wheels, sysconfig.get_path("include"), numpy.get_include()]
    options = ["-O1", "-fPIC", "-w", f'-DROS_PACKAGE_NAME="{layout.package}"', *(f"-I{folder}" for folder in includes)]
    target = layout.objects / f"{'_'.join(source.relative_to(layout.root).parts)}.o"
    run([*compiler, *options, "-c", source, "-o", target])
    return target


def link(layout: Layout, target: Path, objects: Sequence[Path], names: Sequence[str]) -> None:
    """Link a shared library that finds its neighbours in the lib folder of the environment."""
    folders = [layout.lib, PREFIX / "lib"]
    present = [name for name in dict.fromkeys(names) if any((folder / f"lib{name}.so").exists() for folder in folders)]
    search = [*(f"-L{folder}" for folder in folders), f"-Wl,-rpath,{PREFIX / 'lib'}"]
    run(["g++", "-shared", "-o", target, *objects, *search, *(f"-l{n}" for n in present)])


def run(command: Sequence[object]) -> None:
    words = [str(word) for word in command]
    finished = subprocess.run(words, capture_output=True, text=True)
    if finished.returncode != 0:
        raise BuildError(f"{words[0]} failed on {words[-1]}:\n{finished.stderr[-4000:]}")
