"""Depth in messages: REP-118 and compressed_depth_image_transport."""

from __future__ import annotations

import struct

import cv2
import numpy as np
import pytest

from mono3d_kd_core.errors import DataError
from mono3d_kd_core.io.depth_codec import decode_compressed_depth, decode_depth, encode_depth

NAN = np.float32("nan")
DEPTH = np.array([[1.234, 7.5, NAN], [NAN, 42.125, 65.0]], np.float32)


def test_metres_survive_exactly() -> None:
    data, step = encode_depth(DEPTH)
    np.testing.assert_array_equal(decode_depth(data, 2, 3, "32FC1", step), DEPTH)


def test_millimetres_with_zero_for_none() -> None:
    data, step = encode_depth(DEPTH, "16UC1")
    assert np.frombuffer(data, "<u2").tolist() == [1234, 7500, 0, 0, 42125, 65000]
    np.testing.assert_allclose(decode_depth(data, 2, 3, "16UC1", step), DEPTH, atol=5e-4)


def test_what_does_not_fit_millimetres_is_none() -> None:
    far = np.array([[65.536, np.inf, -1.0]], np.float32)
    assert np.isnan(decode_depth(encode_depth(far, "16UC1")[0], 1, 3, "16UC1", 6)).all()


def test_big_endian_rows_with_padding() -> None:
    data = struct.pack(">2H", 1000, 2000) + b"\xff\xff" + struct.pack(">2H", 3000, 0) + b"\xff\xff"
    np.testing.assert_array_equal(decode_depth(data, 2, 2, "16UC1", 6, True), np.array([[1, 2], [3, NAN]], np.float32))


def test_other_encodings_are_refused() -> None:
    with pytest.raises(DataError, match="not 'rgb8'"):
        decode_depth(bytes(6), 1, 2, "rgb8", 6)
    with pytest.raises(DataError, match="not as 'mono8'"):
        encode_depth(DEPTH, "mono8")


def test_compressed_millimetres() -> None:
    png = cv2.imencode(".png", np.array([[1000, 0]], np.uint16))[1].tobytes()
    depth = decode_compressed_depth(bytes(12) + png, "16UC1; compressedDepth png")
    np.testing.assert_array_equal(depth, np.array([[1, NAN]], np.float32))


def test_compressed_metres_are_quantised_inverse_depth() -> None:
    # compressed_depth_image_transport: a = q (q + 1), b = 1 - a / depth_max, stored = a / depth + b.
    quantisation, farthest = 100.0, 10.0
    a = quantisation * (quantisation + 1)
    b = 1 - a / farthest
    depth = np.array([[1.5, 3.0, 9.0]])
    stored = np.append(a / depth + b, 0).astype(np.uint16)[None]
    data = struct.pack("<iff", 0, a, b) + cv2.imencode(".png", stored)[1].tobytes()
    decoded = decode_compressed_depth(data, "32FC1; compressedDepth png")
    np.testing.assert_allclose(decoded[:, :3], depth, rtol=1e-2)
    assert np.isnan(decoded[0, 3])


@pytest.mark.parametrize(
    ("data", "format", "words"),
    [
        (bytes(40), "16UC1; compressedDepth rvl", "cannot be read"),
        (bytes(40), "jpeg", "cannot be read"),
        (bytes(5), "16UC1; compressedDepth", "it is corrupt"),
        (bytes(40), "16UC1; compressedDepth", "it is corrupt"),
    ],
)
def test_what_cannot_be_read_is_named(data: bytes, format: str, words: str) -> None:
    with pytest.raises(DataError, match=words):
        decode_compressed_depth(data, format)
