from __future__ import annotations

import numpy as np
import pytest

from mono3d_kd_core.drawing import beside, contact_sheet


def plain(height: int, width: int, shade: int) -> np.ndarray:
    return np.full((height, width, 3), shade, np.uint8)


def test_images_are_arranged_row_by_row_in_their_proportions() -> None:
    sheet = contact_sheet([plain(50, 100, 200), plain(100, 100, 150), plain(50, 100, 100)], columns=2, width=40)
    assert sheet.shape == (20 + 40 - 20 + 20 + 3 * 6, 2 * 40 + 3 * 6, 3)
    assert sheet[10, 10, 0] == 200
    assert sheet[40, 60, 0] == 150
    assert sheet[60, 10, 0] == 100


def test_a_title_is_written_into_its_picture_only() -> None:
    images = [plain(80, 160, 200), plain(80, 160, 200)]
    with_title, without = contact_sheet(images, width=160, titles=["000007"]), contact_sheet(images, width=160)
    columns = np.argwhere((with_title != without).any(-1))[:, 1]
    assert len(columns) > 0
    assert columns.max() < 170
    assert (images[0] == 200).all()


def test_a_sheet_needs_an_image() -> None:
    with pytest.raises(ValueError, match="at least one"):
        contact_sheet([])


def test_two_pictures_side_by_side_have_the_height_of_the_left() -> None:
    both = beside(plain(60, 100, 200), plain(120, 80, 100))
    assert both.shape == (60, 100 + 6 + 40, 3)
    assert (both[30, 50, 0], both[30, 130, 0]) == (200, 100)
