from __future__ import annotations

import numpy as np
import pytest

from mono3d_kd_core.geometry.rigid import apply, rotation_z, transform
from mono3d_kd_core.geometry.tree import ExtrapolationError, TransformError, TransformTree

SECOND = 10**9
T_BASE_LIDAR = transform(rotation_z(0.3), [1, 0, 1.7])
T_BASE_CAMERA = transform(np.array([[0, 0, 1.0], [-1, 0, 0], [0, -1, 0]]), [1.5, 0.1, 1.6])


def car() -> TransformTree:
    """base_link drives from x = 0 at 10 s to x = 20 at 12 s, turning half a radian in the last second."""
    tree = TransformTree()
    tree.add_static("base_link", "lidar", T_BASE_LIDAR)
    tree.add_static("/base_link", "/camera", T_BASE_CAMERA)
    tree.add("map", "base_link", 12 * SECOND, transform(rotation_z(0.5), [20, 0, 0]))
    tree.add("map", "base_link", 10 * SECOND, transform(np.eye(3), [0, 0, 0]))
    tree.add("map", "base_link", 11 * SECOND, transform(np.eye(3), [10, 0, 0]))
    return tree


def test_static_edges_meet_at_the_common_ancestor_at_any_time() -> None:
    for stamp in (None, 0, 11 * SECOND):
        T = car().lookup("camera", "lidar", stamp)
        np.testing.assert_allclose(T, np.linalg.inv(T_BASE_CAMERA) @ T_BASE_LIDAR, atol=1e-12)


def test_moving_edges_are_interpolated() -> None:
    np.testing.assert_allclose(
        car().lookup("map", "base_link", 11_500_000_000), transform(rotation_z(0.25), [15, 0, 0]), atol=1e-12
    )


def test_a_sample_is_returned_as_it_came() -> None:
    assert car().lookup("map", "base_link", 12 * SECOND)[:3, 3] == pytest.approx([20, 0, 0])


def test_a_chain_maps_points_through_every_frame() -> None:
    point = np.array([[5.0, 1, 0]])
    by_hand = apply(transform(rotation_z(0.25), [15, 0, 0]), apply(T_BASE_LIDAR, point))
    np.testing.assert_allclose(apply(car().lookup("map", "lidar", 11_500_000_000), point), by_hand)
    there_and_back = car().lookup("lidar", "map", 11_500_000_000) @ car().lookup("map", "lidar", 11_500_000_000)
    np.testing.assert_allclose(there_and_back, np.eye(4), atol=1e-12)


def test_a_frame_in_itself_is_the_identity() -> None:
    np.testing.assert_array_equal(car().lookup("camera", "/camera", None), np.eye(4))


@pytest.mark.parametrize(
    ("stamp", "message"),
    [
        (9 * SECOND, r'"map" <- "lidar" at 9.000 s, 1.000 s before .* "base_link" in "map" from 10.000 s to 12.000 s'),
        (12 * SECOND + 5_000_000, "0.005 s after what is known"),
    ],
)
def test_beyond_the_samples_it_refuses(stamp: int, message: str) -> None:
    with pytest.raises(ExtrapolationError, match=message):
        car().lookup("map", "lidar", stamp)


def test_a_moving_transform_holds_at_no_single_time() -> None:
    with pytest.raises(TransformError, match='"base_link" moves in "map"'):
        car().lookup("map", "lidar", None)


def test_an_unknown_frame_is_named_among_the_known() -> None:
    with pytest.raises(
        TransformError, match='"velodyne" is in no transform; known frames: base_link, camera, lidar, map'
    ):
        car().lookup("camera", "velodyne", None)


def test_separate_trees_are_never_joined_by_the_identity() -> None:
    tree = car()
    tree.add_static("rack", "camera2", np.eye(4))
    with pytest.raises(TransformError, match='"camera2" hangs under "rack", "lidar" under "map"'):
        tree.lookup("camera2", "lidar", None)


def test_two_parents_are_told_to_those_who_need_the_frame() -> None:
    tree = car()
    tree.add("odom", "base_link", 11 * SECOND, np.eye(4))
    tree.lookup("camera", "lidar", 11 * SECOND)
    with pytest.raises(TransformError, match='"base_link" has two parents, "map" and "odom"'):
        tree.lookup("map", "lidar", 11 * SECOND)


def test_a_circle_is_an_error_and_no_endless_search() -> None:
    tree = TransformTree()
    tree.add_static("a", "b", np.eye(4))
    tree.add_static("b", "a", np.eye(4))
    with pytest.raises(TransformError, match="circle"):
        tree.lookup("a", "b", None)


def test_a_frame_in_itself_cannot_be_added() -> None:
    with pytest.raises(TransformError, match="own parent"):
        TransformTree().add_static("map", "/map", np.eye(4))


def test_the_buffer_forgets() -> None:
    tree = TransformTree(buffer_s=1.0)
    for stamp in range(5):
        tree.add("map", "base_link", stamp * SECOND, np.eye(4))
    tree.lookup("map", "base_link", 3 * SECOND)
    with pytest.raises(ExtrapolationError, match=r"from 3\.000 s to 4\.000 s"):
        tree.lookup("map", "base_link", 2 * SECOND)


def test_the_later_of_two_samples_at_one_time_counts() -> None:
    tree = car()
    tree.add("map", "base_link", 11 * SECOND, transform(np.eye(3), [99, 0, 0]))
    assert tree.lookup("map", "base_link", 11 * SECOND)[0, 3] == 99


def test_what_was_added_cannot_be_changed_from_outside() -> None:
    T = np.eye(4)
    tree = TransformTree()
    tree.add_static("a", "b", T)
    T[0, 3] = 7
    np.testing.assert_array_equal(tree.lookup("a", "b", None), np.eye(4))
