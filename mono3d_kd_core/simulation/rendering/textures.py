"""Procedural textures: what a material looks like at a spot, from its texture coordinates alone."""

from __future__ import annotations

import math

import numba

from mono3d_kd_core.simulation.meshes.materials import Material
from mono3d_kd_core.simulation.rendering.noise import lattice, noise

ASPHALT, MARKING, PAVEMENT, GRASS = (
    int(Material.ASPHALT),
    int(Material.MARKING),
    int(Material.PAVEMENT),
    int(Material.GRASS),
)
FACADE, BRICK, ROOF, FOLIAGE = int(Material.FACADE), int(Material.BRICK), int(Material.ROOF), int(Material.FOLIAGE)
BARK, CLOTH, PAINT, SOIL = int(Material.BARK), int(Material.CLOTH), int(Material.PAINT), int(Material.SOIL)
CONCRETE, GLASS = int(Material.CONCRETE), int(Material.GLASS)


@numba.njit(cache=True, nogil=True)
def texture(m, u, v, w, nz, variant, distance, wet, rgb):  # type: ignore[no-untyped-def]
    """Modulate the albedo `rgb` in place by what the material looks like at texture coordinates (u, v, w).

    Returns how mirror-like the spot is beyond its material (windows, puddles). Fine grain fades with distance, or it would
    flicker.
    """
    fine = min(max(1.25 - distance / 22.0, 0.0), 1.0)
    medium = min(max(1.2 - distance / 70.0, 0.0), 1.0)
    shine = 0.0
    if m in (ASPHALT, MARKING):
        k = 1.0 + 0.35 * (noise(u * 0.23, v * 0.45, 3) - 0.5) + 0.28 * medium * (noise(u * 1.3, v * 2.1, 4) - 0.5)
        k += 0.5 * fine * (noise(u * 32.0, v * 32.0, 5) - 0.5)
        if m == ASPHALT:
            crack = abs(noise(u * 0.3 + 0.6 * noise(u * 2.0, v * 2.0, 9), v * 0.4, 21) - 0.5)
            if crack < 0.0035 * medium and noise(u * 0.07, v * 0.07, 22) > 0.5:
                k *= 0.72
            if lattice(math.floor(u / 7.0), math.floor(v / 2.2), 33) > 0.90:
                k *= 0.78
            k *= 1.0 - 0.12 * math.exp(-(((abs(v) % 3.2) - 1.6) ** 2) * 4.0)
        else:
            worn = noise(u * 3.0, v * 9.0, 14) + 0.6 * noise(u * 14.0, v * 14.0, 15)
            k = 0.85 + 0.2 * (k - 1.0) - 0.55 * min(max((worn - 1.05) * 3.0, 0.0), 1.0)
        if wet > 0:
            puddle = min(max((noise(u * 0.35, v * 0.6, 41) - 0.62 + 0.12 * wet) * 7.0, 0.0), 1.0)
            k *= 1.0 - 0.45 * wet
            shine = wet * (0.05 + 0.22 * puddle)
        rgb[0], rgb[1], rgb[2] = rgb[0] * k, rgb[1] * k, rgb[2] * k
    elif m == PAVEMENT:
        k = 1.0 + 0.3 * (noise(u * 0.5, v * 0.5, 6) - 0.5) + 0.35 * fine * (noise(u * 22.0, v * 22.0, 7) - 0.5)
        tile = lattice(math.floor(u / 0.5), math.floor(v / 0.5), 8)
        k *= 1.0 + 0.16 * medium * (tile - 0.5)
        if fine > 0.05 and ((u % 0.5) < 0.03 or (v % 0.5) < 0.03):
            k *= 1.0 - 0.3 * fine
        k *= 1.0 - 0.35 * wet
        shine = 0.06 * wet
        rgb[0], rgb[1], rgb[2] = rgb[0] * k, rgb[1] * k, rgb[2] * k
    elif m in (GRASS, SOIL):
        k = 0.75 + 0.5 * noise(u * 0.35, v * 0.35, 16) + 0.45 * medium * (noise(u * 3.0, v * 3.0, 17) - 0.5)
        k += 0.7 * fine * (noise(u * 18.0, v * 18.0, 18) - 0.5)
        dry = min(max((noise(u * 0.12, v * 0.12, 19) - 0.55) * 2.5, 0.0), 1.0)
        rgb[0], rgb[1], rgb[2] = rgb[0] * k * (1 + 0.8 * dry), rgb[1] * k * (1 + 0.25 * dry), rgb[2] * k
    elif m in (FACADE, BRICK):
        style, seed = variant % 8, variant // 8
        k = 0.93 + 0.14 * noise(u * 0.4, v * 0.4, seed) + 0.12 * fine * (noise(u * 9.0, v * 9.0, seed + 1) - 0.5)
        if m == BRICK and distance < 60:
            row = math.floor(v / 0.085)
            shift = 0.125 * (row % 2)
            k *= 0.85 + 0.35 * lattice(math.floor((u + shift) / 0.25), row, seed)
            if fine > 0.1 and (v % 0.085) < 0.014:
                k *= 1.0 + 0.35 * fine
        if v < 0.9 and style != 2:
            k *= 0.72
        k *= 1.0 - 0.25 * noise(u * 1.7, v * 0.25, seed + 2) * min(max(1.0 - v / 12.0, 0.0), 1.0)
        rgb[0], rgb[1], rgb[2] = rgb[0] * k, rgb[1] * k, rgb[2] * k
        if abs(nz) < 0.5:
            shine = _window(u, v, style, seed, distance, rgb)
    elif m == ROOF:
        k = 0.85 + 0.3 * noise(u * 0.6, v * 0.6, 23)
        if medium > 0.1:
            k *= 1.0 - 0.3 * medium * (1.0 if (v % 0.33) < 0.06 else 0.0)
            k *= 1.0 + 0.3 * medium * (lattice(math.floor(u / 0.25), math.floor(v / 0.33), 24) - 0.5)
        rgb[0], rgb[1], rgb[2] = rgb[0] * k, rgb[1] * k, rgb[2] * k
    elif m == FOLIAGE:
        k = 0.55 + 0.5 * noise(u * 1.1 + w * 0.7, v * 1.1 + w * 0.9, 26)
        k += 0.6 * medium * (noise(u * 5.0 + w * 3.0, v * 5.0 + w * 4.0, 27) - 0.3)
        k += 0.5 * fine * (noise(u * 17.0 + w * 9.0, v * 17.0 + w * 11.0, 28) - 0.5)
        k = max(k, 0.15)
        rgb[0], rgb[1], rgb[2] = rgb[0] * k, rgb[1] * k, rgb[2] * k
    elif m in (BARK, CONCRETE, CLOTH):
        k = 1.0 + 0.35 * (noise(u * 6.0 + w * 1.0, v * 6.0 + w * 5.0, 29) - 0.5)
        if m == CLOTH:
            k += 0.5 * (noise(u * 13.0 + w * 4.0, v * 13.0 + w * 9.0, 30) - 0.5)
        rgb[0], rgb[1], rgb[2] = rgb[0] * k, rgb[1] * k, rgb[2] * k
    return shine


@numba.njit(cache=True, nogil=True)
def _window(u, v, style, seed, distance, rgb):  # type: ignore[no-untyped-def]
    """Paint windows, frames and doors on a wall at u along and v up; returns how mirror-like the spot is."""
    storey = 3.0
    a, b = u % 2.6, v % storey
    column, row = math.floor(u / 2.6), math.floor(v / storey)
    low, high, left, right = 0.95, 2.35, 0.75, 1.85
    if style == 1:
        low, high, left, right = 0.7, 2.45, 0.85, 1.75
    elif style == 2:
        low, high, left, right = 0.9, 2.4, 0.15, 2.45
    elif style == 3:
        low, high, left, right = 1.0, 2.2, 0.45, 2.1
    elif style == 4:
        low, high, left, right = 0.25, 2.6, 0.6, 2.0
    elif style == 5:
        low, high, left, right = 1.1, 2.3, 1.0, 1.6
    if row == 0 and style == 2:
        low, high = 0.4, 2.6
    if row == 0 and lattice(column, 5, seed) > 0.86:
        if 0.85 < a < 1.8 and b < 2.3:
            tone = 0.04 + 0.25 * lattice(column, 6, seed)
            rgb[0], rgb[1], rgb[2] = tone * 1.2, tone * 0.9, tone * 0.7
        return 0.0
    if lattice(column, row, seed + 5) > 0.90 or not (left < a < right and low < b < high):
        ledge = left - 0.1 < a < right + 0.1 and low - 0.12 < b <= low
        if ledge and distance < 60:
            rgb[0], rgb[1], rgb[2] = 0.5, 0.49, 0.47
        return 0.0
    frame = 0.07
    inside = left + frame < a < right - frame and low + frame < b < high - frame
    middle = 0.5 * (left + right)
    if not inside or (abs(a - middle) < 0.035 and style != 5):
        tone = 0.6 if lattice(1, 2, seed) > 0.3 else 0.14
        rgb[0], rgb[1], rgb[2] = tone, tone, tone * 0.97
        return 0.0
    curtain = lattice(column, row, seed + 9)
    if curtain > 0.62:
        tone = 0.25 + 0.3 * curtain
        rgb[0], rgb[1], rgb[2] = tone, tone * 0.96, tone * 0.86
        return 0.10
    tone = 0.02 + 0.03 * curtain
    rgb[0], rgb[1], rgb[2] = tone, tone * 1.1, tone * 1.2
    return 0.32
