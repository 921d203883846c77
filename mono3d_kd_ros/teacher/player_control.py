"""Back-pressure: holds a player while too much waits, and lets it go on when enough is worked off."""

from __future__ import annotations

import threading
import time
from typing import Any

from rclpy.node import Node

from mono3d_kd_ros.player.services import SERVICES

REPEAT_S = 1.0
"""A player that has not answered for so long is asked again."""


class PlayerControl:
    """Pauses the player `name` (absolute) when more than `high` items wait, and resumes it at `low` or fewer.

    Safe to use from several threads. `unanswered` tells that the player does not obey: there is none of that name.
    """

    def __init__(self, node: Node, name: str, high: int, low: int) -> None:
        self._node = node
        self.name = name
        self._clients: dict[str, Any] = {
            verb: node.create_client(SERVICES[verb], f"{name}/{verb}") for verb in ("pause", "resume")
        }
        self._high, self._low = high, low
        self._lock = threading.Lock()
        self._held = False
        self._asked = 0.0
        self.pauses = 0

    @property
    def unanswered(self) -> bool:
        """Whether the player's services are missing."""
        return not all(client.service_is_ready() for client in self._clients.values())

    def update(self, waiting: int) -> None:
        """Tell how much waits now."""
        with self._lock:
            if waiting > self._high and (not self._held or time.monotonic() > self._asked + REPEAT_S):
                self.pauses += not self._held
                self._ask("pause")
            elif waiting <= self._low and self._held:
                self._ask("resume")

    def close(self) -> None:
        """Let the player go on, and forget it."""
        with self._lock:
            if self._held:
                self._ask("resume")
            for client in self._clients.values():
                self._node.destroy_client(client)

    def _ask(self, verb: str) -> None:
        client = self._clients[verb]
        if client.service_is_ready():
            client.call_async(SERVICES[verb].Request())
        self._held, self._asked = verb == "pause", time.monotonic()
