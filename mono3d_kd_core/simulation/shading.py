"""The colour of every pixel: textures, sun with shadows, sky light, reflections, haze."""

from __future__ import annotations

import math

import numba
import numpy as np
from numpy.typing import NDArray

from mono3d_kd_core.geometry.rigid import Matrix
from mono3d_kd_core.simulation.light import Light
from mono3d_kd_core.simulation.materials import LOOK, Material
from mono3d_kd_core.simulation.mesh import Mesh
from mono3d_kd_core.simulation.noise import lattice, noise
from mono3d_kd_core.simulation.shadow import HeightMap, light_share

Floats = NDArray[np.float32]

ASPHALT, MARKING, PAVEMENT, GRASS = (
    int(Material.ASPHALT),
    int(Material.MARKING),
    int(Material.PAVEMENT),
    int(Material.GRASS),
)
FACADE, BRICK, ROOF, FOLIAGE = int(Material.FACADE), int(Material.BRICK), int(Material.ROOF), int(Material.FOLIAGE)
BARK, CLOTH, PAINT, SOIL = int(Material.BARK), int(Material.CLOTH), int(Material.PAINT), int(Material.SOIL)
CONCRETE, GLASS = int(Material.CONCRETE), int(Material.GLASS)


def shade(
    mesh: Mesh, corners: Floats, slopes: Floats, depth: Floats, face: NDArray[np.int32], T_base_camera: Matrix, light: Light,
    sun_map: HeightMap, sky_map: HeightMap, block: int,
) -> Floats:  # fmt: skip
    """Return the linear radiance (H,W,3), each pixel the mean of block x block rays.

    mesh is in the base frame; corners are the same triangles in the camera's; slopes, depth and face are as `raster.Lens`
    makes them, (H*block, W*block). The sun in `light` and the maps are in the base frame too.
    """
    height, width = depth.shape[0] // block, depth.shape[1] // block
    image = np.empty((height, width, 3), np.float32)
    sky = np.concatenate([light.zenith, light.horizon, light.sun, light.sun_colour, light.ambient,
                          [light.clouds, light.haze, light.wet]]).astype(np.float64)  # fmt: skip
    maps = np.array([*sun_map.corner, sun_map.cell, *sun_map.slant, *sky_map.corner, sky_map.cell])
    _shade(
        corners, mesh.normals, mesh.uvw, mesh.colour, mesh.material, mesh.variant, slopes, depth, face,
        np.ascontiguousarray(T_base_camera), sky, sun_map.height, sky_map.height, maps, LOOK, block, image,
    )  # fmt: skip
    return image


@numba.njit(cache=True, nogil=True, inline="always")
def _sky(dx, dy, dz, sky, out):  # type: ignore[no-untyped-def]
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


@numba.njit(cache=True, nogil=True)
def _texture(m, u, v, w, nz, variant, distance, wet, rgb):  # type: ignore[no-untyped-def]
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


@numba.njit(cache=True, nogil=True)
def _shade(  # type: ignore[no-untyped-def]
    corners, normals, uvw, colour, material, variant, slopes, depth, face, T, sky, sun_height, sky_height, maps, look, block,
    image,
):  # fmt: skip
    share = 1.0 / (block * block)
    rgb, env = np.empty(3), np.empty(3)
    sun_x, sun_y, sun_z = sky[6], sky[7], sky[8]
    sunny = sky[9] + sky[10] + sky[11] > 0
    haze, wet = sky[16], sky[17]
    for row in range(image.shape[0]):
        for column in range(image.shape[1]):
            r0, g0, b0 = 0.0, 0.0, 0.0
            for sub in range(block * block):
                i, j = row * block + sub // block, column * block + sub % block
                x, y = float(slopes[i, j, 0]), float(slopes[i, j, 1])
                if math.isnan(x):
                    continue
                dx = T[0, 0] * x + T[0, 1] * y + T[0, 2]
                dy = T[1, 0] * x + T[1, 1] * y + T[1, 2]
                dz = T[2, 0] * x + T[2, 1] * y + T[2, 2]
                length = math.sqrt(dx * dx + dy * dy + dz * dz)
                dx, dy, dz = dx / length, dy / length, dz / length
                f = face[i, j]
                if f < 0:
                    _sky(dx, dy, dz, sky, env)
                    r0, g0, b0 = r0 + env[0], g0 + env[1], b0 + env[2]
                    continue
                z = float(depth[i, j])
                distance = z * length
                px, py, pz = T[0, 3] + dx * distance, T[1, 3] + dy * distance, T[2, 3] + dz * distance
                # Barycentric coordinates from the ray's edge functions, as in the rasteriser.
                ax, ay, az = corners[f, 0, 0], corners[f, 0, 1], corners[f, 0, 2]
                bx, by, bz = corners[f, 1, 0], corners[f, 1, 1], corners[f, 1, 2]
                cx, cy, cz = corners[f, 2, 0], corners[f, 2, 1], corners[f, 2, 2]
                e0 = (by * cz - bz * cy) * x + (bz * cx - bx * cz) * y + (bx * cy - by * cx)
                e1 = (cy * az - cz * ay) * x + (cz * ax - cx * az) * y + (cx * ay - cy * ax)
                e2 = (ay * bz - az * by) * x + (az * bx - ax * bz) * y + (ax * by - ay * bx)
                total = e0 + e1 + e2
                e0, e1, e2 = e0 / total, e1 / total, e2 / total
                nx = e0 * normals[f, 0, 0] + e1 * normals[f, 1, 0] + e2 * normals[f, 2, 0]
                ny = e0 * normals[f, 0, 1] + e1 * normals[f, 1, 1] + e2 * normals[f, 2, 1]
                nz = e0 * normals[f, 0, 2] + e1 * normals[f, 1, 2] + e2 * normals[f, 2, 2]
                n = math.sqrt(nx * nx + ny * ny + nz * nz) + 1e-12
                nx, ny, nz = nx / n, ny / n, nz / n
                m = material[f]
                facing = -(nx * dx + ny * dy + nz * dz)
                if facing < 0 and m != FOLIAGE:
                    nx, ny, nz, facing = -nx, -ny, -nz, -facing
                facing = max(facing, 0.0)
                u = e0 * uvw[f, 0, 0] + e1 * uvw[f, 1, 0] + e2 * uvw[f, 2, 0]
                v = e0 * uvw[f, 0, 1] + e1 * uvw[f, 1, 1] + e2 * uvw[f, 2, 1]
                w = e0 * uvw[f, 0, 2] + e1 * uvw[f, 1, 2] + e2 * uvw[f, 2, 2]
                rgb[0], rgb[1], rgb[2] = colour[f, 0], colour[f, 1], colour[f, 2]
                shine = _texture(m, u, v, w, nz, variant[f], distance, wet, rgb)
                mirror, gloss, exponent, glow = look[m, 0], look[m, 1], look[m, 2], look[m, 3]
                lit, lambert = 0.0, nx * sun_x + ny * sun_y + nz * sun_z
                if m == FOLIAGE:
                    lambert = (
                        max(lambert, 0.0) * 0.75
                        + 0.18
                        + 0.25 * max(-(dx * sun_x + dy * sun_y + dz * sun_z) * -1.0, 0.0)
                    )
                if sunny and lambert > 0:
                    bias = 0.05 + 0.10 * (1 - min(lambert, 1.0)) + 0.0015 * distance
                    lit = light_share(
                        sun_height, maps[0], maps[1], maps[2], maps[3], maps[4],
                        px + nx * 0.05, py + ny * 0.05, pz + nz * 0.05, bias,
                    )  # fmt: skip
                lambert = max(lambert, 0.0) * lit
                # The sky is hidden by what rises around: a ring of heights nearby.
                open_sky = 1.0
                j0 = int((px + nx * 0.3 - maps[5]) / maps[7])
                i0 = int((py + ny * 0.3 - maps[6]) / maps[7])
                if 6 < i0 < sky_height.shape[0] - 7 and 6 < j0 < sky_height.shape[1] - 7 and m != FOLIAGE:
                    hidden = 0.0
                    for ring in range(2):
                        reach = 2 + 4 * ring
                        level = pz + 0.12 + 0.25 * ring
                        for di in range(-1, 2):
                            for dj in range(-1, 2):
                                if (di != 0 or dj != 0) and sky_height[i0 + di * reach, j0 + dj * reach] > level:
                                    hidden += 1.0
                        if sky_height[i0, j0] > level:
                            hidden += 1.0
                    open_sky = 1.0 - 0.72 * hidden / 18.0
                sky_share = (0.58 + 0.42 * nz) * open_sky
                bounce = (0.42 - 0.42 * nz) * 0.22
                mirror_here = mirror + shine
                k = 0.0
                if mirror_here > 0:
                    k = min(mirror_here + (1 - mirror_here) * (1 - facing) ** 5 * min(mirror_here * 8.0, 1.0), 1.0)
                    back = 2 * facing
                    ex, ey, ez = dx + back * nx, dy + back * ny, dz + back * nz
                    # Below the roofs the street itself is mirrored, not the sky.
                    _sky(ex, ey, ez, sky, env)
                    roofs = 0.16 * noise(math.atan2(ey, ex) * 9.0, 0.5, 3) + 0.04
                    ground = 1.0 - min(max((ez - roofs) * 7.0, 0.0), 1.0)
                    for c in range(3):
                        env[c] = env[c] * (1 - ground) + ground * 0.16 * (sky[12 + c] + 0.35 * sky[9 + c])
                    if gloss > 0 and lit > 0:
                        spark = max(ex * sun_x + ey * sun_y + ez * sun_z, 0.0) ** exponent * gloss * lit
                        for c in range(3):
                            env[c] += spark * sky[9 + c] / max(k, 0.15) * 0.8
                fog = 1.0 - math.exp(-distance * haze)
                for c in range(3):
                    received = (
                        lambert * sky[9 + c]
                        + (sky_share + bounce) * sky[12 + c]
                        + 0.06 * sky[9 + c] * (1 - 0.5 * open_sky)
                    )
                    out = rgb[c] * (received + glow) * (1 - k) + (
                        env[c] * k * (0.35 + 0.65 * open_sky) if k > 0 else 0.0
                    )
                    out = out * (1 - fog) + sky[3 + c] * 0.9 * fog
                    if c == 0:
                        r0 += out
                    elif c == 1:
                        g0 += out
                    else:
                        b0 += out
            image[row, column, 0] = r0 * share
            image[row, column, 1] = g0 * share
            image[row, column, 2] = b0 * share
