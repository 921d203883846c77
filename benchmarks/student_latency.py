"""Milliseconds a frame of the keypoint student: `python -m benchmarks.student_latency [--rounds N] [--threads T]`.

In one run on one machine: the dense form that MonoDLE publishes (every head at every cell, contiguous tensors), the same
channels last, this project's detector (channels last, batch normalisation folded, regressions at peaks only), and ONNX
Runtime on its export. A bird's-eye student (recipes `cmkd`, `cmkd_small`) is timed as a detector, with either image
network and either lift. Rounds are interleaved and the median is shown, so that a busy machine slows all alike.
"""

from __future__ import annotations

import argparse
import resource
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import torch

from mono3d_kd_core.deploy.bundle import Card, save_bundle
from mono3d_kd_core.deploy.detector import Detector
from mono3d_kd_core.deploy.export import export_onnx
from mono3d_kd_core.geometry.camera import CameraModel
from mono3d_kd_core.students.bev.config import BevConfig
from mono3d_kd_core.students.bev.student import BevStudent
from mono3d_kd_core.students.keypoint import KeypointConfig, KeypointStudent
from mono3d_kd_core.students.layers import parameter_count
from mono3d_kd_core.students.query.config import QueryConfig
from mono3d_kd_core.students.query.student import QueryStudent
from mono3d_kd_core.training.recipe import find_recipe, read_recipe

Step = Callable[[], object]
Config = BevConfig | KeypointConfig | QueryConfig
CONFIGS: dict[str, type[Config]] = {"cmkd": BevConfig, "keypoint": KeypointConfig, "query": QueryConfig}


def steps_of(config: KeypointConfig, folder: Path, threads: int) -> dict[str, Step]:
    """Return what is timed, by name."""
    torch.manual_seed(0)
    student = KeypointStudent(config).eval()
    settings = config.model_dump(mode="json")
    card = Card(kind="student", architecture="keypoint", config=settings, classes=list(config.classes))
    save_bundle(folder, card, student.state_dict())
    export_onnx(folder)
    height, width = student.input_size
    picture = np.random.default_rng(0).integers(0, 255, (height, width, 3), np.uint8)
    camera = CameraModel.pinhole(width, height, 0.58 * width, 0.58 * width, width / 2, height / 2)
    contiguous = torch.from_numpy(picture).permute(2, 0, 1)[None].contiguous()
    last = KeypointStudent(config).eval().to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    channels_last = contiguous.contiguous(memory_format=torch.channels_last)
    ours = Detector.load(folder, threads=threads, score_threshold=0)
    onnx = Detector.load(folder, "onnx", threads=threads, score_threshold=0)

    @torch.inference_mode()
    def dense(network: KeypointStudent, images: torch.Tensor) -> object:
        return network(images, dense=True)

    return {
        "eager, all heads dense": lambda: dense(student, contiguous),
        "channels last, all heads dense": lambda: dense(last, channels_last),
        "detector, torch": lambda: ours.detect(picture, camera),
        "detector, ONNX Runtime": lambda: onnx.detect(picture, camera),
    }


def query_steps_of(config: QueryConfig, folder: Path, threads: int) -> dict[str, Step]:
    """Return the query student's ways to run, by name."""
    torch.manual_seed(0)
    student = QueryStudent(config).eval()
    settings = config.model_dump(mode="json")
    save_bundle(
        folder, Card(kind="student", architecture="query", config=settings, classes=list(config.classes)),
        student.state_dict(),
    )  # fmt: skip
    export_onnx(folder)
    height, width = student.input_size
    picture = np.random.default_rng(0).integers(0, 255, (height, width, 3), np.uint8)
    camera = CameraModel.pinhole(width, height, 0.58 * width, 0.58 * width, width / 2, height / 2)
    ours = Detector.load(folder, threads=threads, score_threshold=0)
    onnx = Detector.load(folder, "onnx", threads=threads, score_threshold=0)
    return {
        f"detector, torch, {parameter_count(student) / 1e6:.1f} M": lambda: ours.detect(picture, camera),
        "detector, ONNX Runtime": lambda: onnx.detect(picture, camera),
    }


def bev_steps_of(config: BevConfig, folder: Path, threads: int) -> dict[str, Step]:
    """Return the bird's-eye student's variants by name: either image network, either lift."""
    rows, columns = -(-config.input_height // 32) * 32, -(-config.input_width // 32) * 32
    networks: dict[str, dict[str, object]] = {
        "deeplab_resnet50": {"width": 1.0, "stride": 8}, "resnet18": {"input_height": rows, "input_width": columns}
    }  # fmt: skip
    picture = np.random.default_rng(0).integers(0, 255, (config.input_height, config.input_width, 3), np.uint8)
    height, width = picture.shape[:2]
    camera = CameraModel.pinhole(width, height, 0.58 * width, 0.58 * width, width / 2, height / 2)
    steps: dict[str, Step] = {}
    for network, changes in networks.items():
        for lift in ("splat", "sample"):
            settings = config.model_copy(update={"image_network": network, "lift": lift, **changes})
            student = BevStudent(settings)
            card = Card(
                kind="student",
                architecture="bev",
                config=settings.model_dump(mode="json"),
                classes=list(student.classes),
            )
            place = folder.with_name(f"{network}_{lift}")
            save_bundle(place, card, student.state_dict())
            detector = Detector.load(place, threads=threads, score_threshold=0.5)
            detector.detect(picture, camera)
            count = parameter_count(student) / 1e6
            steps[f"{network}, {lift}, {count:.1f} M"] = partial(detector.detect, picture, camera)
    return steps


def milliseconds(steps: dict[str, Step], rounds: int) -> dict[str, float]:
    """Return the median of interleaved rounds, after one to warm up."""
    times: dict[str, list[float]] = {name: [] for name in steps}
    for number in range(rounds + 1):
        for name, step in steps.items():
            start = time.perf_counter()
            step()
            if number:
                times[name].append(1000 * (time.perf_counter() - start))
    return {name: float(np.median(values)) for name, values in times.items()}


def main() -> None:
    """Print one table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("recipes", nargs="*", default=["keypoint_small", "keypoint_resnet18", "keypoint_dla34"])
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--threads", type=int, default=2)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    for name in arguments.recipes:
        content = read_recipe(find_recipe(name))
        config = CONFIGS[content["architecture"]].model_validate(content["student"])
        with tempfile.TemporaryDirectory() as folder:
            place = Path(folder) / "bundle"
            if isinstance(config, BevConfig):
                steps = bev_steps_of(config, place, arguments.threads)
            elif isinstance(config, QueryConfig):
                steps = query_steps_of(config, place, arguments.threads)
            else:
                steps = steps_of(config, place, arguments.threads)
            times = milliseconds(steps, arguments.rounds)
        print(f"{name}, {config.input_height}x{config.input_width}, {arguments.threads} threads", end="")
        if isinstance(config, KeypointConfig):
            print(f", {parameter_count(KeypointStudent(config)) / 1e6:.1f} M parameters", end="")
        print()
        for step, value in times.items():
            print(f"  {step:36s}{value:8.0f} ms")
    print(f"peak memory of the process: {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10:.0f} MiB")


if __name__ == "__main__":
    main()
