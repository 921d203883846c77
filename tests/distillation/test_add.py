"""ADD as a whole: who learns from what, what its parts do, and that depth may come from boxes."""

from __future__ import annotations

import pytest
import torch

from mono3d_kd_core.distillation.add import Add, AddWeights
from mono3d_kd_core.distillation.add_losses import response_loss
from mono3d_kd_core.distillation.add_modules import SelfAttention3D, TargetAttention
from mono3d_kd_core.distillation.privileged import DepthAidedKeypoint, picture
from mono3d_kd_core.distillation.privileged_distiller import Scene
from mono3d_kd_core.distillation.regions import Objects, objects_of
from mono3d_kd_core.students.keypoint import KeypointStudent
from tests.distillation.privileged import (
    CAMERA,
    TINY,
    check_learned,
    check_reach,
    check_weights,
    images,
    learning,
    lesson,
    overfit,
    overfit_teacher,
    terms,
)


@pytest.fixture
def teacher() -> DepthAidedKeypoint:
    torch.manual_seed(1)
    return DepthAidedKeypoint(TINY)


@pytest.mark.parametrize(
    ("term", "reached", "own"),
    [
        ("features", {"backbone", "neck"}, {"position", "self_attention"}),
        # The projector starts at zero, so at the first step nothing behind it learns.
        ("responses", {"backbone", "neck", "head"}, {"target_attention"}),
    ],
)
def test_each_term_reaches_what_it_should_and_nothing_else(
    student: KeypointStudent, teacher: DepthAidedKeypoint, term: str, reached: set[str], own: set[str]
) -> None:
    weights = AddWeights(**{"features": 0.0, "responses": 0.0} | {term: 1.0})
    check_reach(Add(student, teacher, weights), f"transfer_{term}", reached, own)


def test_terms_are_weighted(student: KeypointStudent, teacher: DepthAidedKeypoint) -> None:
    check_weights(Add(student, teacher, AddWeights()), AddWeights(), {"features": 2.0, "responses": 3.0})


def test_answers_are_those_at_the_objects_cells(student: KeypointStudent, teacher: DepthAidedKeypoint) -> None:
    plain, known = Add(student.eval(), teacher, AddWeights(attention=False)), lesson(0)
    assert known.annotation is not None
    seen = plain.look(picture(known.image, known.depth)[None], [CAMERA])  # type: ignore[arg-type]
    objects = objects_of([known.annotation], [CAMERA], student.classes, torch.device("cpu"))
    said = []
    for network, output in ((student, student(images([known]))), (teacher, seen)):
        dense = torch.cat([*network.head.dense(output.neck), output.heatmap], 1)[0].flatten(1)
        said.append(dense[:, objects.cell].T)
    found = plain.transfer(student(images([known])), seen, Scene([known.annotation], [CAMERA], objects))
    torch.testing.assert_close(found["responses"], response_loss(*said))


def test_once_the_projector_has_moved_queries_and_positions_learn(
    student: KeypointStudent, teacher: DepthAidedKeypoint
) -> None:
    distiller = Add(student, teacher, AddWeights(features=0.0))
    torch.nn.init.normal_(distiller.target_attention.project.weight, std=0.1)
    terms(distiller, student, [lesson(0)])["transfer_responses"].backward()
    assert learning(distiller) == {"position", "target_attention"}
    assert learning(distiller.target_attention) == {"region", "target", "attention", "project"}


def test_a_query_can_only_choose_among_what_the_student_sees() -> None:
    torch.manual_seed(0)
    attention = TargetAttention(8, 1)
    torch.nn.init.normal_(attention.project.weight)
    one = Objects(torch.tensor([0]), torch.tensor([[10.0, 10, 50, 40]]), torch.tensor([5]), torch.ones(1).bool(),
                  torch.tensor([0]))  # fmt: skip
    position, size = torch.randn(1, 8, 4, 12), torch.tensor([192.0, 64.0])
    blank = torch.ones(1, 8, 16, 48)
    answers = [attention(blank, position, torch.randn(1, 8, 7, 7), one, size) for _ in range(2)]
    torch.testing.assert_close(*answers)


def test_self_attention_keeps_the_map_and_sees_all_of_it() -> None:
    torch.manual_seed(0)
    attention = SelfAttention3D(8)
    features = torch.randn(1, 8, 16, 48, requires_grad=True)
    mixed = attention(features, torch.randn(1, 8, 4, 12))
    assert mixed.shape == features.shape
    mixed[0, :, 0, 0].sum().backward()
    assert features.grad is not None
    assert (features.grad[0, :, -1, -1] != 0).any()


def test_without_attention_nothing_is_trained_beside_the_student(
    student: KeypointStudent, teacher: DepthAidedKeypoint
) -> None:
    plain = Add(student, teacher, AddWeights(attention=False))
    assert not list(plain.parameters())
    assert {"transfer_features", "transfer_responses"} < set(terms(plain, student, [lesson(0)]))
    flat = Add(student, teacher, AddWeights(position=False))
    assert {name.split(".")[0] for name in flat.state_dict()} == {"self_attention", "target_attention"}
    assert terms(flat, student, [lesson(0)])["transfer_features"] > 0


@pytest.mark.usefixtures("one_thread")
def test_mixed_precision_changes_little(student: KeypointStudent, teacher: DepthAidedKeypoint) -> None:
    distiller = Add(student.eval(), teacher, AddWeights()).eval()
    torch.nn.init.normal_(distiller.target_attention.project.weight, std=0.1)
    full = terms(distiller, student, [lesson(0)])
    with torch.autocast("cpu", torch.bfloat16):
        mixed = terms(distiller, student, [lesson(0)])
    for name, value in full.items():
        torch.testing.assert_close(mixed[name].float(), value, rtol=0.1, atol=0.02)


def test_boxes_alone_can_teach(student: KeypointStudent, teacher: DepthAidedKeypoint) -> None:
    without_lidar = [lesson(0, depth=False)]
    assert "transfer_features" not in terms(Add(student, teacher, AddWeights()), student, without_lidar)
    objects = Add(student, teacher, AddWeights(depth="objects"))
    assert not objects.wants_depth
    assert terms(objects, student, without_lidar)["transfer_features"] > 0


def test_the_teacher_sees_colours_and_depth(teacher: DepthAidedKeypoint) -> None:
    teacher.eval()
    known = lesson(0)
    assert known.image is not None
    assert known.depth is not None
    seen = teacher(picture(known.image, known.depth)[None], [CAMERA]).neck
    for image, depth in ((255 - known.image, known.depth), (known.image, known.depth / 2)):
        assert not torch.allclose(teacher(picture(image, depth)[None], [CAMERA]).neck, seen)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_it_overfits_ten_frames() -> None:
    torch.manual_seed(0)
    student, teacher = KeypointStudent(TINY), DepthAidedKeypoint(TINY)
    taught = [lesson(seed) for seed in range(10)]
    overfit_teacher(teacher, taught, "lidar")
    history = overfit(Add(student, teacher, AddWeights()), student, taught)
    check_learned(history, 0.4)
