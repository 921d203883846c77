"""Depth images of a bag, by the stamps of the pictures that they belong to."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from mono3d_kd_core.errors import DataError
from mono3d_kd_core.io.bag import BagSource
from mono3d_kd_core.io.bag_depth import write_depth_maps
from mono3d_kd_core.io.depth_codec import encode_depth
from mono3d_kd_core.io.files import read_depth
from mono3d_kd_core.io.messages import header, message
from tests.io.bags import IMAGE, Recorded, drive, only, write_ros1, write_ros2

TOPIC = "/depth"


def depth_image(depth: NDArray[np.float32], encoding: str, stamp: int) -> Any:
    data, step = encode_depth(depth, encoding)
    return message(
        "sensor_msgs/Image", header=header(stamp, "camera"), height=depth.shape[0], width=depth.shape[1],
        encoding=encoding, is_bigendian=0, step=step, data=np.frombuffer(data, np.uint8),
    )  # fmt: skip


def with_depth(encoding: str, late: int = 0) -> list[Recorded]:
    """A drive whose second picture the depth node missed; depth is the number of the picture and a half, in metres."""
    messages = drive()
    for number, picture in enumerate(only(messages, IMAGE)):
        if number != 1:
            depth = np.full((12, 32), number + 0.5, np.float32)
            depth[0, 0] = np.nan
            stamp = picture.time + late
            messages.append(Recorded(TOPIC, depth_image(depth, encoding, stamp), picture.time + 50_000_000))
    return sorted(messages, key=lambda m: m.time)


@pytest.mark.parametrize("encoding", ["32FC1", "16UC1"])
@pytest.mark.parametrize(("write", "name"), [(write_ros1, "drive.bag"), (write_ros2, "drive")], ids=["ros1", "ros2"])
def test_each_map_goes_to_the_picture_of_its_stamp(tmp_path: Path, encoding: str, write: Any, name: str) -> None:
    path = write(tmp_path / name, with_depth(encoding))
    write_depth_maps(BagSource(path), TOPIC, tmp_path / "maps")
    assert sorted(file.name for file in (tmp_path / "maps").iterdir()) == ["000000.png", "000002.png", "000003.png"]
    found = read_depth(tmp_path / "maps" / "000002.png")
    assert found[5, 5] == 2.5
    assert found[0, 0] == 0


def test_what_does_not_fit_is_said_in_words(tmp_path: Path) -> None:
    source = BagSource(write_ros2(tmp_path / "drive", with_depth("32FC1", late=1_000_000)))
    with pytest.raises(DataError, match=f"there is no topic /dept; its pictures are {IMAGE}, /depth"):
        write_depth_maps(source, "/dept", tmp_path / "maps")
    with pytest.raises(DataError, match="none of the stamps of /depth is that of a picture"):
        write_depth_maps(source, TOPIC, tmp_path / "maps")
