"""Boxes as RViz and Foxglove show them: a translucent cuboid, an arrow along the heading, and a text for each."""

from __future__ import annotations

import numpy as np
from geometry_msgs.msg import Point, Pose, Quaternion, Vector3
from std_msgs.msg import ColorRGBA, Header
from visualization_msgs.msg import Marker, MarkerArray

from mono3d_kd_core.drawing import class_colour
from mono3d_kd_core.geometry.boxes import Boxes3D
from mono3d_kd_core.geometry.rigid import T_CAMERA_BODY, Matrix

_EDGES = np.array([[0, 1], [1, 2], [2, 3], [3, 0], [4, 5], [5, 6], [6, 7], [7, 4], [0, 4], [1, 5], [2, 6], [3, 7]])


def markers_message(boxes: Boxes3D, header: Header, T_target_boxes: Matrix = T_CAMERA_BODY) -> MarkerArray:
    """Return markers in the header's frame, into which `T_target_boxes` (4,4) maps the boxes' frame.

    The first one deletes what the last frame showed; each box then has a cuboid, a heading arrow on its front face and a
    text with class and score; all wireframes are one marker.
    """
    positions, orientations = boxes.poses(T_target_boxes)
    result = [Marker(header=header, action=Marker.DELETEALL)]
    if len(boxes):
        result.append(_wireframes(boxes, header, T_target_boxes))
    for i in range(len(boxes)):
        label, size = str(boxes.label[i]), boxes.size[i]
        pose = _pose(positions[i], orientations[i])
        result.append(_marker(Marker.CUBE, "boxes", i, header, pose, label, size, 0.25))
        arrow = _marker(Marker.ARROW, "heading", i, header, pose, label, np.array([size[0] / 2 + 1, 0.12, 0.12]), 0.9)
        result.append(arrow)
        above = positions[i] + T_target_boxes[:3, 2] * (size[2] / 2 + 0.5)
        place = _pose(above, orientations[i])
        text = _marker(Marker.TEXT_VIEW_FACING, "text", i, header, place, label, np.full(3, 0.7), 1.0)
        text.text = f"{label} {boxes.score[i]:.2f}"
        result.append(text)
    return MarkerArray(markers=result)


def _wireframes(boxes: Boxes3D, header: Header, T: Matrix) -> Marker:
    corners = boxes.corners() @ T[:3, :3].T + T[:3, 3]
    ends = corners[:, _EDGES].reshape(-1, 3)
    marker = Marker(header=header, ns="edges", id=0, type=Marker.LINE_LIST, action=Marker.ADD)
    marker.pose.orientation.w = 1.0
    marker.scale.x = 0.06
    marker.points = [Point(x=x, y=y, z=z) for x, y, z in ends.tolist()]
    # One colour for all 24 ends of a box, taken by reference.
    marker.colors = [c for label in boxes.label for c in [_colour(str(label), 0.95)] * 24]
    return marker


def _marker(
    kind: int, namespace: str, number: int, header: Header, pose: Pose, label: str, scale: Matrix, alpha: float
) -> Marker:
    marker = Marker(header=header, ns=namespace, id=number, type=kind, action=Marker.ADD, pose=pose)
    marker.scale = Vector3(x=scale[0], y=scale[1], z=scale[2])
    marker.color = _colour(label, alpha)
    return marker


def _colour(label: str, alpha: float) -> ColorRGBA:
    r, g, b = class_colour(label)
    return ColorRGBA(r=r / 255, g=g / 255, b=b / 255, a=alpha)


def _pose(position: Matrix, xyzw: Matrix) -> Pose:
    x, y, z, w = xyzw
    return Pose(position=Point(x=position[0], y=position[1], z=position[2]), orientation=Quaternion(x=x, y=y, z=z, w=w))
