"""Faults of sensors, clocks and models at the student's node: what is published, what is said, and that it goes on."""

from __future__ import annotations

import array
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="ROS 2 is not in this environment")

from diagnostic_msgs.msg import DiagnosticStatus
from lifecycle_msgs.msg import Transition
from rclpy.qos import DurabilityPolicy, QoSProfile
from sensor_msgs.msg import CameraInfo, Image, RegionOfInterest
from tf2_msgs.msg import TFMessage

from mono3d_kd_core.geometry.camera import CameraModel
from mono3d_kd_core.geometry.rigid import transform
from mono3d_kd_ros import messages
from tests.ros import puppet_student
from tests.ros.harness import (
    CAMERA,
    HEIGHT,
    SECOND,
    WIDTH,
    Diagnostics,
    Peer,
    camera_info,
    image,
    node_process,
    stamps,
    wait_for,
)  # fmt: skip
from tests.ros.students import PUPPET, Student

LATCHED = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)


@pytest.fixture(scope="module")
def student(peer: Peer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Student]:
    """One process that has to survive all of these."""
    log = tmp_path_factory.mktemp("faults") / "log.txt"
    with node_process(PUPPET, {}, {}, log) as process:
        student = Student(peer, process, log)
        student.ready()
        yield student
    assert "Traceback" not in log.read_text()


def pixels(encoding: str, channels: int, **more: Any) -> Image:
    """Return a black image of 8 bits, with padding of 8 bytes a row."""
    step = WIDTH * channels + 8
    data = array.array("B", bytes(step * HEIGHT))
    return Image(encoding=encoding, width=WIDTH, height=HEIGHT, step=step, data=data, **more)


def deep() -> Image:
    """Return a black big-endian image of 16 bits."""
    message = pixels("mono16", 2)
    message.is_bigendian = 1
    return message


@pytest.mark.parametrize(
    "message",
    [pixels("bayer_rggb8", 1), pixels("bgra8", 4), deep(), pixels("rgb8", 3)],
    ids=["bayer", "bgra with padded rows", "16 bits, big-endian", "black"],
)
def test_unusual_images_are_answered(student: Student, message: Image) -> None:
    student.calibrate()
    message.header.frame_id = "camera_optical"
    assert student.answer(student.send(message)).header.frame_id == "camera_optical"


def unknown_lens(info: CameraInfo) -> None:
    info.distortion_model, info.d = "pineapple", array.array("d", [0.1] * 5)


def short_lens(info: CameraInfo) -> None:
    info.distortion_model, info.d = "plumb_bob", array.array("d", [0.1, 0.2])


def no_focal_length(info: CameraInfo) -> None:
    info.k[:] = np.zeros(9)


@pytest.mark.parametrize(
    ("spoil", "words"),
    [(unknown_lens, "pineapple"), (short_lens, "2"), (no_focal_length, "K[0] is zero")],
    ids=["unknown distortion model", "D of the wrong length", "K all zero"],
)
def test_a_useless_calibration_is_an_error_until_a_good_one_comes(
    student: Student, spoil: Callable[[CameraInfo], None], words: str
) -> None:
    info = camera_info()
    spoil(info)
    student.infos.publish(info)
    status = student.diagnostics.next(lambda s: "/camera_info" in s.message and words in s.message)
    assert status.level == DiagnosticStatus.ERROR
    student.send()
    student.dropped("bad_camera_info")
    assert student.works()


def test_a_region_of_interest_moves_the_principal_point(student: Student) -> None:
    info = camera_info(camera=CameraModel.pinhole(2 * WIDTH, 2 * HEIGHT, 90.0, 90.0, 63.5, 47.5))
    info.roi = RegionOfInterest(x_offset=32, y_offset=24, width=WIDTH, height=HEIGHT)
    student.infos.publish(info)
    student.calibration("64x48, fx 90.0")
    assert len(student.answer(student.send()).detections) == 1


def test_a_calibration_may_change_and_a_raw_topic_goes_by_k_not_p(student: Student) -> None:
    student.calibrate()
    student.calibration("fx 60.0")
    info = camera_info()
    info.k[0] = info.k[4] = 66.0
    info.p[0] = info.p[5] = 50.0
    student.infos.publish(info)
    student.calibration("fx 66.0, fy 66.0, none, by K and D (raw image)")
    assert student.works()


def test_an_empty_frame_id_is_a_warning_and_the_array_has_the_image_s(student: Student) -> None:
    student.calibrate(frame="")
    status = student.diagnostics.next(lambda s: "empty frame_id" in s.message)
    assert status.level >= DiagnosticStatus.WARN
    assert student.answer(student.send(frame="somewhere")).header.frame_id == "somewhere"
    assert student.works()


@pytest.mark.parametrize(
    "moments",
    [[0], [500, 500], [600, 590], [700, 100], [200, 90_000], [90_001, 300]],
    ids=["zero", "duplicate", "not monotonic", "jump back", "jump ahead", "and back"],
)
def test_each_image_is_answered_under_its_own_stamp_whatever_it_is(student: Student, moments: list[int]) -> None:
    student.calibrate()
    for moment in moments:
        before = len(student.arrays)
        student.images.publish(image(moment * SECOND))
        wait_for(lambda before=before: len(student.arrays) > before, what=f"an array of {moment}")
        assert stamps(student.arrays[-1:]) == [moment * SECOND]
    assert student.works()


def test_of_ten_thousand_detections_the_best_are_published(student: Student) -> None:
    student.calibrate()
    found = student.answer(student.send(fault=puppet_student.MANY)).detections
    assert len(found) == 50
    scores = [d.results[0].hypothesis.score for d in found]
    assert scores == sorted(scores, reverse=True)


def test_a_network_out_of_memory_costs_one_frame(student: Student) -> None:
    student.calibrate()
    student.send(fault=puppet_student.NO_MEMORY)
    assert "MemoryError: the puppet was told to be greedy" in student.dropped("detector_error").message
    assert student.works()


def test_a_second_activation_is_refused_and_changes_nothing(student: Student) -> None:
    assert not student.change(Transition.TRANSITION_ACTIVATE)
    assert student.state() == "active"
    assert student.works()


def test_sim_time_without_a_clock_is_told_and_frames_are_answered(peer: Peer, tmp_path: Path) -> None:
    with node_process(PUPPET, {"use_sim_time": True}, {"__ns": "/timeless"}, tmp_path / "log.txt") as process:
        names = ("/timeless/student_node", "/timeless/image", "/timeless/camera_info")
        student = Student(peer, process, tmp_path / "log.txt", *names)
        student.ready()
        student.diagnostics.next(lambda s: "use_sim_time is set, but nobody publishes /clock" in s.message)
        assert student.works()


@pytest.mark.slow
def test_a_node_that_was_killed_serves_again_when_it_is_started_anew(peer: Peer, tmp_path: Path) -> None:
    names = ("/fallen/student_node", "/fallen/image", "/fallen/camera_info")
    for _ in range(2):
        with node_process(PUPPET, {}, {"__ns": "/fallen"}, tmp_path / "log.txt") as process:
            student = Student(peer, process, tmp_path / "log.txt", *names)
            student.ready()
            assert student.works()
            process.kill()
            process.wait()
            wait_for(lambda student=student: not student.images.get_subscription_count(), what="the node gone")


def test_tf_late_beyond_its_samples_and_moved(peer: Peer, tmp_path: Path) -> None:
    """One node with a target frame: a transform that is late, one that would be extrapolated, one that changes."""
    parameters = {"target_frame": "map", "transform_timeout": 2.0}
    with node_process(PUPPET, parameters, {"__ns": "/moving"}, tmp_path / "log.txt") as process:
        names = ("/moving/student_node", "/moving/image", "/moving/camera_info")
        student = Student(peer, process, tmp_path / "log.txt", *names)
        student.ready()
        student.calibrate(CAMERA)
        tf, fixed = peer.publisher(TFMessage, "/tf"), peer.publisher(TFMessage, "/tf_static", LATCHED)

        def say(publisher: Any, child: str, stamp: int, x: float) -> None:
            T = transform(np.eye(3), [x, 0.0, 0.0])
            parent = {"camera_optical": "base", "base": "map"}[child]
            publisher.publish(TFMessage(transforms=[messages.transform_message(T, parent, child, stamp)]))

        def x_of(stamp: int) -> float:
            return float(student.answer(stamp).detections[0].bbox.center.position.x)

        stamp = student.send()  # nothing is known yet; it comes while the node waits
        for moment in (stamp - SECOND, stamp + SECOND):
            say(tf, "base", moment, 10.0)
        say(fixed, "camera_optical", 0, 1.0)  # static, after the data
        assert x_of(stamp) == pytest.approx(11.0)

        say(fixed, "camera_optical", 0, 2.0)  # the mounting has changed
        wait_for(lambda: x_of(student.send()) == pytest.approx(12.0), what="the new mounting")

        student.images.publish(image(stamp + 60 * SECOND))  # far beyond the samples
        status = student.dropped("no_transform")
        assert "base" in status.message
        assert Diagnostics.values(status)["dropped: no_transform"] == "1"
