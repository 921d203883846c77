"""Pictures in messages: against OpenCV's and rosbags' conversions, and against messages that contradict themselves."""

from __future__ import annotations

import array
from collections.abc import Callable
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from rosbags.image import message_to_cvimage

from mono3d_kd_core.errors import DataError
from mono3d_kd_core.io.image_codec import (
    LAYOUTS,
    Buffer,
    decode_compressed,
    decode_image,
    encode_compressed,
    encode_image,
    image_array,
    pixel_layout,
)

RNG = np.random.default_rng(0)
WITH_COLOURS = [name for name in LAYOUTS if not name.startswith("8U")]


def smooth_picture(height: int = 48, width: int = 64) -> NDArray[np.uint8]:
    """A picture that a JPEG keeps almost unchanged, with three different channels."""
    y, x = np.mgrid[0:height, 0:width]
    return np.stack([4 * x, 5 * y, 128 + x - y], axis=-1).clip(0, 255).astype(np.uint8)


def random_message(encoding: str, height: int = 6, width: int = 8) -> bytes:
    layout = pixel_layout(encoding)
    return RNG.integers(0, 256, height * width * layout.channels * np.dtype(layout.dtype).itemsize, np.uint8).tobytes()


@pytest.mark.parametrize("encoding", WITH_COLOURS)
def test_agrees_with_rosbags_image(encoding: str) -> None:
    data = random_message(encoding)
    step = len(data) // 6
    message = SimpleNamespace(
        height=6, width=8, encoding=encoding, step=step, is_bigendian=False, data=np.frombuffer(data, np.uint8)
    )
    expected = message_to_cvimage(message, "rgb8")
    ours = decode_image(data, 6, 8, encoding, step)
    # rosbags cuts 16 bits off, we round: one grey level.
    tolerance = 1 if encoding.endswith("16") else 0
    assert ours.shape == (6, 8, 3)
    assert np.abs(ours.astype(int) - expected.astype(int)).max() <= tolerance


@pytest.mark.parametrize("encoding", ["mono16", "rgb16", "bayer_rggb16"])
def test_sixteen_bits_scale_to_eight_like_cv_bridge(encoding: str) -> None:
    # cv_bridge: cv::Mat::convertTo(CV_8U, 255. / 65535.), after the conversion of colours.
    data = random_message(encoding)
    pixels = np.frombuffer(data, "<u2").reshape(6, 8, -1)
    if encoding == "bayer_rggb16":
        pixels = cv2.cvtColor(pixels, cv2.COLOR_BayerBG2RGB)
    expected = np.rint(pixels * (255.0 / 65535.0)).astype(np.uint8)
    np.testing.assert_array_equal(decode_image(data, 6, 8, encoding, len(data) // 6), np.broadcast_to(expected, (6, 8, 3)))


@pytest.mark.parametrize(("encoding", "order"), [("8UC3", [2, 1, 0]), ("8UC4", [2, 1, 0]), ("8UC1", [0, 0, 0])])
def test_opencv_type_names_are_read_in_opencv_order(encoding: str, order: list[int]) -> None:
    data = random_message(encoding)
    pixels = np.frombuffer(data, np.uint8).reshape(6, 8, -1)
    np.testing.assert_array_equal(decode_image(data, 6, 8, encoding, len(data) // 6), pixels[..., order])


@pytest.mark.parametrize("encoding", ["rgb8", "bgr8", "rgba8", "bgra8"])
def test_colours_survive_the_round_trip(encoding: str) -> None:
    image = RNG.integers(0, 256, (5, 7, 3), np.uint8)
    data, step = encode_image(image, encoding)
    np.testing.assert_array_equal(decode_image(data, 5, 7, encoding, step), image)


def test_mono8_is_luma() -> None:
    image = smooth_picture()
    data, step = encode_image(image, "mono8")
    luma = image @ np.array([0.299, 0.587, 0.114])
    assert step == 64
    assert np.abs(decode_image(data, 48, 64, "mono8", step)[..., 0] - luma).max() <= 1


@given(padding=st.integers(0, 9), bigendian=st.booleans(), encoding=st.sampled_from(["rgb8", "mono16", "bgr16", "32FC1"]))
def test_padding_and_byte_order_do_not_matter(padding: int, bigendian: bool, encoding: str) -> None:
    layout = pixel_layout(encoding)
    pixels = np.arange(3 * 5 * layout.channels).reshape(3, 5, layout.channels).astype(layout.dtype)
    stored = pixels.astype(pixels.dtype.newbyteorder(">" if bigendian else "<"))
    rows = [row.tobytes() + b"\xaa" * padding for row in stored]
    step = len(rows[0])
    np.testing.assert_array_equal(image_array(b"".join(rows), 3, 5, encoding, step, bigendian), pixels)


def test_the_last_row_may_come_without_padding() -> None:
    data = b"\1\2\3\0" + b"\4\5\6"
    assert image_array(data, 2, 3, "mono8", 4)[..., 0].tolist() == [[1, 2, 3], [4, 5, 6]]


@pytest.mark.parametrize(
    "container", [bytes, bytearray, memoryview, lambda b: array.array("B", b), lambda b: np.frombuffer(b, np.uint8)]
)
def test_takes_data_as_any_message_class_holds_it(container: Callable[[bytes], Buffer]) -> None:
    data, step = encode_image(smooth_picture())
    np.testing.assert_array_equal(decode_image(container(data), 48, 64, "rgb8", step), smooth_picture())


def test_the_picture_owns_its_memory() -> None:
    data = bytearray(encode_image(smooth_picture())[0])
    picture = decode_image(data, 48, 64, "rgb8", 192)
    data[:] = bytes(len(data))
    np.testing.assert_array_equal(picture, smooth_picture())
    assert picture.flags.writeable


@pytest.mark.parametrize(
    ("data", "height", "width", "encoding", "step", "words"),
    [
        (bytes(95), 4, 8, "rgb8", 24, "needs 96 bytes, the message holds 95: it is truncated"),
        (bytes(96), 4, 8, "rgb8", 23, "step is 23 bytes, but a row alone needs 24"),
        (bytes(96), 4, 8, "rgb8", 0, "step is 0 bytes"),
        (b"", 0, 0, "rgb8", 0, "it has no pixels"),
        (bytes(96), 4, 8, "rgb9", 24, "'rgb9' is not known; known are rgb8"),
        (bytes(96), 4, 8, "", 24, "'' is not known"),
        (bytes(128), 4, 8, "32FC1", 32, "'32FC1' holds numbers"),
        (bytes(64), 4, 8, "16UC1", 16, "'16UC1' holds numbers"),
    ],
)  # fmt: skip
def test_contradictions_are_named(data: bytes, height: int, width: int, encoding: str, step: int, words: str) -> None:
    with pytest.raises(DataError, match=words):
        decode_image(data, height, width, encoding, step)


def test_only_pictures_are_written() -> None:
    with pytest.raises(DataError, match="not as '16UC1'"):
        encode_image(smooth_picture(), "16UC1")
    with pytest.raises(DataError, match="not as 'webp'"):
        encode_compressed(smooth_picture(), "webp")


def test_png_is_exact_and_jpeg_is_close() -> None:
    image = smooth_picture()
    np.testing.assert_array_equal(decode_compressed(encode_compressed(image, "png"), "png"), image)
    assert np.abs(decode_compressed(encode_compressed(image), "jpeg").astype(int) - image).max() < 12


@pytest.mark.parametrize("format", ["jpeg", "", "rgb8; jpeg compressed bgr8", "bgr8; png compressed bgr8", "nonsense"])
def test_the_file_says_what_it_is(format: str) -> None:
    image = smooth_picture()
    np.testing.assert_array_equal(decode_compressed(encode_compressed(image, "png"), format), image)


def test_channels_that_were_stored_the_other_way_round_are_turned_back() -> None:
    # compressed_image_transport without "compressed bgr": an rgb8 image whose channels were written as they came.
    image = smooth_picture()
    stored = encode_compressed(image[..., ::-1], "png")
    np.testing.assert_array_equal(decode_compressed(stored, "rgb8; png compressed"), image)


def test_compressed_bayer_tiles_are_interpolated() -> None:
    tiles = RNG.integers(0, 256, (8, 8), np.uint8)
    file = cv2.imencode(".png", tiles)[1].tobytes()
    expected = decode_image(tiles.tobytes(), 8, 8, "bayer_grbg8", 8)
    np.testing.assert_array_equal(decode_compressed(file, "bayer_grbg8; png compressed"), expected)


def test_gray_files_become_rgb() -> None:
    gray = smooth_picture()[..., 0]
    file = cv2.imencode(".png", gray)[1].tobytes()
    np.testing.assert_array_equal(decode_compressed(file, "mono8; png compressed "), np.dstack([gray] * 3))


@pytest.mark.parametrize("kind", ["jpeg", "png"])
def test_truncated_files_are_refused(kind: str) -> None:
    file = encode_compressed(smooth_picture(), kind)
    with pytest.raises(DataError, match="the file ends early"):
        decode_compressed(file[: len(file) // 2], kind)


@pytest.mark.parametrize("data", [b"", b"not a picture", b"\xff\xd8\xff\xd9"])
def test_corrupt_files_are_refused(data: bytes) -> None:
    with pytest.raises(DataError, match="it is corrupt"):
        decode_compressed(data, "jpeg")


def test_compressed_depth_is_not_a_picture() -> None:
    with pytest.raises(DataError, match="holds depth"):
        decode_compressed(bytes(100), "16UC1; compressedDepth png")
