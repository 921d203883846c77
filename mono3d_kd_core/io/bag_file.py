"""Any bag as topics and messages: ROS 1 .bag, rosbag2 in sqlite3 or MCAP, with or without its metadata.yaml."""

from __future__ import annotations

import heapq
import os
import struct
from collections.abc import Collection, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple

from rosbags.interfaces import Connection
from rosbags.rosbag1 import Reader as Reader1
from rosbags.rosbag2 import Reader as Reader2
from rosbags.serde import SerdeError

from mono3d_kd_core.errors import DataError
from mono3d_kd_core.io.typestore import ros1_types, ros2_types

REPAIRS = {
    ".mcap": "`mcap recover BROKEN -o REPAIRED` saves what is there",
    ".db3": "`sqlite3 BROKEN .recover | sqlite3 REPAIRED` saves what is there",
    ".bag": "`rosbag reindex` saves what is there",
}
PARTS = (".mcap", ".db3")
COMPRESSED = (".mcap.zstd", ".db3.zstd")


@dataclass(frozen=True)
class Topic:
    """A topic of a bag; type is written as in ROS 2, package/msg/Name, also for ROS 1."""

    name: str
    type: str
    count: int


class RawMessage(NamedTuple):
    """A message as recorded: time is when, in ns (not its header's stamp), data its serialised bytes."""

    topic: str
    time: int
    data: bytes


def is_bag(path: Path) -> bool:
    """Tell whether a path is a bag: a file, or a folder with one in it."""
    if path.is_dir():
        return (path / "metadata.yaml").is_file() or any(_files(path, suffix) for suffix in (*PARTS, *COMPRESSED, ".bag"))
    return path.is_file() and path.suffix in (*PARTS, ".bag")


def _files(folder: Path, suffix: str) -> list[Path]:
    return sorted(folder.glob(f"*{suffix}"))


class BagFile:
    """A bag open for reading; a context manager. It may be pickled and used after a fork: each process opens its own.

    Raises DataError naming the file where the bag, or a part of it, is missing, truncated or of an unknown kind.
    """

    def __init__(self, path: Path) -> None:
        self.path = Path(path)
        self.notes: list[str] = []
        """What a person should know about how the bag was read."""
        self._parts = self._find_parts()
        self.is_ros1 = self._parts[0].suffix == ".bag"
        self._stack: ExitStack | None = None
        self._process = 0
        self._open()
        self.topics = self._count_topics()
        """The topics by name, in alphabetical order."""

    def _find_parts(self) -> list[Path]:
        path = self.path
        if not path.exists():
            raise DataError(f"{path}: there is no such file or folder")
        if path.is_file():
            if path.suffix not in (*PARTS, ".bag"):
                raise DataError(f"{path}: this is no bag; known are .bag (ROS 1), .mcap, .db3 and folders of ros2 bag")
            return [path]
        if (path / "metadata.yaml").is_file():
            return [path]
        for suffix in (*PARTS, ".bag"):
            if parts := _files(path, suffix):
                if suffix != ".bag":
                    self.notes.append(f"{path}: metadata.yaml is missing; the {len(parts)} {suffix} files were read alone")
                return parts
        if any(_files(path, suffix) for suffix in COMPRESSED):
            raise DataError(f"{path}: metadata.yaml is missing, without which compressed files are unreadable; copy it back")
        raise DataError(f"{path}: no bag is here: neither metadata.yaml nor any .mcap, .db3 or .bag file")

    def _open(self) -> None:
        self._process = os.getpid()
        self._stack = ExitStack()
        self._readers: list[Reader1 | Reader2] = []
        for part in self._parts:
            with _in_words(part):
                reader: Reader1 | Reader2 = Reader1(part) if self.is_ros1 else Reader2(part)
                reader.open()
                self._stack.callback(reader.close)
                self._readers.append(reader)

    def __getstate__(self) -> dict[str, Any]:
        return {"path": self.path}

    def __setstate__(self, state: dict[str, Any]) -> None:
        BagFile.__init__(self, state["path"])

    def __enter__(self) -> BagFile:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the files."""
        if self._stack is not None and self._process == os.getpid():
            self._stack.close()
        self._stack = None

    def _count_topics(self) -> dict[str, Topic]:
        found: dict[str, Topic] = {}
        for connection in (connection for reader in self._readers for connection in reader.connections):
            count = connection.msgcount + (found[connection.topic].count if connection.topic in found else 0)
            found[connection.topic] = Topic(connection.topic, connection.msgtype, count)
        return dict(sorted(found.items()))

    def messages(
        self, topics: Collection[str] = (), start: int | None = None, stop: int | None = None
    ) -> Iterator[RawMessage]:
        """Yield the messages of some topics (none: all), in the order in which they were recorded.

        start and stop bound the time of recording, in ns; stop is exclusive.
        """
        if self._stack is None or self._process != os.getpid():
            self._open()
        streams = []
        for part, reader in zip(self._parts, self._readers):
            chosen = [c for c in reader.connections if not topics or c.topic in topics]
            if chosen:
                streams.append(self._messages(part, reader, chosen, start, stop))
        yield from heapq.merge(*streams, key=lambda message: message.time)

    def _messages(
        self, part: Path, reader: Reader1 | Reader2, chosen: Sequence[Connection], start: int | None, stop: int | None
    ) -> Iterator[RawMessage]:
        with _in_words(part):
            for connection, time, data in reader.messages(chosen, start=start, stop=stop):
                yield RawMessage(connection.topic, time, data)

    def decode(self, message: RawMessage) -> Any:
        """Deserialise a message; the attributes of the result are the fields of its type."""
        type_ = self.topics[message.topic].type
        types = ros1_types() if self.is_ros1 else ros2_types()
        try:
            deserialise = types.deserialize_ros1 if self.is_ros1 else types.deserialize_cdr
            return deserialise(message.data, type_)
        except KeyError as error:
            raise DataError(f"{self.path}: {message.topic} has the type {type_}, which is not known") from error
        except (SerdeError, struct.error, ValueError, IndexError) as error:
            raise DataError(f"{self.path}: a message of {message.topic} is broken: {error}") from error

    def stamp(self, message: RawMessage) -> int:
        """Return the stamp in the header of a message, in ns, without deserialising the rest."""
        try:
            if self.is_ros1:
                seconds, nanoseconds = struct.unpack_from("<II", message.data, 4)
            else:
                seconds, nanoseconds = struct.unpack_from("<iI" if message.data[1] else ">iI", message.data, 4)
        except (struct.error, IndexError) as error:
            raise DataError(f"{self.path}: a message of {message.topic} is broken: it has no whole header") from error
        return int(seconds * 1_000_000_000 + nanoseconds)


@contextmanager
def _in_words(part: Path) -> Iterator[None]:
    """Turn what the readers raise over a broken file into a DataError that names the file and the repair."""
    try:
        yield
    except Exception as error:  # over a broken file the readers may stumble in any way
        what = str(error).rstrip(".") or "it ends early"
        raise DataError(f"{part}: the bag cannot be read: {what}; {_hint(part)}") from error


def _hint(part: Path) -> str:
    return f"if it was cut off, {REPAIRS[part.suffix]}" if part.suffix in REPAIRS else "see its metadata.yaml and its files"
