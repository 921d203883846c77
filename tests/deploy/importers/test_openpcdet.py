"""OpenPCDet's checkpoints become bundles: every tensor in its place in any layout, or a refusal that names it."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from typer.testing import CliRunner

from mono3d_kd_core.cli import app
from mono3d_kd_core.deploy.importers.openpcdet import read
from mono3d_kd_core.deploy.importers.openpcdet_config import describe
from mono3d_kd_core.deploy.loading import load_teacher
from mono3d_kd_core.errors import ModelError
from mono3d_kd_core.teachers.second import Second, SecondConfig

Tensors = dict[str, torch.Tensor]
CLASSES = ["Car", "Pedestrian", "Cyclist"]
ANCHORS = [([3.9, 1.6, 1.56], -1.78, 0.6, 0.45), ([0.8, 0.6, 1.73], -0.6, 0.5, 0.35), ([1.76, 0.6, 1.73], -0.6, 0.5, 0.35)]
NMS = {"NMS_TYPE": "nms_gpu", "MULTI_CLASSES_NMS": False, "NMS_THRESH": 0.01}
NMS |= {"NMS_PRE_MAXSIZE": 4096, "NMS_POST_MAXSIZE": 500}


def second_yaml() -> dict[str, Any]:
    """What tools/cfgs/kitti_models/second.yaml says of the network, but with a narrow 2D part."""
    anchors = [
        {
            "class_name": name, "anchor_sizes": [size], "anchor_rotations": [0, 1.57], "anchor_bottom_heights": [bottom],
            "align_center": False, "feature_map_stride": 8, "matched_threshold": positive, "unmatched_threshold": negative,
        }
        for name, (size, bottom, positive, negative) in zip(CLASSES, ANCHORS)
    ]  # fmt: skip
    return {
        "CLASS_NAMES": CLASSES,
        "DATA_CONFIG": {"_BASE_CONFIG_": "cfgs/dataset_configs/kitti_dataset.yaml"},
        "MODEL": {
            "NAME": "SECONDNet",
            "VFE": {"NAME": "MeanVFE"},
            "BACKBONE_3D": {"NAME": "VoxelBackBone8x"},
            "MAP_TO_BEV": {"NAME": "HeightCompression", "NUM_BEV_FEATURES": 256},
            "BACKBONE_2D": {
                "NAME": "BaseBEVBackbone", "LAYER_NUMS": [1, 1], "LAYER_STRIDES": [1, 2], "NUM_FILTERS": [8, 16],
                "UPSAMPLE_STRIDES": [1, 2], "NUM_UPSAMPLE_FILTERS": [8, 8],
            },
            "DENSE_HEAD": {
                "NAME": "AnchorHeadSingle", "USE_DIRECTION_CLASSIFIER": True, "DIR_OFFSET": 0.78539, "NUM_DIR_BINS": 2,
                "ANCHOR_GENERATOR_CONFIG": anchors,
            },
            "POST_PROCESSING": {"SCORE_THRESH": 0.1, "NMS_CONFIG": NMS},
        },
    }  # fmt: skip


def openpcdet_shapes() -> dict[str, tuple[int, ...]]:
    """Every parameter and buffer of that network as OpenPCDet names it; sparse weights as spconv 1 has them."""
    shapes: dict[str, tuple[int, ...]] = {"global_step": (1,)}

    def norm(name: str, width: int) -> None:
        shapes.update({f"{name}.{part}": (width,) for part in ("weight", "bias", "running_mean", "running_var")})
        shapes[f"{name}.num_batches_tracked"] = ()

    def sparse(name: str, inputs: int, outputs: int, kernel: tuple[int, int, int] = (3, 3, 3)) -> None:
        shapes[f"backbone_3d.{name}.0.weight"] = (*kernel, inputs, outputs)
        norm(f"backbone_3d.{name}.1", outputs)

    sparse("conv_input", 4, 16)
    sparse("conv1.0", 16, 16)
    for number, inputs, outputs in ((2, 16, 32), (3, 32, 64), (4, 64, 64)):
        for layer in range(3):
            sparse(f"conv{number}.{layer}", outputs if layer else inputs, outputs)
    sparse("conv_out", 64, 128, (3, 1, 1))
    for level, inputs, width, up in ((0, 256, 8, 1), (1, 8, 16, 2)):
        shapes[f"backbone_2d.blocks.{level}.1.weight"] = (width, inputs, 3, 3)
        norm(f"backbone_2d.blocks.{level}.2", width)
        shapes[f"backbone_2d.blocks.{level}.4.weight"] = (width, width, 3, 3)
        norm(f"backbone_2d.blocks.{level}.5", width)
        shapes[f"backbone_2d.deblocks.{level}.0.weight"] = (width, 8, up, up)
        norm(f"backbone_2d.deblocks.{level}.1", 8)
    for name, outputs in (("cls", 18), ("box", 42), ("dir_cls", 12)):
        shapes |= {f"dense_head.conv_{name}.weight": (outputs, 16, 1, 1), f"dense_head.conv_{name}.bias": (outputs,)}
    return shapes


@pytest.fixture
def weights() -> Tensors:
    torch.manual_seed(0)
    return {name: torch.randn(shape) if shape else torch.tensor(7) for name, shape in openpcdet_shapes().items()}


@pytest.fixture
def config(tmp_path: Path) -> Path:
    return written(tmp_path / "second.yaml", second_yaml())


def written(file: Path, content: dict[str, Any]) -> Path:
    file.write_text(yaml.safe_dump(content))
    return file


def saved(folder: Path, weights: Tensors, **more: Any) -> Path:
    file = folder / "checkpoint_epoch_80.pth"
    torch.save({"epoch": 80, "it": 37120, "model_state": weights, "version": "pcdet+0.6.0", **more}, file)
    return file


def relaid(weights: Tensors, order: tuple[int, ...]) -> Tensors:
    return {name: value.permute(*order) if value.dim() == 5 else value for name, value in weights.items()}


@pytest.mark.parametrize(
    "order", [(0, 1, 2, 3, 4), (0, 1, 2, 4, 3), (4, 0, 1, 2, 3)], ids=["spconv 1", "spconv 2.0", "spconv 2.2"]
)
def test_every_layout_of_spconv_gives_the_same_network(
    tmp_path: Path, config: Path, weights: Tensors, order: tuple[int, ...]
) -> None:
    imported = read(saved(tmp_path, relaid(weights, order)), config)
    assert imported.tensors.keys() == weights.keys() - {"global_step"}
    for name, tensor in imported.tensors.items():
        expected = weights[name].permute(4, 0, 1, 2, 3) if weights[name].dim() == 5 else weights[name]
        assert torch.equal(tensor, expected), name


def test_the_bundle_is_a_teacher_with_the_files_settings(tmp_path: Path, config: Path, weights: Tensors) -> None:
    out = tmp_path / "bundle"
    arguments = [str(saved(tmp_path, weights)), "--as", "openpcdet", "--config", str(config), "--out", str(out)]
    result = CliRunner().invoke(app, ["import-weights", *arguments])
    assert result.exit_code == 0, result.output
    assert "none left over" in result.output
    teacher = load_teacher(out)
    assert isinstance(teacher, Second)
    narrow = {"layers": (1, 1), "filters": (8, 16), "up_filters": (8, 8)}
    assert teacher.config == SecondConfig().model_copy(update=narrow)


def test_a_file_without_the_counters_of_batches_is_complete(tmp_path: Path, config: Path, weights: Tensors) -> None:
    old = {name: value for name, value in weights.items() if not name.endswith("num_batches_tracked")}
    assert read(saved(tmp_path, old), config).tensors.keys() == weights.keys() - {"global_step"}


def test_tensors_left_over_missing_or_misshapen_are_named(tmp_path: Path, config: Path, weights: Tensors) -> None:
    with pytest.raises(ModelError, match=r"no place for roi_head\.fc\.weight"):
        read(saved(tmp_path, weights | {"roi_head.fc.weight": torch.zeros(2)}), config)
    with pytest.raises(ModelError, match=r"missing dense_head\.conv_box\.bias"):
        read(saved(tmp_path, {n: v for n, v in weights.items() if n != "dense_head.conv_box.bias"}), config)
    with pytest.raises(ModelError, match=r"dense_head\.conv_box\.bias is \(41,\), expected \(42,\)"):
        read(saved(tmp_path, weights | {"dense_head.conv_box.bias": torch.zeros(41)}), config)
    with pytest.raises(ModelError, match=r"backbone_3d\.conv_input\.0\.weight is \(3, 3, 3, 5, 16\)"):
        read(saved(tmp_path, weights | {"backbone_3d.conv_input.0.weight": torch.zeros(3, 3, 3, 5, 16)}), config)
    with pytest.raises(ModelError, match=r"dense_head\.conv_box\.bias holds a value that is not finite"):
        read(saved(tmp_path, weights | {"dense_head.conv_box.bias": torch.full((42,), torch.nan)}), config)


def test_a_checkpoint_that_holds_code_is_not_read(tmp_path: Path, config: Path, weights: Tensors) -> None:
    with pytest.raises(ModelError, match="more than tensors and plain values"):
        read(saved(tmp_path, weights, optimizer_state=Path("/")), config)


def test_the_config_is_asked_for(tmp_path: Path, weights: Tensors) -> None:
    with pytest.raises(ModelError, match="--config"):
        read(saved(tmp_path, weights))


@pytest.mark.parametrize(
    ("place", "value", "message"),
    [
        (("NAME",), "PVRCNN", r"MODEL\.NAME: PVRCNN cannot be imported; known: SECONDNet"),
        (("BACKBONE_3D", "NAME"), "UNetV2", r"BACKBONE_3D\.NAME: UNetV2"),
        (("DENSE_HEAD", "NUM_DIR_BINS"), 4, r"DENSE_HEAD\.NUM_DIR_BINS: 4"),
        (("POST_PROCESSING", "NMS_CONFIG", "MULTI_CLASSES_NMS"), True, r"MULTI_CLASSES_NMS: True"),
        (("BACKBONE_2D", "UPSAMPLE_STRIDES"), [1, 2, 2], "its lists differ in length"),
    ],
)
def test_what_would_change_the_answers_is_refused_by_its_key(
    tmp_path: Path, place: tuple[str, ...], value: Any, message: str
) -> None:
    content = copy.deepcopy(second_yaml())
    section = content["MODEL"]
    for key in place[:-1]:
        section = section[key]
    section[place[-1]] = value
    with pytest.raises(ModelError, match=message):
        describe(written(tmp_path / "second.yaml", content))


def test_the_data_sets_file_is_found_where_openpcdet_keeps_it_and_overridden(tmp_path: Path) -> None:
    tools = tmp_path / "tools" / "cfgs"
    (tools / "kitti_models").mkdir(parents=True)
    (tools / "dataset_configs").mkdir()
    step = {"NAME": "transform_points_to_voxels", "VOXEL_SIZE": [0.1, 0.1, 0.1], "MAX_POINTS_PER_VOXEL": 3}
    step["MAX_NUMBER_OF_VOXELS"] = {"train": 10, "test": 20}
    base = {"POINT_CLOUD_RANGE": [0, -40, -3, 70.4, 40, 1], "DATA_PROCESSOR": [step], "FOV_POINTS_ONLY": False}
    written(tools / "dataset_configs" / "kitti_dataset.yaml", base)
    content = second_yaml()
    content["DATA_CONFIG"]["POINT_CLOUD_RANGE"] = [0, -32, -3, 64, 32, 1]
    described = describe(written(tools / "kitti_models" / "mine.yaml", content))
    assert described.config["voxel"] == [0.1, 0.1, 0.1]
    assert described.config["max_voxels"] == 20
    assert described.config["high"] == [64, 32, 1]
    assert described.config["camera_view"] is False


def test_a_base_that_is_not_found_is_named(tmp_path: Path) -> None:
    content = second_yaml()
    content["DATA_CONFIG"]["_BASE_CONFIG_"] = "cfgs/dataset_configs/mine.yaml"
    with pytest.raises(ModelError, match=r"based on cfgs/dataset_configs/mine\.yaml"):
        describe(written(tmp_path / "second.yaml", content))
