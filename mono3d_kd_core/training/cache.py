"""Examples kept ready: pictures resized once and held in one file, the rest in memory."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path

import numpy as np

from mono3d_kd_core.training.examples import Example, ExampleSource

Track = Callable[[Iterable[int], str], Iterable[int]]
"""Shows progress over an iterable under a title."""
_NO_PICTURE = np.empty((0, 0, 3), np.uint8)


def bytes_needed(examples: ExampleSource) -> int:
    """Return how much disk the pictures of all examples take."""
    return len(examples) * examples.size[0] * examples.size[1] * 3


class CachedExamples:
    """All of `examples`, read once.

    Pictures lie in `file`, mapped into memory, so that the system keeps in RAM what fits and worker processes share it;
    the file is made anew and removed by `close`.
    """

    def __init__(self, examples: ExampleSource, file: Path, track: Track) -> None:
        self._file, self.size = file, examples.size
        file.parent.mkdir(parents=True, exist_ok=True)
        shape = (len(examples), *examples.size, 3)
        pictures = np.lib.format.open_memmap(file, "w+", np.uint8, shape)
        self._rest = []
        for index in track(range(len(examples)), "reading frames"):
            example = examples[index]
            pictures[index] = example.image
            self._rest.append(replace(example, image=_NO_PICTURE))
        pictures.flush()
        self._pictures = np.lib.format.open_memmap(file, "r")

    def __len__(self) -> int:
        return len(self._rest)

    def __getitem__(self, index: int) -> Example:
        return replace(self._rest[index], image=np.asarray(self._pictures[index]))

    def close(self) -> None:
        """Remove the file; what is mapped stays readable until it is let go."""
        self._file.unlink(missing_ok=True)
