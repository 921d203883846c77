"""An actor and the way it goes, in the street's coordinates."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from mono3d_kd_core.simulation.actors.casting import Actor

Way = Callable[[float], tuple[float, float, float, float]]
"""Arc length s, distance d to the left, heading relative to the street, and the way gone, metres, at t seconds."""


@dataclass(frozen=True)
class Mover:
    """An actor and its way: place(t) gives arc length s, distance d to the left, heading relative to the street, and the
    way it has gone, metres, at t seconds."""

    actor: Actor
    place: Way


def still(s: float, d: float, heading: float) -> Way:
    """Return the way of something that stays where it is."""
    return lambda _t: (s, d, heading, 0.0)


def steady(
    s: float, d: float, heading: float, along: float, across: float, speed: float
) -> Way:
    """Return the way of something that goes straight on: along + across * 1j is its unit direction in (s, d)."""
    return lambda t: (s + along * speed * t, d + across * speed * t, heading, speed * t)
