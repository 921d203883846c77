"""A recorded drive replayed into the teacher's node: its store is the one that reading the drive directly gives."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

pytest.importorskip("rclpy", reason="ROS 2 is not in this environment")

from mono3d_kd_core.deploy.bundle import save_bundle
from mono3d_kd_core.deploy.importers import importer
from mono3d_kd_core.deploy.loading import load_teacher
from mono3d_kd_core.io.bag import BagSource
from mono3d_kd_core.io.convert import convert_source
from mono3d_kd_core.targets import Provenance, TargetSettings, TargetStore, make_targets
from tests.ros.harness import node_process

DRIVE = "kitti/raw/2011_09_26/2011_09_26_drive_0052_sync"
FRAMES = 36


def contents(store: Path) -> dict[str, bytes]:
    return {str(p.relative_to(store)): p.read_bytes() for p in sorted(store.rglob("*")) if p.is_file()}


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_lossless_a_real_drive_gives_the_same_store_online_and_offline(shared_data: Path, tmp_path: Path) -> None:
    bag = convert_source(shared_data / DRIVE, tmp_path / "bag", to="bag")
    imported = importer("point_gnn")(shared_data / "point_gnn/point_gnn_car_T1.npz", None)
    bundle = tmp_path / "point_gnn"
    save_bundle(bundle, imported.card, imported.tensors)
    source, online, summary = BagSource(bag), tmp_path / "online", tmp_path / "account.json"
    topics = source.rig_file.topics
    names = {"image": topics.image, "camera_info": topics.camera_info, "points": topics.points}
    node = {
        "model": bundle, "bag": bag, "out": online, "mode": "lossless", "queue": 3, "exit_at_end": True, "summary": summary,
    }  # fmt: skip
    player = {
        "bag": bag, "reliable": True, "publish_clock": False, "wait_for_subscribers": f"[{', '.join(names.values())}]",
    }  # fmt: skip

    with (
        node_process("mono3d_kd_ros.teacher_node", node, names, tmp_path / "teacher.txt") as labelling,
        node_process("mono3d_kd_ros.bag_player", player, {}, tmp_path / "player.txt") as playing,
    ):
        assert playing.wait(600) == 0
        assert labelling.wait(60) == 0
    account = json.loads(summary.read_text())
    assert account["received"] == account["processed"] + sum(account["dropped"].values()) == FRAMES
    assert account["pauses"] > 0

    teacher, offline = load_teacher(bundle), tmp_path / "offline"
    with TargetStore(offline, Provenance.of(teacher, TargetSettings())) as store:
        assert make_targets(source, teacher, store).processed == FRAMES
    assert contents(online) == contents(offline)
