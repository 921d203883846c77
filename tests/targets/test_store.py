"""The store is a KITTI folder, gives back what was put in, survives being killed, and refuses to mix."""

from __future__ import annotations

import errno
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from mono3d_kd_core.errors import DataError, ModelError
from mono3d_kd_core.frames import Rig, SensorFrame
from mono3d_kd_core.geometry.camera import CameraModel
from mono3d_kd_core.geometry.rigid import T_CAMERA_BODY, apply
from mono3d_kd_core.io import files
from mono3d_kd_core.io.kitti import KittiObjectSource
from mono3d_kd_core.io.open import open_source
from mono3d_kd_core.targets import Provenance, TargetSettings, TargetStore
from mono3d_kd_core.teachers.base import Teacher
from tests.conftest import REPOSITORY
from tests.io.drives import rotation, small_frame, small_rig
from tests.targets.teachers import QuickTeacher

EVERYTHING = TargetSettings(bev=True, depth=True)
FRAMES = [small_frame(i) for i in range(4)]


def fill(
    root: Path,
    frames: Sequence[SensorFrame] = FRAMES,
    teacher: Teacher | None = None,
    settings: TargetSettings = EVERYTHING,
) -> Path:
    teacher = teacher or QuickTeacher()
    with TargetStore(root, Provenance.of(teacher, settings)) as store:
        for frame in frames:
            if not store.has(frame.id):
                store.write(frame, teacher.observe(frame, settings.want))
    return root


def content(root: Path) -> dict[str, bytes]:
    return {str(path.relative_to(root)): path.read_bytes() for path in sorted(root.rglob("*")) if path.is_file()}


def test_everything_comes_back_in_full_precision(tmp_path: Path) -> None:
    store = TargetStore(fill(tmp_path / "s"))
    assert store.ids == ["000000", "000001", "000002", "000003"]
    frame = FRAMES[2]
    said, kept = QuickTeacher().observe(frame, EVERYTHING.want), store.read("000002")
    boxes = frame.rig.boxes_in_camera(said.boxes)
    for name in ("centre", "size", "yaw", "score", "label"):
        assert np.array_equal(getattr(kept.boxes, name), getattr(boxes, name)), name
    assert (kept.id, kept.stamp, kept.boxes.frame, kept.dense_frame) == ("000002", frame.stamp, "camera", "lidar")
    assert said.responses is not None
    assert kept.responses is not None
    assert np.array_equal(kept.responses.codes, said.responses.codes)
    assert kept.responses.direction is None
    assert said.bev is not None
    assert kept.bev is not None
    assert np.array_equal(kept.bev.features, said.bev.features)
    assert (kept.bev.x_range, kept.bev.y_range) == (said.bev.x_range, said.bev.y_range)
    assert said.depth is not None
    assert kept.depth is not None
    assert np.abs(kept.depth - said.depth).max() <= 1 / 512


def test_the_store_is_a_kitti_folder(tmp_path: Path) -> None:
    source = open_source(fill(tmp_path / "s"))
    assert isinstance(source, KittiObjectSource)
    for index, frame in enumerate(FRAMES):
        again = source[index]
        assert (again.id, again.stamp) == (frame.id, frame.stamp)
        assert np.array_equal(again.image, frame.image)
        assert again.points is not None
        assert np.array_equal(again.points, frame.points)
        assert np.allclose(again.rig.T_camera_lidar, frame.rig.T_camera_lidar, atol=1e-15)


def test_labels_are_rows_of_16_columns_that_a_plain_reader_understands(tmp_path: Path) -> None:
    store = TargetStore(fill(tmp_path / "s"))
    rows = [line.split(" ") for line in (store.root / "label_2/000001.txt").read_text().splitlines()]
    boxes = store.read("000001").boxes
    assert len(rows) == len(boxes) > 0
    assert {len(row) for row in rows} == {16}
    numbers = np.array([[float(value) for value in row[1:]] for row in rows])
    bottom = boxes.centre - [0, 0, 1] * boxes.size[:, 2:] / 2
    assert [row[0] for row in rows] == boxes.label.tolist()
    assert np.abs(numbers[:, 10:13] - apply(T_CAMERA_BODY, bottom)).max() < 1e-4
    assert np.abs(numbers[:, 7:10] - boxes.size[:, ::-1]).max() < 1e-4
    assert np.abs(numbers[:, 14] - boxes.score).max() < 1e-6


def test_a_frame_without_objects_has_an_empty_label_file(tmp_path: Path) -> None:
    store = TargetStore(fill(tmp_path / "s", teacher=QuickTeacher(count=0)))
    assert (store.root / "label_2/000000.txt").read_bytes() == b""
    assert len(store.read("000000").boxes) == 0


def test_weak_boxes_are_left_out_of_labels_and_targets(tmp_path: Path) -> None:
    store = TargetStore(fill(tmp_path / "s", settings=TargetSettings(min_score=4.0)))
    for frame in FRAMES:
        scores = QuickTeacher().observe(frame).boxes.score
        assert store.read(frame.id).boxes.score.tolist() == scores[scores >= 4].tolist()
    assert store.read("000000").responses is not None
    assert store.read("000000").depth is None


def test_the_same_input_gives_the_same_bytes_whatever_the_order_and_the_thread(tmp_path: Path) -> None:
    plain = content(fill(tmp_path / "a"))
    teacher = QuickTeacher()
    with TargetStore(tmp_path / "b", Provenance.of(teacher, EVERYTHING)) as store, ThreadPoolExecutor(3) as threads:
        list(threads.map(lambda f: store.write(f, teacher.observe(f, EVERYTHING.want)), reversed(FRAMES)))
    assert content(tmp_path / "b") == plain


class Killed(BaseException):
    """Stands for SIGKILL: nothing catches it."""


def test_killed_at_any_write_and_resumed_it_has_the_same_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = content(fill(tmp_path / "whole", FRAMES[:2]))
    write_bytes, killed = Path.write_bytes, 0
    for victim in range(1, 100):
        root, count = tmp_path / f"killed_{victim}", 0

        def torn(path: Path, data: bytes, root: Path = root, victim: int = victim) -> int:
            nonlocal count
            count += root in path.parents
            if count == victim:
                write_bytes(path, data[: len(data) // 2])
                raise Killed
            return write_bytes(path, data)

        with monkeypatch.context() as patch:
            patch.setattr(Path, "write_bytes", torn)
            patch.setattr(Path, "unlink", lambda path, missing_ok=False: None)  # a dead process does not tidy up
            try:
                fill(root, FRAMES[:2])
            except Killed:
                killed += 1
        assert content(fill(root, FRAMES[:2])) == expected, f"killed at write {victim}"
        shutil.rmtree(root)
        if count < victim:
            break
    assert killed == 16  # provenance, seven files for each of two frames, and the index


def test_a_killed_process_leaves_nothing_locked(tmp_path: Path) -> None:
    program = (
        "import sys, time\nfrom pathlib import Path\n"
        "from tests.targets.test_store import FRAMES, EVERYTHING, QuickTeacher, Provenance, TargetStore\n"
        f"store = TargetStore(Path({str(tmp_path / 's')!r}), Provenance.of(QuickTeacher(), EVERYTHING))\n"
        "store.write(FRAMES[0], QuickTeacher().observe(FRAMES[0], EVERYTHING.want))\n"
        "print('stored', flush=True)\ntime.sleep(60)\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program], cwd=REPOSITORY, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "stored\n"
        with pytest.raises(DataError, match="another process is writing to this store"):
            fill(tmp_path / "s")
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert content(fill(tmp_path / "s")) == content(fill(tmp_path / "whole"))


@pytest.mark.parametrize(
    ("teacher", "settings", "message"),
    [
        (
            QuickTeacher("b" * 64),
            EVERYTHING,
            r"targets are of another teacher \(quick aaaaaaaaaaaa, this is quick bbbb",
        ),
        (QuickTeacher(), TargetSettings(bev=True, depth=True, min_score=2), "min_score was None and is 2.0 now"),
        (QuickTeacher(), TargetSettings(bev=True), "depth was True and is False now"),
    ],
)
def test_another_teacher_or_other_settings_are_refused(
    tmp_path: Path, teacher: Teacher, settings: TargetSettings, message: str
) -> None:
    before = content(fill(tmp_path / "s", FRAMES[:2]))
    with pytest.raises(DataError, match=message):
        fill(tmp_path / "s", teacher=teacher, settings=settings)
    assert content(tmp_path / "s") == before


def with_another_rig(frame: SensorFrame) -> SensorFrame:
    T = frame.rig.T_camera_lidar.copy()
    T[0, 3] += 0.001
    return replace(frame, rig=Rig(frame.rig.camera, T))


def test_another_calibration_is_refused_also_in_a_later_run(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="frame 000001 has another calibration than the frames stored before"):
        fill(tmp_path / "s", [FRAMES[0], with_another_rig(FRAMES[1])])
    with pytest.raises(DataError, match="frame 000002 has another calibration than the frames stored before"):
        fill(tmp_path / "s", [with_another_rig(FRAMES[2])])


def test_several_calibrations_are_stored_where_they_are_allowed(tmp_path: Path) -> None:
    teacher, frames = QuickTeacher(), [FRAMES[0], with_another_rig(FRAMES[1])]
    with TargetStore(tmp_path / "s", Provenance.of(teacher, EVERYTHING), many_rigs=True) as store:
        kept = [store.write(frame, teacher.observe(frame, EVERYTHING.want)).rig for frame in frames]
    assert kept[0] != kept[1]


@pytest.mark.parametrize(
    ("change", "what"),
    [
        (with_another_rig, "another calibration"),
        (lambda frame: replace(frame, image=frame.image[::-1]), "another picture or other points"),
        (lambda frame: replace(frame, points=frame.points[1:]), "another picture or other points"),
        (lambda frame: replace(frame, stamp=frame.stamp + 1), "another picture or other points"),
    ],
)
def test_a_frame_of_another_recording_is_noticed(tmp_path: Path, change, what: str) -> None:  # type: ignore[no-untyped-def]
    store = TargetStore(fill(tmp_path / "s"))
    store.check_input(FRAMES[1])
    with pytest.raises(DataError, match=f"frame 000001 is stored already, but it was made with {what}"):
        store.check_input(change(FRAMES[1]))


def test_a_folder_with_something_else_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "photographs").mkdir()
    (tmp_path / "photographs" / "1.jpg").touch()
    with pytest.raises(DataError, match="holds something else than a target store"):
        fill(tmp_path / "photographs")
    assert [path.name for path in (tmp_path / "photographs").iterdir()] == ["1.jpg"]


def test_reading_what_is_no_store_or_not_stored(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="is no target store"):
        TargetStore(tmp_path)
    with pytest.raises(DataError, match="frame 000009 is not in this store"):
        TargetStore(fill(tmp_path / "s")).read("000009")


@pytest.mark.parametrize("damage", [b"", b"\x08\0\0\0\0\0\0\0{}      ", b"x" * 100])
def test_a_damaged_file_is_named(tmp_path: Path, damage: bytes) -> None:
    store = TargetStore(fill(tmp_path / "s"))
    (store.root / "targets/000001.safetensors").write_bytes(damage)
    with pytest.raises(DataError, match=r"000001\.safetensors: is damaged"):
        store.read("000001")


def test_a_full_disk_is_said_and_the_run_can_go_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(tmp_path / "s", FRAMES[:1])

    def full(path: Path, data: bytes) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(files.Path, "write_bytes", full)
        with pytest.raises(
            DataError, match=r"000001\.png: cannot be written: No space left on device; the frames before"
        ):
            fill(tmp_path / "s")
    assert TargetStore(tmp_path / "s").ids == ["000000"]
    assert content(fill(tmp_path / "s")) == content(fill(tmp_path / "whole"))


def test_a_teacher_of_unknown_origin_makes_no_targets() -> None:
    with pytest.raises(ModelError, match="this quick has no fingerprint"):
        Provenance.of(QuickTeacher(""), EVERYTHING)


def test_what_a_teacher_recommends_is_kept_but_is_not_what_makes_a_store(tmp_path: Path) -> None:
    timid = QuickTeacher()
    timid.trusted_score = 0.5
    fill(tmp_path / "s", FRAMES[:1], teacher=timid)
    before = (tmp_path / "s" / "provenance.yaml").read_bytes()
    assert b"trusted_score: 0.5" in before
    fill(tmp_path / "s", FRAMES, teacher=QuickTeacher())  # goes on
    assert (tmp_path / "s" / "provenance.yaml").read_bytes() == before


@pytest.mark.parametrize("turned", [False, True])
def test_a_bent_picture_is_stored_rectified_with_boxes_and_depth_in_place(tmp_path: Path, turned: bool) -> None:
    R = rotation(1, 0.05) @ rotation(2, 0.03) if turned else np.eye(3)
    K = np.array([[300, 0, 320], [0, 300, 160], [0, 0, 1.0]])
    camera = CameraModel(640, 320, K, "plumb_bob", np.array([-0.2, 0.05, 0, 0, 0]), R=R)
    rig = Rig(camera, small_rig().T_camera_lidar)
    car = np.array([20.0, 2.0, -0.5])
    points = np.column_stack([np.random.default_rng(0).normal(car, 0.2, (400, 3)), np.full(400, 0.5)]).astype("f4")
    frame = replace(small_frame(0), image=np.zeros((320, 640, 3), np.uint8), points=points, rig=rig)
    teacher = QuickTeacher()
    store = TargetStore(fill(tmp_path / "s", [frame]))
    again = open_source(store.root)[0]
    kept = store.read("000000")
    # Read back as any KITTI folder, the calibration brings the teacher's boxes to where the labels are.
    said = teacher.observe(frame).boxes
    assert np.abs(again.rig.boxes_in_camera(said).centre - kept.boxes.centre).max() < 1e-9
    # And the depth map shows the points at the pixels where that calibration puts them.
    assert kept.depth is not None
    rows, columns = np.nonzero(kept.depth)
    optical = apply(again.rig.T_camera_lidar, points[:, :3])
    uv, _ = again.rig.camera.project(optical)
    assert np.abs(np.array([columns.mean(), rows.mean()]) - uv.mean(0)).max() < 1.5
    assert abs(kept.depth[rows, columns].mean() - optical[:, 2].mean()) < 0.2
