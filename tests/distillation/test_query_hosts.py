"""MonoSTL and ADD on the query student: who learns from what, and who does not."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from mono3d_kd_core.distillation.add import AddWeights
from mono3d_kd_core.distillation.add_query import AddQuery
from mono3d_kd_core.distillation.monostl import MonoStlWeights
from mono3d_kd_core.distillation.monostl_losses import CENTRE_OUTSIDE, confidence
from mono3d_kd_core.distillation.monostl_query import MonoStlQuery
from mono3d_kd_core.distillation.privileged import picture
from mono3d_kd_core.distillation.privileged_distiller import Scene
from mono3d_kd_core.distillation.privileged_query import DepthAidedQuery, DepthQuery, bin_shares
from mono3d_kd_core.distillation.query_answers import answers_about, heading_divergence, score_loss, value_loss
from mono3d_kd_core.distillation.regions import objects_of
from mono3d_kd_core.geometry.boxes import Boxes3D
from mono3d_kd_core.geometry.depth_bins import DepthBins
from mono3d_kd_core.students.base import Annotation
from mono3d_kd_core.students.query.student import QueryStudent
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
from tests.students.query.tiny import TINY, answers, targets

OFF = {"features": 0.0, "relations": 0.0, "responses": 0.0}
MONODISTILL = MonoStlWeights(weighting="none", relation="affinity")
SEEING = {"backbone", "project", "depth_predictor"}
ANSWERING = SEEING | {"encoder", "decoder_layers", "query", "query_place", "reference", "heads"}


@pytest.fixture
def student() -> QueryStudent:
    torch.manual_seed(0)
    return QueryStudent(TINY)


def monostl(student: QueryStudent, weights: MonoStlWeights | None = None) -> MonoStlQuery:
    torch.manual_seed(1)
    return MonoStlQuery(student, DepthQuery(TINY), weights or MonoStlWeights())


def add(student: QueryStudent, weights: AddWeights | None = None) -> AddQuery:
    torch.manual_seed(1)
    return AddQuery(student, DepthAidedQuery(TINY), weights or AddWeights())


@pytest.mark.parametrize(
    ("term", "reached", "own"),
    [
        ("features", {"backbone"}, {"fusion", "adapters"}),
        ("relations", {"backbone"}, {"fusion", "adapters"}),
        ("responses", ANSWERING, set()),
    ],
)
@pytest.mark.parametrize("method", [MonoStlWeights(), MONODISTILL])
def test_each_of_monostls_terms_reaches_what_it_should(
    student: QueryStudent, term: str, reached: set[str], own: set[str], method: MonoStlWeights
) -> None:
    distiller = monostl(student, method.model_copy(update=OFF | {term: 1.0}))
    check_reach(distiller, f"transfer_{term}", reached, own)


@pytest.mark.parametrize(
    ("term", "reached", "own"),
    [("features", SEEING, {"position", "self_attention"}), ("responses", ANSWERING, {"target_attention"})],
)
def test_each_of_adds_terms_reaches_what_it_should(
    student: QueryStudent, term: str, reached: set[str], own: set[str]
) -> None:
    distiller = add(student, AddWeights(**{"features": 0.0, "responses": 0.0} | {term: 1.0}))
    check_reach(distiller, f"transfer_{term}", reached, own)


def test_terms_are_weighted(student: QueryStudent) -> None:
    check_weights(monostl(student), MonoStlWeights(), {"features": 2.0, "relations": 3.0, "responses": 5.0})
    check_weights(add(student), AddWeights(), {"features": 2.0, "responses": 3.0})


def test_neither_network_is_part_of_a_distiller(student: QueryStudent) -> None:
    assert {name.split(".")[0] for name in monostl(student).state_dict()} == {"fusion", "adapters"}
    parts = {name.split(".")[0] for name in add(student).state_dict()}
    assert parts == {"position", "self_attention", "target_attention"}
    assert not list(add(student, AddWeights(attention=False)).parameters())


@pytest.mark.usefixtures("one_thread")
def test_both_methods_train_in_mixed_precision(student: QueryStudent) -> None:
    for distiller in (monostl(student), add(student)):
        full = terms(distiller.eval(), student.eval(), [lesson(0)])
        with torch.autocast("cpu", torch.bfloat16):
            mixed = terms(distiller, student, [lesson(0)])
        for name, value in full.items():
            torch.testing.assert_close(mixed[name].float(), value, rtol=0.1, atol=0.1)
        torch.stack([value.float() for value in mixed.values()]).sum().backward()


def test_only_the_deployed_group_is_compared(student: QueryStudent) -> None:
    distiller = monostl(student, MonoStlWeights(**OFF | {"responses": 1.0}))
    terms(distiller.train(), student.train(), [lesson(0)])["transfer_responses"].backward()
    gradient = student.query.weight.grad
    assert gradient is not None
    assert (gradient[:10] != 0).any()
    assert (gradient[10:] == 0).all()


def test_features_weigh_by_the_matched_querys_doubt(student: QueryStudent) -> None:
    taught = lesson(0)
    assert taught.annotation is not None
    # A third car, behind the camera's range, is no target.
    boxes = taught.annotation.boxes
    far = Boxes3D(np.array([[90.0, 0, 0]]), boxes.size[:1], boxes.yaw[:1], boxes.label[:1], frame="camera")
    annotation = Annotation(
        Boxes3D.concatenate([far, boxes]), np.vstack([[[90.0, 20, 95, 30]], taught.annotation.box2d])
    )
    distiller, output = monostl(student.eval()), student(images([taught]))
    scene = Scene([annotation], [CAMERA], objects_of([annotation], [CAMERA], student.classes, torch.device("cpu")))
    seen = distiller.look(picture(taught.image, taught.depth)[None], [CAMERA])  # type: ignore[arg-type]
    sure = distiller.certainty(output, seen, scene)
    assert sure.known.tolist() == [False, True, True]
    wanted = student.targets([annotation], [CAMERA])
    about = answers_about(output.layers[-1], wanted, TINY.queries)
    torch.testing.assert_close(sure.student[1:], about.log_std)
    assert (1 - confidence(sure.student[1:])).min() > CENTRE_OUTSIDE


def test_answers_are_read_at_the_matched_query() -> None:
    left, right = [0.25, 0.5, 0.1, 0.1, 0.1, 0.1], [0.75, 0.5, 0.1, 0.1, 0.1, 0.1]
    said = answers([[left, right, right]], [[[0.0], [2.0], [9.0]]], depth=torch.tensor([[10.0, 20.0, 30.0]]))
    about = answers_about(said, targets([right, left, left], [0, 0, 0]), queries=2)
    # Of three targets two find one of the first group's two queries.
    assert about.found.sum() == 2
    assert about.found[0]
    assert about.said[0, 6].item() == pytest.approx(math.log(20))
    assert about.said[0, -1].item() == 2.0


def test_the_losses_of_answers_by_hand() -> None:
    mine, theirs = torch.zeros(2, 35), torch.zeros(2, 35)
    theirs[0, [0, 3, 6, 9]] = torch.tensor([0.1, 0.2, 0.3, 0.4])
    assert value_loss(mine, theirs).item() == pytest.approx((10 * 0.1 + 5 * 0.2 + 0.3 + 0.4) / 2, rel=1e-5)
    sure, unsure = torch.zeros(1, 24), torch.zeros(1, 24)
    sure[0, 3], sure[0, 15] = math.log(11), 0.2  # one half in the third bin, 1/22 in each other
    divergence = 0.5 * math.log(0.5 * 12) + 11 / 22 * math.log(12 / 22)
    assert heading_divergence(unsure, sure).item() == pytest.approx(divergence + 0.2, rel=1e-5)
    assert score_loss(torch.zeros(1, 1), torch.full((1, 1), 50.0)).item() == pytest.approx(0.25 * math.log(2), rel=1e-5)


def test_the_depth_teacher_sees_depth_alone_and_at_the_reference_focal_length() -> None:
    torch.manual_seed(0)
    teacher, known = DepthQuery(TINY).eval(), lesson(0)
    assert known.image is not None
    assert known.depth is not None
    seen = teacher(picture(known.image, known.depth)[None], [CAMERA]).layers[-1].box
    torch.testing.assert_close(teacher(picture(255 - known.image, known.depth)[None], [CAMERA]).layers[-1].box, seen)
    wide = CAMERA.pinhole(192, 64, 54, 54, 96, 27)
    torch.testing.assert_close(teacher(picture(known.image, known.depth / 2)[None], [wide]).layers[-1].box, seen)


def test_the_aided_teachers_depth_map_is_the_depth_it_is_shown() -> None:
    torch.manual_seed(0)
    teacher, known = DepthAidedQuery(TINY).eval(), lesson(0)
    assert known.image is not None
    for metres in (7.0, 31.0):
        depth = np.full((64, 192), metres, np.float32)
        seen = teacher(picture(known.image, depth)[None], [CAMERA])
        assert (seen.depth.metres - metres).abs().max() < 1.5  # to within a bin, of which the near edge counts
    unknown = teacher(picture(known.image, np.zeros((64, 192), np.float32))[None], [CAMERA])
    torch.testing.assert_close(unknown.depth.metres, torch.full((1, 4, 12), 60.0))
    darker = teacher(picture(known.image // 2, np.full((64, 192), 7, np.float32))[None], [CAMERA])
    assert not torch.allclose(darker.layers[-1].box, teacher(picture(known.image, depth)[None], [CAMERA]).layers[-1].box)


def test_bin_shares_count_pixels() -> None:
    bins = DepthBins(80, 1e-3, 60.0)
    depth = torch.zeros(1, 32, 16)
    depth[0, :4, :] = 10.0
    depth[0, 16:, :8] = 25.0
    shares = bin_shares(depth, bins)
    ten, quarter = bins.label(np.array([10.0, 25.0]))
    assert shares.shape == (1, 81, 2, 1)
    assert shares[0, [ten, 80], 0, 0].tolist() == [0.25, 0.75]
    assert shares[0, [quarter, 80], 1, 0].tolist() == [0.5, 0.5]


def test_boxes_alone_can_teach(student: QueryStudent) -> None:
    without = [replace(lesson(0), depth=None)]
    assert "transfer_features" not in terms(add(student), student, without)
    assert terms(add(student, AddWeights(depth="objects")), student, without)["transfer_features"] > 0


def test_a_frame_without_objects_is_no_error(student: QueryStudent) -> None:
    empty = replace(lesson(0), annotation=Annotation(Boxes3D.empty("camera"), np.empty((0, 4))))
    for distiller in (monostl(student), add(student)):
        found = terms(distiller, student, [empty])
        assert all(torch.isfinite(value) for value in found.values())
        torch.stack(list(found.values())).sum().backward()


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("method", ["monostl", "add"])
def test_it_overfits_ten_frames(method: str) -> None:
    torch.manual_seed(0)
    still = TINY.model_copy(update={"dropout": 0.0})
    student, taught = QueryStudent(still), [lesson(seed) for seed in range(10)]
    distiller: MonoStlQuery | AddQuery = (
        MonoStlQuery(student, DepthQuery(still), MonoStlWeights())
        if method == "monostl"
        else AddQuery(student, DepthAidedQuery(still), AddWeights())
    )
    check_learned(overfit(distiller, student, taught, steps=60, rate=2e-3), 0.6)
