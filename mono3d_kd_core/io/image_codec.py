"""Pictures as ROS messages carry them (sensor_msgs Image and CompressedImage), on plain bytes and numbers."""

from __future__ import annotations

import array
import re
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from mono3d_kd_core.errors import DataError

Buffer: TypeAlias = "bytes | bytearray | memoryview | array.array[int] | NDArray[np.uint8]"
"""What message classes hold in `data`: rclpy gives array.array, rosbags gives numpy."""

RGB: TypeAlias = NDArray[np.uint8]


class PixelLayout(NamedTuple):
    """What one pixel is made of: numbers per pixel, their numpy type, and their colours ("" where unknown)."""

    channels: int
    dtype: str
    colours: str


LAYOUTS: dict[str, PixelLayout] = {
    "rgb8": PixelLayout(3, "u1", "rgb"),
    "bgr8": PixelLayout(3, "u1", "bgr"),
    "rgba8": PixelLayout(4, "u1", "rgba"),
    "bgra8": PixelLayout(4, "u1", "bgra"),
    "mono8": PixelLayout(1, "u1", "gray"),
    "rgb16": PixelLayout(3, "u2", "rgb"),
    "bgr16": PixelLayout(3, "u2", "bgr"),
    "rgba16": PixelLayout(4, "u2", "rgba"),
    "bgra16": PixelLayout(4, "u2", "bgra"),
    "mono16": PixelLayout(1, "u2", "gray"),
    **{f"bayer_{tile}{bits}": PixelLayout(1, dtype, f"bayer_{tile}")
       for tile in ("rggb", "bggr", "gbrg", "grbg") for bits, dtype in ((8, "u1"), (16, "u2"))},
    **{name: PixelLayout(2, "u1", "uyvy") for name in ("uyvy", "yuv422")},
    **{name: PixelLayout(2, "u1", "yuyv") for name in ("yuyv", "yuv422_yuy2")},
    # OpenCV's type names carry no colours. Every viewer of the ROS world reads these as OpenCV orders them.
    "8UC1": PixelLayout(1, "u1", "gray"),
    "8UC3": PixelLayout(3, "u1", "bgr"),
    "8UC4": PixelLayout(4, "u1", "bgra"),
}  # fmt: skip
"""The encodings of sensor_msgs/image_encodings.hpp that are one plane of pixels."""

_COLOURED = ("rgb", "bgr", "rgba", "bgra")
_NUMBERS = {"8U": "u1", "8S": "i1", "16U": "u2", "16S": "i2", "32S": "i4", "32F": "f4", "64F": "f8"}


def pixel_layout(encoding: str) -> PixelLayout:
    """Return how the pixels of an encoding are laid out; raises DataError for one that is not known."""
    if encoding in LAYOUTS:
        return LAYOUTS[encoding]
    if generic := re.fullmatch(r"(8U|8S|16U|16S|32S|32F|64F)(?:C(\d+))?", encoding):
        return PixelLayout(int(generic[2] or 1), _NUMBERS[generic[1]], "")
    raise DataError(f"image encoding {encoding!r} is not known; known are {', '.join(LAYOUTS)}, and 16UC1, 32FC1 for depth")


def image_array(
    data: Buffer, height: int, width: int, encoding: str, step: int, is_bigendian: bool = False
) -> NDArray[Any]:
    """Return the pixels of an Image message as they are: (H, W, channels), a view of the message's memory.

    step is the bytes from one row to the next, padding included. Raises DataError for an empty image, a step shorter
    than a row, and data shorter than the image.
    """
    layout = pixel_layout(encoding)
    dtype = np.dtype(layout.dtype).newbyteorder(">" if is_bigendian else "<")
    what = f"image of {width}x{height} {encoding}"
    row = width * layout.channels * dtype.itemsize
    if height <= 0 or width <= 0:
        raise DataError(f"{what}: it has no pixels")
    if step < row:
        raise DataError(f"{what}: step is {step} bytes, but a row alone needs {row}")
    raw = np.frombuffer(data, np.uint8)
    needed = step * (height - 1) + row  # the last row may come without its padding
    if len(raw) < needed:
        raise DataError(f"{what} with step {step} needs {needed} bytes, the message holds {len(raw)}: it is truncated")
    pixel = layout.channels * dtype.itemsize
    return np.ndarray((height, width, layout.channels), dtype, raw, strides=(step, pixel, dtype.itemsize))


def decode_image(
    data: Buffer, height: int, width: int, encoding: str, step: int, is_bigendian: bool = False
) -> RGB:
    """Return the picture of an Image message: (H,W,3) uint8 RGB, memory of its own.

    16-bit pictures are scaled to 8 bits, alpha is dropped, gray is repeated, Bayer tiles are interpolated bilinearly, as
    cv_bridge does. Raises DataError for depth images and for messages that contradict themselves.
    """
    layout = pixel_layout(encoding)
    if not layout.colours:
        raise DataError(f"image encoding {encoding!r} holds numbers (such as depth), not colours: it is not a picture")
    return _rgb(image_array(data, height, width, encoding, step, is_bigendian), layout.colours)


def encode_image(image: RGB, encoding: str = "rgb8") -> tuple[bytes, int]:
    """Return the data and the step of an Image message that holds the picture (H,W,3) uint8 RGB.

    encoding is one of rgb8, bgr8, rgba8, bgra8, mono8 (luma as in ITU-R BT.601).
    """
    import cv2

    codes = {"rgba8": cv2.COLOR_RGB2RGBA, "bgra8": cv2.COLOR_RGB2BGRA, "mono8": cv2.COLOR_RGB2GRAY}
    pixels: NDArray[Any]
    if encoding == "rgb8":
        pixels = image
    elif encoding == "bgr8":
        pixels = image[..., ::-1]
    elif encoding in codes:
        pixels = cv2.cvtColor(image, codes[encoding])
    else:
        raise DataError(f"pictures are written as rgb8, bgr8, rgba8, bgra8 or mono8, not as {encoding!r}")
    return pixels.tobytes(), image.shape[1] * pixel_layout(encoding).channels


def decode_compressed(data: Buffer, format: str = "jpeg") -> RGB:
    """Return the picture of a CompressedImage message: (H,W,3) uint8 RGB.

    The file itself (JPEG, PNG...) says what it is; format matters where compressed_image_transport wrote it, as
    "<encoding>; <codec> compressed <colours>": for raw Bayer tiles, and for colours stored the other way round.
    Raises DataError for corrupt and truncated files, and for compressed depth.
    """
    import cv2

    original, _, rest = (part.strip() for part in format.partition(";"))
    if "compressedDepth" in format:
        raise DataError(f"compressed image of format {format!r} holds depth: it is not a picture")
    raw = np.frombuffer(data, np.uint8)
    _check_complete(raw, format)
    # The camera's pixels are wanted, as its calibration knows them: not turned by EXIF.
    pixels = cv2.imdecode(raw, cv2.IMREAD_UNCHANGED) if len(raw) else None
    if pixels is None:
        raise DataError(f"compressed image of format {format!r}, {len(raw)} bytes: it is corrupt")
    pixels = pixels.reshape(*pixels.shape[:2], -1)
    colours = {1: "gray", 3: "bgr", 4: "bgra"}[pixels.shape[2]]
    layout = LAYOUTS.get(original)
    if layout and layout.colours.startswith("bayer") and colours == "gray":
        colours = layout.colours
    elif rest and layout and layout.colours in _COLOURED and "compressed bgr" not in rest:
        colours = colours.replace("bgr", "rgb")  # the transport's first versions wrote the channels as they came
    return _rgb(pixels, colours)


def encode_compressed(image: RGB, format: str = "jpeg", quality: int = 95) -> bytes:
    """Return the data of a CompressedImage message that holds the picture (H,W,3) uint8 RGB; format is jpeg or png."""
    import cv2

    if format not in ("jpeg", "png"):
        raise DataError(f"pictures are compressed as jpeg or png, not as {format!r}")
    options = [cv2.IMWRITE_JPEG_QUALITY, quality] if format == "jpeg" else []
    _, file = cv2.imencode(f".{format}", np.ascontiguousarray(image[..., ::-1]), options)
    return bytes(file.tobytes())


def _rgb(pixels: NDArray[Any], colours: str) -> RGB:
    """Convert pixels (H,W,C) uint8 or uint16 of the named colours to (H,W,3) uint8 RGB."""
    import cv2

    # ROS names the tile by its first row, OpenCV by the second row's last two: its BG is our RGGB.
    codes = {
        "bayer_rggb": cv2.COLOR_BayerBG2RGB, "bayer_bggr": cv2.COLOR_BayerRG2RGB,
        "bayer_gbrg": cv2.COLOR_BayerGR2RGB, "bayer_grbg": cv2.COLOR_BayerGB2RGB,
        "uyvy": cv2.COLOR_YUV2RGB_UYVY, "yuyv": cv2.COLOR_YUV2RGB_YUYV,
        "bgr": cv2.COLOR_BGR2RGB, "bgra": cv2.COLOR_BGRA2RGB,
    }  # fmt: skip
    if colours in codes:
        native = np.ascontiguousarray(pixels, pixels.dtype.newbyteorder("="))
        rgb = cv2.cvtColor(native, codes[colours])
    elif colours == "gray":
        rgb = np.broadcast_to(pixels, (*pixels.shape[:2], 3))
    else:
        rgb = pixels[..., :3]
    if rgb.dtype.itemsize == 2:
        rgb = (rgb.astype(np.uint32) + 128) // 257  # 65535 becomes 255, to the nearest
    return np.array(rgb, np.uint8, order="C")


def _check_complete(raw: NDArray[np.uint8], format: str) -> None:
    """Raise DataError for a JPEG or PNG file that ends early: OpenCV would fill the rest with gray and say nothing."""
    file = raw.tobytes()
    ends = {b"\xff\xd8": b"\xff\xd9", b"\x89PNG": b"IEND"}
    if any(file.startswith(start) and end not in file for start, end in ends.items()):
        raise DataError(f"compressed image of format {format!r}, {len(file)} bytes: the file ends early, it is truncated")
