"""Which topics are the front camera and the LiDAR, judged by their types and names."""

from __future__ import annotations

import re
from collections.abc import Container, Mapping

from mono3d_kd_core.errors import DataError

IMAGE_TYPES = ("sensor_msgs/msg/Image", "sensor_msgs/msg/CompressedImage")
INFO_TYPE = "sensor_msgs/msg/CameraInfo"
POINTS_TYPE = "sensor_msgs/msg/PointCloud2"

NO_PICTURE = {"depth", "compresseddepth", "disparity", "mask", "semantic", "segmentation", "label", "labels", "overlay"}
"""Words in the names of image topics that are not the camera's picture."""

IMAGE_WORDS = {
    "front": 8, "forward": 8, "center": 6, "centre": 6, "left": 2, "right": -2, "rear": -8, "back": -8, "side": -4,
    "color": 1, "colour": 1, "rgb": 1, "mono": -1, "gray": -1, "grey": -1, "infra": -4, "infra1": -4, "infra2": -4,
}  # fmt: skip
CLOUD_WORDS = {
    "lidar": 4, "velodyne": 4, "ouster": 4, "hesai": 4, "livox": 4, "robosense": 4, "rslidar": 4, "points": 1, "raw": 1,
    "top": 2, "front": 1, "center": 1, "centre": 1, "rear": -4, "back": -4, "left": -1, "right": -1, "radar": -16,
    "depth": -16, "camera": -8, "stereo": -8, "map": -16, "filtered": -4, "ground": -8, "nonground": -8, "obstacles": -8,
    "clusters": -8, "cluster": -8, "registered": -4,
}  # fmt: skip


def best_image(topics: Mapping[str, str], calibrated: Container[str], name: str) -> str:
    """Return the image topic of the front camera out of topics (name -> type).

    `calibrated` are the namespaces with a camera_info. Raises DataError when there is no image, or two are as good.
    """
    images = [topic for topic, type_ in topics.items() if type_ in IMAGE_TYPES and not NO_PICTURE & _words(topic)]
    scores = {topic: _image_score(topic, topics[topic]) + 16 * (namespace(topic) in calibrated) for topic in images}
    image = _best(scores, f"{name}: the image topic", "sensor_msgs Image or CompressedImage")
    if image is None:
        listed = ", ".join(f"{topic} ({type_})" for topic, type_ in sorted(topics.items())) or "none"
        raise DataError(f"{name}: no camera images; its topics are {listed}")
    return image


def best_points(topics: Mapping[str, str], name: str) -> str | None:
    """Return the LiDAR's topic, None without any. Raises DataError when two are as good."""
    scores = {topic: _cloud_score(topic) for topic, type_ in topics.items() if type_ == POINTS_TYPE}
    return _best(scores, f"{name}: the LiDAR topic", "sensor_msgs PointCloud2")


def is_rectified(image_topic: str) -> bool:
    """Tell by ROS' naming whether an image topic carries the rectified image (image_rect, image_rect_color)."""
    return any("rect" in word for word in _words(image_topic))


def _words(topic: str) -> set[str]:
    return set(re.split(r"[^a-z0-9]+", topic.lower()))


def namespace(topic: str) -> str:
    """Return what an image topic and its camera_info share: /cam of /cam/image_rect, also with /compressed behind it."""
    parent, _, last = topic.rpartition("/")
    return parent.rpartition("/")[0] if last == "compressed" else parent


def _image_score(topic: str, type_: str) -> float:
    words = _words(topic)
    raw = 0.25 if type_ == IMAGE_TYPES[0] else 0  # of the same picture the one that compression has not touched
    aside = 3 if {"front", "left"} <= words or {"front", "right"} <= words else 0  # front left looks less ahead than front
    return sum(IMAGE_WORDS.get(word, 0) for word in words) + 0.5 * is_rectified(topic) + raw - aside


def _cloud_score(topic: str) -> float:
    return sum(CLOUD_WORDS.get(word, 0) for word in _words(topic))


def _best(scores: Mapping[str, float], what: str, kind: str) -> str | None:
    best = sorted(topic for topic, score in scores.items() if score == max(scores.values()))
    if len(best) > 1:
        raise DataError(f"{what} is not clear: {', '.join(best)} are all {kind}; choose one in a rig file (--rig)")
    return best[0] if best else None
