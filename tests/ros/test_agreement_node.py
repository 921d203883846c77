"""The agreement of student and teacher as a process: figures of known boxes, and words for what is not as asked."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="ROS 2 is not in this environment")

from diagnostic_msgs.msg import DiagnosticStatus
from std_msgs.msg import Float64
from vision_msgs.msg import Detection3DArray

from mono3d_kd_core.geometry.boxes import Boxes3D
from mono3d_kd_ros import messages
from tests.ros.harness import SECOND, Diagnostics, Peer, header, node_process, wait_for

RANGE_ERROR, LATERAL_ERROR = 0.8, 0.3


def cars(distances: list[float]) -> Boxes3D:
    """Return cars straight ahead."""
    count = len(distances)
    centre = np.column_stack([distances, np.zeros((count, 2))])
    size, label = np.tile([4.0, 1.8, 1.5], (count, 1)), np.full(count, "Car")
    return Boxes3D(centre, size, np.zeros(count), label, np.full(count, 0.9), np.full(count, np.nan), "camera")


@pytest.fixture
def publishers(peer: Peer, tmp_path: Path) -> Iterator[dict[str, Any]]:
    """What the node listens to."""
    parameters = {"least_objects": 10, "least_recall": 0.9, "silence_warn": 60.0}
    with node_process("mono3d_kd_ros.agreement_node", parameters, {}, tmp_path / "log.txt"):
        yield {side: peer.publisher(Detection3DArray, f"/{side}") for side in ("student", "teacher")}


def test_the_figures_are_those_of_the_boxes(peer: Peer, publishers: dict[str, Any]) -> None:
    plots = {what: peer.listen(Float64, f"/agreement_node/car/{what}") for what in ("recall", "precision", "range_error")}
    diagnostics = Diagnostics(peer, "/agreement_node")

    def send(side: str, number: int, boxes: Boxes3D, frame: str = "camera_optical") -> None:
        array = messages.detections_message(boxes, header((100 + number) * SECOND // 10, frame))
        publishers[side].publish(array)

    near, far = cars([10.0]), cars([10.0, 40.0])
    behind = cars([-20.0])  # a LiDAR sees it, a camera does not
    seen = replace(near, centre=near.centre + np.array([RANGE_ERROR, LATERAL_ERROR, 0.0]))
    for number in range(12):
        send("student", number, seen)
    for number in range(12):  # a while later, as teachers are
        send("teacher", number, Boxes3D.concatenate([far, behind]))
    status = diagnostics.next(lambda s: Diagnostics.values(s).get("frames in the window") == "12")
    values = Diagnostics.values(status)
    assert values["Car 0-15 m"].startswith("recall 1.00 of 12, precision 1.00 of 12, range error 0.80 m, lateral error 0.30")
    assert values["Car 30-50 m"].startswith("recall 0.00 of 12")
    assert status.level == DiagnosticStatus.WARN
    assert "Car: recall 0.50 of 24, at least 0.90 is asked for" in status.message
    assert "precision" not in status.message
    wait_for(lambda: all(plots.values()))
    assert plots["recall"][-1].data == pytest.approx(0.5)
    assert plots["range_error"][-1].data == pytest.approx(RANGE_ERROR)

    send("student", 20, seen, "map")
    send("teacher", 20, far)
    diagnostics.next(lambda s: "1 of the student's arrays have other frame ids" in s.message)
    send("teacher", -50, far)  # the bag begins anew
    send("student", -50, cars([10.0, 40.0]))
    status = diagnostics.next(lambda s: Diagnostics.values(s).get("frames in the window") == "1")
    assert Diagnostics.values(status)["jumps back in time"] == "1"
    assert "recall 1.00 of 2" in Diagnostics.values(status)["Car everywhere"]
