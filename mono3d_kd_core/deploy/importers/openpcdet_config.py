"""OpenPCDet's YAML files, read as settings of our teachers; what would change the answers is refused by name."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from mono3d_kd_core.errors import ModelError

# What cfgs/dataset_configs/kitti_dataset.yaml says, for a model's file that was copied without it.
KITTI_DATASET = {
    "POINT_CLOUD_RANGE": [0, -40, -3, 70.4, 40, 1],
    "FOV_POINTS_ONLY": True,
    "POINT_FEATURE_ENCODING": {"used_feature_list": ["x", "y", "z", "intensity"]},
    "DATA_PROCESSOR": [
        {
            "NAME": "transform_points_to_voxels",
            "VOXEL_SIZE": [0.05, 0.05, 0.1],
            "MAX_POINTS_PER_VOXEL": 5,
            "MAX_NUMBER_OF_VOXELS": {"train": 16000, "test": 40000},
        }
    ],
}
_WIDTHS = {
    "VoxelBackBone8x": {"widths": (16, 32, 64, 64), "out_width": 128, "residual": False},
    "VoxelResBackBone8x": {"widths": (16, 32, 64, 128), "out_width": 128, "residual": True},
    "VoxelResBackBone8x_c64": {"widths": (16, 32, 64, 64), "out_width": 64, "residual": True},
}


class Described(NamedTuple):
    """A teacher as a file describes it: its name in `deploy.loading`, its settings, classes and data set."""

    architecture: str
    config: dict[str, Any]
    classes: list[str]
    kitti: bool
    """Whether its data set is KITTI."""


class _Keys:
    """A section of the file, with its place for messages."""

    def __init__(self, values: Any, place: str) -> None:
        if not isinstance(values, Mapping):
            raise ModelError(f"{place}: expected a section of keys")
        self.values, self.place = values, place

    def get(self, key: str, default: Any = None) -> Any:
        return self.values.get(key, default)

    def need(self, key: str) -> Any:
        if key not in self.values:
            raise ModelError(f"{self.place}: {key} is missing")
        return self.values[key]

    def section(self, key: str) -> _Keys:
        return _Keys(self.need(key), f"{self.place}.{key}")

    def one_of(self, key: str, *known: Any) -> Any:
        """Return a value that we can follow; a missing key is the first of them. Raises ModelError for any other."""
        value = self.get(key, known[0])
        if value not in known:
            raise ModelError(f"{self.place}.{key}: {value} cannot be imported; known: {', '.join(map(str, known))}")
        return value


def describe(file: Path) -> Described:
    """Read the YAML file of a SECONDNet, PointPillar or CenterPoint. Raises ModelError, naming the key."""
    root = _Keys(_merged(file), str(file))
    model, data = root.section("MODEL"), root.section("DATA_CONFIG")
    classes = [str(name) for name in root.need("CLASS_NAMES")]
    network = model.one_of("NAME", "SECONDNet", "PointPillar", "CenterPoint")
    vfe = model.section("VFE").one_of("NAME", "MeanVFE", "PillarVFE")
    settings = _volume(data) | (_voxels(model, data) if vfe == "MeanVFE" else _pillars(model, data))
    settings |= _backbone(model.section("BACKBONE_2D"))
    kitti = "kitti" in str(data.get("DATASET", data.get("_BASE_CONFIG_", ""))).lower()
    head = model.section("DENSE_HEAD")
    if network == "CenterPoint":
        architecture = "centerpoint" if vfe == "MeanVFE" else "centerpoint_pillar"
        return Described(architecture, settings | _center(head, classes, settings), classes, kitti)
    architecture = "second" if vfe == "MeanVFE" else "pointpillars"
    settings |= _anchors(head, classes) | _choice(model.section("POST_PROCESSING"))
    return Described(architecture, settings, classes, kitti)


def _merged(file: Path) -> dict[str, Any]:
    """Read a file with the ones that it is based on, as OpenPCDet merges them."""
    try:
        content = yaml.safe_load(file.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ModelError(f"{file}: cannot be read as OpenPCDet's YAML: {error}") from error
    if not isinstance(content, dict):
        raise ModelError(f"{file}: expected the keys of a model, such as CLASS_NAMES and MODEL")
    return _over(content, file)


def _over(content: dict[str, Any], file: Path) -> dict[str, Any]:
    base = _base(str(content["_BASE_CONFIG_"]), file) if "_BASE_CONFIG_" in content else {}
    return _united(base, {key: _over(value, file) if isinstance(value, dict) else value for key, value in content.items()})


def _united(base: dict[str, Any], content: dict[str, Any]) -> dict[str, Any]:
    both = {key for key, value in content.items() if isinstance(value, dict) and isinstance(base.get(key), dict)}
    return base | content | {key: _united(base[key], content[key]) for key in both}


def _base(name: str, file: Path) -> dict[str, Any]:
    """Return what `_BASE_CONFIG_` names: it is relative to OpenPCDet's tools/, wherever that is above the file."""
    for folder in (Path.cwd(), *file.resolve().parents):
        if (folder / name).is_file():
            return _merged(folder / name)
    if Path(name).name == "kitti_dataset.yaml":
        return dict(KITTI_DATASET)
    raise ModelError(f"{file}: is based on {name}, which is not found; keep OpenPCDet's folders around the file")


def _volume(data: _Keys) -> dict[str, Any]:
    limits = [float(value) for value in data.need("POINT_CLOUD_RANGE")]
    encoding = _Keys(data.get("POINT_FEATURE_ENCODING", {}), f"{data.place}.POINT_FEATURE_ENCODING")
    encoding.one_of("used_feature_list", ["x", "y", "z", "intensity"])
    return {"low": limits[:3], "high": limits[3:], "camera_view": bool(data.get("FOV_POINTS_ONLY", False))}


def _voxel_settings(data: _Keys) -> _Keys:
    for step in data.need("DATA_PROCESSOR"):
        if step.get("NAME") == "transform_points_to_voxels":
            return _Keys(step, f"{data.place}.DATA_PROCESSOR.transform_points_to_voxels")
    raise ModelError(f"{data.place}.DATA_PROCESSOR: has no transform_points_to_voxels")


def _voxels(model: _Keys, data: _Keys) -> dict[str, Any]:
    step = _voxel_settings(data)
    backbone = model.section("BACKBONE_3D")
    backbone.one_of("last_pad", 0)
    model.section("MAP_TO_BEV").one_of("NAME", "HeightCompression")
    counts = step.section("MAX_NUMBER_OF_VOXELS")
    return {
        "voxel": [float(value) for value in step.need("VOXEL_SIZE")],
        "max_points": step.need("MAX_POINTS_PER_VOXEL"),
        "max_voxels_training": counts.need("train"),
        "max_voxels": counts.need("test"),
    } | _WIDTHS[backbone.one_of("NAME", *_WIDTHS)]


def _pillars(model: _Keys, data: _Keys) -> dict[str, Any]:
    step, vfe, scatter = _voxel_settings(data), model.section("VFE"), model.section("MAP_TO_BEV")
    vfe.one_of("WITH_DISTANCE", False)
    vfe.one_of("USE_ABSLOTE_XYZ", True)
    vfe.one_of("USE_NORM", True)
    scatter.one_of("NAME", "PointPillarScatter")
    size, widths, counts = step.need("VOXEL_SIZE"), vfe.need("NUM_FILTERS"), step.section("MAX_NUMBER_OF_VOXELS")
    if size[0] != size[1] or len(widths) != 1:
        raise ModelError(f"{vfe.place}: pillars of {size}, {len(widths)} layers; only square ones with one layer are known")
    layers = 0
    if scatter.get("USE_CONV_LAYERS", False):
        scatter.one_of("USE_DS_LAYER", True)
        layers = 1 + int(scatter.get("CONV_LAYER_NUM", 5))
    return {
        "pillar": float(size[0]),
        "max_points": step.need("MAX_POINTS_PER_VOXEL"),
        "max_pillars_training": counts.need("train"),
        "max_pillars": counts.need("test"),
        "width": widths[0],
        "map_layers": layers,
    }


def _backbone(section: _Keys) -> dict[str, Any]:
    section.one_of("NAME", "BaseBEVBackbone")
    section.one_of("USE_CONV_FOR_NO_STRIDE", False)
    names = {
        "layers": "LAYER_NUMS", "strides": "LAYER_STRIDES", "filters": "NUM_FILTERS",
        "up_strides": "UPSAMPLE_STRIDES", "up_filters": "NUM_UPSAMPLE_FILTERS",
    }  # fmt: skip
    settings = {ours: section.need(theirs) for ours, theirs in names.items()}
    if len({len(values) for values in settings.values()}) != 1:
        raise ModelError(f"{section.place}: its lists differ in length; each level must have its upsampling, and no more")
    return settings


def _anchors(head: _Keys, classes: list[str]) -> dict[str, Any]:
    name = head.one_of("NAME", "AnchorHeadSingle", "AnchorHeadSingleQFL")
    head.one_of("USE_DIRECTION_CLASSIFIER", True)
    head.one_of("DIR_OFFSET", 0.78539)
    head.one_of("DIR_LIMIT_OFFSET", 0.0)
    head.one_of("NUM_DIR_BINS", 2)
    kinds = [_Keys(entry, f"{head.place}.ANCHOR_GENERATOR_CONFIG") for entry in head.need("ANCHOR_GENERATOR_CONFIG")]
    if [kind.need("class_name") for kind in kinds] != classes:
        raise ModelError(f"{head.place}.ANCHOR_GENERATOR_CONFIG: its classes are not those of CLASS_NAMES, in that order")
    anchors = [_anchor(kind) for kind in kinds]
    return {"anchors": anchors, "classification": "quality_focal" if name.endswith("QFL") else "focal"}


def _anchor(kind: _Keys) -> dict[str, Any]:
    kind.one_of("align_center", False)
    kind.one_of("anchor_rotations", [0, 1.57])
    sizes, bottoms = kind.need("anchor_sizes"), kind.need("anchor_bottom_heights")
    if len(sizes) != 1 or len(bottoms) != 1:
        raise ModelError(f"{kind.place}: {kind.need('class_name')} has several sizes or heights; one of each is known")
    return {
        "name": kind.need("class_name"), "size": sizes[0], "bottom": bottoms[0],
        "positive_iou": kind.need("matched_threshold"), "negative_iou": kind.need("unmatched_threshold"),
    }  # fmt: skip


def _center(head: _Keys, classes: list[str], volume: dict[str, Any]) -> dict[str, Any]:
    head.one_of("NAME", "CenterHead")
    head.one_of("NUM_HM_CONV", 2)
    head.one_of("BN_EPS", 1e-5)
    head.one_of("CLASS_NAMES_EACH_HEAD", [classes])
    branches = head.section("SEPARATE_HEAD_CFG").section("HEAD_DICT")
    for name, outputs in {"center": 2, "center_z": 1, "dim": 3, "rot": 2}.items():
        branches.section(name).one_of("out_channels", outputs)
        branches.section(name).one_of("num_conv", 2)
    if left := set(branches.values) - {"center", "center_z", "dim", "rot"}:
        raise ModelError(f"{branches.place}: {', '.join(sorted(left))} cannot be imported")
    post = head.section("POST_PROCESSING")
    post.one_of("POST_CENTER_LIMIT_RANGE", [*volume["low"], *volume["high"]])
    return _choice(post) | {
        "names": classes, "head_width": head.need("SHARED_CONV_CHANNEL"),
        "bias_before_norm": bool(head.get("USE_BIAS_BEFORE_NORM", False)),
        "nms_before": min(post.need("MAX_OBJ_PER_SAMPLE"), post.section("NMS_CONFIG").need("NMS_PRE_MAXSIZE")),
    }  # fmt: skip


def _choice(post: _Keys) -> dict[str, Any]:
    nms = post.section("NMS_CONFIG")
    nms.one_of("NMS_TYPE", "nms_gpu")
    nms.one_of("MULTI_CLASSES_NMS", False)
    return {
        "score_threshold": post.need("SCORE_THRESH"), "nms_iou": nms.need("NMS_THRESH"),
        "nms_before": nms.need("NMS_PRE_MAXSIZE"), "nms_after": nms.need("NMS_POST_MAXSIZE"),
    }  # fmt: skip
