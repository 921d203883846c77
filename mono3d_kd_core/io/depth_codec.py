"""Depth images as ROS messages carry them (REP-118, and compressed_depth_image_transport), on plain bytes and numbers."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mono3d_kd_core.errors import DataError
from mono3d_kd_core.io.image_codec import Buffer, image_array

_HEADER_BYTES = 12  # an int32 (unused) and the two float32 of the inverse depth's quantisation


def decode_depth(
    data: Buffer, height: int, width: int, encoding: str, step: int, is_bigendian: bool = False
) -> NDArray[np.float32]:
    """Return the depths of an Image message: (H,W) float32 in metres, NaN where there is none.

    16UC1 and mono16 hold millimetres with 0 for none, 32FC1 metres (REP-118). Raises DataError for other encodings.
    """
    if encoding not in ("16UC1", "mono16", "32FC1"):
        raise DataError(f"a depth image is 16UC1 (millimetres) or 32FC1 (metres), not {encoding!r}")
    values = image_array(data, height, width, encoding, step, is_bigendian)[..., 0]
    return _metres(values)


def encode_depth(depth: NDArray[np.float32], encoding: str = "32FC1") -> tuple[bytes, int]:
    """Return the data and the step of an Image message that holds the depths (H,W) in metres, NaN where there is none.

    16UC1 rounds to millimetres; what is farther than 65.535 m does not fit and becomes "none".
    """
    if encoding == "32FC1":
        values = depth.astype("<f4")
    elif encoding == "16UC1":
        millimetres = np.rint(np.nan_to_num(depth.astype(np.float64), nan=0.0, posinf=0.0) * 1000)
        values = np.where((millimetres > 0) & (millimetres < 65536), millimetres, 0).astype("<u2")
    else:
        raise DataError(f"a depth image is written as 16UC1 (millimetres) or 32FC1 (metres), not as {encoding!r}")
    return values.tobytes(), values.shape[1] * values.itemsize


def decode_compressed_depth(data: Buffer, format: str) -> NDArray[np.float32]:
    """Return the depths of a CompressedImage message: (H,W) float32 in metres, NaN where there is none.

    format is "<encoding>; compressedDepth png", as compressed_depth_image_transport writes it: a header and a 16-bit
    PNG, of millimetres for 16UC1 and of a / depth + b for 32FC1. Raises DataError for its RVL codec and corrupt data.
    """
    import cv2

    encoding, _, codec = (part.strip() for part in format.partition(";"))
    if encoding not in ("16UC1", "mono16", "32FC1") or codec not in ("compressedDepth", "compressedDepth png"):
        raise DataError(f"compressed depth of format {format!r} cannot be read; 16UC1 or 32FC1 with the png codec can")
    raw = np.frombuffer(data, np.uint8)
    values = cv2.imdecode(raw[_HEADER_BYTES:], cv2.IMREAD_UNCHANGED) if len(raw) > _HEADER_BYTES else None
    if values is None or values.dtype != np.uint16 or values.ndim != 2:
        raise DataError(f"compressed depth of format {format!r}, {len(raw)} bytes: it is corrupt")
    if encoding != "32FC1":
        return _metres(values)
    a, b = np.frombuffer(raw[4:_HEADER_BYTES].tobytes(), "<f4")
    with np.errstate(divide="ignore"):
        return np.where(values > 0, a / (values.astype(np.float32) - b), np.float32("nan")).astype(np.float32)


def _metres(values: NDArray[np.generic]) -> NDArray[np.float32]:
    if values.dtype.kind == "f":
        return np.array(values, np.float32, order="C")
    metres: NDArray[np.float32] = np.asarray(values, np.float32) / np.float32(1000)
    metres[metres == 0] = np.nan
    return metres
