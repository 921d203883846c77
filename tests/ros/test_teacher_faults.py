"""Faults of sensors and clocks at the teacher's node: counted with a reason, the store unharmed, the next frame labelled."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="ROS 2 is not in this environment")

from rclpy.qos import DurabilityPolicy, QoSProfile
from sensor_msgs.msg import CameraInfo, Image, PointCloud2
from tf2_msgs.msg import TFMessage
from vision_msgs.msg import Detection3DArray

from mono3d_kd_core.geometry.rigid import T_CAMERA_BODY
from mono3d_kd_core.targets import TargetStore
from mono3d_kd_ros import messages
from mono3d_kd_ros.teacher.cloud_check import CLOUDS
from tests.deploy.test_trained_lidar import sweep
from tests.ros.harness import SECOND, Diagnostics, Peer, camera_info, header, image, node_process, stamps, wait_for

LATCHED = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
STEP = SECOND // 10


def cloud(stamp: int, points: np.ndarray | None = None) -> PointCloud2:
    """Return a cloud in the LiDAR's frame; its first points become the puppet's cars."""
    given = np.full((5, 4), 0.5, np.float32) if points is None else points
    return messages.cloud_message(given.astype(np.float32), header(stamp, "lidar"))


class Rig:
    """A camera and a LiDAR that a running teacher's node listens to, live."""

    def __init__(self, peer: Peer, store: Path) -> None:
        self.peer, self.store, self.stamp = peer, store, 100 * SECOND
        self.arrays = peer.listen(Detection3DArray, "/teacher_node/detections")
        self.diagnostics = Diagnostics(peer, "/teacher_node")
        self.images, self.clouds = peer.publisher(Image, "/image"), peer.publisher(PointCloud2, "/points")
        mounting = messages.transform_message(T_CAMERA_BODY, "camera_optical", "lidar", 0)
        peer.publisher(TFMessage, "/tf_static", LATCHED).publish(TFMessage(transforms=[mounting]))
        self.infos = peer.publisher(CameraInfo, "/camera_info")

    def send(self, points: np.ndarray | None = None, picture: Any = None) -> int:
        """Publish a cloud and an image of one stamp, a step after the last, and return the stamp."""
        self.stamp += STEP
        message = picture if picture is not None else image(self.stamp)
        message.header.stamp = messages.time_message(self.stamp)
        self.clouds.publish(cloud(self.stamp, points))
        self.images.publish(message)
        return self.stamp

    def works(self, points: np.ndarray | None = None) -> bool:
        """Tell whether good frames are labelled; a pair is certain once the next one has come."""
        begin = self.stamp

        def labelled() -> bool:
            self.infos.publish(camera_info())  # again and again, as drivers do: a best-effort message may be lost
            self.send(points)
            return any(stamp > begin for stamp in stamps(self.arrays[-5:]))

        end = wait_for(labelled, what="a labelled frame")
        return bool(end)

    def drops(self, reason: str) -> Any:
        """Wait for a status that counts a drop for the reason."""
        return self.diagnostics.next(lambda s: f"dropped: {reason}" in Diagnostics.values(s))


@pytest.fixture(scope="module")
def rig(peer: Peer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    """One live node that has to survive all of these."""
    folder = tmp_path_factory.mktemp("faults")
    parameters = {"model": "'0'", "out": folder / "store", "mode": "live", "queue": 100}
    with node_process("tests.ros.puppet_teacher", parameters, {}, folder / "log.txt"):
        rig = Rig(peer, folder / "store")
        other_lidar = sweep(16, scale=255.0).reshape(-1, 16, 4)[::20].reshape(-1, 4)  # every 4 degrees are enough
        for _ in range(CLOUDS):
            assert rig.works(other_lidar)
        yield rig
    log = (folder / "log.txt").read_text()
    assert "Traceback" not in log
    assert log.count("about 16 beams") == 1
    assert len(TargetStore(folder / "store")) > 0


def test_a_lidar_unlike_the_trained_one_is_told(rig: Rig) -> None:
    status = rig.diagnostics.next()
    assert "about 16 beams, the teacher was trained on 64" in status.message
    assert "the teacher was trained on at most 1: divide them by 255" in status.message


@pytest.mark.parametrize(
    ("points", "reason", "words"),
    [
        (np.full((5, 4), -1.0), "teacher_refused", "the puppet was told to fail"),
        (np.full((5, 4), np.nan), "", ""),
        (np.empty((0, 4)), "", ""),
    ],
    ids=["the teacher refuses", "no point is finite", "no points"],
)
def test_a_cloud_that_is_no_use_costs_one_frame(rig: Rig, points: np.ndarray, reason: str, words: str) -> None:
    sent = [rig.send(points)]
    if reason:
        # The puppet looks at as many points as the last two bits of the frame's number tell: four in a row see some.
        sent += [rig.send(points) for _ in range(3)]
        assert words in rig.diagnostics.next(lambda s: f" {reason}" in s.message).message
    else:
        wait_for(lambda: sent.append(rig.send(points)) or set(sent) & set(stamps(rig.arrays)), what="an empty array")
    assert rig.works()


def test_a_cloud_of_doubles_without_intensity_is_read(rig: Rig) -> None:
    from sensor_msgs.msg import PointField

    rig.stamp += STEP
    values = np.ones((5, 3))
    message = cloud(rig.stamp)
    message.fields = [
        PointField(name=name, offset=8 * i, datatype=PointField.FLOAT64, count=1) for i, name in enumerate("xyz")
    ]
    message.width, message.height, message.point_step, message.row_step = 5, 1, 24, 120
    message.data = values.tobytes()
    rig.clouds.publish(message)
    rig.images.publish(image(rig.stamp))
    stamp = rig.stamp
    assert rig.works()
    assert stamp in stamps(rig.arrays)


def test_an_image_that_cannot_be_read_costs_one_frame(rig: Rig) -> None:
    broken = image(0)
    broken.encoding = "yuv999"
    rig.send(picture=broken)
    rig.send()
    assert rig.works()
    rig.drops("undecodable")


def test_a_stream_that_stops_is_counted_and_the_other_goes_on(rig: Rig) -> None:
    for _ in range(3):
        rig.stamp += STEP
        rig.images.publish(image(rig.stamp))
    assert rig.works()
    rig.drops("no_partner")


@pytest.mark.parametrize("leap", [-50 * SECOND, 500 * SECOND], ids=["back", "ahead"])
def test_after_a_jump_of_the_clock_it_goes_on(rig: Rig, leap: int) -> None:
    rig.stamp += leap
    assert rig.works()


def test_a_stamp_of_zero_is_counted(rig: Rig) -> None:
    rig.images.publish(image(0))
    assert rig.works()
    rig.drops("zero_stamp")
