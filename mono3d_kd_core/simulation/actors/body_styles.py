"""The side views of cars and vans: what makes a hatchback, a saloon, a van."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

Segment = Literal["body", "screen", "cabin", "pillar"]


@dataclass(frozen=True)
class Style:
    """The side view of a body, as fractions of length and height, from the tail to the nose.

    stations holds (x, top, belt, width); segments names what lies between neighbouring stations: "screen" is glass on top,
    "cabin" has glass at its sides. The usual size is length, width, height in metres, with its standard deviation.
    """

    kind: str
    stations: tuple[tuple[float, float, float, float], ...]
    segments: tuple[Segment, ...]
    size: tuple[float, float, float]
    spread: tuple[float, float, float]


STYLES: dict[str, Style] = {
    "hatchback": Style(
        "Car",
        ((-0.5, 0.56, 0.50, 0.90), (-0.485, 0.64, 0.60, 0.95), (-0.46, 0.66, 0.63, 0.97), (-0.36, 0.965, 0.64, 0.98),
         (-0.20, 1.0, 0.63, 1.0), (-0.18, 1.0, 0.63, 1.0), (0.00, 0.995, 0.62, 1.0), (0.02, 0.99, 0.62, 1.0),
         (0.08, 0.965, 0.615, 1.0), (0.27, 0.66, 0.60, 0.99), (0.42, 0.58, 0.55, 0.95), (0.485, 0.50, 0.48, 0.86),
         (0.5, 0.40, 0.38, 0.80)),
        ("body", "body", "screen", "pillar", "pillar", "cabin", "pillar", "cabin", "screen", "body", "body", "body"),
        (3.72, 1.61, 1.50), (0.20, 0.05, 0.06),
    ),
    "sedan": Style(
        "Car",
        ((-0.5, 0.56, 0.50, 0.86), (-0.49, 0.66, 0.62, 0.93), (-0.345, 0.69, 0.65, 0.97), (-0.20, 0.96, 0.65, 0.99),
         (-0.13, 0.99, 0.64, 1.0), (-0.01, 1.0, 0.63, 1.0), (0.01, 1.0, 0.63, 1.0), (0.09, 0.965, 0.62, 1.0),
         (0.25, 0.67, 0.61, 0.99), (0.42, 0.585, 0.55, 0.95), (0.485, 0.50, 0.48, 0.87), (0.5, 0.40, 0.38, 0.80)),
        ("body", "body", "screen", "cabin", "cabin", "pillar", "cabin", "screen", "body", "body", "body"),
        (4.25, 1.66, 1.44), (0.25, 0.05, 0.04),
    ),
    "estate": Style(
        "Car",
        ((-0.5, 0.58, 0.50, 0.90), (-0.49, 0.68, 0.62, 0.95), (-0.42, 0.955, 0.64, 0.97), (-0.37, 0.975, 0.64, 0.98),
         (-0.19, 1.0, 0.63, 1.0), (-0.17, 1.0, 0.63, 1.0), (-0.01, 1.0, 0.63, 1.0), (0.01, 1.0, 0.63, 1.0),
         (0.09, 0.965, 0.62, 1.0), (0.25, 0.67, 0.61, 0.99), (0.42, 0.585, 0.55, 0.95), (0.485, 0.50, 0.48, 0.87),
         (0.5, 0.40, 0.38, 0.80)),
        ("body", "screen", "pillar", "cabin", "pillar", "cabin", "pillar", "cabin", "screen", "body", "body", "body"),
        (4.25, 1.66, 1.50), (0.22, 0.05, 0.05),
    ),
    "suv": Style(
        "Car",
        ((-0.5, 0.55, 0.50, 0.92), (-0.49, 0.68, 0.64, 0.96), (-0.44, 0.94, 0.66, 0.97), (-0.38, 0.975, 0.66, 0.98),
         (-0.19, 1.0, 0.66, 1.0), (-0.17, 1.0, 0.66, 1.0), (0.0, 1.0, 0.65, 1.0), (0.02, 1.0, 0.65, 1.0),
         (0.10, 0.97, 0.65, 1.0), (0.24, 0.70, 0.64, 1.0), (0.42, 0.65, 0.61, 0.97), (0.485, 0.57, 0.55, 0.90),
         (0.5, 0.44, 0.42, 0.85)),
        ("body", "screen", "pillar", "cabin", "pillar", "cabin", "pillar", "cabin", "screen", "body", "body", "body"),
        (4.15, 1.71, 1.68), (0.25, 0.05, 0.07),
    ),
    "minicar": Style(
        "Car",
        ((-0.5, 0.55, 0.50, 0.92), (-0.48, 0.66, 0.62, 0.96), (-0.42, 0.95, 0.64, 0.98), (-0.30, 0.99, 0.64, 1.0),
         (-0.02, 1.0, 0.63, 1.0), (0.0, 1.0, 0.63, 1.0), (0.12, 0.96, 0.62, 1.0), (0.33, 0.66, 0.60, 0.98),
         (0.44, 0.58, 0.55, 0.94), (0.49, 0.48, 0.46, 0.86), (0.5, 0.40, 0.38, 0.82)),
        ("body", "screen", "pillar", "cabin", "pillar", "cabin", "screen", "body", "body", "body"),
        (3.25, 1.55, 1.50), (0.18, 0.05, 0.05),
    ),
    "van": Style(
        "Van",
        ((-0.5, 0.93, 0.55, 0.97), (-0.49, 0.98, 0.55, 0.99), (-0.30, 1.0, 0.56, 1.0), (0.05, 1.0, 0.56, 1.0),
         (0.07, 1.0, 0.56, 1.0), (0.22, 0.97, 0.55, 1.0), (0.38, 0.60, 0.54, 0.98), (0.47, 0.50, 0.47, 0.92),
         (0.5, 0.36, 0.34, 0.88)),
        ("body", "pillar", "pillar", "pillar", "cabin", "screen", "body", "body"),
        (5.2, 1.90, 2.25), (0.75, 0.13, 0.28),
    ),
    "minibus": Style(
        "Van",
        ((-0.5, 0.60, 0.52, 0.97), (-0.485, 0.95, 0.54, 0.99), (-0.44, 0.99, 0.55, 1.0), (-0.16, 1.0, 0.55, 1.0),
         (-0.14, 1.0, 0.55, 1.0), (0.06, 1.0, 0.55, 1.0), (0.08, 1.0, 0.55, 1.0), (0.22, 0.97, 0.55, 1.0),
         (0.37, 0.61, 0.54, 0.98), (0.47, 0.50, 0.47, 0.92), (0.5, 0.36, 0.34, 0.88)),
        ("screen", "pillar", "cabin", "pillar", "cabin", "pillar", "cabin", "screen", "body", "body"),
        (4.75, 1.85, 1.98), (0.4, 0.10, 0.12),
    ),
}  # fmt: skip

HELD_OUT_STYLES = ("estate", "minibus")
"""Body styles that training sets never show, so that validation measures generalisation."""


def draw_size(style: Style, rng: np.random.Generator) -> tuple[float, float, float]:
    """Draw length, width, height in metres of one vehicle of a style."""
    size = rng.normal(style.size, style.spread)
    low, high = np.asarray(style.size) * 0.82, np.asarray(style.size) * 1.22
    length, width, height = np.clip(size, low, high)
    return float(length), float(width), float(height)
