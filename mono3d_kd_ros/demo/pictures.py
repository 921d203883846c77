"""The pictures of the demo: what the node published, drawn on what the camera saw."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
from rclpy.serialization import deserialize_message
from rich.console import Console
from rich.progress import track
from rosbags.rosbag2 import Reader
from vision_msgs.msg import Detection3DArray

from mono3d_kd_core.drawing import VideoWriter, beside, contact_sheet, draw_bev, draw_boxes
from mono3d_kd_core.frames import SensorFrame
from mono3d_kd_core.geometry.boxes import Boxes3D
from mono3d_kd_core.io.files import write_image
from mono3d_kd_core.io.open import open_source
from mono3d_kd_ros.messages import boxes_of, nanoseconds

SHEET = 8
"""Pictures on the contact sheet."""


def read_detections(bag: Path, topic: str) -> dict[int, Boxes3D]:
    """Return the boxes of each Detection3DArray on `topic` of a bag, by header stamp in ns, frame "camera"."""
    found = {}
    with Reader(bag) as reader:
        connections = [connection for connection in reader.connections if connection.topic == topic]
        for _, _, raw in reader.messages(connections=connections):
            message = deserialize_message(bytes(raw), Detection3DArray)
            found[nanoseconds(message.header.stamp)] = boxes_of(message)
    return found


def draw_demo(bag: Path, detections: Path, topic: str, out: Path, console: Console) -> dict[str, int]:
    """Write overlay.png and overlay.mp4 into `out`; return how many boxes of each class were published."""
    boxes = read_detections(detections, topic)
    source = open_source(bag)
    shown = set(np.linspace(0, len(source) - 1, min(SHEET, len(source))).round().astype(int).tolist())
    sheet = []
    with VideoWriter(out / "overlay.mp4") as video:
        for index in track(range(len(source)), "drawing", console=console):
            frame = source[index]
            if frame.stamp not in boxes:
                continue
            picture = _picture(frame, boxes[frame.stamp])
            video.write(picture)
            if index in shown:
                sheet.append(picture)
    if sheet:
        write_image(out / "overlay.png", contact_sheet(sheet, columns=2, width=900))
    return dict(Counter(str(label) for found in boxes.values() for label in found.label))


def _picture(frame: SensorFrame, boxes: Boxes3D) -> np.ndarray:
    """The overlay beside the view from above, with the LiDAR's points where there are any."""
    overlay = draw_boxes(frame.image, boxes, frame.rig.camera)
    return beside(overlay, draw_bev(frame.points, {"student": frame.rig.boxes_in_lidar(boxes)}))
