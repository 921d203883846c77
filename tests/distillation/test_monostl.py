"""MonoSTL and MonoDistill as a whole: who learns from what, and who does not."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from mono3d_kd_core.distillation.base import Taught
from mono3d_kd_core.distillation.monostl import MonoStl, MonoStlWeights
from mono3d_kd_core.distillation.privileged import DepthKeypoint, picture
from mono3d_kd_core.distillation.privileged_distiller import Scene
from mono3d_kd_core.distillation.regions import objects_of
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

OFF = {"features": 0.0, "relations": 0.0, "responses": 0.0}
MONODISTILL = MonoStlWeights(weighting="none", relation="affinity")


@pytest.fixture
def teacher() -> DepthKeypoint:
    torch.manual_seed(1)
    return DepthKeypoint(TINY)


def test_without_depth_or_weights_only_the_labels_teach(student: KeypointStudent, teacher: DepthKeypoint) -> None:
    full, taught = MonoStl(student, teacher, MonoStlWeights()), [lesson(0, depth=False), lesson(1, depth=False)]
    own = {"heatmap", "offset2d", "size2d", "depth", "offset3d", "size3d", "heading"}
    assert set(terms(full, student, taught)) == own
    off = MonoStl(student, teacher, MonoStlWeights(**OFF))
    assert set(terms(off, student, [lesson(0), lesson(1)])) == own


def test_nothing_known_teaches_nothing(student: KeypointStudent, teacher: DepthKeypoint) -> None:
    found = terms(MonoStl(student, teacher, MonoStlWeights()), student, [Taught(image=lesson(0).image)])
    assert [value.item() for value in found.values()] == [0]


def test_frames_without_depth_dilute_what_the_teacher_adds(student: KeypointStudent, teacher: DepthKeypoint) -> None:
    student.eval()
    distiller = MonoStl(student, teacher, MonoStlWeights()).eval()
    alone = terms(distiller, student, [lesson(0)])
    mixed = terms(distiller, student, [lesson(0), lesson(1, depth=False)])
    for name in ("transfer_features", "transfer_relations", "transfer_responses"):
        assert alone[name] > 0
        torch.testing.assert_close(mixed[name], alone[name] / 2)


@pytest.mark.parametrize(
    ("term", "reached", "own"),
    [
        ("features", {"backbone"}, {"fusion", "adapters"}),
        ("relations", {"backbone"}, {"fusion", "adapters"}),
        ("responses", {"backbone", "neck", "head"}, set()),
    ],
)
@pytest.mark.parametrize("method", [MonoStlWeights(), MONODISTILL])
def test_each_term_reaches_what_it_should_and_nothing_else(
    student: KeypointStudent,
    teacher: DepthKeypoint,
    term: str,
    reached: set[str],
    own: set[str],
    method: MonoStlWeights,
) -> None:
    one = method.model_copy(update=OFF | {term: 1.0})
    check_reach(MonoStl(student, teacher, one), f"transfer_{term}", reached, own)


@pytest.mark.parametrize("method", [MonoStlWeights(), MONODISTILL])
def test_terms_are_weighted(student: KeypointStudent, teacher: DepthKeypoint, method: MonoStlWeights) -> None:
    distiller = MonoStl(student, teacher, method)
    check_weights(distiller, method, {"features": 2.0, "relations": 3.0, "responses": 5.0})


def test_the_levels_add_up(student: KeypointStudent, teacher: DepthKeypoint) -> None:
    distiller = MonoStl(student.eval(), teacher, MONODISTILL.model_copy(update={"relations": 0.0})).eval()
    # Nothing between the student's features and the teacher's; these are one, two and three higher at strides 8, 16, 32.
    distiller.fusion, distiller.adapters = torch.nn.Identity(), torch.nn.Identity()  # type: ignore[assignment]
    known = lesson(0)
    assert known.annotation is not None
    output, higher = student(images([known])), {8: 1.0, 16: 2.0, 32: 3.0}
    sizes = {8: (1, 4, 8, 24), 16: (1, 4, 4, 12), 32: (1, 4, 2, 6)}
    mine = replace(output, features={stride: torch.zeros(size) for stride, size in sizes.items()})
    seen = replace(output, features={stride: torch.full(size, higher[stride]) for stride, size in sizes.items()})
    objects = objects_of([known.annotation], [CAMERA], student.classes, torch.device("cpu"))
    found = distiller.transfer(mine, seen, Scene([known.annotation], [CAMERA], objects))
    assert found["features"].item() == pytest.approx(0.5 * (1 + 4 + 9))


def test_the_uncertainty_head_is_not_moved_by_the_features_weight(
    student: KeypointStudent, teacher: DepthKeypoint
) -> None:
    distiller = MonoStl(student, teacher, MonoStlWeights(**OFF | {"features": 1.0}))
    terms(distiller, student, [lesson(0)])["transfer_features"].backward()
    assert "head" not in learning(student)


@pytest.mark.parametrize("method", [MonoStlWeights(), MonoStlWeights(normalise_relations=False), MONODISTILL])
@pytest.mark.usefixtures("one_thread")
def test_mixed_precision_changes_little(
    student: KeypointStudent, teacher: DepthKeypoint, method: MonoStlWeights
) -> None:
    distiller = MonoStl(student.eval(), teacher, method).eval()
    full = terms(distiller, student, [lesson(0)])
    with torch.autocast("cpu", torch.bfloat16):
        mixed = terms(distiller, student, [lesson(0)])
    for name, value in full.items():
        torch.testing.assert_close(mixed[name].float(), value, rtol=0.1, atol=0.02)


def test_neither_network_is_part_of_the_distiller(student: KeypointStudent, teacher: DepthKeypoint) -> None:
    names = {name.split(".")[0] for name in MonoStl(student, teacher, MonoStlWeights()).state_dict()}
    assert names == {"fusion", "adapters"}


def test_the_teacher_sees_depth_alone_and_at_the_reference_focal_length(teacher: DepthKeypoint) -> None:
    teacher.eval()
    known = lesson(0)
    assert known.image is not None
    assert known.depth is not None
    seen = teacher(picture(known.image, known.depth)[None], [CAMERA]).neck
    other_colours = teacher(picture(255 - known.image, known.depth)[None], [CAMERA]).neck
    torch.testing.assert_close(seen, other_colours)
    # A picture taken at half the focal length shows what is near as if it were twice as far.
    wide = CAMERA.pinhole(192, 64, 54, 54, 96, 27)
    torch.testing.assert_close(teacher(picture(known.image, known.depth / 2)[None], [wide]).neck, seen)


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("method", [MonoStlWeights(), MONODISTILL])
def test_it_overfits_ten_frames(method: MonoStlWeights) -> None:
    torch.manual_seed(0)
    student, teacher = KeypointStudent(TINY), DepthKeypoint(TINY)
    taught = [lesson(seed) for seed in range(10)]
    overfit_teacher(teacher, taught, "lidar")
    history = overfit(MonoStl(student, teacher, method), student, taught)
    check_learned(history, 0.4)
