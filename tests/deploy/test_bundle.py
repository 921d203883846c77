"""A bundle gives back what was put in, and says in words when it cannot."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import yaml

from mono3d_kd_core.deploy import bundle as bundle_module
from mono3d_kd_core.deploy.bundle import Card, TrainedCamera, load_bundle, read_card, save_bundle
from mono3d_kd_core.errors import ModelError
from mono3d_kd_core.geometry.camera import CameraModel


def card(**changes: object) -> Card:
    return Card.model_validate({"kind": "teacher", "architecture": "a_net", "classes": ["Car"], **changes})


def tensors() -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    return {"layer.weight": torch.randn(3, 2, generator=generator), "steps": torch.tensor(7)}


def test_what_is_saved_is_loaded(tmp_path: Path) -> None:
    camera = TrainedCamera.of(CameraModel.pinhole(1242, 375, 721.5, 720.0, 609.6, 172.9))
    original = card(camera=camera, metrics={"ap": 12.5}, licence="MIT", config={"layers": [1, 2]})
    saved = save_bundle(tmp_path / "b", original, tensors())
    loaded = load_bundle(tmp_path / "b")
    assert loaded.card == saved.card
    assert loaded.card.camera == camera
    assert loaded.card.model_copy(update={"weights_sha256": ""}) == original
    assert set(loaded.tensors) == {"layer.weight", "steps"}
    assert all(torch.equal(loaded.tensors[name], tensor) for name, tensor in tensors().items())


def test_half_precision_is_widened_again(tmp_path: Path) -> None:
    save_bundle(tmp_path / "b", card(), tensors(), half=True)
    loaded = load_bundle(tmp_path / "b").tensors
    assert loaded["layer.weight"].dtype == torch.float32
    assert torch.equal(loaded["layer.weight"], tensors()["layer.weight"].half().float())
    assert loaded["steps"].dtype == torch.int64


def test_numbers_too_large_for_half_precision_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"big holds numbers beyond"):
        save_bundle(tmp_path / "b", card(), {"big": torch.tensor([1e6])}, half=True)
    assert not (tmp_path / "b").exists()


def test_same_content_same_bytes(tmp_path: Path) -> None:
    for name in ("a", "b"):
        save_bundle(tmp_path / name, card(), tensors())
    for file in ("card.yaml", "model.safetensors"):
        assert (tmp_path / "a" / file).read_bytes() == (tmp_path / "b" / file).read_bytes()


def test_the_hash_is_of_the_model_not_of_remarks(tmp_path: Path) -> None:
    plain = save_bundle(tmp_path / "a", card(), tensors()).hash
    assert save_bundle(tmp_path / "b", card(metrics={"ap": 1.0}, licence="x"), tensors()).hash == plain
    assert save_bundle(tmp_path / "c", card(config={"layers": 2}), tensors()).hash != plain
    assert save_bundle(tmp_path / "d", card(), {**tensors(), "steps": torch.tensor(8)}).hash != plain
    assert load_bundle(tmp_path / "a").hash == plain


def test_a_bundle_is_replaced_whole_and_nothing_is_left_beside_it(tmp_path: Path) -> None:
    save_bundle(tmp_path / "b", card(), tensors())
    (tmp_path / "b" / "notes.txt").write_text("of the old one")
    save_bundle(tmp_path / "b", card(architecture="another"), tensors())
    assert load_bundle(tmp_path / "b").card.architecture == "another"
    assert sorted(p.name for p in (tmp_path / "b").iterdir()) == ["card.yaml", "model.safetensors"]
    assert [p.name for p in tmp_path.iterdir()] == ["b"]


def test_a_folder_that_is_no_bundle_is_not_overwritten(tmp_path: Path) -> None:
    (tmp_path / "photographs").mkdir()
    (tmp_path / "photographs" / "1.jpg").touch()
    with pytest.raises(ModelError, match="is not a model bundle"):
        save_bundle(tmp_path / "photographs", card(), tensors())
    assert (tmp_path / "photographs" / "1.jpg").exists()


def test_a_write_that_fails_leaves_the_old_bundle(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save_bundle(tmp_path / "b", card(), tensors())

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(bundle_module.os, "fsync", full)
    with pytest.raises(ModelError, match="No space left on device"):
        save_bundle(tmp_path / "b", card(architecture="another"), tensors())
    assert load_bundle(tmp_path / "b").card.architecture == "a_net"
    assert [p.name for p in tmp_path.iterdir()] == ["b"]


def test_a_damaged_file_is_named_with_both_hashes(tmp_path: Path) -> None:
    save_bundle(tmp_path / "b", card(), tensors())
    file = tmp_path / "b" / "model.safetensors"
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(content)
    with pytest.raises(ModelError, match=r"model\.safetensors: wrong hash"):
        load_bundle(tmp_path / "b")


@pytest.mark.parametrize(
    ("missing", "message"), [("card.yaml", "has no card.yaml"), ("model.safetensors", "has no model.safetensors")]
)
def test_a_missing_file_is_named(tmp_path: Path, missing: str, message: str) -> None:
    save_bundle(tmp_path / "b", card(), tensors())
    (tmp_path / "b" / missing).unlink()
    with pytest.raises(ModelError, match=message):
        load_bundle(tmp_path / "b")


def test_a_missing_bundle_is_named(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="nowhere: no such folder"):
        load_bundle(tmp_path / "nowhere")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"architectur": "x"}, "unknown key architectur, did you mean architecture?"),
        ({"kind": "pupil"}, "kind: Input should be 'student', 'teacher' or 'backbone'"),
        ({"camera": {"width": 10}}, r"camera\.height: Field required"),
        ({"format": 2}, "format: Input should be 1"),
    ],
)
def test_a_wrong_card_is_explained_with_its_file(tmp_path: Path, change: dict[str, object], message: str) -> None:
    save_bundle(tmp_path / "b", card(), tensors())
    file = tmp_path / "b" / "card.yaml"
    file.write_text(yaml.safe_dump({**yaml.safe_load(file.read_text()), **change}))
    with pytest.raises(ModelError, match=r"card\.yaml: .*" + message.replace("?", r"\?")):
        read_card(tmp_path / "b")


def test_a_card_with_code_in_it_is_refused(tmp_path: Path) -> None:
    save_bundle(tmp_path / "b", card(), tensors())
    (tmp_path / "b" / "card.yaml").write_text("!!python/object/apply:os.getcwd []")
    with pytest.raises(ModelError, match=r"card\.yaml: cannot be read"):
        load_bundle(tmp_path / "b")
