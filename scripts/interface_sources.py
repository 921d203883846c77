"""From the definitions of a message package to its C, C++ and Python sources, by the generators of the ROS 2 wheels."""

from __future__ import annotations

import contextlib
import functools
import json
import re
import shutil
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

PREFIX = Path(sys.prefix)
DEFINITIONS = Path(__file__).resolve().parent.parent / "interfaces"

# What the generators add to every service and action, without an include in the IDL file.
IMPLIED = {"msg": [], "srv": ["service_msgs"], "action": ["service_msgs", "action_msgs", "unique_identifier_msgs"]}
TYPESUPPORTS = ("rosidl_typesupport_c", "rosidl_typesupport_fastrtps_c", "rosidl_typesupport_introspection_c")
"""What rclpy asks for when Fast DDS carries a message: the one that chooses, and those it chooses among."""


class BuildError(Exception):
    """The packages cannot be built here; the message says what is missing."""


@dataclass(frozen=True)
class Layout:
    """Where the pieces of one package lie while it is built, before they are installed."""

    package: str
    root: Path

    @property
    def share(self) -> Path:
        return self.root / "share" / self.package

    @property
    def include(self) -> Path:
        return self.root / "include"

    @property
    def headers(self) -> Path:
        return self.include / self.package

    @property
    def introspection(self) -> Path:
        """Apart from the other headers and sources, since some have the same names."""
        return self.root / "introspection"

    @property
    def dispatch(self) -> Path:
        """The C type support that chooses among type supports."""
        return self.root / "dispatch"

    @property
    def python(self) -> Path:
        return self.root / "python" / self.package

    @property
    def objects(self) -> Path:
        return self.root / "objects"

    @property
    def lib(self) -> Path:
        return self.root / "lib"

    @property
    def stamp(self) -> Path:
        return self.share / "build-stamp"


def definitions(package: str) -> list[Path]:
    """List the .msg, .srv and .action files of a package."""
    files = [file for kind in IMPLIED for file in sorted((DEFINITIONS / package / kind).glob(f"*.{kind}"))]
    if not files:
        raise BuildError(f"{DEFINITIONS / package} holds no definitions")
    return files


def convert_to_idl(layout: Layout) -> list[str]:
    """Write the IDL files and return the packages whose types they use."""
    from rosidl_adapter.action import convert_action_to_idl
    from rosidl_adapter.msg import convert_msg_to_idl
    from rosidl_adapter.srv import convert_srv_to_idl

    convert = {"msg": convert_msg_to_idl, "srv": convert_srv_to_idl, "action": convert_action_to_idl}
    found: dict[str, None] = {}
    for file in definitions(layout.package):
        kind = file.parent.name
        folder = layout.share / kind
        folder.mkdir(parents=True, exist_ok=True)
        shutil.copy(file, folder)
        idl = convert[kind](DEFINITIONS / layout.package, layout.package, Path(kind, file.name), folder)
        found.update(dict.fromkeys(IMPLIED[kind]))
        found.update(dict.fromkeys(included_packages(idl)))
    waiting = [name for name in found if name != layout.package]
    closed: list[str] = []
    while waiting:  # what a used package uses is needed too
        package = waiting.pop(0)
        if package not in closed:
            closed.append(package)
            share = PREFIX / "share" / package
            if not share.is_dir():
                raise BuildError(f"{layout.package} uses {package}, which is not installed in {PREFIX}")
            for idl in share.glob("*/*.idl"):
                waiting += [*included_packages(idl), *IMPLIED[idl.parent.name]]
    return closed


def included_packages(idl: Path) -> list[str]:
    """List the packages whose IDL files this one includes."""
    return re.findall(r'#include "([^/"]+)/', idl.read_text(encoding="utf-8"))


def generate(layout: Layout, dependencies: list[str]) -> None:
    """Write the type descriptions with their hashes, and all C, C++ and Python sources."""
    from rosidl_generator_c import generate_c
    from rosidl_generator_cpp import generate_cpp
    from rosidl_generator_py import generate_py
    from rosidl_generator_type_description import generate_type_hash
    from rosidl_typesupport_c import generate_c as generate_dispatch
    from rosidl_typesupport_fastrtps_c import generate_typesupport_fastrtps_c
    from rosidl_typesupport_fastrtps_cpp import generate_cpp as generate_typesupport_fastrtps_cpp
    from rosidl_typesupport_introspection_c import generate_c as generate_introspection

    idls = [f"{idl.parent.name}/{idl.name}" for idl in sorted(layout.share.glob("*/*.idl"))]

    def run(generator: Callable[..., object], package: str, output: Path, *extra: object) -> None:
        arguments = {
            "package_name": layout.package,
            "output_dir": str(output),
            "template_dir": str(PREFIX / "share" / package / "resource"),
            "idl_tuples": [f"{layout.share}:{idl}" for idl in idls],
            "include_paths": [f"{name}:{PREFIX / 'share' / name}" for name in dependencies],
            "ros_interface_dependencies": [],
            "target_dependencies": [],
        }
        if generator is not generate_type_hash:
            arguments["type_description_tuples"] = [f"{i}:{layout.share / i[: -len('.idl')]}.json" for i in idls]
        output.mkdir(parents=True, exist_ok=True)
        file = layout.root / f"{package}__arguments.json"
        file.write_text(json.dumps(arguments))
        generator(str(file), *extra)

    with parsed_once():
        run(generate_type_hash, "rosidl_generator_type_description", layout.share)
        run(generate_c, "rosidl_generator_c", layout.headers)
        run(generate_cpp, "rosidl_generator_cpp", layout.headers)
        run(generate_dispatch, "rosidl_typesupport_c", layout.dispatch, list(TYPESUPPORTS[1:]))
        run(generate_typesupport_fastrtps_c, "rosidl_typesupport_fastrtps_c", layout.headers)
        run(generate_typesupport_fastrtps_cpp, "rosidl_typesupport_fastrtps_cpp", layout.headers)
        run(generate_introspection, "rosidl_typesupport_introspection_c", layout.introspection / layout.package)
        run(generate_py, "rosidl_generator_py", layout.python, list(TYPESUPPORTS))
    for template in PREFIX.glob("share/rosidl_*/resource/*visibility_control.h.in"):
        text = template.read_text().replace("@PROJECT_NAME_UPPER@", layout.package.upper())
        header = layout.headers / "msg" / template.name[: -len(".in")]
        header.parent.mkdir(exist_ok=True)
        header.write_text(text.replace("@PROJECT_NAME@", layout.package))


@contextlib.contextmanager
def parsed_once() -> Iterator[None]:
    """Let the generators share one parse of each IDL file, which is most of their time."""
    from rosidl_parser import parser

    parse = parser.get_ast_from_idl_string
    parser.get_ast_from_idl_string = functools.cache(parse)
    try:
        yield
    finally:
        parser.get_ast_from_idl_string = parse
