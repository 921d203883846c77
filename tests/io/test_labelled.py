"""Drives with labels: beside the pictures in KITTI's layout, or where a drive file says."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from mono3d_kd_core.errors import DataError, Mono3DError
from mono3d_kd_core.io.bag import BagSource
from mono3d_kd_core.io.drive_file import DriveFile
from mono3d_kd_core.io.labelled import LabelledDrive, label_folder
from mono3d_kd_core.io.open import open_source
from tests.io.bags import drive, write_ros2

ROW = "Car 0.00 0 1.0 10 5 40 20 1.5 1.6 3.9 1 1.6 20 1.1\n"


@pytest.fixture
def day(tmp_path: Path) -> Path:
    """A bag of four frames; the third and the first are labelled; a drive file two folders away names both."""
    write_ros2(tmp_path / "day" / "bag", drive())
    (tmp_path / "day" / "boxes").mkdir()
    for id_ in ("000002", "000000", "999999"):
        (tmp_path / "day" / "boxes" / f"{id_}.txt").write_text(ROW)
    (tmp_path / "files" / "mine").mkdir(parents=True)
    (tmp_path / "files" / "mine" / "day.yaml").write_text("drive: ../../day/bag\nlabels: ../../day/boxes\n")
    return tmp_path


def test_a_drive_file_joins_a_bag_and_its_labels(day: Path) -> None:
    file = day / "files" / "mine" / "day.yaml"
    source = open_source(file)
    assert isinstance(source, BagSource)
    folder = label_folder(file)
    assert folder is not None
    assert folder.samefile(day / "day" / "boxes")
    labelled = LabelledDrive(source, folder)
    assert list(labelled.ids) == ["000000", "000002"]
    assert [labelled[index].id for index in range(len(labelled))] == ["000000", "000002"]
    assert labelled.labels(1).type.tolist() == ["Car"]
    np.testing.assert_array_equal(labelled[1].image, source[2].image)


def test_it_may_name_a_rig_file(day: Path) -> None:
    source = open_source(day / "day" / "bag")
    assert isinstance(source, BagSource)
    rig = source.rig_file
    rig.model_copy(update={"topics": rig.topics.model_copy(update={"points": None})}).save(day / "rig.yaml")
    (day / "camera.yaml").write_text("drive: day/bag\nrig: rig.yaml\n")
    assert open_source(day / "camera.yaml")[0].points is None
    assert open_source(day / "files" / "mine" / "day.yaml")[0].points is not None
    assert label_folder(day / "camera.yaml") is None


def test_labels_in_kittis_layout_lie_beside_the_pictures(day: Path) -> None:
    kitti = day / "kitti"
    (kitti / "training" / "image_2").mkdir(parents=True)
    assert label_folder(kitti) == kitti / "training" / "label_2"
    (day / "again.yaml").write_text("drive: kitti\n")
    (day / "others.yaml").write_text("drive: kitti\nlabels: day/boxes\n")
    assert label_folder(day / "again.yaml") == kitti / "training" / "label_2"
    assert label_folder(day / "others.yaml") == day / "day" / "boxes"
    assert label_folder(day / "day" / "bag") is None


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("drive: nowhere\n", r"day\.yaml: drive: there is no .*nowhere; paths are relative to this file"),
        ("drive: bag\nlabel: boxes\n", "unknown key label, did you mean labels?"),
        ("labels: boxes\n", "drive: Field required"),
        ("drive: day.yaml\n", "is a drive file itself"),
        ("- bag\n", "expected keys and values"),
    ],
)
def test_what_is_wrong_with_it_is_said_in_words(day: Path, content: str, message: str) -> None:
    file = day / "day" / "day.yaml"
    file.write_text(content)
    with pytest.raises(Mono3DError, match=message):
        DriveFile.load(file)


def test_labels_of_other_frames_are_no_labels(day: Path) -> None:
    (day / "empty").mkdir()
    with pytest.raises(DataError, match=r"none of its 4 frames has a label file in .*empty; .* such as 000000\.txt"):
        LabelledDrive(open_source(day / "day" / "bag"), day / "empty")
