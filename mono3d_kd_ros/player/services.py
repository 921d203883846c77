"""The services that hold a replay and let it go on: rosbag2's types where they exist, std_srvs/Trigger elsewhere.

`ros-*-rosbag2-interfaces` comes with a distribution, but not from PyPI. Player and clients on a machine agree, as both ask
this module; and with a distribution `ros2 bag play` understands the same calls.
"""

from __future__ import annotations

from typing import Any

from std_srvs.srv import Trigger

try:
    from rosbag2_interfaces.srv import Pause, PlayNext, Resume, TogglePaused
except ImportError:
    Pause = PlayNext = Resume = TogglePaused = Trigger

SERVICES: dict[str, Any] = {"pause": Pause, "resume": Resume, "toggle_paused": TogglePaused, "play_next": PlayNext}
"""Service names below the player's node, and their types."""


def answered(response: Any, success: bool, text: str) -> Any:
    """Fill in what a response has of these."""
    for name, value in (("success", success), ("message", text)):
        if hasattr(response, name):
            setattr(response, name, value)
    return response
