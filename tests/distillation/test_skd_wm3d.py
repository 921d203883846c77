"""SKD-WM3D as a whole: who learns from what, that nobody hears of space but by depth, and that it can be learned."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

from mono3d_kd_core.distillation.base import Taught
from mono3d_kd_core.distillation.skd_wm3d import SkdWeights, SkdWm3d
from mono3d_kd_core.distillation.weak_targets import WeakTargets, encode_weak
from mono3d_kd_core.students.keypoint import KeypointStudent
from tests.distillation.privileged import CAMERA, TINY, images, learning, overfit, terms
from tests.distillation.weak import truth, weak_lesson

STUDENT_TERMS = {"heatmap", "offset2d", "size2d", "projection", "size_prior"}


def distiller_of(student: KeypointStudent, **weights: float | bool) -> SkdWm3d:
    torch.manual_seed(1)
    return SkdWm3d(student, SkdWeights(**weights))  # type: ignore[arg-type]


def sure(distiller: SkdWm3d) -> None:
    """Let an untrained self-teacher be sure of itself: its depth's spread small, its heatmap high."""
    with torch.no_grad():
        distiller.teacher.head.regressions["depth"].bias[1] = -2.0
        distiller.teacher.head.heatmap[2].bias.fill_(2.0)


@pytest.mark.parametrize(
    ("term", "student_parts", "own_parts"),
    [
        *((name, {"backbone", "neck", "head"}, set()) for name in ("heatmap", "offset2d", "size2d", "projection")),
        ("size_prior", {"head"}, set()),
        *(
            (f"teacher_{name}", {"backbone"}, {"neck", "depth", "fusion", "head"})
            for name in ("heatmap", "offset2d", "size2d", "projection")
        ),
        ("teacher_size_prior", set(), {"head"}),
        ("teacher_depth_map", {"backbone"}, {"depth"}),
        ("teacher_pseudo", {"backbone"}, {"neck", "depth", "fusion", "head"}),
        ("distilled", {"backbone", "neck", "head"}, set()),
        ("spread", {"backbone", "neck", "head"}, set()),
    ],
)
def test_each_term_reaches_what_it_should_and_nothing_else(
    student: KeypointStudent, term: str, student_parts: set[str], own_parts: set[str]
) -> None:
    distiller = distiller_of(student)
    sure(distiller)
    for head in (student.head, distiller.teacher.head):
        torch.nn.init.normal_(head.regressions["size3d"].weight, std=0.3)  # so that sizes leave their margin
    terms(distiller, student, [weak_lesson(0), weak_lesson(1)])[term].backward()
    if term.endswith("size_prior"):
        # How far behind the head it is felt depends on which sizes leave their margin.
        assert learning(distiller.teacher) >= own_parts
        assert learning(student) >= student_parts
    else:
        assert learning(distiller.teacher) == own_parts
        assert learning(student) == student_parts


@pytest.mark.parametrize(
    ("weight", "terms_of_it"),
    [
        ("projection", {"projection", "teacher_projection"}),
        ("size_prior", {"size_prior", "teacher_size_prior"}),
        ("depth_map", {"teacher_depth_map"}),
        ("student_pseudo", {"pseudo"}),
        ("distillation", {"distilled"}),
    ],
)
def test_terms_are_weighted(student: KeypointStudent, weight: str, terms_of_it: set[str]) -> None:
    once, thrice = (
        terms(distiller_of(student.eval(), **{"student_pseudo": 1.0} | {weight: by}).eval(), student, [weak_lesson(0)])
        for by in (1.0, 3.0)
    )
    for name, value in once.items():
        torch.testing.assert_close(thrice[name], (3 if name in terms_of_it else 1) * value, msg=name)
    assert terms_of_it <= once.keys()


def gradients(student: KeypointStudent, gate: float) -> tuple[Tensor, Tensor, float]:
    """Gradients of what is distilled, of the student's depth head and the self-teacher's, and its value; by a gate."""
    distiller = distiller_of(student)
    sure(distiller)
    # Fixed by hand: r_0 = 2, and the ratio that opens the gate so far.
    distiller.modulation.teacher.fill_(1.0)
    distiller.modulation.student.fill_(2 - gate)
    distiller.modulation.worst.fill_(2.0)
    distiller.progress = 0.5
    distiller.eval()
    student.eval().zero_grad()
    value = terms(distiller, student, [weak_lesson(0)])["distilled"]
    value.backward()
    grads = [head.regressions["depth"].weight.grad for head in (student.head, distiller.teacher.head)]
    mine, theirs = (torch.zeros(2, 8, 1, 1) if grad is None else grad.clone() for grad in grads)
    return mine, theirs, value.item()


def test_modulation_scales_gradients_as_stated(student: KeypointStudent) -> None:
    shut, half, whole = (gradients(student, gate) for gate in (0.0, 0.5, 1.0))
    assert not shut[1].any()
    # Distillation counts 1 + (1 - g): twice while the student lags, once when it is level.
    assert shut[2] == pytest.approx(2 * whole[2], rel=1e-5)
    assert half[2] == pytest.approx(1.5 * whole[2], rel=1e-5)
    torch.testing.assert_close(shut[0], 2 * whole[0])
    torch.testing.assert_close(half[0], 1.5 * whole[0])
    # What comes back to the teacher is scaled by g as well.
    torch.testing.assert_close(half[1], 1.5 * 0.5 * whole[1])
    assert whole[1].any()


def test_without_modulation_or_before_the_warm_up_nothing_is_fed_back(student: KeypointStudent) -> None:
    plain, early = distiller_of(student, modulation=False), distiller_of(student)
    for distiller in (plain, early):
        distiller.modulation.teacher.fill_(1.0)
        distiller.modulation.student.fill_(1.0)
    plain.progress, early.progress = 0.5, 0.05
    assert plain.gate().item() == 0
    assert early.gate().item() == 0
    early.progress = 0.1
    assert early.gate().item() == 1


def test_hints_of_depth_fade(student: KeypointStudent) -> None:
    distiller = distiller_of(student, pseudo=1.0, pseudo_end=0.25).eval()
    student.eval()
    values = []
    for distiller.progress in (0.0, 0.5, 1.0):
        values.append(terms(distiller, student, [weak_lesson(0)])["teacher_pseudo"].item())
    assert values == pytest.approx([values[0], 0.625 * values[0], 0.25 * values[0]])


def test_with_2d_boxes_alone_there_is_no_teacher_and_no_depth(student: KeypointStudent) -> None:
    distiller = distiller_of(student, self_teacher=False)
    assert not distiller.wants_depth
    assert not list(distiller.parameters())
    assert terms(distiller, student, [weak_lesson(0, depth=False)]).keys() == STUDENT_TERMS
    labelled = distiller_of(student, self_teacher=False, student_pseudo=1.0)
    assert labelled.wants_depth
    assert terms(labelled, student, [weak_lesson(0)]).keys() == STUDENT_TERMS | {"pseudo"}


@pytest.mark.usefixtures("one_thread")
def test_mixed_precision_changes_little(student: KeypointStudent) -> None:
    distiller = distiller_of(student.eval()).eval()
    full = terms(distiller, student, [weak_lesson(0)])
    with torch.autocast("cpu", torch.bfloat16):
        mixed = terms(distiller, student, [weak_lesson(0)])
    for name, value in full.items():
        torch.testing.assert_close(mixed[name].float(), value, rtol=0.1, atol=0.02, msg=name)


def test_pictures_without_objects_or_with_regions_to_ignore_are_fine(student: KeypointStudent) -> None:
    known = weak_lesson(0)
    assert known.boxes2d is not None
    none = replace(known.boxes2d, label=np.empty(0, np.str_), box=np.empty((0, 4)), cut=np.empty((0, 4), bool))
    ignoring = replace(none, ignore=np.array([[16.0, 8, 48, 40]]))
    empty = [replace(known, boxes2d=none), replace(known, boxes2d=ignoring)]
    found = terms(distiller_of(student), student, empty)
    assert all(torch.isfinite(value) for value in found.values())
    torch.stack(list(found.values())).sum().backward()
    weight = _targets(empty).heatmap_weight[:, 0]
    assert weight[0].all()
    assert not weight[1, 2:10, 4:12].any()
    assert weight[1].sum() == weight[0].sum() - 64


def test_a_box_in_the_image_says_where_and_how_large_and_its_depth_map_how_far() -> None:
    known = weak_lesson(0)
    assert known.boxes2d is not None
    targets = _targets([known])
    torch.testing.assert_close(targets.objects.box2d, torch.tensor(known.boxes2d.box).float(), atol=1e-4, rtol=0)
    torch.testing.assert_close(targets.box, torch.tensor(known.boxes2d.box).float(), atol=1e-4, rtol=0)
    cell = targets.heatmap[0, 0].flatten()[targets.cell]
    assert (cell == 1).all()
    # The axis of a flat surface tells little; the centre is half a car's length or half its width behind.
    np.testing.assert_allclose(targets.depth, truth(0).centre[:, 0], atol=1.0)


def _targets(taught: list[Taught]) -> WeakTargets:
    seen = [one.boxes2d for one in taught if one.boxes2d is not None]
    depths = [one.depth for one in taught]
    return encode_weak(seen, [CAMERA] * len(taught), depths, TINY.sizes, TINY.classes, TINY.reference_focal)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_it_overfits_ten_frames() -> None:
    torch.manual_seed(0)
    student = KeypointStudent(TINY)
    taught = [weak_lesson(seed) for seed in range(10)]
    distiller = SkdWm3d(student, SkdWeights())
    history = overfit(distiller, student, taught, steps=120)
    first, last = history[0], history[-1]
    for name in ("heatmap", "size2d", "projection", "teacher_projection", "teacher_depth_map"):
        assert last[name] < 0.5 * first[name], name
    student.eval()
    with torch.no_grad():
        found = student.decode(student(images(taught)), [CAMERA] * len(taught))
    # The student, which has never been told a distance, knows how far away the cars are.
    off = []
    for boxes, seed in zip(found, range(10)):
        for centre in truth(seed).centre:
            boxes = boxes[boxes.score > 0.3]
            bearing = np.abs(boxes.centre[:, 1] / boxes.centre[:, 0] - centre[1] / centre[0])
            off.append(abs(boxes.centre[bearing.argmin(), 0] - centre[0]))
    assert np.median(off) < 1.0
