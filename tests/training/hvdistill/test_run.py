"""Pre-training without labels: from folders and bags, in phases, stopped and gone on with, into a LiDAR teacher."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from safetensors.torch import save_file

from mono3d_kd_core.deploy.bundle import Card, load_bundle, save_bundle
from mono3d_kd_core.deploy.loading import load_teacher
from mono3d_kd_core.deploy.validation import validated
from mono3d_kd_core.distillation.hvdistill import HvWeights, Pair
from mono3d_kd_core.errors import DataError, ModelError
from mono3d_kd_core.io.convert import convert_source
from mono3d_kd_core.io.kitti import KittiObjectSource, KittiWriter
from mono3d_kd_core.io.kitti_labels import KittiLabels
from mono3d_kd_core.students.backbones import build_backbone
from mono3d_kd_core.students.base import Student
from mono3d_kd_core.students.bev.answers import AnchorAnswers
from mono3d_kd_core.students.bev.config import BevConfig
from mono3d_kd_core.students.bev.student import BevStudent
from mono3d_kd_core.students.keypoint import KeypointConfig, KeypointStudent
from mono3d_kd_core.teachers.second import Second
from mono3d_kd_core.training.choice import planned_run
from mono3d_kd_core.training.hvdistill.pairs import Pairs
from mono3d_kd_core.training.hvdistill.recipe import HvDistillRecipe
from mono3d_kd_core.training.hvdistill.run import HvDistillRun, HvModule, load_image_teacher
from mono3d_kd_core.training.leaks import Guard
from mono3d_kd_core.training.lessons import SourceConfig
from mono3d_kd_core.training.lidar.clouds import Clouds
from mono3d_kd_core.training.lidar.run import TeacherRun, start_backbone
from tests.distillation.pairs import VOLUME, scene
from tests.students.bev.test_student import small_student


def write_drive(folder: Path, seeds: range) -> Path:
    """A KITTI folder of pictures, sweeps and calibrations; no label file."""
    writer = KittiWriter(folder)
    for seed in seeds:
        writer.write(scene(seed))
    return folder


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A drive, another to validate on, the recipe of a small SECOND, and an image teacher's weights."""
    root = tmp_path_factory.mktemp("hvdistill")
    write_drive(root / "drive", range(4))
    write_drive(root / "other", range(10, 12))
    lidar = {"architecture": "second", "teacher": VOLUME.model_dump(mode="json"), "schedule": {"epochs": 1, "batch_size": 2}}
    (root / "lidar.yaml").write_text(yaml.safe_dump(lidar))
    torch.manual_seed(5)
    save_file(build_backbone("resnet18", 0.125).state_dict(), root / "image.safetensors")
    return root


def recipe(place: Path, **changes: Any) -> HvDistillRecipe:
    schedule = {"epochs": 2, "batch_size": 2, "learning_rate": 1e-3, "validate_every": 2}
    content = {
        "architecture": "hvdistill",
        "lidar": {"recipe": str(place / "lidar.yaml")},
        "image": {
            "backbone": "resnet18", "width": 0.125, "weights": str(place / "image.safetensors"), "level": 16, "stride": 8,
        },
        "input_height": 32, "input_width": 96, "superpixels": {"segments": 20, "sigma": 1},
        "network": {"channels": 8, "lift_width": 8, "depth_bins": 24, "depth_range": [1, 13]},
        "phases": [
            {"name": "lift", "teach": {"ground": 0}, "schedule": schedule | {"epochs": 1}},
            {"name": "both", "schedule": schedule},
        ],
    }  # fmt: skip
    return validated(HvDistillRecipe, content | changes, "test")


@pytest.fixture(scope="module")
def trained(place: Path) -> HvDistillRun:
    run = HvDistillRun(recipe(place), [place / "drive"], [place / "other"], place / "run")
    run.train(quiet=True)
    return run


def test_a_drive_without_labels_ends_in_a_backbone(place: Path, trained: HvDistillRun) -> None:
    assert not (place / "drive" / "label_2").exists()
    bundle = load_bundle(trained.out / "bundle")
    assert bundle.card.kind == "backbone"
    assert bundle.card.architecture == "second"
    assert bundle.card.classes == []
    assert set(bundle.card.metrics) == {"loss", "matched_superpixels", "matched_cells"}
    assert all(name.startswith("backbone_3d.") for name in bundle.tensors)
    fresh = recipe(place).lidar.teacher()[0].network()
    assert {name for name in fresh.state_dict() if name.startswith("backbone_3d.")} == set(bundle.tensors)
    with pytest.raises(ModelError, match="holds a backbone, a teacher is needed"):
        load_teacher(trained.out / "bundle")


def test_a_bag_gives_the_same_lessons_as_the_folder_it_was_made_of(place: Path, tmp_path: Path) -> None:
    bag = convert_source(place / "drive", tmp_path / "bag")
    r = recipe(place)
    folder, recorded = (
        Pairs([SourceConfig(path=path)], (32, 96), r.superpixels, tmp_path / "kept", Guard())
        for path in (place / "drive", bag)
    )
    assert len(recorded) == len(folder) == 4
    for a, b in zip(folder, recorded):
        np.testing.assert_array_equal(a.image, b.image)
        np.testing.assert_array_equal(a.superpixels, b.superpixels)
        np.testing.assert_allclose(a.points, b.points, atol=1e-6)
        np.testing.assert_allclose(a.pose, b.pose, atol=1e-9)


def test_a_run_trains_from_a_bag(place: Path, tmp_path: Path) -> None:
    bag = convert_source(place / "drive", tmp_path / "bag")
    content = recipe(place).model_dump(mode="json")
    content["phases"] = content["phases"][1:]
    content["phases"][0]["schedule"]["epochs"] = 1
    run = HvDistillRun(validated(HvDistillRecipe, content, "test"), [bag], [], tmp_path / "run")
    assert run.train(quiet=True).card.provenance["data"] == "bag"


def test_a_broken_run_goes_on_as_if_it_had_never_stopped(
    place: Path, trained: HvDistillRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    start = HvModule.on_train_batch_start

    def stop(self: HvModule, batch: list[Pair], batch_idx: int) -> None:
        if self.current_epoch == 1 and self.weights.ground:
            raise KeyboardInterrupt
        start(self, batch, batch_idx)

    monkeypatch.setattr(HvModule, "on_train_batch_start", stop)
    broken = HvDistillRun(trained.recipe, trained.data, trained.val, tmp_path / "broken")
    with pytest.raises(KeyboardInterrupt):
        broken.train(quiet=True)
    monkeypatch.undo()
    with pytest.raises(ModelError, match="holds a run already"):
        broken.train(quiet=True)
    resumed, whole = broken.train(resume=True, quiet=True), load_bundle(trained.out / "bundle")
    stored = load_bundle(resumed.path)
    for name, tensor in whole.tensors.items():
        torch.testing.assert_close(stored.tensors[name], tensor, rtol=1e-5, atol=1e-6)
    assert resumed.card.metrics == whole.card.metrics
    other = HvDistillRun(recipe(place, views="image_plane"), trained.data, trained.val, broken.out)
    with pytest.raises(ModelError, match="another recipe"):
        other.train(resume=True, quiet=True)


def test_the_image_plane_alone_counts_nothing_else(place: Path) -> None:
    plane = recipe(place, views="image_plane")
    assert [plane.weights(phase) for phase in plane.phases] == [HvWeights(ground=0, depth=0)] * 2
    with pytest.raises(ModelError, match="teaches nothing"):
        recipe(place, views="image_plane", phases=[
            {"name": "a", "teach": {"image_plane": 0}, "schedule": {"epochs": 1, "batch_size": 1}}
        ])  # fmt: skip


def test_a_taught_backbone_starts_a_teacher_and_no_other_part_of_it(place: Path, trained: HvDistillRun) -> None:
    taught, bundle = recipe(place).lidar.teacher()[0].network(), load_bundle(trained.out / "bundle")
    before = {name: tensor.clone() for name, tensor in taught.state_dict().items()}
    start_backbone(taught, bundle.path)
    for name, tensor in taught.state_dict().items():
        assert torch.equal(tensor, bundle.tensors.get(name, before[name]))
    assert not torch.equal(before["backbone_3d.conv4.0.0.weight"], bundle.tensors["backbone_3d.conv4.0.0.weight"])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (["teacher.voxel=[0.4,0.4,0.1]", "teacher.low=[0,-12.8,-3]", "teacher.high=[25.6,12.8,1]"], "voxels of"),
        (["teacher.widths=[8,8,8,8]"], "another shape"),
    ],
)
def test_a_backbone_that_does_not_fit_is_refused(
    changes: list[str], message: str, place: Path, trained: HvDistillRun
) -> None:
    run = planned_run(str(place / "lidar.yaml"), changes, [place / "drive"], [], None)
    assert isinstance(run, TeacherRun)
    with pytest.raises(ModelError, match=message):
        start_backbone(run.recipe.network(), trained.out / "bundle")


def test_pillars_have_no_backbone_to_teach_or_to_start(place: Path, trained: HvDistillRun) -> None:
    run = planned_run("pointpillars_small", None, [place / "drive"], [], None)
    assert isinstance(run, TeacherRun)
    with pytest.raises(ModelError, match="a pointpillars has no 3D backbone"):
        start_backbone(run.recipe.network(), trained.out / "bundle")
    with pytest.raises(ModelError, match="no 3D backbone to teach"):
        recipe(place, lidar={"recipe": "pointpillars_small"}).lidar.teacher()


def keypoint_student() -> Student:
    return KeypointStudent(KeypointConfig(classes=("Car",), backbone="resnet18", width=0.125, neck_channels=8))


@pytest.mark.parametrize(("make", "prefix"), [(keypoint_student, ""), (small_student, "image_network.")])
def test_a_camera_student_trained_here_teaches_too(
    make: Callable[[], Student], prefix: str, place: Path, tmp_path: Path
) -> None:
    student = make()
    card = Card(kind="student", architecture="any", classes=["Car"])
    save_bundle(tmp_path / "student", card, student.state_dict())
    image = recipe(place).image.model_copy(update={"weights": tmp_path / "student"})
    teacher = load_image_teacher(recipe(place).model_copy(update={"image": image}))
    own = student.state_dict()
    for name, tensor in teacher.backbone.state_dict().items():
        assert torch.equal(tensor, own[f"{prefix}backbone.{name}"])
    wider = image.model_copy(update={"width": 0.25})
    with pytest.raises(ModelError, match=r"student: not the weights of this backbone: it has another shape for bn1\.bias"):
        load_image_teacher(recipe(place).model_copy(update={"image": wider}))


def test_an_image_teacher_that_never_learned_is_refused(place: Path, tmp_path: Path) -> None:
    image = {"backbone": "resnet18", "width": 0.125, "level": 16, "stride": 8}
    run = HvDistillRun(recipe(place, image=image), [place / "drive"], [], tmp_path / "run")
    with pytest.raises(ModelError, match=r"image\.weights: name the weights"):
        run.train(quiet=True)


def test_frames_of_validation_and_frames_without_points_are_refused(place: Path, tmp_path: Path) -> None:
    run = HvDistillRun(recipe(place), [place / "drive"], [place / "drive"], tmp_path / "run")
    with pytest.raises(DataError, match="on which is validated"):
        run.train(quiet=True)
    shutil.copytree(place / "other", tmp_path / "blind", ignore=shutil.ignore_patterns("velodyne"))
    run = HvDistillRun(recipe(place), [tmp_path / "blind"], [], tmp_path / "run2")
    with pytest.raises(DataError, match="has no LiDAR points"):
        run.train(quiet=True)


def test_intensities_on_another_scale_are_refused(place: Path, tmp_path: Path) -> None:
    frame = scene(0)
    assert frame.points is not None
    KittiWriter(tmp_path / "drive").write(replace(frame, points=frame.points * np.array([1, 1, 1, 255], np.float32)))
    run = HvDistillRun(recipe(place), [tmp_path / "drive"], [], tmp_path / "run")
    with pytest.raises(DataError, match="divide it by the sensor's full scale"):
        run.train(quiet=True)


def test_superpixels_are_cut_once_and_read_again(place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source, settings = [SourceConfig(path=place / "drive")], recipe(place).superpixels
    first = Pairs(source, (64, 96), settings, tmp_path / "kept", Guard())[0].superpixels
    monkeypatch.setattr("mono3d_kd_core.training.hvdistill.pairs.superpixels", None)
    again = Pairs(source, (64, 96), settings, tmp_path / "kept", Guard())[0].superpixels
    np.testing.assert_array_equal(first, again)
    # A picture of 96x32 in the middle of 96x64: the padding belongs to none.
    assert (first[:16] == -1).all()
    assert (first[48:] == -1).all()
    assert (first[16:48] >= 0).all()


def labelled_drive(folder: Path, frames: int) -> Path:
    writer = KittiWriter(folder)
    for seed in range(frames):
        frame = scene(seed)
        writer.write(frame, KittiLabels.from_boxes(frame.rig.boxes_in_camera(_car()), frame.rig.camera))
    return folder


def _car() -> Any:
    from mono3d_kd_core.geometry.boxes import Boxes3D

    return Boxes3D(np.array([[7.0, 0.0, -0.8]]), np.array([[3.9, 1.6, 1.5]]), np.zeros(1), np.array(["Car"]))


def test_few_labels_are_drawn_by_their_seed_and_more_hold_fewer(tmp_path: Path) -> None:
    clouds = Clouds([KittiObjectSource(labelled_drive(tmp_path / "drive", 12))], ["Car"])

    def ids(share: float, seed: int, repeat: int = 1) -> list[str]:
        part = clouds.drawn(share, seed, repeat)
        return [part[i].id for i in range(len(part))]

    assert len(ids(0.01, 0)) == 1
    assert len(ids(0.25, 0)) == 3
    assert set(ids(0.25, 0)) < set(ids(0.5, 0))
    assert ids(0.25, 0) != ids(0.25, 1)
    assert ids(0.25, 0, repeat=4) == ids(0.25, 0) * 4
    assert ids(1.0, 0) == [f"{number:06d}" for number in range(12)]


def test_a_teacher_learns_from_few_labels_with_a_taught_backbone(
    place: Path, trained: HvDistillRun, tmp_path: Path
) -> None:
    drive = labelled_drive(tmp_path / "drive", 8)
    changes = [f"backbone_weights={trained.out / 'bundle'}", "labels.share=0.25", "labels.repeat=2", "sampling={Car: 2}"]
    run = planned_run(str(place / "lidar.yaml"), changes, [drive], [], tmp_path / "run")
    card = run.train(quiet=True).card
    assert card.kind == "teacher"
    assert card.provenance["labelled_frames"] == "2"
    with pytest.raises(ModelError, match="either weights"):
        planned_run(str(place / "lidar.yaml"), [*changes, "weights=x"], [drive], [], tmp_path / "run")


def test_the_small_second_can_teach_a_birds_eye_student(tmp_path: Path) -> None:
    """Its head answers on cells of half the side of its map's; a student with its settings has the same anchors."""
    run = planned_run("second_small", None, [tmp_path], [], None)
    assert isinstance(run, TeacherRun)
    teacher = run.recipe.network()
    assert isinstance(teacher, Second)
    shared = teacher.config.model_dump(
        include={"low", "high", "layers", "strides", "filters", "up_strides", "up_filters", "anchors"}
    )
    config = BevConfig.model_validate(
        shared | {"image_network": "resnet18", "width": 0.125, "neck_channels": 8, "input_height": 32, "input_width": 96,
                  "feature_channels": 8, "depth_bins": 8, "heights": 1, "cell": 0.8, "bev_channels": 64}
    )  # fmt: skip
    answers = BevStudent(config).answers
    assert isinstance(answers, AnchorAnswers)
    torch.testing.assert_close(answers.anchors, teacher.anchors)


@pytest.mark.parametrize("name", ["hvdistill", "hvdistill_small"])
def test_packaged_recipes_fit_their_teachers(name: str, tmp_path: Path) -> None:
    run = planned_run(name, None, [tmp_path], [], tmp_path / "run")
    assert isinstance(run, HvDistillRun)
    teacher, shape = run.recipe.lidar.teacher()
    assert teacher.architecture == "second"
    assert shape.grid.shape[0] % 8 == 0
    if run.recipe.image.weights is not None:
        assert load_image_teacher(run.recipe).channels == 128
