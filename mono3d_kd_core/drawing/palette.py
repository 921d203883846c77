"""Colours that mean the same in every picture, and text that can be read on any of them."""

from __future__ import annotations

import colorsys
import zlib

import cv2
import numpy as np
from numpy.typing import NDArray

Image = NDArray[np.uint8]
Colour = tuple[int, int, int]

CLASS_COLOURS: dict[str, Colour] = {
    "Car": (64, 200, 255),
    "Van": (120, 150, 255),
    "Truck": (190, 130, 255),
    "Bus": (235, 120, 235),
    "Tram": (235, 150, 200),
    "Pedestrian": (255, 150, 60),
    "Person_sitting": (255, 190, 120),
    "Cyclist": (150, 235, 80),
    "Motorcycle": (90, 200, 140),
    "Misc": (200, 200, 200),
    "DontCare": (130, 130, 130),
}
SERIES: tuple[Colour, ...] = ((255, 200, 60), (80, 220, 255), (255, 110, 140), (150, 240, 110), (200, 160, 255))
"""For things told apart by their source, such as teacher and student, in the order in which they are given."""


def class_colour(label: str) -> Colour:
    """Return the colour of a class; a name not in `CLASS_COLOURS` gets one of its own, always the same."""
    known = CLASS_COLOURS.get(label) or CLASS_COLOURS.get(label.capitalize())
    if known is not None:
        return known
    red, green, blue = colorsys.hsv_to_rgb(zlib.crc32(label.encode()) % 360 / 360, 0.55, 1.0)
    return round(255 * red), round(255 * green), round(255 * blue)


def depth_colours(depth: NDArray[np.floating], max_depth: float = 60.0) -> Image:
    """Return colours (N,3) for depths (N,) in metres: red is near, blue is `max_depth` and beyond.

    They go with the logarithm, so that near things, which matter most, differ most.
    """
    near = 2.0
    nearness = 1 - np.log(np.clip(depth, near, max_depth) / near) / np.log(max_depth / near)
    table = cv2.applyColorMap(np.arange(256, dtype=np.uint8)[:, None], cv2.COLORMAP_TURBO)[:, 0, ::-1]
    # The ends of the map are almost black, which on a street looks like nothing.
    return np.asarray(table[(20 + nearness * 215).astype(np.intp)], np.uint8)


def put_text(image: Image, text: str, x: float, y: float, colour: Colour, scale: float = 0.45) -> None:
    """Write one line with its bottom left corner at (x, y) on a dark ground; it is shifted to stay in the picture."""
    (width, height), below = cv2.getTextSize(text, cv2.FONT_HERSHEY_SIMPLEX, scale, 1)
    left = int(np.clip(x, 1, max(1, image.shape[1] - width - 2)))
    bottom = int(np.clip(y, height + 2, max(height + 2, image.shape[0] - below - 1)))
    ground = image[max(0, bottom - height - 2) : bottom + below, max(0, left - 1) : left + width + 1]
    ground[:] = ground // 3
    cv2.putText(image, text, (left, bottom), cv2.FONT_HERSHEY_SIMPLEX, scale, colour, 1, cv2.LINE_AA)
