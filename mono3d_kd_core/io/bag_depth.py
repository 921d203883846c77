"""Depth images of a bag, such as a depth network's node publishes, as pictures beside its frames."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mono3d_kd_core.errors import DataError
from mono3d_kd_core.io.bag import BagSource
from mono3d_kd_core.io.bag_file import BagFile
from mono3d_kd_core.io.depth_codec import decode_compressed_depth, decode_depth
from mono3d_kd_core.io.files import write_depth


def depth_of(message: Any) -> NDArray[np.float32]:
    """Return the depths (H,W) in metres, NaN where there are none, of an Image or CompressedImage message (REP-118)."""
    if hasattr(message, "format"):
        return decode_compressed_depth(message.data, message.format)
    m = message
    return decode_depth(m.data, m.height, m.width, m.encoding, m.step, bool(m.is_bigendian))


def write_depth_maps(source: BagSource, topic: str, out: Path) -> None:
    """Write a topic's depth images as `out`/<frame id>.png, 16 bit, 256 a metre; those that are there already are left.

    A depth image belongs to the picture with the same stamp in its header, as a node that looks at the picture gives it.
    Raises DataError when the bag has no such topic, or none of its depth images goes with a picture.
    """
    ids = dict(zip((moment.stamp for moment in source.index.moments), source.ids))
    with BagFile(Path(source.name)) as bag:
        if topic not in bag.topics:
            images = [name for name, kind in bag.topics.items() if kind.type.endswith(("/Image", "/CompressedImage"))]
            raise DataError(f"{source.name}: there is no topic {topic}; its pictures are {', '.join(images)}")
        matched = 0
        for message in bag.messages([topic]):
            id_ = ids.get(bag.stamp(message))
            if id_ is None:
                continue
            matched += 1
            file = out / f"{id_}.png"
            if not file.is_file():
                try:
                    write_depth(file, depth_of(bag.decode(message)))
                except DataError as error:
                    raise DataError(f"{source.name}: frame {id_}: {topic}: {error}") from error
    if not matched:
        raise DataError(
            f"{source.name}: none of the stamps of {topic} is that of a picture of {source.rig_file.topics.image}; a depth "
            "node must give its images the stamp of the picture that it looked at"
        )
