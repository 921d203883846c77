"""Files that are either whole or absent, and pictures in them."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mono3d_kd_core.errors import DataError
from mono3d_kd_core.io.image_codec import decode_compressed

PICTURE_SUFFIXES = (".png", ".jpg", ".jpeg")


def write_atomically(path: Path, data: bytes) -> None:
    """Write a file that appears under its name only when it is complete; parent folders are made.

    Raises DataError naming the file where it cannot be written (disk full, no permission).
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            temporary.write_bytes(data)
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)
    except OSError as error:
        raise DataError(f"{path}: cannot be written: {error.strerror or error}") from error


def read_bytes(path: Path) -> bytes:
    """Read a whole file. Raises DataError naming it where that fails."""
    try:
        return path.read_bytes()
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror or error}") from error


def read_text(path: Path) -> str:
    """Read a text file in UTF-8; Windows' mark before it is passed over. Raises DataError naming it where that fails."""
    try:
        return read_bytes(path).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: this is not a text file") from error


def read_image(path: Path) -> NDArray[np.uint8]:
    """Read a PNG or JPEG as (H,W,3) uint8 RGB."""
    try:
        return decode_compressed(read_bytes(path), path.suffix.lstrip("."))
    except DataError as error:
        raise error if str(path) in str(error) else DataError(f"{path}: {error}") from error


def write_image(path: Path, image: NDArray[np.uint8], quality: int = 95) -> None:
    """Write (H,W,3) uint8 RGB as PNG or JPEG, by the suffix of `path`; atomic. `quality` is JPEG's."""
    import cv2

    # PNG's fastest level: photographs hardly shrink further at the others, which take several times as long.
    png = path.suffix == ".png"
    options = [cv2.IMWRITE_PNG_COMPRESSION, 1] if png else [cv2.IMWRITE_JPEG_QUALITY, quality]
    encoded = cv2.imencode(path.suffix, cv2.cvtColor(np.ascontiguousarray(image), cv2.COLOR_RGB2BGR), options)[1]
    write_atomically(path, encoded.tobytes())


def read_depth(path: Path) -> NDArray[np.float32]:
    """Read a 16-bit PNG of depth * 256 as (H,W) float32 metres, 0 where there is none (KITTI depth devkit)."""
    import cv2

    data = np.frombuffer(read_bytes(path), np.uint8)
    raw = cv2.imdecode(data, cv2.IMREAD_UNCHANGED) if len(data) else None
    if raw is None or raw.dtype != np.uint16 or raw.ndim != 2:
        raise DataError(f"{path}: this is not a 16-bit depth PNG")
    return np.asarray(raw, np.float32) / np.float32(256)


def write_depth(path: Path, depth: NDArray[np.floating]) -> None:
    """Write (H,W) metres as a 16-bit PNG of depth * 256; 0, NaN and what is beyond 255.99 m become 0; atomic."""
    import cv2

    scaled = np.round(np.nan_to_num(np.asarray(depth, np.float64), nan=0, posinf=0, neginf=0) * 256)
    stored = np.where((scaled > 0) & (scaled <= 65535), scaled, 0).astype(np.uint16)
    write_atomically(path, cv2.imencode(".png", stored)[1].tobytes())
