"""A tree of frames whose transforms change over time, as tf's, with errors that name the frames."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from mono3d_kd_core.errors import CalibrationError
from mono3d_kd_core.geometry.rigid import Matrix, interpolate, inverse


class TransformError(CalibrationError):
    """Two frames are not connected, or not at the moment asked for."""


class ExtrapolationError(TransformError):
    """A transform is known, but not at the moment asked for."""


@dataclass
class _Edge:
    """How a frame lies in its parent: one transform for ever, or samples in order of time."""

    parent: str
    static: Matrix | None = None
    stamps: list[int] = field(default_factory=list)
    samples: list[Matrix] = field(default_factory=list)


class TransformTree:
    """Transforms between named frames at moments in ns; a leading slash of a name is ignored.

    Each frame has one parent. Between two samples position and rotation are interpolated; beyond them `lookup` refuses.
    buffer_s bounds the memory of each edge to that many seconds before its newest sample; None keeps everything.
    """

    def __init__(self, buffer_s: float | None = None) -> None:
        self._edges: dict[str, _Edge] = {}
        self._other_parents: dict[str, str] = {}
        self._buffer = None if buffer_s is None else round(buffer_s * 1e9)

    @property
    def frames(self) -> list[str]:
        """The names of all frames, in alphabetical order."""
        return sorted(self._edges.keys() | {edge.parent for edge in self._edges.values()})

    def add_static(self, parent: str, child: str, T_parent_child: Matrix) -> None:
        """Fix `child` in `parent` for all time; a later call replaces the transform."""
        edge = self._edge(parent, child)
        if edge is not None:
            edge.static = T_parent_child.copy()

    def add(self, parent: str, child: str, stamp: int, T_parent_child: Matrix) -> None:
        """Place `child` in `parent` at the moment `stamp`, in ns; samples may come in any order."""
        edge = self._edge(parent, child)
        if edge is None:
            return
        index = bisect_left(edge.stamps, stamp)
        if index < len(edge.stamps) and edge.stamps[index] == stamp:
            edge.samples[index] = T_parent_child.copy()
            return
        edge.stamps.insert(index, stamp)
        edge.samples.insert(index, T_parent_child.copy())
        if self._buffer is not None:
            old = bisect_left(edge.stamps, edge.stamps[-1] - self._buffer)
            del edge.stamps[:old], edge.samples[:old]

    def lookup(self, target: str, source: str, stamp: int | None) -> Matrix:
        """Return the (4,4) T_target_source at `stamp` in ns; None asks for a transform that holds at all times.

        Raises TransformError when a frame is unknown, the frames are not connected, a frame on the way has two parents, or
        the transform is asked for at all times but moves; ExtrapolationError when `stamp` lies outside what is known.
        """
        target, source = _clean(target), _clean(source)
        up_target, up_source = self._ancestry(target), self._ancestry(source)
        common = next((frame for frame in up_source if frame in up_target), None)
        if common is None:
            raise TransformError(
                f'no transforms connect "{target}" with "{source}": '
                f'"{target}" hangs under "{up_target[-1]}", "{source}" under "{up_source[-1]}"'
            )
        question = f'"{target}" <- "{source}"'
        T_common_target = self._descend(up_target[: up_target.index(common)], stamp, question)
        T_common_source = self._descend(up_source[: up_source.index(common)], stamp, question)
        return inverse(T_common_target) @ T_common_source

    def _edge(self, parent: str, child: str) -> _Edge | None:
        """Return the edge above `child`, or None when `child` already hangs under another parent."""
        parent, child = _clean(parent), _clean(child)
        if parent == child:
            raise TransformError(f'the frame "{child}" is given as its own parent')
        edge = self._edges.setdefault(child, _Edge(parent))
        if edge.parent == parent:
            return edge
        # Told only to those who need this frame: other parts of a recorded tree may still be sound.
        self._other_parents[child] = parent
        return None

    def _ancestry(self, frame: str) -> list[str]:
        """Return the frame, its parent, and so on up to the root."""
        if frame not in self._edges and frame not in {edge.parent for edge in self._edges.values()}:
            known = ", ".join(self.frames) or "none at all"
            raise TransformError(f'the frame "{frame}" is in no transform; known frames: {known}')
        path = [frame]
        while path[-1] in self._edges:
            path.append(self._edges[path[-1]].parent)
            if path[-1] in path[:-1]:
                raise TransformError(f"the transforms go round in a circle: {' -> '.join(path)}")
        return path

    def _descend(self, path: Sequence[str], stamp: int | None, question: str) -> Matrix:
        """Multiply the edges above each frame of `path`, which leads upwards."""
        T = np.eye(4)
        for child in path:
            T = self._at(child, stamp, question) @ T
        return T

    def _at(self, child: str, stamp: int | None, question: str) -> Matrix:
        edge = self._edges[child]
        if child in self._other_parents:
            raise TransformError(
                f'{question}: the frame "{child}" has two parents, "{edge.parent}" and "{self._other_parents[child]}"; '
                "stop one of the publishers"
            )
        if edge.static is not None:
            return edge.static
        if stamp is None:
            raise TransformError(f'{question}: "{child}" moves in "{edge.parent}", so no single transform holds')
        index = bisect_left(edge.stamps, stamp)
        if index < len(edge.stamps) and edge.stamps[index] == stamp:
            return edge.samples[index]
        if index in (0, len(edge.stamps)):
            first, last = edge.stamps[0], edge.stamps[-1]
            side = f"{_seconds(first - stamp)} before" if index == 0 else f"{_seconds(stamp - last)} after"
            raise ExtrapolationError(
                f"{question} at {_seconds(stamp)}, {side} what is known: "
                f'"{child}" in "{edge.parent}" from {_seconds(first)} to {_seconds(last)}'
            )
        before, after = edge.stamps[index - 1], edge.stamps[index]
        return interpolate(edge.samples[index - 1], edge.samples[index], (stamp - before) / (after - before))


def _clean(frame: str) -> str:
    return frame.lstrip("/")


def _seconds(stamp: int) -> str:
    return f"{stamp / 1e9:.3f} s"
