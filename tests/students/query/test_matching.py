"""The assignment of queries to objects, on cases that can be done by hand."""

from __future__ import annotations

import math

import pytest
import torch

from mono3d_kd_core.students.query.matching import generalised_iou, match, matching_cost
from tests.students.query.tiny import answers, targets

LEFT = [0.25, 0.5, 0.1, 0.1, 0.1, 0.1]
RIGHT = [0.75, 0.5, 0.1, 0.1, 0.1, 0.1]


def test_the_cost_is_the_published_sum() -> None:
    near = [0.3, 0.5, 0.1, 0.1, 0.1, 0.1]
    cost = matching_cost(answers([[near]], [[[0.0, 0.0]]]), targets([LEFT], [0], [1]))
    # Probability one half: alpha (1 - p)^2 (-log p) - (1 - alpha) p^2 (-log(1 - p)).
    of_class = (0.25 - 0.75) * 0.25 * math.log(2)
    # Two squares of side 0.2, 0.05 apart: shared 0.15 x 0.2, hull 0.25 x 0.2, and nothing of it is uncovered.
    overlap = 0.15 / 0.25
    assert cost.item() == pytest.approx(2 * of_class + 10 * 0.05 + 5 * 0 - 2 * overlap, rel=1e-4)


def test_generalised_iou_of_boxes_apart() -> None:
    a, b = torch.tensor([0.1, 0.1, 0.1, 0.1, 0.1, 0.1]), torch.tensor([0.5, 0.1, 0.1, 0.1, 0.1, 0.1])
    # Squares of 0.2 in a hull of 0.6 x 0.2: a third of it is uncovered.
    assert generalised_iou(a, b).item() == pytest.approx(-1 / 3, rel=1e-5)
    assert generalised_iou(a, a).item() == pytest.approx(1)


def test_each_object_gets_its_nearest_query_in_each_group_and_image() -> None:
    # Two groups of two queries; the second lists them the other way round. The other image shows one object on the right.
    boxes = [[LEFT, RIGHT, RIGHT, LEFT]] * 2
    found = match(answers(boxes, [[[0.0]] * 4] * 2), targets([RIGHT, LEFT, RIGHT], [0, 0, 1]), queries=2)
    pairs = sorted(zip(*(part.tolist() for part in found)))
    assert pairs == [(0, 0, 1), (0, 1, 0), (0, 2, 0), (0, 3, 1), (1, 1, 2), (1, 2, 2)]


def test_the_sum_decides_and_not_each_object_for_itself() -> None:
    # Both objects are nearest to the first query; the cheapest pairing gives it to the one that would lose more.
    boxes = [[[0.5, 0.5, 0.1, 0.1, 0.1, 0.1], [0.7, 0.5, 0.1, 0.1, 0.1, 0.1]]]
    wanted = targets([[0.55, 0.5, 0.1, 0.1, 0.1, 0.1], [0.45, 0.5, 0.1, 0.1, 0.1, 0.1]], [0, 0])
    found = match(answers(boxes, [[[0.0], [0.0]]]), wanted, queries=2)
    assert sorted(zip(found.query.tolist(), found.target.tolist())) == [(0, 1), (1, 0)]


def test_the_class_decides_between_queries_at_one_place() -> None:
    found = match(answers([[LEFT, LEFT]], [[[3.0, -3.0], [-3.0, 3.0]]]), targets([LEFT], [0], [1]), queries=2)
    assert found.query.tolist() == [1]


def test_no_objects_and_broken_networks_are_no_error() -> None:
    assert len(match(answers([[LEFT]], [[[0.0]]]), targets([], []), queries=1).query) == 0
    broken = answers([[[math.nan] * 6]], [[[math.nan]]])
    assert match(broken, targets([LEFT], [0]), queries=1).query.tolist() == [0]
