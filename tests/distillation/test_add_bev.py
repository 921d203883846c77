"""ADD on the bird's-eye student: who learns from what, and what its parts say."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from mono3d_kd_core.distillation.add_bev import (
    AddBev,
    AddBevWeights,
    BevPosition,
    DepthAidedBev,
    pooling,
    response_loss,
)
from mono3d_kd_core.distillation.privileged import picture
from mono3d_kd_core.distillation.privileged_distiller import Scene
from mono3d_kd_core.distillation.regions import objects_of
from mono3d_kd_core.geometry.boxes import Boxes3D
from mono3d_kd_core.geometry.rigid import T_CAMERA_BODY, inverse
from mono3d_kd_core.students.base import Annotation
from mono3d_kd_core.students.bev.config import BevConfig
from mono3d_kd_core.students.bev.student import BevStudent
from tests.distillation.privileged import (
    CAMERA,
    check_learned,
    check_reach,
    check_weights,
    images,
    lesson,
    overfit,
    terms,
)

# A camera at the origin of a LiDAR's frame, 1 m above the road.
TINY = BevConfig(
    image_network="resnet18", width=0.125, neck_channels=16, stride=8, input_height=64, input_width=192,
    feature_channels=8, depth_bins=20, depth_range=(2.0, 34.0), low=(2.0, -8.0, -2.0), high=(34.0, 8.0, 1.0), cell=0.5,
    heights=3, bev_channels=16, adaptation_blocks=1, layers=(1,), strides=(1,), filters=(16,), up_strides=(1,),
    up_filters=(16,), pose=tuple(float(value) for value in T_CAMERA_BODY[:3].ravel()),
)  # fmt: skip


@pytest.fixture
def student() -> BevStudent:
    torch.manual_seed(0)
    return BevStudent(TINY)


def add(student: BevStudent, **changes: object) -> AddBev:
    torch.manual_seed(1)
    return AddBev(student, DepthAidedBev(TINY), AddBevWeights(**changes))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("term", "reached", "own"),
    [
        ("transfer_features", {"image_network", "collapse", "adaptation"}, {"position", "self_attention"}),
        (
            "transfer_responses",
            {"image_network", "collapse", "adaptation", "backbone_2d", "dense_head"},
            {"target_attention"},
        ),
        ("depth", {"image_network"}, set()),
    ],
)
def test_each_term_reaches_what_it_should_and_nothing_else(
    student: BevStudent, term: str, reached: set[str], own: set[str]
) -> None:
    check_reach(add(student), term, reached, own)


def test_terms_are_weighted(student: BevStudent) -> None:
    check_weights(add(student), AddBevWeights(), {"features": 2.0, "responses": 3.0})
    once, thrice = (terms(add(student.eval(), depth_labels=by).eval(), student, [lesson(0)]) for by in (1.0, 3.0))
    torch.testing.assert_close(thrice["depth"], 3 * once["depth"])
    assert once["depth"] > 0


def test_the_teacher_lifts_by_the_depth_it_is_shown(student: BevStudent) -> None:
    teacher, known = add(student).teacher, lesson(0)
    assert isinstance(teacher, DepthAidedBev)
    assert known.image is not None
    wall = np.full((64, 192), 20.0, np.float32)
    wall[:, :8] = 0
    seen = teacher(picture(known.image, wall)[None], [CAMERA])
    best = seen.depth_logits[0].argmax(0)
    assert (best[:, 1:] == TINY.bins.label(np.array(20.0)).item()).all()
    assert (best[:, 0] == TINY.depth_bins).all()  # unknown
    assert seen.depth_logits.softmax(1).amax(1).min() > 0.999
    other = teacher(picture(known.image, wall / 2)[None], [CAMERA])
    assert not torch.allclose(seen.bev, other.bev)


@pytest.mark.parametrize(("cell", "pool"), [(0.5, 4), (0.125, 4), (0.1, 8), (0.0625, 8), (0.05, 16)])
def test_attention_sees_no_more_cells_on_a_finer_map(cell: float, pool: int) -> None:
    fine = TINY.model_copy(update={"cell": cell})
    columns, rows = round(32 / cell), round(16 / cell)
    assert pooling(fine) == pool
    assert (columns // pool) * (rows // pool) <= 2048
    place = BevPosition(fine)(2)
    assert place.shape == (2, 16, rows // pool, columns // pool)
    student = BevStudent(fine)
    distiller = AddBev(student, DepthAidedBev(fine), AddBevWeights())
    adapted = distiller.self_attention(torch.zeros(2, 16, rows, columns), place)
    assert adapted.shape == (2, 16, rows, columns)


def test_objects_lie_where_their_boxes_stand(student: BevStudent) -> None:
    boxes = Boxes3D(
        np.array([[12.25, 3.25, -0.8], [33.0, 20.0, -0.8]]), np.array([[4.0, 2.0, 1.5]] * 2), np.array([np.pi / 2, 0]),
        ["Car"] * 2, frame="camera",
    )  # fmt: skip
    annotation = Annotation(boxes, np.zeros((2, 4)))
    scene = Scene([annotation], [CAMERA], objects_of([annotation], [CAMERA], ("Car",), torch.device("cpu")))
    pose = student.trained_pose
    assert np.allclose(inverse(pose) @ T_CAMERA_BODY, np.eye(4))
    found = add(student).objects(scene, [pose], torch.device("cpu"))
    assert len(found) == 1  # the other is beside the map
    # 12.25 m ahead and 3.25 m to the left of a map from (2, -8) in cells of half a metre: column 20.5, row 22.5.
    assert found.cell.tolist() == [22 * 64 + 20]
    assert found.box2d[0].tolist() == pytest.approx([20.5 - 2 - 0.5, 22.5 - 4 - 0.5, 20.5 + 2 - 0.5, 22.5 + 4 - 0.5])


def test_answers_are_those_of_the_objects_anchors(student: BevStudent) -> None:
    student.eval()
    taught = lesson(0)
    assert taught.annotation is not None
    output = student(images([taught]), [CAMERA])
    scene = Scene(
        [taught.annotation], [CAMERA], objects_of([taught.annotation], [CAMERA], student.classes, torch.device("cpu"))
    )
    distiller = add(student)
    objects = distiller.objects(scene, output.poses, torch.device("cpu"))
    said = distiller._answers(output.responses, objects)
    assert said.shape == (2, 2, 7 + 2 + 3)
    anchors = student.answers.anchors.view(student.answers.shape)
    for k, centre in enumerate(taught.annotation.boxes.centre):
        row, column = divmod(int(objects.cell[k]), student.answers.shape[1])
        assert np.abs(anchors[row, column, 0, 0, :2].numpy() - centre[:2]).max() < 1.0
        index = (row * student.answers.shape[1] + column) * 6
        torch.testing.assert_close(said[k, :, :7], output.responses.codes[0, index : index + 2])


def test_the_response_loss_by_hand() -> None:
    mine, theirs = torch.zeros(1, 2, 10), torch.zeros(1, 2, 10)
    theirs[0, :, 9] = torch.tensor([50.0, -50.0])  # only the first anchor is one of the object
    theirs[0, :, 0] = torch.tensor([0.5, 9.0])
    theirs[0, :, 7] = math.log(3)
    # Smooth L1 with beta 1/9 of 0.5; three to one against one to one; scores one half where they should be 1 and 0.
    box = 0.5 - 1 / 18
    turn = 0.75 * math.log(1.5) + 0.25 * math.log(0.5)
    expected = box + turn + 2 * 0.25 * math.log(2)
    assert response_loss(mine, theirs, torch.tensor([0])).item() == pytest.approx(expected, rel=1e-4)
    assert response_loss(mine[:0], theirs[:0], torch.zeros(0, dtype=torch.long)).item() == 0


def test_the_encoding_tells_places_apart() -> None:
    position = BevPosition(TINY)
    assert position.points.shape == (1, 9, 8, 16)
    # The heights' z, then their y, then their x.
    first = [1 / 6, 1 / 2, 5 / 6, 1 / 16, 1 / 16, 1 / 16, 1 / 32, 1 / 32, 1 / 32]
    assert position.points[0, :, 0, 0].tolist() == pytest.approx(first)
    assert position(2).shape == (2, 16, 8, 16)


def test_ablations_and_depth_from_boxes(student: BevStudent) -> None:
    without = [replace(lesson(0), depth=None)]
    assert "transfer_features" not in terms(add(student), student, without)
    assert "depth" not in terms(add(student), student, without)
    found = terms(add(student, depth="objects"), student, without)
    assert found["transfer_features"] > 0
    assert found["depth"] > 0
    assert not list(add(student, attention=False).parameters())
    assert {name.split(".")[0] for name in add(student, position=False).state_dict()} == {
        "self_attention", "target_attention"
    }  # fmt: skip
    empty = replace(lesson(0), annotation=Annotation(Boxes3D.empty("camera"), np.empty((0, 4))))
    assert all(torch.isfinite(value) for value in terms(add(student), student, [empty]).values())


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_it_overfits_ten_frames() -> None:
    torch.manual_seed(0)
    student, taught = BevStudent(TINY), [lesson(seed) for seed in range(10)]
    distiller = AddBev(student, DepthAidedBev(TINY), AddBevWeights())
    history = overfit(distiller, student, taught, rate=5e-3)
    check_learned(history, 0.5)
    assert history[-1]["depth"] < 0.7 * max(each["depth"] for each in history)
