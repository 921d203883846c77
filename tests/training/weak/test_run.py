"""SKD-WM3D's runs: from folders and bags, by LiDAR or by depth maps, blind to what labels say of space."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from mono3d_kd_core.deploy.bundle import load_bundle
from mono3d_kd_core.deploy.detector import Detector
from mono3d_kd_core.errors import DataError, ModelError
from mono3d_kd_core.geometry.camera import CameraModel
from mono3d_kd_core.io.convert import convert_source
from mono3d_kd_core.io.files import write_depth
from mono3d_kd_core.io.kitti import KittiLabels, KittiObjectSource
from mono3d_kd_core.resources import config_dir
from mono3d_kd_core.students.keypoint import KeypointConfig, KeypointStudent
from mono3d_kd_core.students.letterbox import Letterbox
from mono3d_kd_core.training.augment import augment, crop, flip
from mono3d_kd_core.training.choice import planned_run
from mono3d_kd_core.training.leaks import Guard
from mono3d_kd_core.training.recipe import AugmentConfig, Recipe
from mono3d_kd_core.training.weak.lessons import WeakLessons, seen_through, without_space
from mono3d_kd_core.training.weak.recipe import SkdRecipe, WeakSourceConfig
from mono3d_kd_core.training.weak.run import WeakModule, WeakRun
from tests.io.bags import write_ros2
from tests.io.test_bag_depth import with_depth as with_depth_images
from tests.training.conftest import write_world
from tests.training.privileged.test_run import with_sweeps


@pytest.fixture
def train(tmp_path: Path) -> Path:
    return with_sweeps(write_world(tmp_path / "plain", 8), tmp_path / "train")


def blind(folder: Path) -> Path:
    """Take from the labels all that they say of space, as a person who draws rectangles leaves it."""
    for file in (folder / "label_2").glob("*.txt"):
        rows = [line.split() for line in file.read_text().splitlines()]
        unknown = ["-1", "-1", "-1", "-1000", "-1000", "-1000", "-10"]
        file.write_text("".join(" ".join([*row[:3], "-10", *row[4:8], *unknown]) + "\n" for row in rows))
    return folder


def with_depth(folder: Path, per_metre: float = 256.0) -> Path:
    """Add depth maps in which depth is a tenth of the column, in metres."""
    source = KittiObjectSource(folder)
    for id_ in source.ids:
        depth = np.tile(0.1 * np.arange(192) + 1, (64, 1))
        write_depth(folder / "depth_2" / f"{id_}.png", depth * per_metre / 256)
    return folder


def recipe_of(base: Recipe, **changes: object) -> SkdRecipe:
    content = {
        "architecture": "skd_wm3d", "student": base.student, "augment": base.augment,
        "schedule": {"epochs": 2, "batch_size": 4, "learning_rate": 5e-3},
    }  # fmt: skip
    return SkdRecipe.model_validate(content | changes)


def lessons_of(recipe: SkdRecipe, folder: Path) -> WeakLessons:
    return WeakLessons([WeakSourceConfig(path=folder)], recipe, Guard())


def test_a_run_needs_no_label_in_space_and_leaves_a_plain_student(recipe: Recipe, train: Path, tmp_path: Path) -> None:
    val = write_world(tmp_path / "val", 4, seed=1)
    bundle = WeakRun.of(recipe_of(recipe), [blind(train)], [val], tmp_path / "run").train(quiet=True)
    alone = KeypointStudent(KeypointConfig.model_validate(bundle.card.config))
    assert bundle.card.architecture == "keypoint"
    assert load_bundle(bundle.path).tensors.keys() == alone.state_dict().keys()
    assert bundle.card.provenance["method"] == "skd_wm3d"
    assert bundle.card.provenance["depth"] == "lidar"
    frame = KittiObjectSource(val)[0]
    assert Detector.load(bundle.path, score_threshold=0.0).detect(frame.image, frame.rig.camera).frame == "camera"


def test_labels_in_space_change_nothing(recipe: Recipe, train: Path, tmp_path: Path) -> None:
    seeing = WeakRun.of(recipe_of(recipe), [train], [], tmp_path / "seeing").train(quiet=True)
    blinded = WeakRun.of(recipe_of(recipe), [blind(train)], [], tmp_path / "blind").train(quiet=True)
    for name, tensor in seeing.tensors.items():
        torch.testing.assert_close(blinded.tensors[name], tensor, rtol=0, atol=0)


@pytest.mark.slow
def test_a_stopped_run_goes_on_with_teacher_and_modulation(
    recipe: Recipe, train: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = recipe_of(recipe, teach={"warmup": 0})
    whole = WeakRun.of(plan, [train], [], tmp_path / "whole").train(quiet=True)
    stopped = WeakRun.of(plan, [train], [], tmp_path / "stopped")
    start = WeakModule.on_train_batch_start

    def interrupted(self: WeakModule, batch: object, batch_idx: int) -> None:
        if self.current_epoch == 1 and batch_idx == 1:
            raise KeyboardInterrupt
        start(self, batch, batch_idx)  # type: ignore[arg-type]

    with monkeypatch.context() as patch:
        patch.setattr(WeakModule, "on_train_batch_start", interrupted)
        with pytest.raises(KeyboardInterrupt):
            stopped.train(quiet=True)
    resumed = stopped.train(resume=True, quiet=True)
    for name, tensor in whole.tensors.items():
        torch.testing.assert_close(resumed.tensors[name], tensor, rtol=0, atol=0)


def test_a_bag_is_learned_from_with_boxes_that_lie_beside_it(recipe: Recipe, train: Path, tmp_path: Path) -> None:
    bag = convert_source(train, tmp_path / "bag")
    with pytest.raises(DataError, match="nobody has boxed its objects"):
        lessons_of(recipe_of(recipe), bag)
    plan = recipe_of(recipe, boxes=train / "label_2")
    from_bag, from_folder = lessons_of(plan, bag), lessons_of(recipe_of(recipe), train)
    assert len(from_bag) == 7  # a stamp of zero, as the folder's first frame has, nobody filled in
    (twin,) = (lesson for lesson in from_folder if lesson.id == from_bag[3].id)
    np.testing.assert_allclose(from_bag[3].annotation.box2d, twin.annotation.box2d, atol=1e-3)
    np.testing.assert_allclose(from_bag[3].prior(), twin.prior(), atol=1e-3)
    one = {"epochs": 1, "batch_size": 4}
    run = WeakRun.of(
        plan.model_copy(update={"schedule": recipe.schedule.model_validate(one)}), [bag], [], tmp_path / "run"
    )
    assert run.train(quiet=True).card.provenance["data"] == "bag"


def test_a_depth_networks_node_may_have_been_recorded_beside_the_pictures(recipe: Recipe, tmp_path: Path) -> None:
    bag = write_ros2(tmp_path / "drive", with_depth_images("16UC1"))
    (tmp_path / "boxes").mkdir()
    for number in range(4):
        row = "Car 0 0 -10 10 5 40 20 -1 -1 -1 -1000 -1000 -1000 -10\n"
        (tmp_path / "boxes" / f"{number:06d}.txt").write_text(row)
    plan = recipe_of(recipe, boxes=tmp_path / "boxes", depth={"source": "maps", "topic": "/depth", "per_metre": 1000})
    lessons = WeakLessons([WeakSourceConfig(path=bag)], plan, Guard(), tmp_path / "run")
    assert [lesson.id for lesson in lessons] == ["000000", "000002", "000003"]  # the node missed one
    prior = lessons[1].prior()
    assert prior[32, 96] == 2.5


def test_what_labels_say_of_space_is_forgotten_at_once(recipe: Recipe, train: Path) -> None:
    rows = without_space(KittiLabels.read(train / "label_2" / "000000.txt"))
    assert np.isnan(rows.location).all()
    assert np.isnan(rows.dimensions).all()
    lesson = lessons_of(recipe_of(recipe), train)[0]
    assert np.isnan(lesson.annotation.boxes.centre).all()
    assert np.isfinite(lesson.annotation.box2d).all()
    assert lesson.labels() is None


@pytest.mark.parametrize("per_metre", [256.0, 1000.0])
def test_depth_maps_follow_every_change_of_the_picture(recipe: Recipe, train: Path, per_metre: float) -> None:
    with_depth(train, per_metre)
    maps = recipe_of(recipe, depth={"source": "maps", "per_metre": per_metre})
    lesson = lessons_of(maps, train)[0]
    assert lesson.points is None
    column = np.arange(192)
    np.testing.assert_allclose(lesson.prior()[30], 0.1 * column + 1, atol=0.01)
    np.testing.assert_allclose(flip(lesson).prior()[30], 0.1 * column[::-1] + 1, atol=0.01)
    half = crop(lesson, 48, 16, 96, 32)  # twice as large: distances stay
    np.testing.assert_allclose(half.prior()[30], 0.1 * (48 + (column + 0.5) / 2 - 0.5) + 1, atol=0.06)
    both = flip(half)
    np.testing.assert_allclose(both.prior()[30], half.prior()[30, ::-1], atol=0.11)
    out = crop(lesson, -96, 0, 192, 64)
    assert (out.prior()[:, :95] == 0).all()


def test_maps_of_another_resolution_and_letterboxed_pictures() -> None:
    camera = CameraModel.pinhole(400, 300, 300, 300, 200, 150)
    letterbox = Letterbox.fit(400, 300, (64, 192))
    depth = np.tile(np.arange(200, dtype=np.float32) + 1, (150, 1))  # half the image's resolution
    seen = seen_through(depth, camera, letterbox.camera(camera))
    left, width = letterbox.left, letterbox.width
    assert (seen[:, : left - 1] == 0).all()
    assert (seen[:, left + width + 1 :] == 0).all()
    np.testing.assert_allclose(seen[30, left + 1 : left + width - 1], np.linspace(1, 200, width)[1:-1], atol=3)


def test_edges_at_the_images_border_are_cut_wherever_the_border_is(recipe: Recipe, train: Path) -> None:
    lesson = lessons_of(recipe_of(recipe), train)[0]
    a = lesson.annotation
    touching = replace(lesson, annotation=replace(a, box2d=np.array([[0.0, 20, 40, 50], [100, 20, 150, 50]])))
    assert touching.boxes2d().cut.tolist() == [[True, False, False, False], [False] * 4]
    assert flip(touching).boxes2d().cut.tolist() == [[False, False, True, False], [False] * 4]
    # Seen from further away, the border of the image lies inside the picture; closer, the picture's own border cuts.
    away = crop(touching, -48, -16, 288, 96)
    assert away.annotation.box2d[0, 0] > 20
    assert away.boxes2d().cut.tolist() == [[True, False, False, False], [False] * 4]
    close = crop(touching, 24, 8, 120, 40)
    assert close.boxes2d().cut.tolist() == [[True, False, False, True], [False, False, True, True]]
    changed = augment(touching, AugmentConfig(scale_crop=1.0), np.random.default_rng(0))
    assert changed.boxes2d().cut.shape == (2, 4)  # type: ignore[attr-defined]


def test_missing_depth_is_said_in_words(recipe: Recipe, train: Path, tmp_path: Path) -> None:
    plain = write_world(tmp_path / "bare", 2)
    with pytest.raises(DataError, match="has no LiDAR points to take depth from"):
        lessons_of(recipe_of(recipe), plain)[0]
    with pytest.raises(DataError, match="there is no depth map of 8 frames, such as 000000"):
        lessons_of(recipe_of(recipe, depth={"source": "maps"}), train)
    alone = recipe_of(recipe, teach={"self_teacher": False})
    assert lessons_of(alone, plain)[0].points is None


@pytest.mark.parametrize("name", ["skd_wm3d", "skd_wm3d_small"])
def test_packaged_recipes_are_plans(name: str, tmp_path: Path) -> None:
    assert (config_dir() / "recipes" / f"{name}.yaml").is_file()
    assert isinstance(planned_run(name, None, [tmp_path], [], tmp_path / "run"), WeakRun)
    with pytest.raises(ModelError, match="names no data"):
        planned_run(name, None, [], [], None)
    own = planned_run(name, [f"sources=[{{path: {tmp_path}}}]"], [], [], None)
    assert own.data == (tmp_path,)
