"""Messages and values are two forms of the same."""

from __future__ import annotations

import array

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="ROS 2 is not in this environment")

from geometry_msgs.msg import Quaternion
from sensor_msgs.msg import CameraInfo, CompressedImage, Image
from tf2_msgs.msg import TFMessage
from vision_msgs.msg import Detection3DArray
from visualization_msgs.msg import Marker

from mono3d_kd_core.errors import CalibrationError, DataError
from mono3d_kd_core.geometry.boxes import Boxes3D
from mono3d_kd_core.geometry.camera import CameraModel
from mono3d_kd_core.geometry.rigid import T_CAMERA_BODY, apply, rotation_z, transform
from mono3d_kd_core.io.image_codec import encode_compressed
from mono3d_kd_ros import messages
from mono3d_kd_ros.markers import markers_message
from tests.ros.harness import header


def one_car(yaw: float = 0.0, depth_std: float = 2.0) -> Boxes3D:
    """A car 20 m ahead and 5 m to the left, its middle 1 m below the camera, heading away from it at yaw 0."""
    return Boxes3D([[20.0, 5.0, -1.0]], [[4.0, 1.8, 1.5]], [yaw], ["Car"], [0.8], [depth_std], "camera")


def some_boxes(count: int, seed: int = 0) -> Boxes3D:
    draw = np.random.default_rng(seed)
    return Boxes3D(
        draw.uniform([3, -20, -2], [60, 20, 1], (count, 3)), draw.uniform(0.5, 8, (count, 3)),
        draw.uniform(-np.pi, np.pi, count), draw.choice(["Car", "Pedestrian"], count), draw.uniform(0, 1, count),
        draw.uniform(0.1, 5, count), "camera",
    )  # fmt: skip


def rotated(q: Quaternion, v: list[float]) -> np.ndarray:
    """Rotate a vector by a unit quaternion: v + 2 u x (u x v + w v)."""
    u = np.array([q.x, q.y, q.z])
    return np.asarray(v) + 2 * np.cross(u, np.cross(u, v) + q.w * np.asarray(v))


@pytest.mark.parametrize("stamp", [0, 1, 999_999_999, 1_000_000_000, 1_317_000_000_123_456_789])
def test_stamps_keep_every_nanosecond(stamp: int) -> None:
    assert messages.nanoseconds(messages.time_message(stamp)) == stamp


def test_a_detection_says_where_the_box_is_in_the_optical_frame() -> None:
    detection = messages.detections_message(one_car(), header(7)).detections[0]
    position = detection.bbox.center.position
    assert (position.x, position.y, position.z) == pytest.approx((-5, 1, 20))  # right, down, forward
    assert (detection.bbox.size.x, detection.bbox.size.y, detection.bbox.size.z) == pytest.approx((4, 1.8, 1.5))
    assert detection.results[0].hypothesis.class_id == "Car"
    assert detection.results[0].hypothesis.score == pytest.approx(0.8)


@pytest.mark.parametrize(
    ("yaw", "heading"), [(0.0, (0, 0, 1)), (np.pi / 2, (-1, 0, 0)), (-np.pi / 2, (1, 0, 0)), (np.pi, (0, 0, -1))]
)
def test_the_pose_s_x_axis_is_along_the_heading_and_z_is_up(yaw: float, heading: tuple[int, ...]) -> None:
    orientation = messages.detections_message(one_car(yaw), header(7)).detections[0].bbox.center.orientation
    np.testing.assert_allclose(rotated(orientation, [1, 0, 0]), heading, atol=1e-12)
    np.testing.assert_allclose(rotated(orientation, [0, 0, 1]), [0, -1, 0], atol=1e-12)


def test_the_uncertain_range_lies_along_the_viewing_ray() -> None:
    result = messages.detections_message(one_car(depth_std=2.0), header(7)).detections[0].results[0]
    covariance = np.reshape(result.pose.covariance, (6, 6))
    variances, axes = np.linalg.eigh(covariance[:3, :3])
    np.testing.assert_allclose(variances, [0, 0, 4], atol=1e-12)
    ray = np.array([-5, 1, 20]) / np.linalg.norm([-5, 1, 20])
    assert abs(axes[:, 2] @ ray) == pytest.approx(1)
    assert not covariance[3:].any()


def test_an_unknown_range_uncertainty_claims_nothing() -> None:
    result = messages.detections_message(one_car(depth_std=np.nan), header(7)).detections[0].results[0]
    assert not np.any(result.pose.covariance)


def test_boxes_survive_the_way_through_messages_and_back() -> None:
    boxes = some_boxes(40)
    back = messages.boxes_of(messages.detections_message(boxes, header(7)))
    for column in ("centre", "size", "yaw", "score", "depth_std"):
        np.testing.assert_allclose(getattr(back, column), getattr(boxes, column), atol=1e-9)
    assert back.label.tolist() == boxes.label.tolist()


def test_boxes_survive_in_another_frame() -> None:
    T = transform(rotation_z(0.7), [1.0, -2.0, 0.5])
    boxes = some_boxes(10)
    array_message = messages.detections_message(boxes, header(7, "map"), T)
    positions = [d.bbox.center.position for d in array_message.detections]
    np.testing.assert_allclose([[p.x, p.y, p.z] for p in positions], apply(T, boxes.centre))
    back = messages.boxes_of(array_message, T)
    np.testing.assert_allclose(back.centre, boxes.centre, atol=1e-9)
    np.testing.assert_allclose(back.depth_std, boxes.depth_std, atol=1e-9)


def test_no_boxes_are_an_empty_array_with_a_header() -> None:
    message = messages.detections_message(Boxes3D.empty("camera"), header(42))
    assert messages.nanoseconds(message.header.stamp) == 42
    assert len(messages.boxes_of(message)) == 0


def test_markers_begin_with_a_deletion_and_show_each_box() -> None:
    boxes = some_boxes(3)
    markers = markers_message(boxes, header(7)).markers
    assert markers[0].action == Marker.DELETEALL
    kinds = [marker.type for marker in markers[1:]]
    assert kinds.count(Marker.CUBE) == kinds.count(Marker.ARROW) == kinds.count(Marker.TEXT_VIEW_FACING) == 3
    edges = next(marker for marker in markers[1:] if marker.type == Marker.LINE_LIST)
    assert len(edges.points) == len(edges.colors) == 3 * 24
    shown = {(round(p.x, 6), round(p.y, 6), round(p.z, 6)) for p in edges.points[:24]}
    corners = apply(T_CAMERA_BODY, boxes.corners()[0])
    assert shown == {tuple(round(v, 6) for v in corner) for corner in corners.tolist()}
    assert all(marker.header.frame_id == "camera_optical" for marker in markers)


def test_markers_of_no_boxes_only_delete() -> None:
    assert [m.action for m in markers_message(Boxes3D.empty("camera"), header(7)).markers] == [Marker.DELETEALL]


def test_images_survive() -> None:
    picture = np.random.default_rng(0).integers(0, 255, (5, 7, 3), np.uint8)
    message = messages.image_message(picture, header(7))
    assert isinstance(message.data, array.array)
    assert (message.width, message.height, message.step) == (7, 5, 21)
    np.testing.assert_array_equal(messages.image_array(message), picture)


def test_compressed_images_are_read() -> None:
    picture = np.full((16, 16, 3), (10, 120, 240), np.uint8)
    message = CompressedImage(format="png", data=array.array("B", encode_compressed(picture, "png")))
    np.testing.assert_array_equal(messages.image_array(message), picture)


def test_an_unknown_encoding_is_refused_by_name() -> None:
    with pytest.raises(DataError, match="yuv999"):
        messages.image_array(Image(width=2, height=2, step=6, encoding="yuv999", data=array.array("B", bytes(12))))


@pytest.mark.parametrize("rectified", [True, False])
def test_cameras_survive(rectified: bool) -> None:
    K = np.array([[700.0, 0, 320], [0, 710, 240], [0, 0, 1]])
    P = np.array([[650.0, 0, 310, -50], [0, 650, 235, 0], [0, 0, 1, 0]])
    D = np.array([-0.3, 0.1, 0.001, 0.002, 0.0])
    camera = CameraModel(640, 480, K, "plumb_bob", D, P=P, rectified=rectified)
    back = messages.camera_model(messages.camera_info_message(camera, header(7)), rectified)
    for name in ("K", "D", "R", "P"):
        np.testing.assert_array_equal(getattr(back, name), getattr(camera, name))
    assert (back.width, back.height, back.distortion, back.rectified) == (640, 480, "plumb_bob", rectified)


def test_an_uncalibrated_camera_is_refused_with_its_topic() -> None:
    with pytest.raises(CalibrationError, match=r"/cam/info: K\[0\] is zero"):
        messages.camera_model(CameraInfo(width=640, height=480), False, "/cam/info")


def test_clouds_survive() -> None:
    points = np.random.default_rng(0).normal(size=(100, 4)).astype(np.float32)
    message = messages.cloud_message(points, header(7, "lidar"))
    assert (message.width, message.point_step, message.row_step) == (100, 16, 1600)
    decoded = messages.cloud(message)
    np.testing.assert_array_equal(decoded.points, points)
    assert decoded.has_intensity


def test_transforms_survive() -> None:
    T = transform(rotation_z(0.3) @ T_CAMERA_BODY[:3, :3], [1.0, 2.0, 3.0])
    message = TFMessage(transforms=[messages.transform_message(T, "base", "camera", 5)])
    [(parent, child, stamp, back)] = messages.transforms(message)
    assert (parent, child, stamp) == ("base", "camera", 5)
    np.testing.assert_allclose(back, T, atol=1e-12)


def test_a_transform_without_rotation_is_refused() -> None:
    message = TFMessage(transforms=[messages.transform_message(np.eye(4), "a", "b", 5)])
    message.transforms[0].transform.rotation.w = 0.0
    with pytest.raises(CalibrationError, match="quaternion"):
        messages.transforms(message)


def test_detections_keep_the_header_of_the_image() -> None:
    message: Detection3DArray = messages.detections_message(some_boxes(2), header(123_456_789_012, "front_optical"))
    assert messages.nanoseconds(message.header.stamp) == 123_456_789_012
    assert {d.header.frame_id for d in message.detections} == {"front_optical"}
