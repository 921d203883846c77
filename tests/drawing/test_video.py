from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from mono3d_kd_core.drawing import VideoWriter
from mono3d_kd_core.errors import DataError

RED_ABOVE_BLUE = np.zeros((61, 99, 3), np.uint8)
RED_ABOVE_BLUE[:30, :, 0] = 250
RED_ABOVE_BLUE[30:, :, 2] = 250


def read(path: Path) -> list[np.ndarray]:
    capture = cv2.VideoCapture(str(path))
    frames = []
    while True:
        more, frame = capture.read()
        if not more:
            return frames
        frames.append(frame[..., ::-1])


def test_the_frames_come_back_in_their_colours(tmp_path: Path) -> None:
    path = tmp_path / "new" / "drive.mp4"
    with VideoWriter(path, fps=5) as video:
        for _ in range(4):
            video.write(RED_ABOVE_BLUE)
        video.write(np.zeros((120, 200, 3), np.uint8))
        assert not path.exists()
    frames = read(path)
    assert [frame.shape for frame in frames] == [(60, 98, 3)] * 5
    np.testing.assert_allclose(frames[2][10, 50], [250, 0, 0], atol=25)
    np.testing.assert_allclose(frames[2][50, 50], [0, 0, 250], atol=25)
    assert frames[4].max() < 25


def test_a_failure_leaves_nothing_behind(tmp_path: Path) -> None:
    def fail() -> None:
        with VideoWriter(tmp_path / "drive.mp4") as video:
            video.write(RED_ABOVE_BLUE)
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert list(tmp_path.iterdir()) == []


def test_no_image_is_no_file(tmp_path: Path) -> None:
    with VideoWriter(tmp_path / "drive.mp4"):
        pass
    assert list(tmp_path.iterdir()) == []


def test_an_unknown_codec_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="codec none"):
        VideoWriter(tmp_path / "drive.mp4", codec="none").write(RED_ABOVE_BLUE)
