"""Light and weather: where the sun stands, what the sky sheds, how far one sees."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Vector = NDArray[np.float64]


@dataclass(frozen=True)
class Light:
    """The light of a scene, in the world frame, linear RGB.

    sun points towards the sun (3,); sun_colour its irradiance (black under clouds); zenith, horizon the sky's radiance;
    clouds 0..1; haze is the extinction in 1/m; wet 0..1; ambient the sky's light on a level surface; exposure a factor.
    """

    sun: Vector
    sun_colour: Vector
    zenith: Vector
    horizon: Vector
    clouds: float
    haze: float
    wet: float
    ambient: Vector
    exposure: float


def draw_light(rng: np.random.Generator) -> Light:
    """Draw a time of day and a weather: sunny, hazy, overcast, dusk, or after rain."""
    weather = ("sunny", "hazy", "overcast", "evening", "rain")[rng.choice(5, p=[0.46, 0.16, 0.2, 0.1, 0.08])]
    elevation = np.radians(rng.uniform(8, 18) if weather == "evening" else rng.uniform(22, 62))
    azimuth = rng.uniform(0, 2 * np.pi)
    sun = np.array([np.cos(azimuth) * np.cos(elevation), np.sin(azimuth) * np.cos(elevation), np.sin(elevation)])
    warmth = np.exp(-np.array([0.10, 0.22, 0.45]) * (1 / np.sin(elevation) - 1) * 0.45)
    strength = {"sunny": 3.1, "hazy": 1.6, "overcast": 0.0, "evening": 2.0, "rain": 0.0}[weather] * rng.uniform(
        0.85, 1.15
    )
    blue, white = np.array([0.20, 0.38, 0.75]), np.array([0.80, 0.84, 0.90])
    cover = {"sunny": rng.uniform(0, 0.5), "hazy": 0.5, "overcast": 1.0, "evening": rng.uniform(0, 0.6), "rain": 1.0}[
        weather
    ]
    grey = float(np.clip(cover * 1.1 - 0.1, 0, 1))
    zenith = (blue * (1 - grey) + white * 0.72 * grey) * rng.uniform(0.9, 1.1)
    horizon = white * (1.0 - 0.2 * grey)
    if weather == "evening":
        horizon = horizon * np.array([1.0, 0.85, 0.68])
        zenith = zenith * 0.7
    ambient = (0.55 * zenith + 0.45 * horizon) * rng.uniform(0.40, 0.65) * (1.8 if strength == 0 else 1.0)
    haze = {"sunny": 1 / 900, "hazy": 1 / 260, "overcast": 1 / 600, "evening": 1 / 500, "rain": 1 / 220}[weather]
    level = float((ambient.mean() + strength * 0.45 * np.sin(elevation)) * 0.30)
    return Light(
        sun, warmth * strength, zenith, horizon, cover if cover < 0.95 else 1.0, float(haze * rng.uniform(0.6, 1.6)),
        float(rng.uniform(0.5, 1.0)) if weather == "rain" else 0.0, ambient, float(0.25 / level * rng.uniform(0.75, 1.25)),
    )  # fmt: skip
