"""The reference outputs of the original network, and the plainest Point-GNN that can be written."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import cache
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from mono3d_kd_core.deploy.importers.point_gnn import read
from mono3d_kd_core.frames import Rig, SensorFrame
from mono3d_kd_core.io.kitti import KittiCalibration, KittiObjectSource
from mono3d_kd_core.io.kitti_raw import KittiRawSource
from mono3d_kd_core.teachers.point_gnn import PointGNN, PointGNNConfig
from mono3d_kd_core.teachers.point_gnn.graph import Graph, Index, radius_graph
from mono3d_kd_core.teachers.point_gnn.network import PointGNNNetwork, Scene

DRIVE = "kitti/raw/2011_09_26/2011_09_26_drive_0052_sync"
FAST = ["kitti_001966", "seq0052_000032"]
"""The frames with the fewest edges."""
SLOW = [f"kitti_{number:06d}" for number in (0, 1, 2, 3, 4, 5, 7, 9, 1206, 1497, 4587)]
SLOW += [f"seq0052_{number:06d}" for number in (0, 8, 16, 24)]
FRAMES = [*FAST, *(pytest.param(name, marks=pytest.mark.slow) for name in SLOW)]


@cache
def pretrained(data: Path, name: str) -> PointGNN:
    """Return the published detector "T0" or "T1"."""
    imported = read(data / "point_gnn" / f"point_gnn_car_{name}.npz")
    teacher = PointGNN(PointGNNConfig.model_validate(imported.card.config))
    teacher.load_state_dict(imported.tensors)
    return teacher.eval()


def sensor_frame(data: Path, name: str) -> SensorFrame:
    """Return the frame that a reference is about, such as `kitti_001966` or `seq0052_000032`."""
    kind, id_ = name.split("_")
    if kind == "kitti":
        return KittiObjectSource(data / "kitti/object/training", ids=[id_])[0]
    source = KittiRawSource(data / DRIVE)
    return source[source.ids.index(id_)]


def as_the_original_read_it(data: Path, name: str) -> SensorFrame:
    """Return that frame with the roundings of the original, which reads calibrations as float32."""
    frame = sensor_frame(data, name)
    # The four object frames of the drive share its calibration.
    calib = KittiCalibration.read(data / f"kitti/object/training/calib/{name[6:] if name[0] == 'k' else '001497'}.txt")
    R0, Tr, P2 = (matrix.astype(np.float32) for matrix in (calib.R0_rect, calib.Tr_velo_to_cam, calib.P2))
    T = R0.astype(np.float64) @ Tr
    exact = np.column_stack([P2[:, :3], P2[:, :3].astype(np.float64) @ (np.linalg.inv(P2[:, :3]) @ P2[:, 3])])
    rig = Rig(replace(frame.rig.camera, P=exact), np.vstack([T, [0, 0, 0, 1]]))
    return replace(frame, rig=rig)


def scene_of(points: NDArray[np.float32], intensity: NDArray[np.float32], keypoints: NDArray[np.float32]) -> Scene:
    """Return the scene with the published radii."""
    near, far = radius_graph(points, keypoints, 1.0), radius_graph(keypoints, keypoints, 4.0)
    return Scene(torch.from_numpy(points), torch.from_numpy(intensity), torch.from_numpy(keypoints), near, far)


Array = NDArray[np.float64]


class PlainPointGNN:
    """Section 3 of the paper in float64, as it is written: concatenate, pass through the layers, take the maximum."""

    def __init__(self, network: PointGNNNetwork) -> None:
        self.num_steps = len(network.steps)
        self.tensors = {name: tensor.double().numpy() for name, tensor in network.state_dict().items()}

    def __call__(self, scene: Scene) -> tuple[Array, Array]:
        points, intensity, keypoints = (t.double().numpy() for t in (scene.points, scene.intensity, scene.keypoints))

        def point_edges(j: Index, k: int) -> Array:
            edges = np.column_stack([intensity[j], points[j] - keypoints[k]])
            return self.mlp("pooling.point_mlp", edges, last_relu=True)

        state = self.mlp("pooling.update", self.maxima(scene.near, point_edges), last_relu=True)
        for step in range(self.num_steps):
            previous, offset = state, self.mlp(f"steps.{step}.offset", state)

            def edges(j: Index, k: int, h: Array = previous, o: Array = offset, name: str = f"steps.{step}") -> Array:
                relative = keypoints[j] - (keypoints[k] + o[k])
                return self.mlp(f"{name}.edge_mlp", np.column_stack([h[j], relative]), last_relu=True)

            state = self.mlp(f"steps.{step}.update", self.maxima(scene.far, edges)) + previous
        codes = [self.mlp(f"localisers.{kind}", state) for kind in range(4)]
        return self.mlp("classifier", state), np.stack(codes, 1)

    def mlp(self, name: str, x: Array, last_relu: bool = False) -> Array:
        layers = sorted({int(key.split(".")[-2]) for key in self.tensors if key.startswith(f"{name}.")})
        for layer in layers:
            x = x @ self.tensors[f"{name}.{layer}.weight"].T + self.tensors[f"{name}.{layer}.bias"]
            if layer != layers[-1] or last_relu:
                x = np.maximum(x, 0)
        return x

    @staticmethod
    def maxima(graph: Graph, messages: Callable[[Index, int], Array]) -> Array:
        spans = list(pairwise(graph.offsets))
        return np.stack([messages(graph.sources[a:b], k).max(0) for k, (a, b) in enumerate(spans)])
