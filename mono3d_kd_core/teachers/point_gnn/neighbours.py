"""The maximum of a small network over each node's neighbours: where all the time goes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import cast

import numba
import numpy as np
import torch
from torch import Tensor, nn

from mono3d_kd_core.teachers.point_gnn.graph import Graph
from mono3d_kd_core.teachers.workers import BLOCK, workers

TASK = 8 * BLOCK
"""About how many edges a thread takes at a time."""


def neighbour_maximum(
    source: Tensor, destination: Tensor, graph: Graph, layers: Iterable[nn.Module], rectify_input: bool
) -> Tensor:
    """Return max over the edges j -> k of f(source_j - destination_k), with f linear layers each followed by a ReLU.

    source (P,C) and destination (K,C) float32; the result is (K,D), D the width of the last layer. With `rectify_input`
    the difference passes through a ReLU first. Nodes without neighbours get zero. The result does not depend on the number
    of threads.
    """
    linear = [cast("nn.Linear", layer) for layer in layers]
    result = source.new_full((len(destination), linear[-1].out_features), -torch.inf)
    if graph.num_edges:
        if source.device.type == "cpu":
            _on_cpu(source, destination, graph, linear, rectify_input, result)
        else:
            _on_any_device(source, destination, graph, linear, rectify_input, result)
    # The maximum commutes with adding the bias and with the ReLU, so they come once a node instead of once an edge.
    return result.add_(linear[-1].bias).relu_()


def _on_any_device(
    source: Tensor, destination: Tensor, graph: Graph, linear: Sequence[nn.Linear], rectify: bool, result: Tensor
) -> None:
    sources = torch.from_numpy(graph.sources).to(source.device)
    destinations = torch.from_numpy(graph.destinations()).to(source.device)
    for start in range(0, graph.num_edges, 64 * BLOCK):
        part = slice(start, start + 64 * BLOCK)
        edges = source[sources[part]] - destination[destinations[part]]
        messages = _messages(edges, linear, rectify)
        result.scatter_reduce_(0, destinations[part, None].expand_as(messages), messages, "amax")


def _on_cpu(
    source: Tensor, destination: Tensor, graph: Graph, linear: Sequence[nn.Linear], rectify: bool, result: Tensor
) -> None:
    ends = source.contiguous().numpy(), destination.contiguous().numpy()
    maxima = result.numpy()

    def work(first: int, last: int) -> None:
        with torch.inference_mode():
            for start in range(graph.offsets[first], graph.offsets[last], BLOCK):
                end = min(start + BLOCK, graph.offsets[last])
                node = int(np.searchsorted(graph.offsets, start, side="right")) - 1
                edges = torch.empty(end - start, source.shape[1])
                _differences(*ends, graph.offsets, graph.sources, node, start, edges.numpy())
                _raise_maxima(_messages(edges, linear, rectify).numpy(), graph.offsets, node, start, maxima)

    # Tasks end where a destination ends, so no two threads write to one row.
    cuts = np.searchsorted(graph.offsets, np.arange(TASK, graph.num_edges, TASK))
    bounds = np.unique(np.concatenate([[0], cuts, [len(graph.offsets) - 1]]))
    list(workers().map(work, bounds[:-1].tolist(), bounds[1:].tolist()))


def _messages(edges: Tensor, linear: Sequence[nn.Linear], rectify: bool) -> Tensor:
    """Pass edge features through the layers; the last one's bias and ReLU are left to the caller."""
    if rectify:
        edges = edges.relu_()
    for layer in linear[:-1]:
        edges = torch.addmm(layer.bias, edges, layer.weight.T).relu_()
    return edges @ linear[-1].weight.T


@numba.njit(cache=True, nogil=True)
def _differences(source, destination, offsets, sources, node, start, out):  # type: ignore[no-untyped-def]
    """Fill `out` with source_j - destination_k of the edges from `start` on, the first of which belongs to `node`."""
    k = node
    for row in range(out.shape[0]):
        while offsets[k + 1] <= start + row:
            k += 1
        j = sources[start + row]
        for c in range(out.shape[1]):
            out[row, c] = source[j, c] - destination[k, c]


@numba.njit(cache=True, nogil=True)
def _raise_maxima(messages, offsets, node, start, maxima):  # type: ignore[no-untyped-def]
    """Raise each destination's maxima by the messages of the edges from `start` on."""
    k = node
    for row in range(messages.shape[0]):
        while offsets[k + 1] <= start + row:
            k += 1
        for c in range(messages.shape[1]):
            value = messages[row, c]
            maxima[k, c] = value if value > maxima[k, c] else maxima[k, c]
