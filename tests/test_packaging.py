"""What package.xml and setup.py declare is what the code imports."""

from __future__ import annotations

import ast
import re
import sys
from pathlib import Path
from xml.etree import ElementTree

import mono3d_kd_core
from tests.conftest import REPOSITORY
from tests.test_layering import imports

MANIFEST = ElementTree.parse(REPOSITORY / "package.xml").getroot()
SETUP = ast.parse((REPOSITORY / "setup.py").read_text())

# Import name, distribution on PyPI (None: from ROS), key in package.xml (None: there is no rosdep key).
THIRD_PARTY = {
    "cv2": ("opencv-python-headless", "python3-opencv"),
    "matplotlib": ("matplotlib", "python3-matplotlib"),
    "numba": ("numba", "python3-numba"),
    "numpy": ("numpy", "python3-numpy"),
    "PIL": ("Pillow", "python3-pil"),
    "pydantic": ("pydantic", "python3-pydantic"),
    "rich": ("rich", "python3-rich"),
    "rosbags": ("rosbags", "python3-rosbags-pip"),
    "safetensors": ("safetensors", None),
    "scipy": ("scipy", "python3-scipy"),
    "skimage": ("scikit-image", "python3-skimage"),
    "torch": ("torch", "python3-torch"),
    "typer": ("typer", "python3-typer"),
    "typing_extensions": ("typing-extensions", "python3-typing-extensions"),
    "yaml": ("PyYAML", "python3-yaml"),
    "lightning": ("lightning", None),
    "tensorboard": ("tensorboard", None),
    "onnx": ("onnx", None),
    "onnxruntime": ("onnxruntime", None),
    "onnxscript": ("onnxscript", None),
    "openvino": ("openvino", None),
    "nncf": ("nncf", None),
    "rerun": ("rerun-sdk", None),
    "spconv": ("spconv-cu120", None),
}


def imported(folder: str) -> set[str]:
    """Return the top-level modules, other than the standard library's and ours, that the sources of a folder import."""
    modules = {name.split(".")[0] for path in (REPOSITORY / folder).rglob("*.py") for name in imports(path)}
    return modules - set(sys.stdlib_module_names) - {"mono3d_kd_core", "mono3d_kd_ros", "__future__"}


def declared_in_setup() -> set[str]:
    """Return the distributions that setup.py names, in install_requires and in the extras."""
    words = [node.value for node in ast.walk(SETUP) if isinstance(node, ast.Constant) and isinstance(node.value, str)]
    return {match[1] for word in words if (match := re.match(r"([A-Za-z0-9-]+)[<>=]", word))}


def declared_in_manifest() -> set[str]:
    return {element.text for element in MANIFEST.iter("exec_depend") if element.text}


def test_the_versions_agree() -> None:
    assert MANIFEST.findtext("version") == mono3d_kd_core.__version__


def test_every_import_of_the_core_is_declared() -> None:
    modules = imported("mono3d_kd_core")
    assert modules <= set(THIRD_PARTY)
    assert {THIRD_PARTY[m][0] for m in modules} <= declared_in_setup()
    assert {key for m in modules if (key := THIRD_PARTY[m][1])} <= declared_in_manifest()


def test_every_import_of_the_nodes_and_launch_files_is_declared() -> None:
    modules = imported("mono3d_kd_ros") | imported("launch")
    ours = modules & set(THIRD_PARTY)
    assert {THIRD_PARTY[m][0] for m in ours} <= declared_in_setup()
    assert (modules - ours) | {key for m in ours if (key := THIRD_PARTY[m][1])} <= declared_in_manifest()


def test_every_console_script_exists() -> None:
    words = [node.value for node in ast.walk(SETUP) if isinstance(node, ast.Constant) and isinstance(node.value, str)]
    scripts = [re.fullmatch(r"\S+ = ([\w.]+):(\w+)", word) for word in words]
    targets = [(match[1], match[2]) for match in scripts if match]
    nodes = {path.stem for path in (REPOSITORY / "mono3d_kd_ros").glob("*.py") if "\nif __name__" in path.read_text()}
    assert {module.rpartition(".")[2] for module, _ in targets} == nodes | {"cli"}
    for module, function in targets:
        path = REPOSITORY / Path(*module.split("."))
        source = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
        names = {node.name for node in ast.parse(source.read_text()).body if isinstance(node, ast.FunctionDef)}
        assert function in names, f"{module} has no function {function}"


def test_the_lock_satisfies_the_ranges() -> None:
    from packaging.requirements import Requirement
    from packaging.utils import canonicalize_name

    pins = {}
    for file in ("lock.txt", "ros.txt", "torch.txt"):
        for line in (REPOSITORY / "requirements" / file).read_text().splitlines():
            if match := re.match(r"([\w.-]+)==(\S+)", line):
                pins[canonicalize_name(match[1])] = match[2]
    words = [node.value for node in ast.walk(SETUP) if isinstance(node, ast.Constant) and isinstance(node.value, str)]
    ranges = [Requirement(word) for word in words if re.match(r"[A-Za-z0-9-]+[<>=]", word)]
    pinned = [r for r in ranges if canonicalize_name(r.name) in pins]
    assert len(pinned) > 20
    assert [str(r) for r in pinned if not r.specifier.contains(pins[canonicalize_name(r.name)])] == []
