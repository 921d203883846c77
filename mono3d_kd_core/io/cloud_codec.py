"""Point clouds as ROS messages carry them (sensor_msgs PointCloud2), on plain bytes and numbers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from mono3d_kd_core.errors import DataError
from mono3d_kd_core.io.image_codec import Buffer


class Field(Protocol):
    """One entry of PointCloud2.fields: sensor_msgs PointField has these, and so has rosbags' class."""

    @property
    def name(self) -> str: ...
    @property
    def offset(self) -> int: ...
    @property
    def datatype(self) -> int: ...
    @property
    def count(self) -> int: ...


@dataclass(frozen=True)
class PointField:
    """A field of a cloud that is to be written."""

    name: str
    offset: int
    datatype: int
    count: int = 1


class EncodedCloud(NamedTuple):
    """What a PointCloud2 message of one row needs, besides its header."""

    data: bytes
    fields: tuple[PointField, ...]
    point_step: int
    width: int


class DecodedCloud(NamedTuple):
    """points (N,4) float32 x y z intensity; has_intensity is False where the message had none and zeros stand for it."""

    points: NDArray[np.float32]
    has_intensity: bool


DATATYPES = {1: "i1", 2: "u1", 3: "i2", 4: "u2", 5: "i4", 6: "u4", 7: "f4", 8: "f8"}
"""The constants of sensor_msgs PointField as numpy types."""

_FLOAT32 = 7


def decode_cloud(
    data: Buffer,
    fields: Sequence[Field],
    point_step: int,
    row_step: int,
    height: int,
    width: int,
    is_bigendian: bool = False,
) -> DecodedCloud:
    """Return the points of a PointCloud2 message as x, y, z in metres and intensity as the sensor gave it.

    Fields may have any number type, order and padding; points with a coordinate that is not finite are left out.
    Raises DataError for a cloud without x, y or z, with one of them twice, or with more points than data.
    """
    layout = (point_step, row_step, height, width, is_bigendian)
    names = [field.name for field in fields]
    missing = {"x", "y", "z"} - set(names)
    if missing:
        raise DataError(f"point cloud without {', '.join(sorted(missing))}: its fields are {', '.join(names) or 'none'}")
    has_intensity = "intensity" in names
    wanted = ("x", "y", "z", "intensity") if has_intensity else ("x", "y", "z")
    columns = np.zeros((height, width, 4), np.float32)
    with np.errstate(over="ignore"):  # a float64 beyond float32 becomes infinite, and is left out as such
        for column, name in enumerate(wanted):
            columns[..., column] = field_array(data, fields, name, *layout)
    return DecodedCloud(drop_unusable(columns.reshape(-1, 4)), has_intensity)


def drop_unusable(points: NDArray[np.float32]) -> NDArray[np.float32]:
    """Leave out the points (N,4) with a coordinate that is not finite; an intensity that is not finite becomes zero."""
    np.nan_to_num(points[:, 3], copy=False, nan=0.0, posinf=0.0, neginf=0.0)
    finite = np.isfinite(points[:, :3]).all(axis=1)
    return points if finite.all() else points[finite]


def field_array(
    data: Buffer,
    fields: Sequence[Field],
    name: str,
    point_step: int,
    row_step: int,
    height: int,
    width: int,
    is_bigendian: bool = False,
) -> NDArray[Any]:
    """Return one field of a PointCloud2 message as it is: (height, width), a view of the message's memory.

    Raises DataError if the field is missing, ambiguous, of an unknown type, outside its point, or beyond the data.
    """
    what = f"point cloud of {height}x{width} points"
    found = [field for field in fields if field.name == name]
    if len(found) != 1:
        raise DataError(f"{what}: it has {len(found)} fields named {name!r}, expected one")
    field = found[0]
    if field.datatype not in DATATYPES or field.count > 1:  # some drivers write count 0 for a single number
        raise DataError(f"{what}: field {name!r} has datatype {field.datatype} and count {field.count}: it is not a number")
    dtype = np.dtype(DATATYPES[field.datatype]).newbyteorder(">" if is_bigendian else "<")
    if field.offset + dtype.itemsize > point_step:
        raise DataError(f"{what}: field {name!r} ends at byte {field.offset + dtype.itemsize} of a point of {point_step}")
    raw = np.frombuffer(data, np.uint8)
    if height * width == 0:
        return np.empty((height, width), dtype)
    if height == 1:
        row_step = width * point_step  # drivers of unorganised clouds often leave it wrong, and nothing depends on it
    if row_step < width * point_step:
        raise DataError(f"{what}: row_step is {row_step} bytes, but a row needs {width * point_step}")
    needed = (height - 1) * row_step + width * point_step
    if len(raw) < needed:
        raise DataError(f"{what} needs {needed} bytes, the message holds {len(raw)}: it is truncated")
    return np.ndarray((height, width), dtype, raw, offset=field.offset, strides=(row_step, point_step))


def encode_cloud(points: NDArray[np.float32]) -> EncodedCloud:
    """Return a PointCloud2 message's content for points (N,4) x y z intensity: float32, little-endian, one row."""
    fields = tuple(PointField(name, 4 * i, _FLOAT32) for i, name in enumerate(("x", "y", "z", "intensity")))
    return EncodedCloud(np.asarray(points, "<f4").reshape(-1, 4).tobytes(), fields, 16, len(points))
