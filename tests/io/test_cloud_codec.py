"""Point clouds in messages: any field layout, and messages that contradict themselves."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mono3d_kd_core.errors import DataError
from mono3d_kd_core.io.cloud_codec import DATATYPES, PointField, decode_cloud, encode_cloud, field_array

XYZI = np.array([[1, 2, 3, 0.5], [-4, 5, -6, 0.25], [7, -8, 9, 1.0]], np.float32)
FLOATS = [PointField(name, 4 * i, 7) for i, name in enumerate("xyz")]


def test_round_trip() -> None:
    cloud = encode_cloud(XYZI)
    decoded = decode_cloud(cloud.data, cloud.fields, cloud.point_step, cloud.point_step * cloud.width, 1, cloud.width)
    np.testing.assert_array_equal(decoded.points, XYZI)
    assert decoded.has_intensity


@st.composite
def layouts(draw: st.DrawFn) -> tuple[np.dtype, list[PointField], bool]:
    """A structured numpy type with the four fields in any order, of any number type, with gaps between them."""
    bigendian = draw(st.booleans())
    names, formats, offsets, fields, offset = [], [], [], [], 0
    for name in draw(st.permutations(["x", "y", "z", "intensity"])):
        code = draw(st.sampled_from(sorted(DATATYPES)))
        offset += draw(st.integers(0, 5))
        dtype = np.dtype(DATATYPES[code]).newbyteorder(">" if bigendian else "<")
        names.append(name), formats.append(dtype), offsets.append(offset)
        fields.append(PointField(name, offset, code, draw(st.sampled_from([0, 1]))))
        offset += dtype.itemsize
    itemsize = offset + draw(st.integers(0, 5))
    return np.dtype({"names": names, "formats": formats, "offsets": offsets, "itemsize": itemsize}), fields, bigendian


@given(layout=layouts(), height=st.integers(1, 3), padding=st.integers(0, 4))
def test_any_layout(layout: tuple[np.dtype, list[PointField], bool], height: int, padding: int) -> None:
    dtype, fields, bigendian = layout
    records = np.zeros((height, 4), dtype)
    for i, name in enumerate(("x", "y", "z", "intensity")):
        records[name] = np.arange(height * 4).reshape(height, 4) + 10 * i
    data = b"".join(row.tobytes() + b"\xee" * padding for row in records)
    row_step = 4 * dtype.itemsize + padding
    points, has_intensity = decode_cloud(data, fields, dtype.itemsize, row_step, height, 4, bigendian)
    expected = np.stack([records[name].ravel() for name in ("x", "y", "z", "intensity")], axis=1)
    assert has_intensity
    np.testing.assert_array_equal(points, expected.astype(np.float32))


def test_without_intensity_zeros_stand_for_it() -> None:
    decoded = decode_cloud(XYZI[:, :3].tobytes(), FLOATS, 12, 36, 1, 3)
    assert not decoded.has_intensity
    np.testing.assert_array_equal(decoded.points, XYZI * [1, 1, 1, 0])


def test_points_that_are_not_finite_are_left_out() -> None:
    cloud = XYZI.copy()
    cloud[0, 1] = np.nan
    cloud[2, 2] = np.inf
    encoded = encode_cloud(cloud)
    decoded = decode_cloud(encoded.data, encoded.fields, 16, 48, 1, 3)
    np.testing.assert_array_equal(decoded.points, XYZI[1:2])


def test_a_double_beyond_single_precision_is_not_a_point() -> None:
    fields = [PointField(name, 8 * i, 8) for i, name in enumerate("xyz")]
    data = np.array([[1e300, 0, 0], [1, 2, 3]], np.float64).tobytes()
    assert decode_cloud(data, fields, 24, 48, 1, 2).points.tolist() == [[1, 2, 3, 0]]


def test_a_missing_intensity_value_counts_as_zero() -> None:
    cloud = XYZI.copy()
    cloud[1, 3] = np.nan
    encoded = encode_cloud(cloud)
    assert decode_cloud(encoded.data, encoded.fields, 16, 48, 1, 3).points[:, 3].tolist() == [0.5, 0.0, 1.0]


@pytest.mark.parametrize(("height", "width"), [(1, 0), (0, 0), (0, 5)])
def test_an_empty_cloud_has_no_points(height: int, width: int) -> None:
    assert decode_cloud(b"", FLOATS, 12, 0, height, width).points.shape == (0, 4)


def test_one_row_needs_no_row_step() -> None:
    assert len(decode_cloud(XYZI[:, :3].tobytes(), FLOATS, 12, 0, 1, 3).points) == 3


def test_other_fields_do_not_matter() -> None:
    extra = [PointField("", 0, 99), PointField("ring", 2, 4), PointField("ring", 2, 4), PointField("rgb", 0, 7, 3)]
    assert len(decode_cloud(XYZI[:, :3].tobytes(), [*FLOATS, *extra], 12, 36, 1, 3).points) == 3


@pytest.mark.parametrize(
    ("fields", "changes", "words"),
    [
        (FLOATS[:2], {}, "without z: its fields are x, y"),
        ([], {}, "without x, y, z: its fields are none"),
        ([*FLOATS, PointField("x", 0, 7)], {}, "2 fields named 'x'"),
        ([PointField("x", 0, 9), *FLOATS[1:]], {}, "datatype 9"),
        ([PointField("x", 0, 7, 2), *FLOATS[1:]], {}, "count 2: it is not a number"),
        ([*FLOATS[:2], PointField("z", 10, 7)], {}, "ends at byte 14 of a point of 12"),
        (FLOATS, {"width": 4}, "needs 48 bytes, the message holds 36: it is truncated"),
        (FLOATS, {"height": 3, "width": 1, "row_step": 4}, "row_step is 4 bytes, but a row needs 12"),
    ],
)
def test_contradictions_are_named(fields: list[PointField], changes: dict[str, int], words: str) -> None:
    layout = {"point_step": 12, "row_step": 36, "height": 1, "width": 3} | changes
    with pytest.raises(DataError, match=words):
        decode_cloud(XYZI[:, :3].tobytes(), fields, **layout)


def test_a_field_is_a_view_of_the_message() -> None:
    data = bytearray(XYZI.tobytes())
    z = field_array(data, FLOATS, "z", 16, 48, 1, 3)
    data[8:12] = np.float32(33).tobytes()
    assert z[0, 0] == 33
