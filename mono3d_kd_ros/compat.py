"""cv_bridge, sensor_msgs_py and tf_transformations where they work, and the same from the core where they do not.

The distribution compiles cv_bridge for its own numpy. Beside another one, as torch may bring it into a virtual
environment, it raises at import or takes the process down with it. So each package is tried once, in a process of its
own. The answers of both ways are equal; tests hold them together.
"""

from __future__ import annotations

import functools
import importlib.util
import subprocess
import sys
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sensor_msgs.msg import CompressedImage, Image, PointCloud2

from mono3d_kd_core.geometry.rigid import Matrix, quaternion_from_rotation, rotation_from_quaternion, transform
from mono3d_kd_core.io.cloud_codec import DecodedCloud, decode_cloud, drop_unusable, field_array
from mono3d_kd_core.io.image_codec import LAYOUTS, decode_compressed, decode_image, image_array

# Each does with the package what this module asks of it, on the smallest data.
_TRIALS = {
    "cv_bridge": (
        "from cv_bridge import CvBridge; from sensor_msgs.msg import Image; "
        "image = Image(height=1, width=1, encoding='bgr8', step=3, data=[1, 2, 3]); "
        "assert CvBridge().imgmsg_to_cv2(image, 'rgb8').tolist() == [[[3, 2, 1]]]"
    ),
    "sensor_msgs_py": (
        "from sensor_msgs.msg import PointField; from sensor_msgs_py import point_cloud2 as p; "
        "from std_msgs.msg import Header; "
        "cloud = p.create_cloud(Header(), [PointField(name='x', datatype=7, count=1)], [(2.0,)]); "
        "assert p.read_points(cloud)['x'].tolist() == [2.0]"
    ),
    "tf_transformations": (
        "import numpy, tf_transformations as t; "
        "assert numpy.allclose(t.quaternion_matrix(t.quaternion_from_matrix(numpy.eye(4))), numpy.eye(4))"
    ),
}


@functools.cache
def unusable(package: str) -> str:
    """Return why one of the three packages cannot be used here, in words, or "" if it can."""
    if importlib.util.find_spec(package) is None:
        return "not installed"
    try:
        trial = subprocess.run([sys.executable, "-c", _TRIALS[package]], capture_output=True, text=True, timeout=60)
    except subprocess.TimeoutExpired:
        return "does not answer"
    if trial.returncode < 0:
        return f"crashes (signal {-trial.returncode}), probably compiled for another numpy than {np.__version__}"
    return (trial.stderr.strip().splitlines() or ["fails"])[-1] if trial.returncode else ""


def describe() -> str:
    """Say in one line, for a node's log, which of the packages do the conversions here and why others do not."""
    return "; ".join(f"{name}: {unusable(name) or 'used'}" for name in _TRIALS)


def rgb(message: Image | CompressedImage) -> NDArray[np.uint8]:
    """Return the picture (H,W,3) uint8 RGB of a raw or compressed image. Raises DataError in words."""
    if isinstance(message, CompressedImage):  # cv_bridge ignores `format`, and with it raw Bayer tiles
        return decode_compressed(message.data, message.format)
    layout = (message.height, message.width, message.encoding, message.step, bool(message.is_bigendian))
    if not _cv_bridge_reads(message) or unusable("cv_bridge"):
        return decode_image(message.data, *layout)
    image_array(message.data, *layout)  # says in words what is wrong with the message
    return np.array(_cv_bridge().imgmsg_to_cv2(message, "rgb8"), np.uint8, order="C")


def points(message: PointCloud2) -> DecodedCloud:
    """Return the points (N,4) float32 x y z intensity of a cloud with any field layout. Raises DataError in words."""
    layout = (message.point_step, message.row_step, message.height, message.width, bool(message.is_bigendian))
    if not _sensor_msgs_py_reads(message) or unusable("sensor_msgs_py"):
        return decode_cloud(message.data, message.fields, *layout)
    from sensor_msgs_py import point_cloud2

    has_intensity = any(field.name == "intensity" for field in message.fields)
    names = ["x", "y", "z", "intensity"][: 4 if has_intensity else 3]
    for name in names:
        field_array(message.data, message.fields, name, *layout)  # says in words what is wrong with the message
    records = point_cloud2.read_points(message, names)
    columns = np.zeros((len(records), 4), np.float32)
    with np.errstate(over="ignore"):
        for column, name in enumerate(names):
            columns[:, column] = records[name]
    return DecodedCloud(drop_unusable(columns), has_intensity)


def quaternion_from_matrix(T: Matrix) -> Matrix:
    """Return the quaternion (4,) x y z w, w >= 0, of a rigid (4,4) transform."""
    if unusable("tf_transformations"):
        return quaternion_from_rotation(T[:3, :3])
    import tf_transformations

    return np.asarray(tf_transformations.quaternion_from_matrix(T), np.float64)


def quaternion_matrix(quaternion: NDArray[np.float64]) -> Matrix:
    """Return the (4,4) transform of a quaternion (4,) x y z w. Raises CalibrationError for one of length zero."""
    rotation = rotation_from_quaternion(quaternion)  # tf_transformations would take length zero for no rotation
    if unusable("tf_transformations"):
        return transform(rotation, np.zeros(3))
    import tf_transformations

    return np.asarray(tf_transformations.quaternion_matrix(quaternion), np.float64)


def _cv_bridge_reads(message: Image) -> bool:
    """Tell whether cv_bridge's Python converts this layout rightly.

    It shears rows whose step is no multiple of a pixel, cannot swap bytes with numpy 2, takes OpenCV's type names for
    numbers without colours, and knows other names for YUV from version to version.
    """
    if message.encoding not in LAYOUTS or message.encoding.startswith(("8U", "yuv", "yuyv", "uyvy")):
        return False
    layout = LAYOUTS[message.encoding]
    number = np.dtype(layout.dtype).itemsize
    native = number == 1 or bool(message.is_bigendian) == (sys.byteorder == "big")
    whole = len(message.data) >= message.step * message.height
    return native and whole and message.step % (number * layout.channels) == 0


def _sensor_msgs_py_reads(message: PointCloud2) -> bool:
    """Tell whether read_points takes this layout: it ignores row_step, and swaps bytes in the message itself."""
    names = [field.name for field in message.fields]
    packed = message.height == 1 or message.row_step == message.width * message.point_step
    plain = len(set(names)) == len(names) and all(field.count == 1 for field in message.fields)
    return {"x", "y", "z"} <= set(names) and packed and plain and bool(message.is_bigendian) == (sys.byteorder == "big")


@functools.cache
def _cv_bridge() -> Any:
    from cv_bridge import CvBridge

    return CvBridge()
