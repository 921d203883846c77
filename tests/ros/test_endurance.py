"""The student's node for longer: every frame is accounted for, and nothing grows."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="ROS 2 is not in this environment")

from lifecycle_msgs.msg import Transition
from lifecycle_msgs.srv import ChangeState
from rclpy.qos import HistoryPolicy, QoSProfile
from sensor_msgs.msg import CameraInfo, Image
from vision_msgs.msg import Detection3DArray

from mono3d_kd_core.geometry.camera import CameraModel
from mono3d_kd_ros import messages
from tests.ros.harness import SECOND, Diagnostics, Peer, camera_info, header, node_process, stamps, wait_for

CAMERA = CameraModel.pinhole(1242, 375, 720.0, 720.0, 620.5, 187.0)
FRAMES = 600
SLOWER_MS = 150
"""What the network takes for a frame: longer than the cameras' intervals."""
MEGABYTE = 1 << 20


@pytest.fixture
def node(peer: Peer, tmp_path: Path) -> Iterator[int]:
    """The id of a student's process with a detector that obeys the image.

    Its images come reliably: what a busy machine loses between processes is no matter of the node's.
    """
    reliable = {
        "qos_overrides./image.subscription.reliability": "reliable", "qos_overrides./image.subscription.history": "keep_all",
    }  # fmt: skip
    with node_process("tests.ros.puppet_student", reliable, {}, tmp_path / "log.txt") as process:
        yield process.pid


def resident_bytes(pid: int) -> int:
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * 4096


def held(pid: int) -> tuple[int, int]:
    """Return how many threads and file descriptors a process has."""
    return len(list(Path(f"/proc/{pid}/task").iterdir())), len(list(Path(f"/proc/{pid}/fd").iterdir()))


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize("rate", [10, 30])
def test_a_camera_faster_than_the_network_is_accounted_for_frame_by_frame(peer: Peer, node: int, rate: int) -> None:
    every = QoSProfile(depth=FRAMES)
    arrays = peer.listen(Detection3DArray, "/student_node/detections", every)
    diagnostics = Diagnostics(peer, "/student_node")
    images = peer.publisher(Image, "/image", QoSProfile(depth=0, history=HistoryPolicy.KEEP_ALL))
    infos = peer.publisher(CameraInfo, "/camera_info")

    def knows_the_camera() -> bool:
        infos.publish(camera_info(camera=CAMERA))  # the first may come before the subscriber is connected
        return any("1242x375" in Diagnostics.values(status)["calibration"] for status in diagnostics.all())

    wait_for(knows_the_camera, what="the camera's calibration in the diagnostics")
    pixels = np.zeros((CAMERA.height, CAMERA.width, 3), np.uint8)
    pixels[0, 0] = 3, SLOWER_MS // 10, 0

    begin, sizes = time.monotonic(), []
    for number in range(FRAMES):
        time.sleep(max(0.0, begin + number / rate - time.monotonic()))
        images.publish(messages.image_message(pixels, header((number + 1) * SECOND // rate)))
        if number % (FRAMES // 10) == 0:
            sizes.append(resident_bytes(node))
    final = Diagnostics.values(diagnostics.next(lambda s: settled(Diagnostics.values(s))))

    published = int(final["frames published"])
    drops = {key: int(value) for key, value in final.items() if key.startswith("dropped: ")}
    assert published + sum(drops.values()) == FRAMES
    assert set(drops) <= {"dropped: busy", "dropped: nobody_listens"}
    assert published < FRAMES
    wait_for(lambda: len(arrays) == published, what="all arrays")
    assert stamps(arrays) == sorted(set(stamps(arrays)))
    # Where the machine is busy some images wait in the middleware; a node that kept them all would hold hundreds.
    assert sizes[-1] - sizes[3] < 100 * pixels.nbytes


def settled(values: dict[str, str]) -> bool:
    """Tell whether a status counts all frames, and none is in work."""
    received, published, dropped = (int(values[f"frames {what}"]) for what in ("received", "published", "dropped"))
    return received == FRAMES == published + dropped


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_a_hundred_rounds_of_the_lifecycle_leave_nothing_behind(peer: Peer, node: int) -> None:
    def go(*transitions: int) -> None:
        for transition in transitions:
            request = ChangeState.Request(transition=Transition(id=transition))
            assert peer.call(ChangeState, "/student_node/change_state", request).success

    down = Transition.TRANSITION_DEACTIVATE, Transition.TRANSITION_CLEANUP
    up = Transition.TRANSITION_CONFIGURE, Transition.TRANSITION_ACTIVATE
    peer.publisher(Image, "/image")
    for _ in range(5):
        go(*down, *up)
    before, size = held(node), resident_bytes(node)
    for _ in range(100):
        go(*down, *up)
    wait_for(lambda: held(node) == before, what=f"{before} threads and descriptors, not {held(node)}")
    assert resident_bytes(node) - size < 20 * MEGABYTE
