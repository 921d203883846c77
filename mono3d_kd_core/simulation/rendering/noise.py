"""Value noise for the kernels: cheap, repeatable, seamless."""

from __future__ import annotations

import math

import numba


@numba.njit(cache=True, nogil=True, inline="always")
def lattice(i, j, seed):  # type: ignore[no-untyped-def]
    """A pseudo-random number in [0, 1) for a lattice point."""
    h = (i * 374761393 + j * 668265263 + seed * 974711) & 0xFFFFFFFF
    h = ((h ^ (h >> 13)) * 1274126177) & 0xFFFFFFFF
    return ((h ^ (h >> 16)) & 0xFFFF) / 65536.0


@numba.njit(cache=True, nogil=True)
def noise(x, y, seed):  # type: ignore[no-untyped-def]
    """Smooth noise in [0, 1) with features of unit size."""
    i, j = math.floor(x), math.floor(y)
    fx, fy = x - i, y - j
    fx, fy = fx * fx * (3 - 2 * fx), fy * fy * (3 - 2 * fy)
    near = lattice(i, j, seed) * (1 - fx) + lattice(i + 1, j, seed) * fx
    far = lattice(i, j + 1, seed) * (1 - fx) + lattice(i + 1, j + 1, seed) * fx
    return near * (1 - fy) + far * fy
