from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mono3d_kd_core.errors import CalibrationError
from mono3d_kd_core.geometry import rigid
from tests.geometry.cameras import rotation

angles = st.floats(-np.pi, np.pi)
metres = st.floats(-50, 50)


@st.composite
def transforms(draw: st.DrawFn) -> np.ndarray:
    T = np.eye(4)
    T[:3, :3] = rotation(draw(angles), draw(angles), draw(angles))
    T[:3, 3] = [draw(metres), draw(metres), draw(metres)]
    return T


@given(transforms())
def test_inverse_equals_the_general_inverse(T: np.ndarray) -> None:
    np.testing.assert_allclose(rigid.inverse(T), np.linalg.inv(T), atol=1e-9)


@given(transforms(), transforms())
def test_apply_composes(T_a: np.ndarray, T_b: np.ndarray) -> None:
    points = np.random.default_rng(0).normal(size=(2, 5, 3))
    np.testing.assert_allclose(rigid.apply(T_a @ T_b, points), rigid.apply(T_a, rigid.apply(T_b, points)), atol=1e-9)


@given(transforms())
def test_poses_round_trip(T: np.ndarray) -> None:
    position, quaternion = rigid.to_pose(T)
    assert quaternion[3] >= 0
    np.testing.assert_allclose(rigid.from_pose(position, quaternion), T, atol=1e-9)


@given(transforms(), transforms())
def test_quaternions_multiply_as_rotations_do(T_a: np.ndarray, T_b: np.ndarray) -> None:
    product = rigid.multiply_quaternions(rigid.to_pose(T_a)[1], rigid.to_pose(T_b)[1])
    np.testing.assert_allclose(rigid.rotation_from_quaternion(product), (T_a @ T_b)[:3, :3], atol=1e-9)


@given(
    st.tuples(*[st.floats(-1, 1)] * 3).filter(lambda axis: np.linalg.norm(axis) > 0.1), st.floats(1e-6, np.pi - 1e-6)
)
def test_a_quaternion_is_axis_and_angle(axis: tuple[float, float, float], angle: float) -> None:
    unit = np.array(axis) / np.linalg.norm(axis)
    cross = np.array([[0, -unit[2], unit[1]], [unit[2], 0, -unit[0]], [-unit[1], unit[0], 0]])
    rodrigues = np.eye(3) + np.sin(angle) * cross + (1 - np.cos(angle)) * cross @ cross
    expected = np.append(unit * np.sin(angle / 2), np.cos(angle / 2))
    np.testing.assert_allclose(rigid.quaternion_from_rotation(rodrigues), expected, atol=1e-7)
    np.testing.assert_allclose(rigid.rotation_from_quaternion(3 * expected), rodrigues, atol=1e-12)
    assert rigid.angle_between(np.eye(3), rodrigues) == pytest.approx(angle, abs=1e-7)


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_half_turns_have_quaternions(axis: int) -> None:
    half_turn = -np.eye(3)
    half_turn[axis, axis] = 1
    np.testing.assert_allclose(
        rigid.rotation_from_quaternion(rigid.quaternion_from_rotation(half_turn)), half_turn, atol=1e-12
    )


def test_an_unset_quaternion_is_refused() -> None:
    with pytest.raises(CalibrationError, match="unset"):
        rigid.from_pose([0, 0, 0], [0, 0, 0, 0])


@given(st.floats(0, 1), st.floats(-3, 3), st.floats(-3, 3))
def test_interpolation_turns_at_constant_rate(fraction: float, start: float, turn: float) -> None:
    T_a = rigid.transform(rigid.rotation_z(start), [0, 2, 0])
    T_b = rigid.transform(rigid.rotation_z(start + turn), [4, 2, -2])
    expected = rigid.transform(rigid.rotation_z(start + fraction * turn), [4 * fraction, 2, -2 * fraction])
    np.testing.assert_allclose(rigid.interpolate(T_a, T_b, fraction), expected, atol=1e-9)


@given(transforms(), transforms())
def test_interpolation_starts_and_ends_where_it_should(T_a: np.ndarray, T_b: np.ndarray) -> None:
    np.testing.assert_allclose(rigid.interpolate(T_a, T_b, 0), T_a, atol=1e-9)
    np.testing.assert_allclose(rigid.interpolate(T_a, T_b, 1), T_b, atol=1e-9)


@given(st.floats(-1000, 1000))
def test_angles_wrap_to_one_turn(angle: float) -> None:
    wrapped = rigid.wrap_angle(angle)
    assert -np.pi <= wrapped < np.pi
    np.testing.assert_allclose([np.cos(wrapped), np.sin(wrapped)], [np.cos(angle), np.sin(angle)], atol=1e-9)


def test_half_a_turn_wraps_to_minus_pi() -> None:
    np.testing.assert_array_equal(rigid.wrap_angle([np.pi, -np.pi, 3 * np.pi]), [-np.pi] * 3)


def test_the_optical_frame_looks_along_the_body() -> None:
    forward, left, up = np.eye(3)
    np.testing.assert_array_equal(
        rigid.apply(rigid.T_CAMERA_BODY, np.stack([forward, left, up])), [[0, 0, 1], [-1, 0, 0], [0, -1, 0]]
    )


def test_mirrors_and_scales_are_no_rotations() -> None:
    assert rigid.is_rotation(rotation(1, 2, 3))
    assert not rigid.is_rotation(np.diag([1.0, 1, -1]))
    assert not rigid.is_rotation(1.01 * np.eye(3))
    assert not rigid.is_rotation(np.array([[2, 0, 0], [0, 0.5, 0], [0, 0, 1.0]]))
