"""The student's node as a process on a graph of its own: what goes in comes out, or is counted with a reason."""

from __future__ import annotations

import array
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="ROS 2 is not in this environment")

from diagnostic_msgs.msg import DiagnosticStatus
from lifecycle_msgs.msg import Transition
from rcl_interfaces.srv import DescribeParameters
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import CameraInfo, CompressedImage, Image
from std_msgs.msg import Float64
from std_srvs.srv import Trigger
from tf2_msgs.msg import TFMessage
from vision_msgs.msg import LabelInfo
from visualization_msgs.msg import MarkerArray

from mono3d_kd_core.geometry.camera import CameraModel
from mono3d_kd_core.geometry.rigid import T_CAMERA_BODY, inverse, transform
from mono3d_kd_core.io.image_codec import decode_image, encode_compressed
from mono3d_kd_ros import messages
from tests.ros import puppet_student
from tests.ros.harness import (
    HEIGHT,
    SECOND,
    WIDTH,
    Diagnostics,
    Peer,
    camera_info,
    header,
    image,
    node_process,
    stamps,
    until,
    wait_for,
)  # fmt: skip
from tests.ros.students import PUPPET, Student, real, text

LATCHED = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)


@pytest.fixture(scope="module")
def student(peer: Peer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Student]:
    """One process for the tests that leave the node as they found it."""
    log = tmp_path_factory.mktemp("student") / "log.txt"
    with node_process(PUPPET, {}, {}, log) as process:
        student = Student(peer, process, log)
        student.ready()
        yield student


@pytest.fixture(autouse=True)
def calibrated(student: Student) -> None:
    """Every test begins with a camera that is calibrated."""
    student.calibrate()
    time.sleep(0.05)


def test_every_image_is_answered_under_its_own_stamp_and_frame(student: Student) -> None:
    for boxes in (3, 0, 1):
        stamp = student.send(boxes=boxes)
        answer = student.answer(stamp)
        assert len(answer.detections) == boxes
        assert answer.header.frame_id == "camera_optical"
    positions = [d.bbox.center.position for d in student.answer(student.send(boxes=3)).detections]
    np.testing.assert_allclose([[p.x, p.y, p.z] for p in positions], [[0, 0, 10], [0, 0, 20], [0, 0, 30]], atol=1e-9)


def test_a_slow_network_sees_the_latest_image_and_the_others_are_counted(student: Student) -> None:
    before = student.counts()
    sent = []
    for _ in range(12):
        sent.append(student.send(delay_ms=120))
        time.sleep(0.04)
    student.answer(sent[-1])
    after = student.counts()
    received, published = (after[key] - before[key] for key in ("received", "published"))
    assert received == 12
    assert received == published + after["busy"] - before.get("busy", 0)
    answered = [stamp for stamp in stamps(student.arrays) if stamp in sent]
    assert len(answered) == published < 12
    assert answered == sorted(answered)


def test_markers_and_overlay_come_when_somebody_looks(student: Student) -> None:
    markers = student.peer.listen(MarkerArray, "/student_node/markers")
    overlays = student.peer.listen(Image, "/student_node/overlay")
    topics = ("/student_node/markers", "/student_node/overlay")
    wait_for(lambda: all(student.peer.node.count_publishers(topic) for topic in topics))
    time.sleep(0.3)
    stamp = student.send(boxes=1)
    student.answer(stamp)
    wait_for(lambda: markers and overlays)
    assert stamps([markers[-1].markers[0]]) == stamps([overlays[-1]]) == [stamp]
    picture = overlays[-1]
    drawn = decode_image(picture.data, picture.height, picture.width, picture.encoding, picture.step)
    assert (drawn != 90).any(axis=-1).sum() > 50  # the image itself is flat grey


def test_the_classes_are_told_to_late_joiners(student: Student) -> None:
    infos = student.peer.listen(LabelInfo, "/student_node/label_info", LATCHED)
    info = wait_for(lambda: infos)[0]
    assert [c.class_name for c in info.class_map] == ["Car"]
    assert info.threshold == pytest.approx(0.1)


def test_the_threshold_can_be_turned_while_it_runs(student: Student) -> None:
    assert student.set("score_threshold", real(0.8)).successful
    detections = student.answer(student.send(boxes=5)).detections
    assert student.set("score_threshold", real(-1.0)).successful
    scores = [d.results[0].hypothesis.score for d in detections]
    assert scores == pytest.approx([0.95, 0.8375])
    assert not student.set("score_threshold", real(1.5)).successful
    refused = student.set("backend", text("magic"))
    assert not refused.successful
    assert "'torch' or 'onnx'" in refused.reason


def test_parameters_say_what_they_are(student: Student) -> None:
    names = ["score_threshold", "autostart", "target_frame"]
    request = DescribeParameters.Request(names=names)
    threshold, autostart, frame = student.peer.call(
        DescribeParameters, "/student_node/describe_parameters", request
    ).descriptors
    assert (threshold.floating_point_range[0].from_value, threshold.floating_point_range[0].to_value) == (-1, 1)
    assert autostart.read_only
    assert not threshold.read_only
    assert "tf" in frame.description


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"encoding": "yuv999"}, "yuv999"),
        ({"encoding": "32FC1", "step": 4 * WIDTH}, "not a picture"),
        ({"encoding": "16UC1", "step": 2 * WIDTH}, "16UC1"),
        ({"step": 10}, "step is 10"),
        ({"data": array.array("B", bytes(100))}, "truncated"),
        ({"height": 0, "width": 0}, "no pixels"),
    ],
)
def test_a_broken_image_is_dropped_with_words(student: Student, change: dict[str, Any], words: str) -> None:
    message = image(0)
    for name, value in change.items():
        setattr(message, name, value)
    student.send(message)
    assert words in student.dropped("bad_image").message
    assert student.works()


def test_a_grey_image_is_as_good_as_any(student: Student) -> None:
    message = image(0)
    message.encoding, message.step, message.data = "mono8", WIDTH, array.array("B", bytes(WIDTH * HEIGHT))
    assert len(student.answer(student.send(message)).detections) == 0


def test_an_image_of_another_size_than_its_camera_is_dropped(student: Student) -> None:
    student.send(messages.image_message(np.zeros((HEIGHT // 2, WIDTH // 2, 3), np.uint8), header(0)))
    words = f"the image is {WIDTH // 2}x{HEIGHT // 2}, its CameraInfo {WIDTH}x{HEIGHT}"
    assert words in student.dropped("size_mismatch").message
    assert student.works()


def test_a_camera_that_is_not_calibrated_is_an_error_until_it_is(student: Student) -> None:
    student.infos.publish(CameraInfo(header=header(SECOND), width=WIDTH, height=HEIGHT))
    time.sleep(0.1)
    student.send()
    status = student.dropped("bad_camera_info")
    assert "K[0] is zero" in status.message
    assert status.level == DiagnosticStatus.ERROR
    assert student.works()


def test_binning_is_applied_to_the_calibration(student: Student) -> None:
    full = CameraModel.pinhole(2 * WIDTH, 2 * HEIGHT, 90.0, 90.0, 63.5, 47.5)
    info = camera_info(camera=full)
    info.binning_x = info.binning_y = 2
    student.infos.publish(info)
    time.sleep(0.1)
    student.answer(student.send())
    assert "64x48, fx 45.0" in Diagnostics.values(student.diagnostics.next())["calibration"]


def test_a_camera_unlike_the_one_trained_on_is_a_warning(student: Student) -> None:
    student.calibrate(CameraModel.pinhole(WIDTH, HEIGHT, 300.0, 300.0, 31.5, 23.5))
    student.answer(student.send())
    status = student.diagnostics.next()
    assert status.level == DiagnosticStatus.WARN
    assert "far from the one trained on" in status.message
    student.calibrate()
    student.diagnostics.next(lambda s: "far from" not in s.message)


@pytest.mark.parametrize(
    ("fault", "reason", "words"),
    [
        (puppet_student.RAISE, "detector_error", "told to fail"),
        (puppet_student.NOT_FINITE, "not_finite", "not finite"),
    ],
)
def test_a_detector_that_fails_costs_one_frame(student: Student, fault: int, reason: str, words: str) -> None:
    student.send(fault=fault)
    assert words in student.dropped(reason).message
    assert student.works()


def swap(student: Student, bundle: str) -> Any:
    """Ask for another bundle, send images until there is an answer, and return it with the stamps of the images."""
    assert student.set("model", text(bundle)).successful
    client = student.peer.node.create_client(Trigger, "/student_node/load_bundle")
    wait_for(client.service_is_ready)
    future, sent = client.call_async(Trigger.Request()), []
    while not future.done() or len(sent) < 3:
        sent.append(student.send())
        student.answer(sent[-1])
    student.peer.node.destroy_client(client)
    return future.result(), sent


def classes(student: Student, sent: list[int]) -> list[str]:
    """Return the class that each image was answered with."""
    return [student.answer(stamp).detections[0].results[0].hypothesis.class_id for stamp in sent]


def test_another_bundle_takes_over_between_two_frames(student: Student) -> None:
    infos = student.peer.listen(LabelInfo, "/student_node/label_info", LATCHED)
    before = student.counts()
    answer, sent = swap(student, "vans")
    assert answer.success
    sent.append(student.send())
    found = classes(student, sent)  # every image has been answered while the bundle was loaded
    assert found == ["Car"] * found.count("Car") + ["Van"] * found.count("Van")
    assert found.count("Car") > 5
    assert found[-1] == "Van"
    wait_for(lambda: infos and infos[-1].class_map[0].class_name == "Van")
    after = student.counts()
    assert after["received"] - before["received"] == after["published"] - before["published"] == len(sent)
    assert Diagnostics.values(student.diagnostics.next())["model"] == "vans"

    answer, sent = swap(student, "missing")
    assert not answer.success
    assert answer.message == "missing: no such folder"
    assert set(classes(student, sent)) == {"Van"}
    assert Diagnostics.values(student.diagnostics.next())["model"] == "vans"
    assert swap(student, "")[0].success
    assert classes(student, [student.send()]) == ["Car"]


def test_delays_of_single_frames_can_be_plotted(student: Student) -> None:
    names = ("processing_time_ms", "pipeline_latency_ms", "cyclic_time_ms")
    heard = [student.peer.listen(Float64, f"/student_node/debug/{name}") for name in names]

    def sent_until_all_are_heard() -> bool:
        student.answer(student.send(delay_ms=50))
        return all(heard)

    wait_for(sent_until_all_are_heard)
    processing, pipeline, cyclic = (values[-1].data for values in heard)
    assert 50 <= processing <= pipeline
    assert cyclic > processing


def test_silence_is_reported(student: Student) -> None:
    student.answer(student.send())
    status = student.diagnostics.next(lambda s: s.level == DiagnosticStatus.ERROR)
    assert "no image on /image for" in status.message


def test_a_publisher_that_cannot_be_heard_is_named(student: Student) -> None:
    request = "qos_overrides./image.subscription.reliability"
    assert not student.set(request, text("reliable")).successful  # read when the subscription is made
    stranger = Peer("stranger")
    stranger.node.create_publisher(CameraInfo, "/image", 1)
    status = student.diagnostics.next(lambda s: "this node reads sensor_msgs/msg/Image" in s.message)
    assert "/stranger sends sensor_msgs/msg/CameraInfo" in status.message
    stranger.close()
    student.diagnostics.next(lambda s: "this node reads" not in s.message)


def test_the_lifecycle_goes_round_and_round(student: Student) -> None:
    for _ in range(3):
        assert student.change(Transition.TRANSITION_DEACTIVATE)
        assert student.state() == "inactive"
        assert student.change(Transition.TRANSITION_CLEANUP)
        assert student.state() == "unconfigured"
        assert not student.change(Transition.TRANSITION_ACTIVATE)
        assert student.change(Transition.TRANSITION_CONFIGURE)
        assert student.change(Transition.TRANSITION_ACTIVATE)
    student.ready()
    assert student.works()


def test_a_deactivation_waits_for_the_frame_in_work(student: Student) -> None:
    stamp = student.send(delay_ms=600)
    time.sleep(0.2)
    assert student.change(Transition.TRANSITION_DEACTIVATE)
    assert stamp in stamps(student.arrays)
    assert student.change(Transition.TRANSITION_ACTIVATE)
    student.ready()
    assert student.works()


def test_a_transition_that_fails_is_told_and_can_be_repeated(student: Student) -> None:
    assert student.change(Transition.TRANSITION_DEACTIVATE)
    assert student.change(Transition.TRANSITION_CLEANUP)
    assert student.set("model", text("missing")).successful
    assert not student.change(Transition.TRANSITION_CONFIGURE)
    assert student.state() == "unconfigured"
    status = student.diagnostics.next()
    assert status.level == DiagnosticStatus.ERROR
    assert "configure failed: missing: no such folder" in status.message
    assert student.set("model", text("")).successful
    assert student.change(Transition.TRANSITION_CONFIGURE)
    assert student.change(Transition.TRANSITION_ACTIVATE)
    student.ready()
    assert student.works()


def test_the_camera_s_place_over_the_road_comes_from_tf(student: Student) -> None:
    assert student.change(Transition.TRANSITION_DEACTIVATE)
    assert student.change(Transition.TRANSITION_CLEANUP)
    assert student.set("ground_frame", text("base_footprint")).successful
    assert student.change(Transition.TRANSITION_CONFIGURE)
    assert student.change(Transition.TRANSITION_ACTIVATE)
    student.ready()
    student.calibrate()
    student.send()
    assert 'the frame "camera_optical" is in no transform' in student.dropped("no_transform").message
    tf = student.peer.publisher(TFMessage, "/tf")
    stamp = student.send(delay_ms=100)
    T_ground_camera = inverse(T_CAMERA_BODY @ transform(np.eye(3), [0.0, 0.0, -1.5]))
    for moment in (stamp - SECOND, stamp + SECOND):
        sent = messages.transform_message(T_ground_camera, "base_footprint", "camera_optical", moment)
        tf.publish(TFMessage(transforms=[sent]))
    answer = student.answer(stamp)
    assert answer.header.frame_id == "camera_optical"
    assert answer.detections[0].bbox.center.position.y == pytest.approx(1.5)  # down
    assert student.change(Transition.TRANSITION_DEACTIVATE)
    assert student.change(Transition.TRANSITION_CLEANUP)
    assert student.set("ground_frame", text("")).successful
    assert student.change(Transition.TRANSITION_CONFIGURE)
    assert student.change(Transition.TRANSITION_ACTIVATE)
    student.ready()


def test_detections_go_into_the_target_frame_at_the_image_s_stamp(student: Student) -> None:
    assert student.change(Transition.TRANSITION_DEACTIVATE)
    assert student.change(Transition.TRANSITION_CLEANUP)
    assert student.set("target_frame", text("map")).successful
    assert student.change(Transition.TRANSITION_CONFIGURE)
    assert student.change(Transition.TRANSITION_ACTIVATE)
    student.ready()
    # What is sent to a node that has just begun to listen may be lost: it is sent until the node has it.
    until(
        lambda: (student.calibrate(), student.send()),
        lambda: any('the frame "map" is in no transform' in s.message for s in student.diagnostics.all()),
    )
    tf = student.peer.publisher(TFMessage, "/tf")

    def move() -> None:
        stamp = student.send(delay_ms=100)
        for moment in (stamp - SECOND, stamp + SECOND):
            T = transform(np.eye(3), [100.0 * moment / SECOND, 0.0, 0.0])
            tf.publish(TFMessage(transforms=[messages.transform_message(T, "map", "camera_optical", moment)]))

    student.arrays.clear()
    answer = until(move, lambda: next(iter(student.arrays), None))
    stamp = stamps([answer])[0]
    assert answer.header.frame_id == "map"
    assert answer.detections[0].bbox.center.position.x == pytest.approx(100 * stamp / SECOND)
    assert student.change(Transition.TRANSITION_DEACTIVATE)
    assert student.change(Transition.TRANSITION_CLEANUP)
    assert student.set("target_frame", text("")).successful
    assert student.change(Transition.TRANSITION_CONFIGURE)
    assert student.change(Transition.TRANSITION_ACTIVATE)
    student.ready()
    student.arrays.clear()
    student.settle()
    assert student.works()


def test_a_second_camera_with_compressed_images_and_a_late_camera_info(peer: Peer, tmp_path: Path) -> None:
    topic = "/left/image_rect/compressed"
    with node_process(PUPPET, {}, {"__ns": "/left", "image": topic}, tmp_path / "log.txt") as process:
        left = Student(
            peer, process, tmp_path / "log.txt", "/left/student_node", topic, "/left/camera_info", CompressedImage
        )
        left.ready()
        wait_for(lambda: left.send(compressed(boxes=2)) and left.counts().get("no_camera_info"), what="a dropped image")
        assert left.send(compressed(boxes=2))
        assert "no CameraInfo on /left/camera_info yet" in left.dropped("no_camera_info").message
        left.calibrate()
        assert len(left.answer(left.send(compressed(boxes=2))).detections) == 2
        assert "by P (rectified image)" in Diagnostics.values(left.diagnostics.next())["calibration"]
        broken = compressed(boxes=2)
        broken.data = broken.data[:60]
        left.send(broken)
        assert "truncated" in left.dropped("bad_image").message


def compressed(boxes: int) -> CompressedImage:
    """Return a PNG that tells the puppet how many cars to find."""
    png = encode_compressed(messages.image_array(image(0, boxes=boxes)), "png")
    return CompressedImage(header=header(0), format="png", data=array.array("B", png))


def test_a_reliable_subscription_names_the_best_effort_publisher(peer: Peer, tmp_path: Path) -> None:
    topic = "/picky/image"
    parameters = {f"qos_overrides.{topic}.subscription.reliability": "reliable"}
    with node_process(PUPPET, parameters, {"__ns": "/picky"}, tmp_path / "log.txt"):
        diagnostics = Diagnostics(peer, "/picky/student_node")
        sensor = QoSProfile(depth=1, reliability=ReliabilityPolicy.BEST_EFFORT)
        publisher = peer.node.create_publisher(Image, topic, sensor)
        status = diagnostics.next(lambda s: "incompatible QoS" in s.message)
        assert "/peer" in status.message
        assert "offers BEST_EFFORT" in status.message
        assert "asks for RELIABLE" in status.message
        assert status.level == DiagnosticStatus.ERROR
        peer.node.destroy_publisher(publisher)


def test_an_interrupt_during_the_network_s_work_still_answers_the_frame(peer: Peer, tmp_path: Path) -> None:
    log = tmp_path / "log.txt"
    with node_process(PUPPET, {}, {"__ns": "/stopped"}, log) as process:
        node = Student(peer, process, log, "/stopped/student_node", "/stopped/image", "/stopped/camera_info")
        node.ready()
        node.settle()
        stamp = node.send(delay_ms=500)
        time.sleep(0.2)
        process.send_signal(signal.SIGINT)
        assert process.wait(30) == 0
        node.answer(stamp)
    assert "Traceback" not in log.read_text()
