"""Point-GNN: agreement with the original's outputs, time a frame, and cars found on labelled frames of a real drive.

python -m benchmarks.point_gnn SHARED_DATA: the folder with kitti/ and point_gnn/.
"""

from __future__ import annotations

import argparse
import statistics
import time
from pathlib import Path

import numpy as np
import torch

from mono3d_kd_core.frames import SensorFrame
from mono3d_kd_core.geometry.boxes import Boxes3D
from mono3d_kd_core.io.kitti import KittiLabels
from mono3d_kd_core.teachers.point_gnn import PointGNN
from mono3d_kd_core.teachers.point_gnn.graph import choose_keypoints, radius_graph
from mono3d_kd_core.teachers.point_gnn.view import view_of
from tests.teachers.point_gnn.reference import as_the_original_read_it, pretrained, scene_of, sensor_frame

LABELLED = {7: "001497", 14: "004587", 21: "001206", 31: "001966"}
"""Frames of drive 0052 that are object frames, and so have labels."""


def agreement(data: Path) -> None:
    """Compare logits and box codes with the original's on all reference frames, from the same keypoints."""
    for network in ("T1", "T0"):
        worst = {"logits": (0.0, 0.0), "box_encodings": (0.0, 0.0)}
        files = sorted((data / "point_gnn" / network / "raw").glob("*.npz"))
        for file in files:
            reference = np.load(file)
            view = view_of(as_the_original_read_it(data, file.stem), 0.1)
            with torch.inference_mode():
                scene = scene_of(view.points, view.intensity, view.points[reference["keypoint_index"]])
                found = pretrained(data, network).network(scene)
            for name, ours in zip(worst, found):
                difference = float(np.abs(ours.numpy() - reference[name]).max())
                relative = difference / float(np.abs(reference[name]).max())
                worst[name] = max(worst[name][0], difference), max(worst[name][1], relative)
        text = ", ".join(f"{name} {a:.1e} absolute, {r:.1e} of the largest" for name, (a, r) in worst.items())
        print(f"{network}, {len(files)} frames: largest difference of {text}")


def speed(data: Path, repeats: int) -> None:
    """Time frames of the drive: the best of some runs for each, and its processor time."""
    frames = [sensor_frame(data, f"seq0052_{number:06d}") for number in range(0, 36, 5)]
    for network in ("T1", "T0"):
        teacher = pretrained(data, network)
        teacher.observe(frames[0])
        runs = [min(_timed(teacher.observe, frame) for _ in range(repeats)) for frame in frames]
        wall, cpu = (statistics.mean(run[i] for run in runs) for i in (0, 1))
        print(f"{network}: {wall:.0f} ms a frame on {torch.get_num_threads()} threads, {cpu:.0f} ms of processor time")
    parts = [_timed(_graphs, frame)[0] for frame in frames]
    print(f"of which cropping, keypoints and graphs: {statistics.mean(parts):.0f} ms")


def _graphs(frame: SensorFrame) -> None:
    points = view_of(frame, 0.1).points
    keypoints = points[choose_keypoints(points, 0.4)]
    radius_graph(points, keypoints, 1.0)
    radius_graph(keypoints, keypoints, 4.0)


def _timed(function, frame: SensorFrame) -> tuple[float, float]:  # type: ignore[no-untyped-def]
    wall, cpu = time.perf_counter(), time.process_time()
    function(frame)
    return 1e3 * (time.perf_counter() - wall), 1e3 * (time.process_time() - cpu)


def recall(data: Path) -> None:
    """Match the labelled cars of the drive to the nearest detection, one to one, within 2 m seen from above."""
    published = pretrained(data, "T1")
    untouched = PointGNN(published.config.model_copy(update={"max_truncation": None})).eval()
    untouched.load_state_dict(published.state_dict())
    for teacher, name in ((published, "as published"), (untouched, "cars kept that the picture cuts off")):
        seen = {number: teacher.observe(sensor_frame(data, f"seq0052_{number:06d}")).boxes for number in LABELLED}
        for least in (0.0, 5.0):
            errors, cars, boxes = [], 0, 0
            for number, label in LABELLED.items():
                labels = KittiLabels.read(data / "kitti/object/training/label_2" / f"{label}.txt")
                truth, found = labels[labels.type == "Car"].boxes(), seen[number][seen[number].score >= least]
                errors += _matched(truth, found)
                cars, boxes = cars + len(truth), boxes + len(found)
            print(
                f"T1 {name}, score from {least}: {len(errors)} of {cars} cars found, centre error {np.mean(errors):.3f} m "
                f"on average, {np.median(errors):.3f} median; {boxes - len(errors)} boxes match no labelled car"
            )


def _matched(truth: Boxes3D, found: Boxes3D) -> list[float]:
    distance = np.linalg.norm(truth.centre[:, None, :2] - found.centre[None, :, :2], axis=-1)
    errors = []
    while distance.size and distance.min() < 2:
        errors.append(float(distance.min()))
        i, j = np.unravel_index(distance.argmin(), distance.shape)
        distance[i], distance[:, j] = np.inf, np.inf
    return errors


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("--repeats", type=int, default=3)
    arguments = parser.parse_args()
    recall(arguments.data)
    speed(arguments.data, arguments.repeats)
    agreement(arguments.data)


if __name__ == "__main__":
    main()
