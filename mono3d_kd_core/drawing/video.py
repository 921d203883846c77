"""Pictures in a row, as an .mp4 file."""

from __future__ import annotations

from pathlib import Path
from types import TracebackType

import cv2
import numpy as np

from mono3d_kd_core.drawing.palette import Image
from mono3d_kd_core.errors import DataError


class VideoWriter:
    """Writes images (H,W,3) RGB to an .mp4 file, which appears under its name when it is complete.

    Use it in a `with` statement. The first image sets the size (odd sizes lose their last row or column, which the codec
    asks for); later ones are fitted to it. The codec mp4v (MPEG-4 part 2) is in every build of OpenCV and plays in VLC,
    mpv, QuickTime and Foxglove, but not in browsers: those want avc1 (H.264), where OpenCV has an encoder for it, or vp09
    (VP9), which is a hundred times slower.
    """

    def __init__(self, path: Path, fps: float = 10.0, codec: str = "mp4v") -> None:
        self.path = Path(path)
        self._fps, self._codec = fps, codec
        self._part = self.path.with_name(f".{self.path.stem}.part.mp4")
        self._writer: cv2.VideoWriter | None = None
        self._size = (0, 0)

    def write(self, image: Image) -> None:
        """Append one image. Raises DataError when the file cannot be written."""
        if self._writer is None:
            self._writer = self._open(image.shape[1] // 2 * 2, image.shape[0] // 2 * 2)
        width, height = self._size
        if (image.shape[1] // 2 * 2, image.shape[0] // 2 * 2) == self._size:
            image = image[:height, :width]
        else:
            image = np.asarray(cv2.resize(image, self._size, interpolation=cv2.INTER_AREA), np.uint8)
        self._writer.write(np.ascontiguousarray(image[..., ::-1]))

    def close(self) -> None:
        """Finish the file and give it its name; without any image there is none."""
        if self._writer is not None:
            self._writer.release()
            self._writer = None
            self._part.replace(self.path)

    def __enter__(self) -> VideoWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None or kind is KeyboardInterrupt:
            self.close()
        elif self._writer is not None:
            self._writer.release()
            self._part.unlink(missing_ok=True)

    def _open(self, width: int, height: int) -> cv2.VideoWriter:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        writer = cv2.VideoWriter(str(self._part), cv2.VideoWriter.fourcc(*self._codec), self._fps, (width, height))
        if not writer.isOpened():
            raise DataError(f"{self.path}: cannot write a video of {width}x{height} with the codec {self._codec}")
        self._size = width, height
        return writer
