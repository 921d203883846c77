"""Files that are whole or absent, and messages that name them."""

from __future__ import annotations

from pathlib import Path

import pytest

from mono3d_kd_core.errors import DataError
from mono3d_kd_core.io.files import read_text, write_atomically


def test_what_cannot_be_written_is_named_and_leaves_nothing(tmp_path: Path) -> None:
    write_atomically(tmp_path / "deep" / "file", b"content")
    (tmp_path / "folder").mkdir()
    for path in (tmp_path / "deep" / "file" / "below", tmp_path / "folder"):
        with pytest.raises(DataError, match=f"{path}: cannot be written"):
            write_atomically(path, b"new")
    assert (tmp_path / "deep" / "file").read_bytes() == b"content"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["deep", "folder"]


def test_the_mark_that_windows_puts_first_is_no_text(tmp_path: Path) -> None:
    (tmp_path / "000000.txt").write_bytes(b"\xef\xbb\xbfCar 1\r\n")
    assert read_text(tmp_path / "000000.txt").split() == ["Car", "1"]
    (tmp_path / "000000.txt").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(DataError, match=r"000000\.txt: this is not a text file"):
        read_text(tmp_path / "000000.txt")
