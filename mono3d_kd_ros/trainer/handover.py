"""How a bundle reaches the student's node: by its parameter `model` and its service `~/load_bundle`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from rcl_interfaces.msg import Parameter, ParameterType, ParameterValue
from rcl_interfaces.srv import SetParameters
from rclpy.node import Node
from rclpy.task import Future
from std_srvs.srv import Trigger


class Handover:
    """Asks the node `student` to take bundles; `taken(bundle)` or `refused(bundle, reason)` hears its answer."""

    def __init__(
        self, node: Node, student: str, taken: Callable[[str], None], refused: Callable[[str, str], None]
    ) -> None:
        self._node, self._taken, self._refused = node, taken, refused
        self._name_model: Any = node.create_client(SetParameters, f"{student}/set_parameters")
        self._load: Any = node.create_client(Trigger, f"{student}/load_bundle")

    @property
    def possible(self) -> bool:
        """Whether the student's node is there."""
        return bool(self._name_model.service_is_ready() and self._load.service_is_ready())

    def offer(self, bundle: str) -> None:
        """Ask the student's node to take a bundle."""
        value = ParameterValue(type=ParameterType.PARAMETER_STRING, string_value=bundle)
        request = SetParameters.Request(parameters=[Parameter(name="model", value=value)])

        def named(future: Future[Any]) -> None:
            result = future.result().results[0]
            if result.successful:
                self._load.call_async(Trigger.Request()).add_done_callback(loaded)
            else:
                self._refused(bundle, result.reason)

        def loaded(future: Future[Any]) -> None:
            response = future.result()
            if response.success:
                self._taken(bundle)
            else:
                self._refused(bundle, response.message)

        self._name_model.call_async(request).add_done_callback(named)

    def close(self) -> None:
        """Give up the clients."""
        for client in (self._name_model, self._load):
            self._node.destroy_client(client)
