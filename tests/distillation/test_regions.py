"""Objects of a batch and their regions, against closed forms."""

from __future__ import annotations

import numpy as np
import torch

from mono3d_kd_core.distillation.regions import (
    Objects,
    inside_boxes,
    objects_of,
    padded_cells,
    regressions_of,
    roi_align,
)
from mono3d_kd_core.geometry.boxes import Boxes3D
from mono3d_kd_core.geometry.camera import CameraModel
from mono3d_kd_core.heads.keypoint import KeypointHead
from mono3d_kd_core.students.base import Annotation

CAMERA = CameraModel.pinhole(192, 64, 108, 108, 96, 27)


def objects(box2d: list[list[float]], image: list[int]) -> Objects:
    n = len(image)
    return Objects(
        torch.tensor(image),
        torch.tensor(box2d).view(-1, 4),
        torch.zeros(n).long(),
        torch.ones(n).bool(),
        torch.zeros(n),
    )


def test_objects_have_the_cell_of_their_projected_centre() -> None:
    boxes = Boxes3D(
        [[10, 0, 0], [10, 50, 0], [10, 1, 0]], [[4, 2, 1.5]] * 3, [0.0] * 3, ["Car", "Car", "Tram"], frame="camera"
    )  # fmt: skip
    annotation = Annotation(boxes, [[80, 20, 110, 40]] * 3)
    found = objects_of(
        [Annotation(Boxes3D.empty("camera"), np.empty((0, 4))), annotation], [CAMERA] * 2, ["Car"], "cpu"
    )
    # Straight ahead lies at (96, 27): column 24, row 6 of 48 columns. The second is far to the left.
    assert found.image.tolist() == [1, 1]
    assert found.visible.tolist() == [True, False]
    assert found.cell.tolist() == [6 * 48 + 24, 0]


def test_values_are_painted_over_touched_cells_and_the_later_object_wins() -> None:
    both = objects([[0, 0, 15, 7], [9, 0, 31, 31]], [0, 0])
    canvas = inside_boxes(both, torch.tensor([1.0, 2.0]), 1, 4, 4, 8)
    assert canvas[0].tolist() == [[1, 2, 2, 2], [0, 2, 2, 2], [0, 2, 2, 2], [0, 2, 2, 2]]


def test_a_region_of_a_linear_ramp_reads_the_ramp_at_its_parts_centres() -> None:
    stride = 4
    x = (torch.arange(20) + 0.5) * stride - 0.5  # the pixel in the middle of each cell
    y = (torch.arange(10) + 0.5) * stride - 0.5
    ramp = torch.stack([x.expand(10, 20), y[:, None].expand(10, 20)])[None].repeat(2, 1, 1, 1)
    ramp[0] = 0
    found = roi_align(ramp, objects([[9.5, 7.5, 37.5, 21.5]], [1]), stride)
    torch.testing.assert_close(found[0, 0], (11.5 + 4 * torch.arange(7.0)).expand(7, 7))
    torch.testing.assert_close(found[0, 1], (8.5 + 2 * torch.arange(7.0))[:, None].expand(7, 7))


def test_cells_are_padded_image_by_image() -> None:
    image, cell = torch.tensor([0, 2, 2]), torch.tensor([5, 7, 9])
    cells, column = padded_cells(image, cell, 3)
    assert cells.tolist() == [[5, 0], [0, 0], [7, 9]]
    assert torch.equal(cells[image, column], cell)


def test_regressions_at_objects_are_those_of_the_dense_head() -> None:
    head, neck = KeypointHead(6, 5, 1), torch.randn(2, 6, 16, 48)
    two = Objects(torch.tensor([0, 1]), torch.zeros(2, 4), torch.tensor([50, 99]), torch.ones(2).bool(), torch.zeros(2))
    for at, dense in zip(regressions_of(head, neck, two), head.dense(neck)):
        torch.testing.assert_close(at, torch.stack([dense[0, :, 1, 2], dense[1, :, 2, 3]]))
