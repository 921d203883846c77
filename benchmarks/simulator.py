"""How fast the simulator draws: frames a second of one core, and what that means for the named data sets.

Example: python -m benchmarks.simulator --frames 20
"""

from __future__ import annotations

import argparse
import time

import cv2
import numpy as np

from mono3d_kd_core.simulation.datasets import DATA_SETS
from mono3d_kd_core.simulation.drive import SimulatedScenes
from mono3d_kd_core.simulation.renderer import Renderer
from mono3d_kd_core.simulation.rig import KITTI
from mono3d_kd_core.simulation.world import build_world


def core_seconds(width: int, height: int, block: int, frames: int) -> tuple[float, float]:
    """Return seconds of one core a frame, with the LiDAR: for building the world, and for drawing it."""
    renderer = Renderer(KITTI.resized(width, height).sensors(), block)
    building, drawing = [], []
    for index in range(-2, frames):
        start = time.process_time()
        world = build_world(1, index + 2)
        built = time.process_time()
        renderer.shoot(world, 0.0, "000000", 0, np.random.default_rng(0))
        if index >= 0:  # the first two load the compiled kernels
            building.append(built - start)
            drawing.append(time.process_time() - built)
    return float(np.mean(building)), float(np.mean(drawing))


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--frames", type=int, default=20)
    frames = parser.parse_args().frames
    cv2.setNumThreads(1)
    print(f"mean over {frames} scenes, seconds of processor time; HDL-64E sweep included")
    print("size       rays  world  sensors  frames/s/core")
    for width, height, block in ((1242, 375, 1), (1242, 375, 2), (640, 192, 1), (640, 192, 2)):
        world, sensors = core_seconds(width, height, block, frames)
        print(f"{width}x{height:<5} {block}x{block}  {world:6.3f}  {sensors:7.3f}  {1 / (world + sensors):8.2f}")
    for name, data in DATA_SETS.items():
        total = sum(core_seconds(data.width, data.height, data.block, min(frames, 10))) * (data.train + data.val)
        print(f"{name}: {total / 2 / 60:.1f} minutes on two cores, without writing")
    first = time.process_time()
    SimulatedScenes(1, 1, KITTI)
    print(f"start-up of a sensor set: {time.process_time() - first:.2f} s")


if __name__ == "__main__":
    main()
