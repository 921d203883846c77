"""Files that come with the package are found in a checkout and in an installation."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from mono3d_kd_core.errors import DataError
from mono3d_kd_core.resources import resource
from tests.conftest import REPOSITORY


def test_found_beside_the_sources() -> None:
    assert resource("interfaces/tf2_msgs") == REPOSITORY / "interfaces" / "tf2_msgs"


def test_what_is_missing_is_named() -> None:
    with pytest.raises(DataError, match=r"config/nothing\.yaml does not come with"):
        resource("config/nothing.yaml")


@pytest.mark.slow
def test_found_after_an_installation(tmp_path: Path) -> None:
    pip = [sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--no-build-isolation", "--prefix", str(tmp_path)]
    copy = tmp_path / "source"
    subprocess.run(["git", "clone", "-q", str(REPOSITORY), str(copy)], check=True)
    subprocess.run([*pip, str(copy)], check=True, timeout=100)
    (site,) = tmp_path.glob("lib/python*/site-packages")
    program = "from mono3d_kd_core.resources import resource; print(resource('interfaces/tf2_msgs/msg/TFMessage.msg'))"
    command = [sys.executable, "-c", f"import sys; sys.path.insert(0, {str(site)!r}); {program}"]
    found = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, check=True).stdout.strip()
    assert Path(found) == tmp_path / "share/mono3d_kd/interfaces/tf2_msgs/msg/TFMessage.msg"
    assert (tmp_path / "share/ament_index/resource_index/packages/mono3d_kd").is_file()
    assert (tmp_path / "bin" / "mono3d-kd").is_file()
