"""No frame is trained on that is validated on: told by its pixels, whatever it is called and wherever it lies."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

from mono3d_kd_core.errors import DataError
from mono3d_kd_core.frames import FrameSource, SensorFrame
from mono3d_kd_core.training.cache import Track
from mono3d_kd_core.training.examples import Labelled


class Guard:
    """Knows the pictures of validation frames.

    KITTI's raw drives hold most of the object benchmark's frames under other names, its full raw list 3,551 of the 3,769 of
    val; their pixels are the same.
    """

    def __init__(self) -> None:
        self._known: dict[bytes, str] = {}

    @classmethod
    def of(cls, sources: Iterable[FrameSource | Labelled], track: Track) -> Guard:
        """Return what knows the frames of validation sources; `track` shows how far it is."""
        guard = cls()
        for source in sources:
            indices = track(range(len(source)), "reading validation frames")
            guard.add(source.name, (source.picture(i) for i in indices))
        return guard

    def add(self, source: str, frames: Iterable[SensorFrame]) -> None:
        """Learn the frames of a validation source."""
        for frame in frames:
            self._known.setdefault(_identity(frame), f"frame {frame.id} of {source}")

    def check(self, source: str, frame: SensorFrame) -> None:
        """Raise DataError, naming both, when a training frame is one of validation."""
        if not self._known:
            return
        same = self._known.get(_identity(frame))
        if same is not None:
            raise DataError(
                f"{source}: frame {frame.id} is {same}, on which is validated: the figures would mean nothing; "
                "leave it out of the sources"
            )


def _identity(frame: SensorFrame) -> bytes:
    digest = hashlib.blake2b(str(frame.image.shape).encode(), digest_size=16)
    digest.update(frame.image.tobytes())
    return digest.digest()
