"""Draw what HVDistill pairs, and how alike a picture and its sweep have become.

    PYTHONPATH=. python benchmarks/distillation/hvdistill_picture.py RUN DRIVE FRAME OUT.jpg

RUN is the folder of a run whose last phase is over. From top to bottom: the picture with its superpixels' edges and the
sweep's points, each in the colour of its superpixel's mean; what the image teacher says of each superpixel with points;
what the LiDAR backbone says of the points in it; both of the ground, the picture's to the left. Vectors are shown by the
three main directions of both sides.
"""

from __future__ import annotations

import sys
from pathlib import Path

import cv2
import numpy as np
import torch
import yaml
from numpy.typing import NDArray
from safetensors.torch import load_file
from skimage.segmentation import find_boundaries
from torch import Tensor

from mono3d_kd_core.deploy.validation import validated
from mono3d_kd_core.distillation.hvdistill import HvDistill, HvWeights, Pair
from mono3d_kd_core.geometry.depth import project_points
from mono3d_kd_core.training.hvdistill.pairs import Pairs
from mono3d_kd_core.training.hvdistill.recipe import HvDistillRecipe
from mono3d_kd_core.training.hvdistill.run import load_image_teacher
from mono3d_kd_core.training.leaks import Guard
from mono3d_kd_core.training.lessons import SourceConfig

Picture = NDArray[np.uint8]
EDGE = (255, 235, 60)


def colours(parts: list[Tensor]) -> list[NDArray[np.float64]]:
    """Return vectors (N,C) of both sides as colours (N,3) in [0, 1]: main directions of both about each side's own mean.

    Contrast compares with others of the same side only: what all vectors of a side have in common means nothing.
    """
    about = [part.double() - part.double().mean(0) for part in parts]
    axes = torch.linalg.svd(torch.cat([part / part.norm() for part in about]), full_matrices=False)[2][:3]
    shown = []
    for part in about:
        placed = part @ axes.T
        low, high = (placed.quantile(share, 0) for share in (0.02, 0.98))
        shown.append(((placed - low) / (high - low)).clamp(0, 1).numpy())
    return shown


def overview(pair: Pair) -> Picture:
    """Return the picture with superpixels' edges, and points in their superpixels' mean colours."""
    image, numbers = pair.image, pair.superpixels
    picture = (image * 0.6).astype(np.uint8)
    picture[find_boundaries(numbers, mode="inner")] = EDGE
    count = np.bincount(numbers.ravel())
    mean = np.stack([np.bincount(numbers.ravel(), image[..., c].ravel()) / count for c in range(3)], 1)
    uv, _, _ = project_points(pair.points, pair.camera, pair.pose)
    column, row = np.rint(uv).astype(int).T
    picture[row, column] = np.clip(1.5 * mean[numbers[row, column]] + 40, 0, 255).astype(np.uint8)
    return picture


def painted(pair: Pair, numbers: NDArray[np.int64], colour: NDArray[np.float64]) -> Picture:
    """Return superpixels in colours (N,3), `numbers` (N,) of them, and all others dark."""
    lookup = np.full((pair.superpixels.max() + 1, 3), 0.06)
    lookup[numbers] = colour
    return np.asarray(lookup[pair.superpixels] * 255, np.uint8)


def ground(cells: NDArray[np.int64], colour: NDArray[np.float64], shape: tuple[int, int], size: int) -> Picture:
    """Return cells (N,2) row, column in colours (N,3), seen from above: ahead is up, left is left."""
    canvas = np.full((*shape, 3), 0.06)
    canvas[cells[:, 0], cells[:, 1]] = colour
    upright = np.ascontiguousarray(canvas.transpose(1, 0, 2)[::-1, ::-1])
    return np.asarray(cv2.resize(upright, (size, size), interpolation=cv2.INTER_NEAREST) * 255, np.uint8)


def main() -> None:
    """Draw one frame."""
    run, drive, frame, out = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3], Path(sys.argv[4])
    content = yaml.safe_load((run / "recipe.yaml").read_text())
    recipe = validated(HvDistillRecipe, content, str(run / "recipe.yaml"))
    network = HvDistill(recipe.lidar.teacher()[1], load_image_teacher(recipe), recipe.network)
    network.load_state_dict(load_file(run / recipe.phases[-1].name / "network.safetensors"))
    size = (recipe.input_height, recipe.input_width)
    pairs = Pairs([SourceConfig(path=drive)], size, recipe.superpixels, run / "superpixels", Guard())
    pair = next(pair for pair in pairs if pair.id == frame)
    with torch.inference_mode():
        seen = network.eval()([pair], HvWeights())
    assert seen.ground is not None
    numbers, cells = seen.superpixels.place[:, 1].numpy(), seen.ground.place[:, 1:].numpy()
    queries, keys = colours([seen.superpixels.queries, seen.superpixels.keys])
    above = colours([seen.ground.queries, seen.ground.keys])
    rows, columns = (network.lifted.lift.grid.shape[axis] for axis in (1, 0))
    side = size[1] // 2
    maps = [ground(cells, colour, (rows, columns), side) for colour in above]
    pictures = [overview(pair), painted(pair, numbers, queries), painted(pair, numbers, keys), np.hstack(maps)]
    cv2.imwrite(str(out), np.vstack(pictures)[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 88])


if __name__ == "__main__":
    main()
