"""What training sees of label files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import yaml

from mono3d_kd_core.errors import DataError
from mono3d_kd_core.geometry.camera import CameraModel
from mono3d_kd_core.io.kitti import KittiLabels, KittiObjectSource
from mono3d_kd_core.students.letterbox import Letterbox
from mono3d_kd_core.training.cache import CachedExamples
from mono3d_kd_core.training.data import EpochSampler, TrainingSet
from mono3d_kd_core.training.examples import Examples, annotate, open_labelled
from mono3d_kd_core.training.leaks import Guard
from mono3d_kd_core.training.lessons import Lessons, SourceConfig
from mono3d_kd_core.training.recipe import AugmentConfig, DataConfig
from tests.training.conftest import write_world

ROWS = """\
Car 0.00 0 1.0 100 50 200 120 1.5 1.6 3.9 1 1.6 20 1.1{0}
Car 0.00 3 1.0 300 50 400 120 1.5 1.6 3.9 5 1.6 20 1.1{0}
Car 0.90 0 1.0 500 50 600 120 1.5 1.6 3.9 9 1.6 20 1.1{0}
Van 0.00 0 1.0 10 50 90 120 2.2 1.9 5.0 -9 1.6 20 1.1{0}
Tram 0.00 0 1.0 610 50 620 120 3.5 2.3 16 12 1.6 20 1.1{0}
DontCare -1 -1 -10 630 10 638 20 -1 -1 -1 -1000 -1000 -1000 -10{0}
"""


def rows(tmp_path: Path, score: str = "") -> KittiLabels:
    path = tmp_path / "000000.txt"
    path.write_text(ROWS.format(score))
    return KittiLabels.read(path)


CAMERA = CameraModel.pinhole(640, 192, 370, 370, 320, 96)
SAME = Letterbox.fit(640, 192, (192, 640))


def test_doubtful_and_alike_rows_are_neither_objects_nor_background(tmp_path: Path) -> None:
    annotation = annotate(rows(tmp_path), CAMERA, SAME, ["Car"], DataConfig())
    assert annotation.box2d[:, 0].tolist() == [100]
    assert sorted(annotation.ignore[:, 0]) == [10, 300, 500, 630]  # the tram is plain background


def test_low_scores_are_doubtful_and_high_ones_weigh_more(tmp_path: Path) -> None:
    config = DataConfig(min_score=5.0, full_score=20.0)
    low = annotate(rows(tmp_path, " 4.9"), CAMERA, SAME, ["Car"], config)
    assert len(low.boxes) == 0
    assert 100 in low.ignore[:, 0]
    assert annotate(rows(tmp_path, " 8.0"), CAMERA, SAME, ["Car"], config).weight.tolist() == [0.4]
    assert annotate(rows(tmp_path, " 80.0"), CAMERA, SAME, ["Car"], config).weight.tolist() == [1.0]


def test_a_store_is_trusted_from_the_score_of_its_teachers_card_on_unless_the_recipe_says_otherwise(tmp_path: Path) -> None:
    store = write_world(tmp_path / "store", 6, scored=True)
    settings = {"architecture": "point_gnn", "teacher": "0" * 64, "classes": ["Car"], "trusted_score": 5.0}
    (store / "provenance.yaml").write_text(yaml.safe_dump(settings))
    source = open_labelled(store)
    scores = np.concatenate([source.labels(i).score for i in range(6) if i != 1])  # frame 1 is empty

    def learned(config: DataConfig) -> int:
        examples = Examples([source], ["Car"], (64, 192), config)
        lessons = Lessons([SourceConfig(path=store, labels=True)], ["Car"], (64, 192), config, Guard())
        count = sum(len(example.annotation.boxes) for example in examples)
        assert sum(len(lesson.annotation.boxes) for lesson in lessons) == count
        return count

    assert 0 < (scores >= 5).sum() < len(scores)
    assert learned(DataConfig(max_truncation=1)) == (scores >= 5).sum()
    assert learned(DataConfig(max_truncation=1, min_score=0)) == len(scores)


def test_small_boxes_are_doubtful_in_the_networks_pixels(tmp_path: Path) -> None:
    half = Letterbox.fit(640, 192, (96, 320))
    assert len(annotate(rows(tmp_path), CAMERA, half, ["Car"], DataConfig(min_height=40)).boxes) == 0
    assert len(annotate(rows(tmp_path), CAMERA, SAME, ["Car"], DataConfig(min_height=40)).boxes) == 1


def test_cached_examples_equal_fresh_ones(world: Path, tmp_path: Path) -> None:
    fresh = Examples([open_labelled(world)], ["Car"], (64, 224), DataConfig())
    cached = CachedExamples(fresh, tmp_path / "cache" / "x.npy", lambda items, title: items)
    for i in range(len(fresh)):
        np.testing.assert_array_equal(cached[i].image, fresh[i].image)
        np.testing.assert_array_equal(cached[i].camera.P, fresh[i].camera.P)
        np.testing.assert_array_equal(cached[i].annotation.box2d, fresh[i].annotation.box2d)
    cached.close()
    assert not (tmp_path / "cache" / "x.npy").exists()


def test_several_folders_are_read_one_after_the_other(world: Path) -> None:
    examples = Examples([open_labelled(world), open_labelled(world)], ["Car"], (64, 192), DataConfig())
    assert [e.id for e in examples] == 2 * list(KittiObjectSource(world).ids)


def test_frames_without_a_label_file_are_left_out_and_none_at_all_is_an_error(world: Path) -> None:
    (world / "label_2" / "000003.txt").unlink()
    assert "000003" not in open_labelled(world).ids
    for file in (world / "label_2").glob("*.txt"):
        file.unlink()
    with pytest.raises(DataError, match="none of its 8 frames has a label"):
        open_labelled(world)


def test_changes_depend_on_seed_epoch_and_index_only(world: Path) -> None:
    examples = Examples([open_labelled(world)], ["Car"], (64, 192), DataConfig())
    a, b = (TrainingSet(examples, AugmentConfig(), seed) for seed in (1, 2))
    np.testing.assert_array_equal(a[3, 5].image, a[3, 5].image)
    assert any(not np.array_equal(a[3, i].image, a[4, i].image) for i in range(8))
    assert any(not np.array_equal(a[3, i].image, b[3, i].image) for i in range(8))


def test_each_epoch_is_another_order_of_all_frames() -> None:
    sampler = EpochSampler(50, seed=3)
    first = list(sampler)
    sampler.set_epoch(1)
    second = list(sampler)
    assert sorted(i for _, i in first) == sorted(i for _, i in second) == list(range(50))
    assert [i for _, i in first] != [i for _, i in second]
    assert list(EpochSampler(50, seed=3, epoch=1)) == second
