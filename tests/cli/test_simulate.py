"""`mono3d-kd simulate` on the command line: its examples run, and bad input ends in words."""

from __future__ import annotations

import re
import shlex
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from mono3d_kd_core.cli import app, main, simulate
from mono3d_kd_core.io.kitti import KittiObjectSource
from mono3d_kd_core.io.open import open_source
from mono3d_kd_core.simulation.datasets import DATA_SETS, DataSet
from tests.conftest import REPOSITORY

EXAMPLES = re.findall(r"mono3d-kd (simulate .*)", simulate.command.__doc__ or "")
RIG = """
camera: {frame: cam, width: 160, height: 48, intrinsics: [90, 90, 80, 22]}
mounts: [{parent: base, child: cam, translation: [0, 0, 1.6], optical: true}]
"""


def test_the_help_shows_every_example() -> None:
    shown = " ".join(CliRunner().invoke(app, ["simulate", "--help"], env={"COLUMNS": "200"}).output.split())
    assert len(EXAMPLES) >= 3
    assert all(example in shown for example in EXAMPLES)


@pytest.mark.parametrize("example", EXAMPLES)
def test_the_examples_run(example: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(DATA_SETS, "sim-mini", DataSet(2, 1, 160, 48, 1, True))  # the name is tried, not the quantity
    shorter = re.sub(r"--size \S+", "--size 160x48", re.sub(r"--scenes \d+", "--scenes 2", example))
    arguments = shlex.split(shorter)
    result = CliRunner().invoke(app, [*arguments, "--workers", "1"])
    assert result.exit_code == 0, result.output
    out = Path(arguments[arguments.index("--out") + 1])
    if "--dataset" in arguments:
        lengths = [len(KittiObjectSource(out / part)) for part in ("training", "validation")]
        assert lengths == [2, 1]
    else:
        assert len(open_source(out)) == 2
    assert "--bag" in arguments or list(out.rglob("contact_sheet.png"))


@pytest.mark.parametrize(
    ("rig", "complaint"),
    [
        (RIG.replace("child: cam", "child: lens"), 'the frame "cam" is not mounted on anything'),
        (RIG.replace("[90, 90,", "[9, 90,"), "horizontal field of view of 167 degrees"),
        (RIG.replace("intrinsics:", "intrinsix:"), "did you mean intrinsics?"),
    ],
    ids=["frame", "field of view", "key"],
)
def test_a_rig_that_cannot_be_ends_in_words_and_code_2(
    rig: str, complaint: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "rig.yaml").write_text(rig)
    error = refusal(["--rig", str(tmp_path / "rig.yaml"), "--out", str(tmp_path / "out")], monkeypatch, capsys)
    assert str(tmp_path / "rig.yaml") in error
    assert complaint in error
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["--size", "640"], '--size "640": expected a resolution such as 640x192'),
        (["--dataset", "sim-huge"], '--dataset "sim-huge": known are sim-mini, sim-small, sim-full'),
    ],
)
def test_options_that_mean_nothing_end_in_words(
    arguments: list[str],
    complaint: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert complaint in refusal([*arguments, "--out", str(tmp_path / "out")], monkeypatch, capsys)


def test_the_rigs_that_the_manual_names_are_there() -> None:
    manual = (REPOSITORY / "docs" / "simulation.md").read_text()
    named = re.findall(r"config/rigs/\w+\.yaml", manual)
    assert named
    assert all((REPOSITORY / name).is_file() for name in named)


def refusal(arguments: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> str:
    """Run the console script, which must give up with code 2, and return what it says."""
    monkeypatch.setattr(sys, "argv", ["mono3d-kd", "simulate", *arguments])
    with pytest.raises(SystemExit) as end:
        main()
    assert end.value.code == 2
    said = capsys.readouterr().err
    assert "Traceback" not in said
    return said
