"""Label files keep KITTI's columns, and boxes get through them unharmed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from mono3d_kd_core.errors import DataError
from mono3d_kd_core.geometry.box_projection import project_boxes
from mono3d_kd_core.geometry.boxes import Boxes3D
from mono3d_kd_core.geometry.camera import CameraModel
from mono3d_kd_core.io.kitti import KittiLabels

FILE = """Car 0.00 0 1.55 614.24 181.78 727.31 284.77 1.57 1.73 4.15 1.00 1.75 13.22 1.62
Cyclist 0.30 3 -1.65 676.60 163.95 688.98 193.93 1.86 0.60 2.02 4.59 1.32 45.84 -1.55
DontCare -1 -1 -10 5.00 229.89 214.12 367.61 -1 -1 -1 -1000 -1000 -1000 -10
"""
CAMERA = CameraModel.from_projection(
    1242, 375, np.array([[721.5, 0, 609.6, 44.9], [0, 721.5, 172.9, 0.2], [0, 0, 1, 0.003]])
)


def box(x: float, y: float, z: float, yaw: float = 0.0) -> Boxes3D:
    """Return a car whose centre is x in front, y left and z above the camera."""
    return Boxes3D(np.array([[x, y, z]]), np.array([[4.0, 1.8, 1.5]]), np.array([yaw]), np.array(["Car"]), frame="camera")


def test_columns_are_those_of_the_file(tmp_path: Path) -> None:
    (tmp_path / "000003.txt").write_text(FILE)
    labels = KittiLabels.read(tmp_path / "000003.txt")
    assert list(labels.type) == ["Car", "Cyclist", "DontCare"]
    assert labels.score is None
    np.testing.assert_array_equal(labels.truncated, [0, 0.3, -1])
    np.testing.assert_array_equal(labels.occluded, [0, 3, -1])
    np.testing.assert_array_equal(labels.bbox[1], [676.60, 163.95, 688.98, 193.93])
    np.testing.assert_array_equal(labels.dimensions[0], [1.57, 1.73, 4.15])
    np.testing.assert_array_equal(labels.location[0], [1.0, 1.75, 13.22])
    np.testing.assert_array_equal(labels.rotation_y, [1.62, -1.55, -10])


def test_dont_care_regions_are_rows_but_no_boxes(tmp_path: Path) -> None:
    (tmp_path / "000003.txt").write_text(FILE)
    boxes = KittiLabels.read(tmp_path / "000003.txt").boxes()
    assert list(boxes.label) == ["Car", "Cyclist"]
    # Bottom centre (1.00, 1.75, 13.22) of the optical frame, height 1.57.
    np.testing.assert_allclose(boxes.centre[0], [13.22, -1.00, -1.75 + 1.57 / 2])
    np.testing.assert_array_equal(boxes.score, [1, 1])


def test_a_written_file_reads_the_same_with_and_without_score(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text(FILE)
    labels = KittiLabels.read(tmp_path / "a.txt")
    for written in (labels, labels.with_score([0.9, 0.25, 0.0])):
        written.write(tmp_path / "b.txt")
        back = KittiLabels.read(tmp_path / "b.txt")
        for column in ("type", "truncated", "occluded", "alpha", "bbox", "dimensions", "location", "rotation_y", "score"):
            np.testing.assert_array_equal(getattr(back, column), getattr(written, column))
    assert {len(line.split()) for line in (tmp_path / "b.txt").read_text().splitlines()} == {16}


def test_an_empty_file_has_no_rows(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("")
    labels = KittiLabels.read(tmp_path / "a.txt")
    assert len(labels) == len(labels.boxes()) == 0
    labels.write(tmp_path / "b.txt")
    assert (tmp_path / "b.txt").read_bytes() == b""


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (FILE + "Car 0 0 0\n", r"a\.txt:4: 4 columns, expected 15"),
        ("Car 0 0\n", r"a\.txt:1: 3 columns, expected 15, or 16 with a score"),
        (FILE.replace("45.84", "far"), r"a\.txt:2: could not convert string to float: 'far'"),
        (FILE + FILE.splitlines()[0] + " 0.5\n", r"a\.txt:4: 16 columns, expected 15"),
    ],
)
def test_a_broken_row_is_named_by_file_and_line(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "a.txt").write_text(text)
    with pytest.raises(DataError, match=message):
        KittiLabels.read(tmp_path / "a.txt")


def test_ground_truth_tells_how_much_the_image_cuts_off_and_has_no_score() -> None:
    camera = CameraModel.pinhole(101, 101, 100, 100, 50, 50)
    # A thin upright plate 4 m ahead, 2 m wide and centred 2 m to the left: 25 px left of the image's border and 25 inside.
    plate = Boxes3D(np.array([[4.0, 2.0, 0]]), np.array([[1e-6, 2.0, 1.0]]), np.zeros(1), np.array(["Car"]), frame="camera")
    labels = KittiLabels.from_boxes(plate, camera, scored=False)
    np.testing.assert_allclose(labels.bbox[0], [0, 37.5, 25, 62.5], atol=1e-3)
    np.testing.assert_allclose(labels.truncated, 0.5, atol=1e-4)
    assert labels.score is None
    assert {len(line.split()) for line in labels.lines()} == {15}


def test_what_the_camera_cannot_see_is_left_out_unless_asked_for() -> None:
    boxes = Boxes3D.concatenate([box(-10, 0, 0), box(15, 0, -1), box(10, 60, 0)])
    assert len(KittiLabels.from_boxes(boxes, CAMERA)) == 1
    everything = KittiLabels.from_boxes(boxes, CAMERA, only_visible=False)
    np.testing.assert_array_equal(everything.bbox[[0, 2]], 0)
    np.testing.assert_array_equal(everything.truncated, -1)


def test_boxes_survive_the_way_through_labels() -> None:
    boxes = Boxes3D.concatenate([box(15, 2, -1, 0.3), box(30, -5, -0.5, -3.0)])
    back = KittiLabels.from_boxes(boxes, CAMERA).boxes()
    np.testing.assert_allclose(back.corners(), boxes.corners(), atol=1e-12)


def test_real_labels_and_their_2d_boxes_agree(shared_data: Path) -> None:
    from mono3d_kd_core.io.kitti import KittiObjectSource

    source = KittiObjectSource(shared_data / "kitti" / "object")
    off: list[float] = []
    for index in range(len(source)):
        labels = source.labels(index)
        objects = labels[labels.is_object]
        computed, _ = project_boxes(labels.boxes(), source.calibration(index).rig(1242, 375).camera)
        off += list(np.abs(computed - objects.bbox)[objects.truncated == 0].max(1))
    assert np.median(off) < 1.5  # KITTI's 2D boxes were drawn by hand
