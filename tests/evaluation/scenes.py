"""Scenes for the tests of the evaluation: single rows by hand, and crowded random frames."""

from __future__ import annotations

import numpy as np

from mono3d_kd_core.io.kitti_labels import KittiLabels
from mono3d_kd_core.io.kitti_table import LabelTable


def row(
    kind: str = "Car", *, left: float = 100, top: float = 100, width: float = 100, height: float = 50, x: float = 0,
    y: float = 1.5, z: float = 20, hwl: tuple[float, float, float] = (1.5, 2.0, 4.0), turn: float = 0, alpha: float = 0,
    truncated: float = 0, occluded: int = 0, score: float = 0.5,
) -> KittiLabels:  # fmt: skip
    """Return a label or detection of one object: easy, 20 m ahead, unless said otherwise."""
    return KittiLabels(
        np.array([kind]), np.array([truncated]), np.array([occluded]), np.array([alpha]),
        np.array([[left, top, left + width, top + height]]), np.array([hwl]), np.array([[x, y, z]]), np.array([turn]),
        np.array([score]),
    )  # fmt: skip


def rows(*parts: KittiLabels) -> KittiLabels:
    """Join rows into the labels of a frame."""
    return LabelTable.join(parts).rows


def region(left: float, top: float, width: float, height: float) -> KittiLabels:
    """Return a DontCare row, as KITTI writes it."""
    nowhere = {"x": -1000.0, "y": -1000.0, "z": -1000.0, "hwl": (-1.0, -1.0, -1.0), "turn": -10.0, "alpha": -10.0}
    return row(
        "DontCare", left=left, top=top, width=width, height=height, truncated=-1, occluded=-1, score=0,
        **nowhere,  # type: ignore[arg-type]
    )  # fmt: skip


KINDS = ["Car", "Car", "Car", "Van", "Pedestrian", "Pedestrian", "Person_sitting", "Cyclist", "Cyclist", "Truck"]


def random_frame(rng: np.random.Generator) -> tuple[KittiLabels, KittiLabels]:
    """Return labels and detections of a crowded frame: neighbours, sizes at the limits, doubles, equal scores."""
    count = int(rng.integers(0, 9))
    truth = [_random_object(rng) for _ in range(count)]
    found = []
    for label in truth:
        found += [_disturbed(label, rng) for _ in range(int(rng.choice([0, 1, 1, 2, 3])))]
    found += [_random_object(rng) for _ in range(int(rng.integers(0, 4)))]
    order = rng.permutation(len(found))
    for _ in range(int(rng.integers(0, 3))):
        left, top = rng.uniform(50, 300, 2).round(2)
        truth.append(region(left, top, *rng.uniform(60, 200, 2).round(2)))
    return rows(*truth), rows(*(found[k] for k in order))


def _random_object(rng: np.random.Generator) -> KittiLabels:
    kind = str(rng.choice(KINDS))
    height = float(rng.choice([24.0, 24.99, 25.0, 25.01, 39.99, 40.0, 40.01, 60.0, 80.0]))
    left, top = rng.uniform(50, 250, 2).round(2)
    x, z = rng.uniform(-6, 6), rng.uniform(8, 20)
    hwl = (1.5, 1.7, 4.2) if kind in ("Car", "Van", "Truck") else (1.7, 0.7, 0.9)
    return row(
        kind, left=left, top=top, width=round(rng.uniform(20, 90), 2), height=height, x=x, z=z, hwl=hwl,
        turn=rng.uniform(-np.pi, np.pi), alpha=rng.uniform(-np.pi, np.pi),
        truncated=float(rng.choice([0, 0, 0.15, 0.2, 0.3, 0.4, 0.5, 0.6])), occluded=int(rng.integers(0, 4)),
        score=float(rng.integers(-3, 8)) / 4,
    )  # fmt: skip


def _disturbed(label: KittiLabels, rng: np.random.Generator) -> KittiLabels:
    size = float(rng.choice([0.0, 0.02, 0.1]))
    left, top, right, bottom = label.bbox[0]
    x, y, z = label.location[0] + rng.normal(0, 3 * size, 3)
    kind = str(rng.choice(KINDS)) if rng.random() < 0.2 else str(label.type[0])
    height = bottom - top if rng.random() < 0.5 else float(rng.choice([24.9, 25.0, 39.9, 40.0]))
    shift = rng.normal(0, 50 * size, 2)
    return row(
        kind, left=left + shift[0], top=top + shift[1], width=right - left, height=height, x=x, y=y, z=z,
        hwl=tuple(label.dimensions[0] * rng.uniform(1 - size, 1 + size, 3)),
        turn=float(label.rotation_y[0] + rng.normal(0, size)), alpha=float(label.alpha[0] + rng.normal(0, 1)),
        truncated=-1, occluded=-1, score=float(rng.integers(-3, 8)) / 4,
    )  # fmt: skip
