"""Every packaged method learns from a bag as it does from the folder that the bag was made of."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from mono3d_kd_core.deploy.bundle import load_bundle
from mono3d_kd_core.deploy.loading import load_teacher
from mono3d_kd_core.errors import DataError
from mono3d_kd_core.io.convert import convert_source
from mono3d_kd_core.io.open import open_source
from mono3d_kd_core.targets import Provenance, TargetSettings, TargetStore, make_targets
from mono3d_kd_core.training.choice import planned_run
from mono3d_kd_core.training.examples import open_labelled
from mono3d_kd_core.training.leaks import Guard
from mono3d_kd_core.training.lessons import Lessons, SourceConfig
from mono3d_kd_core.training.recipe import DataConfig
from mono3d_kd_core.training.run import labels_hash
from tests.training.cmkd.test_run import write_drive, write_teacher

SMALL = [f"student.{key}" for key in ("width=0.125", "input_height=32", "input_width=96")]
KEYPOINT = [*SMALL, "student.neck_channels=8", "student.head_channels=8"]
QUERY = [
    *SMALL, "student.channels=16", "student.feed_forward=16", "student.heads=2", "student.encoder_layers=1",
    "student.decoder_layers=1", "student.queries=8", "student.groups=2",
]  # fmt: skip
VOLUME = ["low=[2.0,-6.4,-3.0]", "high=[14.8,6.4,1.0]"]
BEV = [
    *SMALL, *(f"student.{key}" for key in VOLUME), "student.neck_channels=8", "student.feature_channels=4",
    "student.depth_bins=16", "student.layers=[1,1]", "student.filters=[8,8]", "student.bev_channels=8",
    "student.up_filters=[8,8]",
]  # fmt: skip
LIDAR = [
    *(f"teacher.{key}" for key in VOLUME), "teacher.layers=[1,1]", "teacher.filters=[8,8]", "teacher.up_filters=[8,8]",
    "teacher.max_voxels_training=2000",
]  # fmt: skip
ONCE = ["schedule.epochs=1", "schedule.batch_size=2"]
TWICE = [*ONCE, "teacher.schedule.epochs=1", "teacher.schedule.batch_size=2"]
LABELLED = {
    "keypoint_small": [*KEYPOINT, *ONCE], "query_small": [*QUERY, *ONCE],
    "monostl_small": [*KEYPOINT, *TWICE], "monostl_query_small": [*QUERY, *TWICE],
    "add_small": [*KEYPOINT, *TWICE], "add_query_small": [*QUERY, *TWICE], "add_bev_small": [*BEV, *TWICE],
    "skd_wm3d_small": [*KEYPOINT, *ONCE],
    "second_small": [*LIDAR, *ONCE],
    "pointpillars_small": [*LIDAR[:-1], "teacher.max_pillars_training=2000", *ONCE],
}  # fmt: skip
"""How each method that needs labels is made tiny."""


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder, a bag of it, and a drive file that joins the bag and the folder's labels; a LiDAR teacher."""
    root = tmp_path_factory.mktemp("bags")
    convert_source(write_drive(root / "folder", 2, seed=0), root / "bag")
    (root / "drive.yaml").write_text("drive: bag\nlabels: folder/label_2\n")
    write_teacher(root / "teacher")
    return root


@pytest.mark.parametrize("recipe", LABELLED)
def test_a_bag_with_labels_is_learned_from(recipe: str, place: Path, tmp_path: Path) -> None:
    bundle = planned_run(recipe, LABELLED[recipe], [place / "drive.yaml"], [], tmp_path / "run").train(quiet=True)
    assert load_bundle(bundle.path).tensors.keys() == bundle.tensors.keys()
    assert bundle.card.provenance["data"] == "drive.yaml"


def test_it_is_the_folders_lessons_that_are_learned(place: Path) -> None:
    drive, folder = (
        Lessons([SourceConfig(path=path, labels=True)], ["Car"], (32, 96), DataConfig(), Guard())
        for path in (place / "drive.yaml", place / "folder")
    )
    assert len(drive) == len(folder) == 2
    for a, b in zip(drive, folder):
        assert a.id == b.id
        np.testing.assert_array_equal(a.image, b.image)
        np.testing.assert_allclose(a.annotation.boxes.centre, b.annotation.boxes.centre)
        np.testing.assert_allclose(a.depth(), b.depth(), atol=1e-5)
    assert labels_hash([place / "drive.yaml"]) == labels_hash([place / "folder"])


@pytest.mark.parametrize("recipe", LABELLED)
def test_without_labels_the_error_says_what_to_give(recipe: str, place: Path, tmp_path: Path) -> None:
    run = planned_run(recipe, LABELLED[recipe], [place / "bag"], [], tmp_path / "run")
    with pytest.raises(DataError, match=r"bag: nobody has .* its objects.*drive file, YAML with drive: .*bag and labels:"):
        run.train(quiet=True)


def test_a_teachers_store_of_a_bag_is_learned_from_as_itself(place: Path, tmp_path: Path) -> None:
    teacher = load_teacher(place / "teacher")
    with TargetStore(tmp_path / "store", Provenance.of(teacher, TargetSettings())) as store:
        make_targets(open_source(place / "bag"), teacher, store)
    bundle = planned_run(
        "monostl_small", LABELLED["monostl_small"], [tmp_path / "store"], [], tmp_path / "run"
    ).train(quiet=True)
    assert bundle.card.provenance["data"] == "store"
    (tmp_path / "both.yaml").write_text(f"drive: {place / 'bag'}\nlabels: store/label_2\n")
    with pytest.raises(DataError, match=r"the labels are a target store's; give .*store itself"):
        open_labelled(tmp_path / "both.yaml")


@pytest.mark.parametrize("recipe", ["add_small", "add_query_small", "add_bev_small"])
def test_add_learns_from_a_bag_of_a_camera_alone(recipe: str, place: Path, tmp_path: Path) -> None:
    (tmp_path / "rig.yaml").write_text(
        "topics: {image: /camera/image_rect, camera_info: /camera/camera_info}\nrectified: true\n"
    )
    alone = tmp_path / "alone.yaml"
    alone.write_text(f"drive: {place / 'bag'}\nrig: rig.yaml\nlabels: {place / 'folder' / 'label_2'}\n")
    assert open_source(alone)[0].points is None
    with pytest.raises(DataError, match=r"has no LiDAR points.*teach\.depth=objects"):
        planned_run(recipe, LABELLED[recipe], [alone], [], tmp_path / "lidar").train(quiet=True)
    changes = [*LABELLED[recipe], "teach.depth=objects"]
    bundle = planned_run(recipe, changes, [alone], [], tmp_path / "run").train(quiet=True)
    assert bundle.card.provenance["data"] == "alone.yaml"


def test_a_bag_with_labels_is_validated_on(place: Path, tmp_path: Path) -> None:
    (tmp_path / "other.yaml").write_text("drive: bag\nlabels: folder/label_2\n")
    convert_source(write_drive(tmp_path / "folder", 2, seed=1), tmp_path / "bag")
    run = planned_run(
        "keypoint_small", LABELLED["keypoint_small"], [place / "drive.yaml"], [tmp_path / "other.yaml"], tmp_path / "run"
    )
    assert "recall_40m_Car" in run.train(quiet=True).card.metrics
