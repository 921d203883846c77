"""The bird's-eye student: shapes and counts of CMKD's network, boxes where they are, and what it owes to its teacher."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from mono3d_kd_core.deploy.folding import fold_batch_norm
from mono3d_kd_core.errors import CalibrationError
from mono3d_kd_core.geometry.boxes import Boxes3D
from mono3d_kd_core.geometry.camera import CameraModel
from mono3d_kd_core.geometry.rigid import T_CAMERA_BODY, inverse, rotation_z, transform
from mono3d_kd_core.heads.anchor import AnchorResponses, encode
from mono3d_kd_core.heads.center import CenterResponses
from mono3d_kd_core.heads.center_loss import center_targets
from mono3d_kd_core.students.base import Annotation
from mono3d_kd_core.students.bev.config import BevConfig
from mono3d_kd_core.students.bev.student import BevOutput, BevStudent
from mono3d_kd_core.students.layers import parameter_count
from mono3d_kd_core.teachers.centerpoint import CenterPoint, CenterPointConfig

CAMERA = CameraModel.pinhole(96, 32, 54, 54, 48, 13)
SMALL = BevConfig(
    image_network="resnet18", width=0.125, neck_channels=8, input_height=32, input_width=96, stride=4, feature_channels=4,
    depth_bins=16, depth_range=(2.0, 16.0), low=(2.0, -6.4, -3.0), high=(14.8, 6.4, 1.0), heights=4, bev_channels=8,
    adaptation_blocks=1, layers=(1, 1), strides=(2, 2), filters=(8, 8), up_strides=(1, 2), up_filters=(8, 8),
)  # fmt: skip


CENTRE = SMALL.model_copy(update={"head": "center", "head_width": 8, "nms_iou": 0.2})


def small_student(**changes: object) -> BevStudent:
    torch.manual_seed(0)
    return BevStudent(SMALL.model_copy(update=changes)).eval()


def test_kitti_s_shapes_are_those_of_cmkd() -> None:
    config = BevConfig()
    assert config.grid.shape == (140, 188, 10)
    with torch.device("meta"):
        student = BevStudent(config)
    assert len(student.answers.anchors) == 188 * 140 * 6
    assert student.dense_head.conv_cls.out_channels == 18
    assert student.dense_head.conv_box.out_channels == 42
    assert student.dense_head.conv_dir_cls.out_channels == 12
    assert parameter_count(student.collapse) == 640 * 128 + 2 * 128
    # 39,638,869 of torchvision's DeepLabV3 without auxiliary classifier at 21 classes, 100 classes more, and the 1x1.
    assert parameter_count(student.image_network) == 39_638_869 + 100 * 257 + 1024 * 64 + 2 * 64


def test_a_student_of_centerpoint_has_its_shapes() -> None:
    # centerpoint_teacher.yaml of CMKD: voxels of 0.4 m, 256 channels, one level brought to cells of 0.2 m.
    config = BevConfig(
        head="center", low=(2.0, -30.4, -3.0), high=(46.8, 30.4, 1.0), cell=0.4, heights=10, bev_channels=256, layers=(5,),
        strides=(1,), filters=(128,), up_strides=(2,), up_filters=(256,),
    )  # fmt: skip
    teacher = CenterPointConfig(low=config.low, high=config.high)
    assert config.response_shape == teacher.response_shape == (304, 224)
    with torch.device("meta"):
        student, lidar = BevStudent(config), CenterPoint(teacher)
    shared = {
        name: p.shape for name, p in lidar.state_dict().items() if name.startswith(("backbone_2d.", "dense_head."))
    }
    assert shared.items() <= {name: p.shape for name, p in student.state_dict().items()}.items()
    assert student.answers.positions.shape == (304 * 224, 3)


def test_output_has_the_map_of_the_teacher() -> None:
    output = small_student()(torch.zeros(2, 3, 32, 96, dtype=torch.uint8), [CAMERA] * 2)
    assert output.bev.shape == (2, 8, 40, 40)
    assert output.responses.logits.shape == (2, 20 * 20 * 6, 3)


def planted(student: BevStudent, boxes: Boxes3D, pose: np.ndarray) -> BevOutput:
    """What a network would have to say to mean exactly these boxes."""
    assignment = student.answers.assignment(boxes)
    n = len(student.answers.anchors)
    logits = torch.full((1, n, 3), -9.0)
    codes = torch.zeros(1, n, 7)
    for row in range(len(boxes)):
        nearest = (student.answers.anchors[:, :2] - torch.tensor(boxes.centre[row, :2])).norm(dim=1)
        anchor = int(torch.where((assignment.label == student.classes.index(boxes.label[row])), nearest, 1e9).argmin())
        target = torch.tensor([*boxes.centre[row], *boxes.size[row], boxes.yaw[row]], dtype=torch.float32)
        codes[0, anchor] = encode(target, student.answers.anchors[anchor])
        logits[0, anchor, student.classes.index(boxes.label[row])] = 3.0
    directions = torch.zeros(1, n, 2)
    directions[..., 1] = 1  # headings in [-135, 45) degrees
    return BevOutput({}, torch.zeros(0), torch.zeros(0), AnchorResponses(logits, codes, directions), (pose,))


def test_boxes_come_out_where_the_camera_sees_them() -> None:
    student = small_student()
    sizes = [[3.9, 1.6, 1.5], [0.8, 0.6, 1.7]]
    boxes = Boxes3D([[9.0, 2.0, -0.9], [6.0, -3.0, 0.2]], sizes, [0.3, -0.4], ["Car", "Pedestrian"])
    pose = T_CAMERA_BODY @ transform(rotation_z(0.1), [-0.3, 0.1, 0.2])
    (found,) = student.decode(planted(student, boxes, pose), [CAMERA])
    expected = boxes.transformed(inverse(T_CAMERA_BODY) @ pose, "camera")
    assert found.frame == "camera"
    order = np.argsort(found.label)
    assert found.label[order].tolist() == ["Car", "Pedestrian"]
    np.testing.assert_allclose(found.centre[order], expected.centre, atol=1e-5)
    np.testing.assert_allclose(found.yaw[order], expected.yaw, atol=1e-5)


def test_peaks_of_a_heatmap_come_out_where_the_camera_sees_them() -> None:
    student = BevStudent(CENTRE).eval()
    boxes = Boxes3D(
        [[9.0, 2.0, -0.9], [6.0, -3.0, 0.2]], [[3.9, 1.6, 1.5], [0.8, 0.6, 1.7]], [0.3, -2.4], ["Car", "Cyclist"]
    )
    rows, labels = student.answers.objects(boxes)
    target = center_targets(rows.double().numpy(), labels.numpy(), 3, SMALL.low, 0.64, (20, 20))
    codes = torch.zeros(1, 8, 400)
    codes[0, :, target.cell] = torch.from_numpy(target.code.T)
    logits = torch.from_numpy(np.where(target.heatmap == 1, 3.0, -9.0))[None]
    output = BevOutput({}, logits, logits, CenterResponses(logits, codes.view(1, 8, 20, 20)), (student.trained_pose,))
    (found,) = student.decode(output, [CAMERA])
    expected = boxes.transformed(inverse(T_CAMERA_BODY) @ student.trained_pose, "camera")
    order = np.argsort(found.label)
    assert found.label[order].tolist() == ["Car", "Cyclist"]
    np.testing.assert_allclose(found.centre[order], expected.centre, atol=1e-4)
    np.testing.assert_allclose(found.yaw[order], expected.yaw, atol=1e-4)
    annotation = Annotation(expected, np.zeros((2, 4)))
    assert student.losses(output, [annotation], [CAMERA])["box"] < 1e-4


def test_the_loss_of_an_answer_that_means_the_labels_is_small() -> None:
    student = small_student()
    boxes = Boxes3D([[9.0, 2.0, -0.9]], [[3.9, 1.6, 1.5]], [0.3], ["Car"])
    pose = student.trained_pose
    annotation = Annotation(boxes.transformed(inverse(T_CAMERA_BODY) @ pose, "camera"), [[0, 0, 9, 9]])
    right = planted(student, boxes, pose)
    assignment = student.answers.assignment(boxes)
    taught = torch.nn.functional.one_hot(assignment.label.clamp_min(0), 3).bool() & assignment.positive[:, None]
    logits = torch.where(taught, 9.0, -9.0)[None]
    exact = AnchorResponses(logits, assignment.code[None], right.responses.directions * 9)
    good = student.losses(BevOutput({}, right.bev, right.bev, exact, (pose,)), [annotation], [CAMERA])
    bad = student.losses(small_student()(torch.zeros(1, 3, 32, 96), [CAMERA], [pose]), [annotation], [CAMERA])
    assert sum(good.values()) < 0.01 < 0.5 < sum(bad.values())


def test_a_mirrored_picture_gives_the_mirrored_lift() -> None:
    student = small_student(lift="sample")
    features, depth = torch.rand(1, 4, 8, 24), torch.rand(1, 16, 8, 24)
    mirror = np.diag([1.0, -1.0, 1.0, 1.0])
    pose = student.trained_pose
    turned = np.diag([-1.0, 1.0, 1.0, 1.0]) @ pose @ mirror
    straight = student.lift(features, depth, [CAMERA], [pose])
    mirrored = student.lift(features.flip(-1), depth.flip(-1), [CAMERA.flipped()], [turned])
    torch.testing.assert_close(mirrored.flip(-2), straight, atol=1e-4, rtol=1e-4)


def test_a_camera_that_stands_as_in_training_has_the_pose_of_training_in_any_frame_of_the_road() -> None:
    student = small_student()
    for yaw, x, y in ((0.0, 0.0, 0.0), (2.5, 300.0, -40.0)):
        T_map_lidar = transform(rotation_z(yaw), [x, y, 1.73])
        pose = student.pose_over_ground(student.trained_pose @ inverse(T_map_lidar))
        np.testing.assert_allclose(pose, student.trained_pose, atol=1e-9)


def test_a_camera_higher_up_sees_the_road_farther_below() -> None:
    student = small_student()
    T_camera_ground = T_CAMERA_BODY @ transform(np.eye(3), [0, 0, -2.65])
    pose = student.pose_over_ground(T_camera_ground)
    np.testing.assert_allclose((inverse(T_CAMERA_BODY) @ pose @ [0, 0, -1.73, 1])[2], -2.65)
    straight_down = transform(np.diag([1.0, -1.0, -1.0]), [0, 0, 2.0])
    with pytest.raises(CalibrationError, match="straight"):
        student.pose_over_ground(straight_down)


@pytest.mark.parametrize("folded", [False, True])
def test_the_map_is_what_the_layers_make_of_the_voxels(folded: bool) -> None:
    student = small_student(adaptation_blocks=0)
    with torch.no_grad():
        student.collapse[1].running_mean.normal_(generator=torch.Generator().manual_seed(1))
        images = torch.randint(0, 255, (1, 3, 32, 96), generator=torch.Generator().manual_seed(2))
        seen = student.image_network((images.float() - student.mean) / student.std)
        voxels = student.lift(seen.features, seen.depth, [CAMERA], [student.trained_pose])
        expected = student.collapse(voxels)
        if folded:
            fold_batch_norm(student)
        torch.testing.assert_close(student(images, [CAMERA]).bev, expected, rtol=1e-4, atol=1e-5)


def test_gradients_reach_every_parameter() -> None:
    student = small_student().train()
    output = student(torch.randint(0, 255, (2, 3, 32, 96)), [CAMERA] * 2)
    total = output.bev.square().mean() + sum(value.square().mean() for value in vars(output.responses).values())
    total.backward()
    assert not [name for name, parameter in student.named_parameters() if parameter.grad is None]


@pytest.mark.parametrize(
    "change", [{"high": (14.7, 6.4, 1.0)}, {"stride": 2}, {"input_width": 100}, {"image_network": "deeplab_resnet50"}]
)
def test_shapes_that_do_not_fit_are_refused(change: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=r"multiple|stride"):
        BevConfig.model_validate(SMALL.model_dump() | change)
