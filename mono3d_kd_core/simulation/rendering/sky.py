"""What the sky sends down from a direction: blue, haze at the horizon, clouds, the glow around the sun."""

from __future__ import annotations

import math

import numba

from mono3d_kd_core.simulation.rendering.noise import noise


@numba.njit(cache=True, nogil=True, inline="always")
def radiance(dx, dy, dz, sky, out):  # type: ignore[no-untyped-def]
    """Radiance of the sky in a direction."""
    up = max(dz, 0.0)
    k = 1.0 - math.exp(-3.2 * up)
    cover = sky[15]
    cloud = 0.0
    if 0.0 < cover < 1.0 and up > 0.015:
        q = 1.0 / (up + 0.12)
        n = noise(dx * 2.2 * q, dy * 2.2 * q, 11) + 0.5 * noise(dx * 5.1 * q, dy * 5.1 * q, 12)
        n += 0.25 * noise(dx * 11.0 * q, dy * 11.0 * q, 13)
        cloud = min(max((n / 1.75 - 0.78 + 0.55 * cover) * 4.0, 0.0), 1.0) * min(up * 9.0, 1.0)
    elif cover >= 1.0:
        q = 1.0 / (up + 0.25)
        n = noise(dx * 1.7 * q, dy * 1.7 * q, 11) + 0.5 * noise(dx * 4.0 * q, dy * 4.0 * q, 12)
        k *= 0.75 + 0.4 * n / 1.5
    glow = max(dx * sky[6] + dy * sky[7] + dz * sky[8], 0.0) ** 24 * 0.35
    for c in range(3):
        clear = sky[c] * k + sky[3 + c] * (1 - k) + glow * sky[9 + c] * 0.4
        out[c] = clear * (1 - cloud) + cloud * 0.95 * (0.4 * sky[3 + c] + 0.6)
