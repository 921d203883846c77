"""The colour of every pixel: textures, sun with shadows, sky light, reflections, haze."""

from __future__ import annotations

import math

import numba
import numpy as np
from numpy.typing import NDArray

from mono3d_kd_core.geometry.rigid import Matrix
from mono3d_kd_core.simulation.meshes.materials import LOOK, Material
from mono3d_kd_core.simulation.meshes.mesh import Mesh
from mono3d_kd_core.simulation.rendering.light import Light
from mono3d_kd_core.simulation.rendering.noise import noise
from mono3d_kd_core.simulation.rendering.shadow import HeightMap, light_share
from mono3d_kd_core.simulation.rendering.sky import radiance
from mono3d_kd_core.simulation.rendering.textures import texture

Floats = NDArray[np.float32]

FOLIAGE = int(Material.FOLIAGE)


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
                    radiance(dx, dy, dz, sky, env)
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
                shine = texture(m, u, v, w, nz, variant[f], distance, wet, rgb)
                mirror, gloss, exponent, glow = look[m, 0], look[m, 1], look[m, 2], look[m, 3]
                lit, lambert = 0.0, nx * sun_x + ny * sun_y + nz * sun_z
                if m == FOLIAGE:
                    through = max(dx * sun_x + dy * sun_y + dz * sun_z, 0.0)
                    lambert = max(lambert, 0.0) * 0.75 + 0.18 + 0.25 * through
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
                    radiance(ex, ey, ez, sky, env)
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
