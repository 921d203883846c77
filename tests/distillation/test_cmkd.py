"""CMKD as a whole: what it asks for, what counts in a mixed batch, and what it refuses."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
import torch

from mono3d_kd_core.distillation.base import Taught
from mono3d_kd_core.distillation.cmkd import Cmkd, CmkdWeights
from mono3d_kd_core.errors import ModelError
from mono3d_kd_core.geometry.boxes import Boxes3D
from mono3d_kd_core.geometry.rigid import T_CAMERA_BODY, inverse
from mono3d_kd_core.students.bev.student import BevOutput, BevStudent
from mono3d_kd_core.teachers.base import BevFeatures, Responses, TeacherOutput, Want
from tests.students.bev.test_student import CAMERA, CENTRE, SMALL

CARS = Boxes3D([[9.0, 2.0, -0.9], [12.0, -3.0, -0.9]], [[3.9, 1.6, 1.5]] * 2, [0.3, 0.1], ["Car"] * 2, [0.9, 0.4])
ALL = CmkdWeights(features=32, classification=8, box=2, direction=0.4)


@pytest.fixture(scope="module")
def student() -> BevStudent:
    torch.manual_seed(0)
    return BevStudent(SMALL).eval()


@pytest.fixture(scope="module")
def output(student: BevStudent) -> BevOutput:
    images = torch.randint(0, 255, (2, 3, 32, 96), generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        return student(images, [CAMERA] * 2)


def echo(student: BevStudent, output: BevOutput, sample: int, boxes: Boxes3D = CARS) -> TeacherOutput:
    """A teacher that says exactly what the student says."""
    c, r = student.config, output.responses
    return TeacherOutput(
        boxes,
        BevFeatures(output.bev[sample].numpy(), (c.low[0], c.high[0]), (c.low[1], c.high[1])),
        Responses(
            student.answers.anchors[:, :3].numpy(), r.logits[sample].numpy(), r.codes[sample][:, None].numpy(),
            r.directions[sample].numpy(),
        ),
    )  # fmt: skip


def total(terms: dict[str, torch.Tensor]) -> float:
    return float(sum(terms.values()))


def test_it_asks_for_what_its_weights_need(student: BevStudent) -> None:
    assert Cmkd(student, CmkdWeights(features=1)).want == Want.BEV_FEATURES
    assert Cmkd(student, CmkdWeights(box=1)).want == Want.RESPONSES
    assert Cmkd(student, CmkdWeights(pseudo_labels=1)).want == Want.BOXES
    assert not Cmkd(student, CmkdWeights(labels=1)).wants_teacher


def test_a_student_that_says_what_its_teacher_says_has_nothing_to_learn(student: BevStudent, output: BevOutput) -> None:
    terms = Cmkd(student, ALL).losses(output, [Taught(echo(student, output, i)) for i in range(2)])
    assert set(terms) == {"features", "classification", "box", "direction"}
    assert terms["features"] == terms["box"] == 0
    # Soft scores keep a floor: at q = p the modulating factor is zero.
    assert terms["classification"] == pytest.approx(0, abs=1e-9)


def test_frames_of_which_nothing_is_known_dilute_a_term_and_no_more(student: BevStudent, output: BevOutput) -> None:
    known = Taught(echo(student, output, 1))  # the second picture's answers, taught to the first
    one = BevOutput({}, output.bev[:1], output.depth_logits[:1], _first(output), output.poses[:1])
    alone = Cmkd(student, ALL).losses(one, [known])
    mixed = Cmkd(student, ALL).losses(output, [known, Taught()])
    assert total(alone) > 0
    for name, value in alone.items():
        torch.testing.assert_close(mixed[name], value / 2)


def _first(output: BevOutput):  # type: ignore[no-untyped-def]
    return type(output.responses)(*(part[:1] for part in vars(output.responses).values()))


def test_nothing_known_is_a_loss_of_zero_with_a_gradient(student: BevStudent) -> None:
    output = student(torch.zeros(1, 3, 32, 96), [CAMERA])
    terms = Cmkd(student, ALL).losses(output, [Taught()])
    sum(terms.values()).backward()  # type: ignore[union-attr]
    assert total({name: value.detach() for name, value in terms.items()}) == 0


def test_pseudo_labels_are_the_same_in_either_frame(student: BevStudent, output: BevOutput) -> None:
    method = Cmkd(student, CmkdWeights(pseudo_labels=1))
    in_camera = CARS.transformed(inverse(T_CAMERA_BODY) @ student.trained_pose, "camera")
    losses: Sequence[dict[str, torch.Tensor]] = [
        method.losses(output, [Taught(TeacherOutput(boxes))] * 2) for boxes in (CARS, in_camera)
    ]
    for name in losses[0]:
        torch.testing.assert_close(losses[0][name], losses[1][name], rtol=1e-3, atol=1e-4)
    assert total(losses[0]) > 0


def test_depth_of_the_lidar_is_taught_where_it_is_known(student: BevStudent, output: BevOutput) -> None:
    method = Cmkd(student, CmkdWeights(depth=0.5))
    nothing = np.zeros((32, 96), np.float32)
    some = nothing.copy()
    some[10:20, 30:50] = 7.0
    assert total(method.losses(output, [Taught(depth=nothing)] * 2)) == 0
    assert total(method.losses(output, [Taught(depth=some)] * 2)) > 0


def test_another_map_is_refused_in_words(student: BevStudent, output: BevOutput) -> None:
    teacher = echo(student, output, 0)
    assert teacher.bev is not None
    assert teacher.responses is not None
    moved = BevFeatures(teacher.bev.features, (0.0, 12.8), teacher.bev.y_range)
    with pytest.raises(ModelError, match="give the student the teacher's low"):
        Cmkd(student, ALL).losses(output, [Taught(TeacherOutput(CARS, moved, teacher.responses))] * 2)
    fewer = Responses(*(part[:7] for part in vars(teacher.responses).values()))
    with pytest.raises(ModelError, match="need the same head"):
        Cmkd(student, ALL).losses(output, [Taught(TeacherOutput(CARS, teacher.bev, fewer))] * 2)


CENTRE_ALL = CmkdWeights(features=32, classification=1, box=1)


@pytest.fixture(scope="module")
def centre_student() -> BevStudent:
    torch.manual_seed(0)
    return BevStudent(CENTRE).eval()


def centre_teacher(student: BevStudent, seed: int) -> TeacherOutput:
    """Heatmaps and codes of a CenterPoint that sees one car, as `CenterTeacher.responses` lays them out."""
    rows, columns = student.config.response_shape
    generator = torch.Generator().manual_seed(seed)
    logits = torch.full((3, rows, columns), -6.0)
    logits[0, 11, 12], logits[0, 11, 13] = 2.0, 0.0
    codes = torch.randn(8, rows, columns, generator=generator)
    dense = Responses(
        student.answers.positions.numpy(), logits.flatten(1).T.numpy(), codes.flatten(1).T[:, None].numpy()
    )
    c = student.config
    bev = torch.randn(c.bev_channels, 40, 40, generator=generator)
    return TeacherOutput(CARS, BevFeatures(bev.numpy(), (c.low[0], c.high[0]), (c.low[1], c.high[1])), dense)


def test_a_centre_head_learns_its_teacher_s_heatmaps_and_codes(centre_student: BevStudent) -> None:
    """Two terms by hand: cells in the order row, column; the codes' eight numbers where the teacher sees something."""
    student, teacher = centre_student, centre_teacher(centre_student, 1)
    assert teacher.responses is not None
    with torch.no_grad():
        output = student(torch.zeros(1, 3, 32, 96), [CAMERA])
    terms = Cmkd(student, CENTRE_ALL).losses(output, [Taught(teacher)])
    assert set(terms) == {"features", "classification", "box"}
    q = 1 / (1 + np.exp(-teacher.responses.logits.astype(np.float64)))  # (400,3)
    p = output.responses.logits[0].double().sigmoid().flatten(1).T.numpy()
    entropy = -(q * np.log(p) + (1 - q) * np.log(1 - p))
    heatmap = (np.abs(q - p) ** 2 * entropy).sum() / (q > 0.3).sum()
    assert terms["classification"].item() == pytest.approx(heatmap, rel=1e-4)
    seen = q.sum(1) > 0.1
    difference = np.abs(output.responses.codes[0].flatten(1).T.numpy() - teacher.responses.codes[:, 0])[seen]
    smooth = np.where(difference < 1, 0.5 * difference**2, difference - 0.5)
    assert seen.sum() == 2
    assert terms["box"].item() == pytest.approx(4 * 8 * (smooth * q.sum(1)[seen, None]).mean(), rel=1e-4)


def test_a_centre_head_ends_up_saying_what_its_teacher_says() -> None:
    torch.manual_seed(0)
    student = BevStudent(CENTRE)
    teacher = centre_teacher(student, 2)
    assert teacher.responses is not None
    method = Cmkd(student, CmkdWeights(classification=1, box=1))
    optimiser = torch.optim.Adam(student.parameters(), 1e-2)
    picture = torch.randint(0, 255, (1, 3, 32, 96))
    totals = []
    for _ in range(30):
        terms = method.losses(student(picture, [CAMERA]), [Taught(teacher)])
        loss = torch.stack(list(terms.values())).sum()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        totals.append(loss.item())
    assert totals[-1] < 0.1 * totals[0]
    with torch.no_grad():
        found = student(picture, [CAMERA]).responses.logits[0, 0]
    assert int(found.argmax()) == 11 * 20 + 12


def test_terms_of_an_anchor_head_are_refused_for_a_centre_head(centre_student: BevStudent) -> None:
    with pytest.raises(ModelError, match="terms of an anchor head"):
        Cmkd(centre_student, CmkdWeights(direction=0.4))


def test_a_teacher_with_the_other_head_is_refused_in_words(
    student: BevStudent, output: BevOutput, centre_student: BevStudent
) -> None:
    teacher = centre_teacher(centre_student, 3)
    with pytest.raises(ModelError, match="need the same head"):
        Cmkd(student, CmkdWeights(box=1)).losses(output, [Taught(teacher)] * 2)
