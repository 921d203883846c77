from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from mono3d_kd_core.cli import app
from mono3d_kd_core.doctor.alignment import turned
from mono3d_kd_core.io.bag_writer import BagWriter
from tests.doctor.boards import CAMERA, RIG, drive

TURNED = dataclasses.replace(RIG, T_camera_lidar=turned(RIG.T_camera_lidar, (2, 0, 0)))
HALVED = dataclasses.replace(RIG, camera=CAMERA.resized(320, 120))


@pytest.mark.parametrize(("rig", "code"), [(RIG, 0), (TURNED, 1), (HALVED, 2)], ids=["sound", "turned", "resolution"])
def test_the_exit_code_says_whether_it_can_work(tmp_path: Path, rig: object, code: int) -> None:
    with BagWriter(tmp_path / "bag") as writer:
        for frame in drive(7, rig=rig):  # type: ignore[arg-type]
            writer.write_frame(frame)
    out = tmp_path / "check"
    result = CliRunner().invoke(app, ["doctor", str(tmp_path / "bag"), "--out", str(out)])
    assert result.exit_code == code, result.output
    found = json.loads((out / "doctor.json").read_text())
    assert found["severity"] == ("fine", "warning", "error")[code]
    assert all(finding["text"] in result.output for finding in found["findings"])
    assert (out / "doctor.png").exists() == (code != 2)
