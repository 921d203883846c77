"""Conversions by the distribution's packages and by the core give the same; what does not work is found out in time."""

from __future__ import annotations

import array
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

pytest.importorskip("rclpy", reason="ROS 2 is not in this environment")

from sensor_msgs.msg import CompressedImage, Image, PointCloud2, PointField

from mono3d_kd_core.errors import CalibrationError, DataError
from mono3d_kd_core.io.image_codec import LAYOUTS, encode_compressed
from mono3d_kd_ros import compat

RNG = np.random.default_rng(0)


@pytest.fixture
def without(monkeypatch: pytest.MonkeyPatch) -> None:
    """None of the three packages."""
    monkeypatch.setattr(compat, "unusable", lambda package: "left out by the test")


def need(package: str) -> None:
    if reason := compat.unusable(package):
        pytest.skip(f"{package}: {reason}")


def image(encoding: str, padding: int = 0, bigendian: bool = False, height: int = 6, width: int = 8) -> Image:
    """Random pixels, each row followed by padding."""
    row = width * LAYOUTS[encoding].channels * np.dtype(LAYOUTS[encoding].dtype).itemsize + padding
    data = RNG.integers(0, 256, height * row, np.uint8).tobytes()
    return Image(
        height=height, width=width, encoding=encoding, step=row, is_bigendian=bigendian, data=array.array("B", data)
    )  # fmt: skip


def cloud(datatype: int = PointField.FLOAT32, height: int = 1, row_padding: int = 0, bigendian: bool = False) -> PointCloud2:
    """Five points a row with x, y, z, ring and intensity, some not finite, in records with gaps."""
    kind = {PointField.FLOAT32: "f4", PointField.FLOAT64: "f8"}[datatype]
    formats = [*(np.dtype(kind).newbyteorder("><"[not bigendian]) for _ in "xyz"), np.dtype("u2"), np.dtype("u1")]
    offsets = [4, 12, 20, 28, 31]
    names = ["x", "y", "z", "ring", "intensity"]
    records = np.zeros((height, 5), np.dtype({"names": names, "formats": formats, "offsets": offsets, "itemsize": 36}))
    for name in "xyz":
        records[name] = RNG.normal(size=(height, 5))
    records["intensity"] = RNG.integers(0, 256, (height, 5))
    records["y"][0, 2] = np.nan
    data = b"".join(row.tobytes() + b"\0" * row_padding for row in records)
    data = array.array("B", data)
    codes = [datatype] * 3 + [PointField.UINT16, PointField.UINT8]
    return PointCloud2(
        height=height, width=5, point_step=36, row_step=180 + row_padding, is_bigendian=bigendian, data=data,
        fields=[PointField(name=n, offset=o, datatype=d, count=1) for n, o, d in zip(names, offsets, codes, strict=True)],
    )  # fmt: skip


def random_transforms() -> Iterator[NDArray[np.float64]]:
    for rotation in [*Rotation.random(200, random_state=0), Rotation.from_rotvec([np.pi, 0, 0]), Rotation.identity()]:
        T = np.eye(4)
        T[:3, :3] = rotation.as_matrix()
        yield T


@pytest.mark.parametrize("encoding", [name for name in LAYOUTS if not name.startswith(("8U", "yuv", "yuyv", "uyvy"))])
def test_pictures_are_those_of_cv_bridge(encoding: str, monkeypatch: pytest.MonkeyPatch) -> None:
    need("cv_bridge")
    from cv_bridge import CvBridge

    message = image(encoding)
    monkeypatch.setattr(compat, "unusable", lambda package: "left out by the test")
    ours = compat.rgb(message)
    np.testing.assert_array_equal(ours, CvBridge().imgmsg_to_cv2(message, "rgb8"))


def test_cv_bridge_is_asked_where_it_works() -> None:
    need("cv_bridge")
    from cv_bridge import CvBridge

    message = image("bgr8", padding=3)
    np.testing.assert_array_equal(compat.rgb(message), CvBridge().imgmsg_to_cv2(message, "rgb8"))


@pytest.mark.parametrize(
    "message", [image("rgb8", padding=1), image("mono16", bigendian=True), image("8UC3"), image("uyvy"), image("bgra8")]
)
def test_pictures_are_right_whatever_is_installed(message: Image, monkeypatch: pytest.MonkeyPatch) -> None:
    # The layouts that cv_bridge gets wrong are kept from it.
    here = compat.rgb(message)
    monkeypatch.setattr(compat, "unusable", lambda package: "left out by the test")
    np.testing.assert_array_equal(here, compat.rgb(message))


def test_compressed_pictures() -> None:
    picture = RNG.integers(0, 256, (4, 5, 3), np.uint8)
    message = CompressedImage(format="png", data=array.array("B", encode_compressed(picture, "png")))
    np.testing.assert_array_equal(compat.rgb(message), picture)


def test_a_truncated_picture_is_named() -> None:
    message = image("rgb8")
    message.data = message.data[:-1]
    with pytest.raises(DataError, match="needs 144 bytes, the message holds 143"):
        compat.rgb(message)


CLOUDS = {
    "float32": cloud(),
    "float64": cloud(PointField.FLOAT64),
    "organised": cloud(height=3),
    "rows with padding": cloud(height=3, row_padding=8),
    "big-endian": cloud(bigendian=True),
}


@pytest.mark.parametrize("name", ["float32", "float64", "organised"])
def test_points_are_those_of_sensor_msgs_py(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    need("sensor_msgs_py")
    from sensor_msgs_py import point_cloud2

    records = point_cloud2.read_points(CLOUDS[name], ["x", "y", "z", "intensity"], skip_nans=True)
    expected = np.stack([records[field].astype(np.float32) for field in ("x", "y", "z", "intensity")], axis=1)
    np.testing.assert_array_equal(compat.points(CLOUDS[name]).points, expected)
    monkeypatch.setattr(compat, "unusable", lambda package: "left out by the test")
    np.testing.assert_array_equal(compat.points(CLOUDS[name]).points, expected)


@pytest.mark.parametrize("name", CLOUDS)
def test_points_are_right_whatever_is_installed(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    before = bytes(CLOUDS[name].data)
    here = compat.points(CLOUDS[name])
    monkeypatch.setattr(compat, "unusable", lambda package: "left out by the test")
    np.testing.assert_array_equal(here.points, compat.points(CLOUDS[name]).points)
    assert here.has_intensity
    assert len(here.points) == CLOUDS[name].height * 5 - 1
    assert bytes(CLOUDS[name].data) == before


def test_quaternions_are_those_of_tf_transformations(without: None) -> None:
    tf_transformations = pytest.importorskip("tf_transformations")
    for T in random_transforms():
        q = compat.quaternion_from_matrix(T)
        theirs = np.asarray(tf_transformations.quaternion_from_matrix(T))
        np.testing.assert_allclose(q, theirs * np.sign(q @ theirs), atol=1e-12)
        np.testing.assert_allclose(compat.quaternion_matrix(q), tf_transformations.quaternion_matrix(q), atol=1e-12)


def test_quaternions_are_those_of_scipy() -> None:
    for T in random_transforms():
        q = compat.quaternion_from_matrix(T)
        np.testing.assert_allclose(Rotation.from_quat(q).as_matrix(), T[:3, :3], atol=1e-12)
        np.testing.assert_allclose(compat.quaternion_matrix(q), T, atol=1e-12)


def test_a_quaternion_that_was_left_unset_is_no_rotation() -> None:
    with pytest.raises(CalibrationError, match="is no rotation"):
        compat.quaternion_matrix(np.zeros(4))


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ("import os; os.abort()", "crashes \\(signal 6\\), probably compiled for another numpy"),
        ("raise ImportError('numpy.core.multiarray failed to import')", "multiarray failed to import"),
        ("class CvBridge: imgmsg_to_cv2 = lambda *_: __import__('numpy').zeros((1, 1, 3), int)", "AssertionError"),
    ],
)
def test_a_broken_package_is_left_alone(
    source: str, reason: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "cv_bridge.py").write_text(source)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path), prepend=":")
    monkeypatch.delitem(sys.modules, "cv_bridge", raising=False)
    compat.unusable.cache_clear()
    try:
        assert re.search(reason, compat.unusable("cv_bridge"))
        assert compat.rgb(image("rgb8")).shape == (6, 8, 3)
        assert "cv_bridge: " in compat.describe()
    finally:
        compat.unusable.cache_clear()
