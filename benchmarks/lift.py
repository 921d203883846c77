"""Milliseconds and memory of the lifts against CaDDN's: `python benchmarks/lift.py [--size caddn|cmkd] [--threads T]`.

At CaDDN's KITTI size (features 64x94x311, 80 depth bins, 280x376x25 voxels, a map of 64 channels) or CMKD's (64x47x156, 120
bins, 140x188x10, 128 channels), one image, forward and backward, every way in a process of its own, so that each has its
own peak of memory:

- `caddn`: the outer product as a frustum, then `grid_sample` (Reading et al., CVPR 2021)
- `sample`: the same numbers without the frustum; the largest differences from CaDDN's operator are shown
- `splat`: every point of the frustum summed into its voxel; `splat bev` into one voxel a cell, as Lift-Splat does
- `... map`: the same ways on to the student's map, through the 1x1 convolution over channels and heights
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from mono3d_kd_core.geometry.camera import CameraModel
from mono3d_kd_core.geometry.depth_bins import DepthBins
from mono3d_kd_core.geometry.rigid import Matrix
from mono3d_kd_core.students.bev.lift import Lift
from mono3d_kd_core.students.bev.view import View
from mono3d_kd_core.teachers.voxels import VoxelGrid

CAMERA = CameraModel.pinhole(1242, 375, 721.5, 721.5, 609.6, 172.9)
POSE: Matrix = np.array([[0, -1, 0, 0.0], [0, 0, -1, -0.08], [1, 0, 0, -0.27], [0, 0, 0, 1]])
CHANNELS = 64
SIZES = {"caddn": ((94, 311), 80, 0.16, 0.16), "cmkd": ((47, 156), 120, 0.32, 0.4)}
MAP_CHANNELS = {"caddn": 64, "cmkd": 128}
WAYS = ("caddn", "sample", "splat", "splat bev", "caddn map", "sample map", "splat map")


def grid_of(size: str, one_height: bool = False) -> VoxelGrid:
    """Return the voxels of a network."""
    *_, cell, height = SIZES[size]
    return VoxelGrid((2.0, -30.08, -3.0), (46.8, 30.08, 1.0), (cell, cell, 4.0 if one_height else height))


def bins_of(size: str) -> DepthBins:
    """Return the depth bins of a network."""
    return DepthBins(SIZES[size][1], 2.0, 46.8)


def sampling_grid(size: str) -> Tensor:
    """Return CaDDN's normalised coordinates (1,Z,Y,X,3) of the voxels' centres, in double precision."""
    grid, bins = grid_of(size), bins_of(size)
    x, y, z = (low + (np.arange(n) + 0.5) * step for low, n, step in zip(grid.low, grid.shape, grid.size))
    zs, ys, xs = np.meshgrid(z, y, x, indexing="ij")
    seen = np.stack([xs, ys, zs], -1) @ POSE[:3, :3].T + POSE[:3, 3]
    uv = (seen @ CAMERA.intrinsics.T)[..., :2] / seen[..., 2:]
    cells = np.concatenate([uv, bins.index(seen[..., 2])[..., None]], -1)
    normal = cells / (np.array([CAMERA.width, CAMERA.height, bins.count]) - 1) * 2 - 1
    return torch.from_numpy(np.where(np.isfinite(normal), normal, -2))[None]


def inputs(size: str) -> tuple[Tensor, Tensor]:
    """Return features and depth probabilities, with gradients."""
    torch.manual_seed(0)
    rows, columns = SIZES[size][0]
    features = torch.randn(1, CHANNELS, rows, columns, requires_grad=True)
    depth = torch.randn(1, SIZES[size][1], rows, columns).softmax(1).requires_grad_()
    return features, depth


def measure(way: str, size: str, rounds: int) -> None:
    """Print index, forward and backward time, and peak memory over what the process had before."""
    features, depth = inputs(size)
    name, _, goal = way.partition(" ")
    heights = grid_of(size).shape[2]
    weight = torch.randn(MAP_CHANNELS[size], CHANNELS * heights, 1, 1, requires_grad=True)
    started = time.perf_counter()
    if name == "caddn":
        grid = sampling_grid(size).float()

        def forward() -> Tensor:
            voxels = functional.grid_sample(features[:, :, None] * depth[:, None], grid, align_corners=False)
            return functional.conv2d(voxels.flatten(1, 2), weight) if goal == "map" else voxels
    else:
        lift = Lift(name, grid_of(size, goal == "bev"), bins_of(size))  # type: ignore[arg-type]
        shape = (features.shape[-2], features.shape[-1])
        lift.index(View(CAMERA, POSE, shape), features.device, collapsed=goal == "map")

        def forward() -> Tensor:
            if goal == "map":
                return lift.collapsed(features, depth, [CAMERA], [POSE], weight)
            return lift(features, depth, [CAMERA], [POSE])

    index = time.perf_counter() - started
    Path("/proc/self/clear_refs").write_text("5")  # the peak of memory counts from here
    before = _kibibytes("VmRSS")
    times = []
    for _ in range(rounds):
        marks = [_clocks()]
        out = forward()
        marks.append(_clocks())
        out.backward(torch.ones_like(out))
        marks.append(_clocks())
        times.append(np.diff(marks, axis=0).ravel() * 1000)
        if not (way == "sample" and len(times) == rounds):
            del out
    peak = _kibibytes("VmHWM") - before
    ahead, ahead_cpu, back, back_cpu = np.median(times, axis=0)
    print(
        f"{way:10s} forward {ahead:6.0f} ms (CPU {ahead_cpu:.0f}), backward {back:6.0f} ms (CPU {back_cpu:.0f}), "
        f"both {ahead + back:6.0f} ms (CPU {ahead_cpu + back_cpu:.0f}), {peak / 2**10:.0f} MiB; "
        f"index once {1000 * index:.0f} ms", flush=True,
    )  # fmt: skip
    if way == "sample":
        with torch.no_grad():
            exact, single, own = _differences(out.detach(), features, depth, size)
        print(
            f"{'':10s} differs by at most {exact:.1e} from CaDDN's operator in double precision, by {single:.1e} from it in "
            f"single, whose own error is {own:.1e}", flush=True,
        )  # fmt: skip


def _kibibytes(name: str) -> int:
    lines = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return int(lines[name].split()[0])


def _clocks() -> tuple[float, float]:
    """Seconds of the wall clock and of the processor: the second tells on a busy machine, too."""
    return time.perf_counter(), time.process_time()


def _differences(out: Tensor, features: Tensor, depth: Tensor, size: str) -> tuple[float, float, float]:
    """Compare with CaDDN's operator a few channels at a time, so that the check does not need its memory.

    Returns the largest difference from it in double precision, in single precision, and between the two.
    """
    nx, ny, nz = grid_of(size).shape
    ours, grid, worst = out.view(nz, CHANNELS, ny, nx), sampling_grid(size), np.zeros(3)
    for channel in range(0, CHANNELS, 16):
        frustum = features[:, channel : channel + 1, None] * depth[:, None]
        single = functional.grid_sample(frustum, grid.float(), align_corners=False)[0, 0]
        exact = functional.grid_sample(frustum.double(), grid, align_corners=False)[0, 0]
        pairs = ((ours[:, channel], exact), (ours[:, channel], single), (single, exact))
        worst = np.maximum(worst, [float((a - b).abs().max()) for a, b in pairs])
    return float(worst[0]), float(worst[1]), float(worst[2])


def main() -> None:
    """Run each way in its own process."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", choices=SIZES, default="caddn")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--way", choices=WAYS, help="only this, in this process")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    if arguments.way:
        measure(arguments.way, arguments.size, arguments.rounds)
        return
    print(
        f"lift at {arguments.size}'s size, {arguments.threads} threads, median of {arguments.rounds} rounds", flush=True
    )
    for way in WAYS:
        options = ["--size", arguments.size, "--threads", str(arguments.threads), "--rounds", str(arguments.rounds)]
        subprocess.run([sys.executable, __file__, *options, "--way", way], check=True)


if __name__ == "__main__":
    main()
