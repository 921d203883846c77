"""A sweep's profile against the sensor that made it, and what is said of others."""

from __future__ import annotations

import numpy as np
import pytest

from mono3d_kd_core.deploy.trained_lidar import TrainedLidar
from mono3d_kd_core.geometry.sweep import beam_count, ground_height, reach


def sweep(beams: int = 64, height: float = 1.73, scale: float = 1.0, seed: int = 0) -> np.ndarray:
    """Beams from +2 to -24.8 degrees over a flat road, with walls at 60 m."""
    elevation, azimuth = np.meshgrid(np.radians(np.linspace(2, -24.8, beams)), np.radians(np.arange(0, 360, 0.2)))
    elevation, azimuth = elevation.ravel(), azimuth.ravel()
    with np.errstate(divide="ignore"):
        road = np.where(elevation < 0, -height / np.tan(elevation), np.inf)
    distance = np.minimum(road, 60.0)
    random = np.random.default_rng(seed)
    xyz = np.column_stack([distance * np.cos(azimuth), distance * np.sin(azimuth), distance * np.tan(elevation)])
    return np.column_stack([xyz, random.uniform(0, scale, len(xyz))]).astype(np.float32)


@pytest.mark.parametrize("beams", [16, 32, 64])
def test_beams_ground_and_reach_are_those_of_the_sensor(beams: int) -> None:
    cloud = sweep(beams)
    assert beam_count(cloud) == beams
    assert ground_height(cloud) == pytest.approx(-1.73, abs=0.06)
    assert reach(cloud) == pytest.approx(60, abs=0.5)


def test_a_like_sensor_is_not_remarked_upon() -> None:
    trained = TrainedLidar.of([sweep()])
    assert trained is not None
    assert trained.remarks([sweep(seed=1), sweep(60)]) == []


@pytest.mark.parametrize(
    ("cloud", "words"),
    [
        (sweep(height=2.6), "the ground lies at z = -2.55 m"),
        (sweep(16), "about 16 beams, the teacher was trained on 64"),
        (sweep(scale=255), "divide them by 25"),
        (sweep(scale=0), "no intensity"),
        (sweep()[:0], "no ground is seen"),
        (sweep() * [0.3, 0.3, 1, 1], "reach 18 m, the teacher was trained to 60 m"),
    ],
)
def test_differences_are_said_in_words(cloud: np.ndarray, words: str) -> None:
    trained = TrainedLidar.of([sweep()])
    assert trained is not None
    assert any(words in remark for remark in trained.remarks([cloud])), trained.remarks([cloud])


def test_real_sweeps_are_recognised(shared_data) -> None:  # type: ignore[no-untyped-def]
    from mono3d_kd_core.deploy.trained_lidar import KITTI_LIDAR

    files = sorted((shared_data / "kitti" / "object" / "training" / "velodyne").glob("*.bin"))[:3]
    assert KITTI_LIDAR.remarks([np.fromfile(file, np.float32).reshape(-1, 4) for file in files]) == []
