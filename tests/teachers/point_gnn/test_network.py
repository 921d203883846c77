"""The network, split and blocked for speed, against the plain one and against the original's outputs."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from mono3d_kd_core.teachers.point_gnn import neighbours
from mono3d_kd_core.teachers.point_gnn.graph import Graph, choose_keypoints
from mono3d_kd_core.teachers.point_gnn.network import PointGNNNetwork, Scene
from mono3d_kd_core.teachers.point_gnn.view import view_of
from tests.teachers.point_gnn.reference import FRAMES, PlainPointGNN, as_the_original_read_it, pretrained, scene_of
from tests.teachers.point_gnn.test_graph import street


def network(num_steps: int) -> PointGNNNetwork:
    torch.manual_seed(num_steps)
    made = PointGNNNetwork(num_steps).eval()
    for parameter in made.parameters():
        nn.init.normal_(parameter, std=1.4 / parameter.shape[-1] ** 0.5)  # so that signals neither vanish nor explode
    return made


def scene(seed: int = 0) -> Scene:
    points = street(seed, 150)
    intensity = np.random.default_rng(seed).uniform(size=len(points)).astype(np.float32)
    return scene_of(points, intensity, points[choose_keypoints(points, 1.0)])


@pytest.mark.parametrize("num_steps", [0, 1, 2])
def test_equals_the_plain_network_edge_by_edge(num_steps: int) -> None:
    made = network(num_steps)
    with torch.inference_mode():
        found = made(scene())
    for ours, plain in zip(found, PlainPointGNN(made)(scene())):
        assert ours.shape == plain.shape
        assert np.abs(ours.numpy() - plain).max() < 1e-4 * np.abs(plain).max()


def test_the_number_of_threads_does_not_change_a_bit() -> None:
    made, points = network(1), street(5, 1000)
    intensity = np.linspace(0, 1, len(points), dtype=np.float32)
    seen = scene_of(points, intensity, points[choose_keypoints(points, 0.6)])
    before, results = torch.get_num_threads(), set()
    try:
        for threads in (1, 2, 3):
            torch.set_num_threads(threads)
            with torch.inference_mode():
                results.add(b"".join(tensor.numpy().tobytes() for tensor in made(seen)))
    finally:
        torch.set_num_threads(before)
    assert len(results) == 1


def test_the_way_for_other_devices_gives_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    made = network(1)
    with torch.inference_mode():
        fast = made(scene(2))
        monkeypatch.setattr(neighbours, "_on_cpu", neighbours._on_any_device)
        plain = made(scene(2))
    for a, b in zip(fast, plain):
        assert torch.allclose(a, b, rtol=1e-4, atol=1e-5)


def test_a_destination_with_more_edges_than_a_block_and_one_without() -> None:
    count = 3 * neighbours.BLOCK + 17
    graph = Graph(np.array([0, 5, count, count], np.int64), np.arange(count))
    source, destination = torch.randn(count, 6, generator=torch.Generator().manual_seed(0)), torch.zeros(3, 6)
    layer = nn.Linear(6, 9)
    with torch.inference_mode():
        found = neighbours.neighbour_maximum(source, destination, graph, [layer], rectify_input=False)
        each = layer(source).relu()
    expected = torch.stack([each[:5].amax(0), each[5:].amax(0), layer.bias.new_zeros(9)])
    assert torch.allclose(found, expected, atol=1e-6)


@pytest.mark.parametrize("name", FRAMES)
def test_agrees_with_the_original_graph_on_real_frames(shared_data: Path, name: str) -> None:
    reference = np.load(shared_data / "point_gnn/T1/raw" / f"{name}.npz")
    view = view_of(as_the_original_read_it(shared_data, name), 0.1)
    keypoints = view.points[reference["keypoint_index"]]
    assert np.array_equal(keypoints, reference["keypoint_xyz"])
    with torch.inference_mode():
        logits, codes = pretrained(shared_data, "T1").network(scene_of(view.points, view.intensity, keypoints))
    assert np.abs(logits.numpy() - reference["logits"]).max() < 1e-4
    assert np.abs(codes.numpy() - reference["box_encodings"]).max() < 1e-4


@pytest.mark.parametrize("name", ["T0", "T1"])
def test_agrees_with_the_original_on_its_very_inputs(shared_data: Path, name: str) -> None:
    reference = np.load(shared_data / "point_gnn/synthetic_scene.npz")
    points, chosen = reference["points_xyz"], reference["keypoint_index"]
    assert choose_keypoints(points, 0.4).tolist() == chosen.tolist()
    keypoints = points[chosen]
    seen = scene_of(points, reference["points_intensity"][:, 0], keypoints)
    for graph, edges in ((seen.near, "edges0"), (seen.far, "edges1")):
        assert set(zip(graph.sources, graph.destinations())) == set(map(tuple, reference[edges]))
    with torch.inference_mode():
        logits, codes = pretrained(shared_data, name).network(seen)
    assert np.abs(logits.numpy() - reference[f"{name}_logits"]).max() < 1e-4
    assert np.abs(codes.numpy() - reference[f"{name}_box_encodings"]).max() < 1e-4
