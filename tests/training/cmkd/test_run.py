"""CMKD's training: stages, sources of any kind, resuming, and what is refused."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch

from mono3d_kd_core.deploy.bundle import Bundle, Card, load_bundle, save_bundle
from mono3d_kd_core.deploy.loading import build_student, load_teacher
from mono3d_kd_core.errors import DataError, ModelError
from mono3d_kd_core.frames import Rig, SensorFrame
from mono3d_kd_core.geometry.boxes import Boxes3D
from mono3d_kd_core.geometry.camera import CameraModel
from mono3d_kd_core.geometry.rigid import T_CAMERA_BODY, transform
from mono3d_kd_core.io.convert import convert_source
from mono3d_kd_core.io.kitti import KittiLabels, KittiWriter
from mono3d_kd_core.io.open import open_source
from mono3d_kd_core.targets import Provenance, TargetSettings, TargetStore, make_targets
from mono3d_kd_core.teachers.centerpoint import CenterPillars, CenterPillarsConfig
from mono3d_kd_core.teachers.pointpillars import PointPillars, PointPillarsConfig
from mono3d_kd_core.training.choice import planned_run
from mono3d_kd_core.training.cmkd.recipe import CmkdRecipe
from mono3d_kd_core.training.cmkd.run import CmkdRun
from mono3d_kd_core.training.leaks import Guard
from mono3d_kd_core.training.lessons import Lessons, SourceConfig
from mono3d_kd_core.training.recipe import DataConfig

CAMERA = CameraModel.pinhole(96, 32, 54, 54, 48, 13)
RIG = Rig(CAMERA, T_CAMERA_BODY @ transform(np.eye(3), [-0.27, 0.0, -0.08]))
SHAPE: dict[str, Any] = {
    "layers": (1, 1), "strides": (2, 2), "filters": (8, 8), "up_strides": (1, 2), "up_filters": (8, 8),
}  # fmt: skip
TEACHER = PointPillarsConfig(
    low=(2.0, -6.4, -3.0), high=(14.8, 6.4, 1.0), pillar=0.32, max_points=8, width=8, max_pillars_training=2000,
    max_pillars=2000, score_threshold=0.0, **SHAPE,
)  # fmt: skip
STUDENT = {
    "image_network": "resnet18", "width": 0.125, "neck_channels": 8, "input_height": 32, "input_width": 96, "stride": 4,
    "feature_channels": 4, "depth_bins": 16, "depth_range": (2.0, 16.0), "heights": 2, "adaptation_blocks": 1,
}  # fmt: skip
BOTH = {"features": 4, "classification": 8, "box": 2, "direction": 0.4}


def schedule(epochs: int, **changes: object) -> dict[str, object]:
    return {"epochs": epochs, "batch_size": 2, "learning_rate": 1e-3, "validate_every": epochs, **changes}


def write_drive(root: Path, frames: int, seed: int) -> Path:
    """Boxes on a road, in pictures and in points."""
    random = np.random.default_rng(seed)
    writer = KittiWriter(root)
    for number in range(frames):
        boxes = Boxes3D(
            [[random.uniform(6, 13), random.uniform(-3, 3), -0.95]],
            [[3.9, 1.6, 1.5]],
            [random.uniform(-0.5, 0.5)],
            ["Car"],
        )
        inside = random.uniform(-0.5, 0.5, (200, 3)) * boxes.size + boxes.centre
        ground = np.column_stack([random.uniform(3, 14, 300), random.uniform(-6, 6, 300), np.full(300, -1.73)])
        points = np.column_stack([np.concatenate([inside, ground]), random.uniform(0, 1, 500)]).astype(np.float32)
        labels = KittiLabels.from_boxes(RIG.boxes_in_camera(boxes), CAMERA)
        image = random.integers(0, 60, (32, 96, 3), np.uint8)
        for left, top, right, bottom in labels.bbox.round().astype(int).tolist():
            cv2.rectangle(image, (left, top), (right, bottom), (230, 200, 40), -1)
        writer.write(SensorFrame(f"{number:06d}", (number + 1) * 10**8, image, points, RIG), labels)
    return root


def write_teacher(path: Path) -> None:
    torch.manual_seed(0)
    teacher = PointPillars(TEACHER)
    settings, classes = TEACHER.model_dump(mode="json"), list(teacher.classes)
    card = Card(kind="teacher", architecture="pointpillars", config=settings, classes=classes)
    save_bundle(path, card, teacher.state_dict())


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two drives, and a teacher that knows nothing yet, which is enough to be imitated."""
    root = tmp_path_factory.mktemp("cmkd")
    write_drive(root / "drive", 6, seed=0)
    write_drive(root / "other", 4, seed=1)
    write_teacher(root / "teacher")
    return root


def recipe(place: Path, **changes: object) -> CmkdRecipe:
    content: dict[str, object] = {
        "architecture": "cmkd", "student": STUDENT, "teacher": {"bundle": place / "teacher"},
        "sources": [{"path": place / "drive"}], "data": {"cache_gib": 0},
        "stages": [
            {"name": "features", "teach": {"features": 4, "depth": 1}, "schedule": schedule(2)},
            {"name": "responses", "teach": BOTH, "schedule": schedule(1)},
        ],
    }  # fmt: skip
    return CmkdRecipe.model_validate(content | changes)


def losses(stage: Path) -> list[float]:
    rows: dict[int, float] = {}
    for file in sorted((stage / "logs" / "csv").glob("metrics*.csv")):
        with open(file) as stream:
            rows |= {int(row["step"]): float(row["loss"]) for row in csv.DictReader(stream) if row.get("loss")}
    return [rows[step] for step in sorted(rows)]


def test_a_chain_of_stages_ends_in_a_student_alone(place: Path, tmp_path: Path) -> None:
    run = CmkdRun(recipe(place), [], [place / "other"], tmp_path)
    bundle = run.train(quiet=True)
    assert bundle.card.architecture == "bev"
    assert not [name for name in bundle.tensors if "teacher" in name or "distill" in name]
    first = load_bundle(tmp_path / "features" / "bundle")
    teacher = load_bundle(place / "teacher").tensors
    # While features are taught, what came from the teacher rests, statistics included.
    for name, tensor in teacher.items():
        if name.startswith(("backbone_2d.", "dense_head.")):
            torch.testing.assert_close(first.tensors[name], tensor, rtol=0, atol=0)
    assert not torch.equal(bundle.tensors["dense_head.conv_cls.bias"], teacher["dense_head.conv_cls.bias"])
    account = json.loads((tmp_path / "responses" / "sources.json").read_text())
    assert account == [
        {"source": str(place / "drive"), "frames": 6, "used": 6, "repeat": 1, "labelled": 0, "stored_targets": 0}
    ]
    # All that is finished is left alone.
    assert run.train(resume=True, quiet=True).hash == bundle.hash
    with pytest.raises(ModelError, match="another recipe"):
        CmkdRun(recipe(place, augment={"flip": 0, "scale_crop": 0}), [], [place / "other"], tmp_path).train(True, True)


def test_a_stage_that_was_stopped_ends_as_if_it_never_was(
    place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stages = [{"name": "features", "teach": {"features": 4}, "schedule": schedule(4, batch_size=1)}]
    whole = CmkdRun(recipe(place, stages=stages), [], [], tmp_path / "whole").train(quiet=True)

    from mono3d_kd_core.training.distillation import DistillationModule

    start = DistillationModule.on_train_epoch_start

    def stop(self: DistillationModule) -> None:
        if self.current_epoch == 2:
            raise KeyboardInterrupt
        start(self)

    monkeypatch.setattr(DistillationModule, "on_train_epoch_start", stop)
    broken = CmkdRun(recipe(place, stages=stages), [], [], tmp_path / "broken")
    with pytest.raises(KeyboardInterrupt):
        broken.train(quiet=True)
    monkeypatch.undo()
    resumed = broken.train(resume=True, quiet=True)
    for name, tensor in whole.tensors.items():
        torch.testing.assert_close(resumed.tensors[name], tensor, rtol=1e-5, atol=1e-6)
    curve = losses(tmp_path / "broken" / "features")
    assert len(curve) == 2
    assert curve == pytest.approx(losses(tmp_path / "whole" / "features"))


def test_sources_of_all_kinds_mix_in_any_proportion(place: Path, tmp_path: Path) -> None:
    bag = convert_source(place / "other", tmp_path / "bag")
    sources = [
        SourceConfig(path=place / "drive", share=0.5, labels=True),
        SourceConfig(path=place / "drive"),
        SourceConfig(path=bag, repeat=2),
    ]
    lessons = Lessons(sources, ["Car"], (32, 96), DataConfig(), Guard())
    assert len(lessons) == 3 + 6 + 2 * 4
    assert [lesson.labelled for lesson in lessons] == [True] * 3 + [False] * 14
    labels = lessons[0].labels()
    assert labels is not None
    assert len(labels) == 1
    inside = labels.contains(lessons[0].frame().points)  # type: ignore[arg-type]
    assert 150 < inside.sum() <= 200  # the object's points lie in its box: both are in the LiDAR's frame
    assert [row["used"] for row in lessons.account()] == [3, 6, 4]
    both = {"features": 4.0, "labels": 1.0}
    stages = [{"name": "both", "teach": both, "schedule": schedule(1)}]
    mixed = recipe(place, sources=[source.model_dump() for source in sources], stages=stages)
    assert CmkdRun(mixed, [], [], tmp_path / "out").train(quiet=True).card.kind == "student"


def test_a_frame_that_is_validated_on_is_refused_by_name(place: Path, tmp_path: Path) -> None:
    copy = tmp_path / "renamed"
    for file in (place / "drive").glob("*/000003.*"):
        (copy / file.parent.name).mkdir(parents=True)
        shutil.copy(file, copy / file.parent.name / f"000077{file.suffix}")
    with pytest.raises(DataError, match=r"renamed: frame 000077 is frame 000003 of .*drive"):
        CmkdRun(recipe(place, sources=[{"path": copy}]), [], [place / "drive"], tmp_path / "out").train(quiet=True)


def test_a_store_s_answers_are_those_of_the_teacher_asked_at_once(place: Path, tmp_path: Path) -> None:
    teacher = load_teacher(place / "teacher")
    provenance = Provenance.of(teacher, TargetSettings(bev=True))
    with TargetStore(tmp_path / "store", provenance) as store:
        make_targets(open_source(place / "drive"), teacher, store)
    stages = [{"name": "s", "teach": {"features": 4, "classification": 8, "box": 2}, "schedule": schedule(1)}]
    still = {"flip": 0, "scale_crop": 0, "colour": 0}
    asked = CmkdRun(recipe(place, stages=stages, augment=still), [], [], tmp_path / "asked").train(quiet=True)
    sources = [{"path": place / "drive", "targets": tmp_path / "store"}]
    read = CmkdRun(recipe(place, stages=stages, augment=still, sources=sources), [], [], tmp_path / "read").train(
        quiet=True
    )
    for name, tensor in asked.tensors.items():
        torch.testing.assert_close(read.tensors[name], tensor, rtol=1e-4, atol=1e-5)
    always = recipe(place, stages=stages, augment=still | {"flip": 1}, sources=sources)
    with pytest.raises(DataError, match="cannot be mirrored"):
        CmkdRun(always, [], [], tmp_path / "flip").train(quiet=True)


def test_a_student_can_start_with_the_eyes_of_its_like(place: Path, tmp_path: Path) -> None:
    seen = [{"name": "depth", "teach": {"depth": 1}, "schedule": schedule(1, bfloat16=True)}]
    like = CmkdRun(recipe(place, stages=seen), [], [], tmp_path / "like").train(quiet=True)
    features = [{"name": "features", "teach": {"features": 4}, "schedule": schedule(1, learning_rate=1e-9, seed=5)}]
    changes = {"stages": features, "weights": like.path, "teacher": {"bundle": place / "teacher", "start": False}}
    parts = ("image_network.backbone.conv1.weight", "collapse.0.weight", "dense_head.conv_cls.weight")
    alike = {}
    for of in ("image", "student"):
        run = CmkdRun(recipe(place, **changes, weights_of=of), [], [], tmp_path / of)
        found = run.train(quiet=True).tensors
        alike[of] = [torch.allclose(found[name], like.tensors[name], atol=1e-5) for name in parts]
    assert alike == {"image": [True, False, False], "student": [True, True, True]}


def test_a_stored_teacher_s_boxes_teach_as_labels(place: Path, tmp_path: Path) -> None:
    teacher = load_teacher(place / "teacher")
    with TargetStore(tmp_path / "store", Provenance.of(teacher, TargetSettings(bev=True))) as store:
        make_targets(open_source(place / "drive"), teacher, store)
    shape = {**STUDENT, **SHAPE, "low": TEACHER.low, "high": TEACHER.high, "bev_channels": 8}
    stages = [{"name": "v1", "teach": {"pseudo_labels": 1}, "schedule": schedule(1)}]
    sources = [{"path": place / "drive", "targets": tmp_path / "store"}]
    # Boxes can be mirrored, whatever else the store holds.
    always = {"flip": 1, "scale_crop": 0, "colour": 0}
    taught = recipe(place, student=shape, teacher=None, stages=stages, sources=sources, augment=always)
    run = CmkdRun(taught, [], [], tmp_path / "out")
    assert run.train(quiet=True).card.kind == "student"


def test_any_teacher_s_boxes_teach_a_student_on(place: Path, tmp_path: Path) -> None:
    first = CmkdRun(recipe(place), [], [], tmp_path / "first").train(quiet=True)
    teacher = load_teacher(place / "teacher")
    with TargetStore(tmp_path / "store", Provenance.of(teacher, TargetSettings(responses=False))) as store:
        make_targets(open_source(place / "drive"), teacher, store)
    changes = ["stages=[{name: boxes, teach: {pseudo_labels: 1}, schedule: {epochs: 1, batch_size: 2}}]"]
    on = planned_run("cmkd_boxes", [*changes, f"weights={first.path}"], [tmp_path / "store"], [], tmp_path / "on")
    bundle = on.train(quiet=True)
    assert isinstance(bundle, Bundle)
    shape = {name: value for name, value in bundle.card.config.items() if name != "pose"}
    assert shape == {name: value for name, value in first.card.config.items() if name != "pose"}
    assert json.loads((tmp_path / "on" / "boxes" / "sources.json").read_text())[0]["stored_targets"] == 6
    head = "dense_head.conv_cls.weight"
    assert not torch.equal(bundle.tensors[head], first.tensors[head])
    with pytest.raises(ModelError, match="a target store as --data"):
        planned_run("cmkd_boxes", [*changes, f"weights={first.path}"], [place / "drive"], [], tmp_path / "none").train(
            quiet=True
        )
    # It has boxes only, and says so to who wants maps.
    sources = [{"path": place / "drive", "targets": tmp_path / "store"}]
    with pytest.raises(DataError, match="stored without what is to be taught"):
        CmkdRun(recipe(place, sources=sources), [], [], tmp_path / "maps").train(quiet=True)


def test_a_centerpoint_teaches_a_student_with_its_head(place: Path, tmp_path: Path) -> None:
    torch.manual_seed(0)
    settings = CenterPillarsConfig(
        low=TEACHER.low, high=TEACHER.high, pillar=0.32, max_points=8, width=8, head_width=8, score_threshold=0.0,
        names=("Car", "Cyclist"), **SHAPE,
    )  # fmt: skip
    teacher = CenterPillars(settings)
    card = Card(
        kind="teacher", architecture="centerpoint_pillar", config=settings.model_dump(mode="json"),
        classes=list(teacher.classes),
    )  # fmt: skip
    save_bundle(tmp_path / "teacher", card, teacher.state_dict())
    stages = [
        {"name": "features", "teach": {"features": 4, "depth": 1}, "schedule": schedule(1)},
        {"name": "responses", "teach": {"features": 4, "classification": 1, "box": 1}, "schedule": schedule(1)},
    ]
    wanted = recipe(place, teacher={"bundle": tmp_path / "teacher"}, stages=stages)
    bundle = CmkdRun(wanted, [], [place / "other"], tmp_path / "out").train(quiet=True)
    assert bundle.card.classes == ["Car", "Cyclist"]
    assert bundle.card.config["head"] == "center"
    shared = {name for name in teacher.state_dict() if name.startswith(("backbone_2d.", "dense_head."))}
    assert shared <= bundle.tensors.keys()
    student = build_student(bundle, "cpu")
    assert student.classes == ("Car", "Cyclist")


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"augment": {"scale_crop": 0.5}}, "scale_crop must be 0"),
        ({"teacher": {}}, "either bundle, or recipe"),
        ({"stages": []}, "at least 1"),
    ],
)
def test_recipes_that_make_no_sense_are_refused(place: Path, changes: dict[str, object], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        recipe(place, **changes)
