"""Another bundle in the place of the one in use, by a service, while images go on being answered."""

from __future__ import annotations

import threading
from collections.abc import Callable

from rclpy.callback_groups import MutuallyExclusiveCallbackGroup
from rclpy.node import Node
from rclpy.task import Future
from std_srvs.srv import Trigger

from mono3d_kd_ros.node.managed_node import describe
from mono3d_kd_ros.student.live_model import LiveModel


class BundleSwap:
    """Serves `~/load_bundle`: the bundle that the parameter `model` names is loaded on a thread of its own.

    `model` returns the model in use, None while there is none; `swapped` is called, on the executor's thread, when it has
    another detector.
    """

    def __init__(self, node: Node, model: Callable[[], LiveModel | None], swapped: Callable[[], None]) -> None:
        self._node, self._model, self._swapped = node, model, swapped
        # A group of its own: images are taken in while the service waits for a bundle to be loaded.
        group = MutuallyExclusiveCallbackGroup()
        node.create_service(Trigger, "~/load_bundle", self._load, callback_group=group)

    async def _load(self, request: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        model, bundle, log = self._model(), self._node.get_parameter("model").value, self._node.get_logger()
        if model is None:
            return Trigger.Response(success=False, message="the node is not configured; configuring it loads the model")
        loaded: Future[str] = Future()
        threading.Thread(target=self._replace, args=(model, bundle, loaded), name="loading", daemon=True).start()
        error = await loaded
        if error:
            log.error(f"{bundle} was not loaded, {model.settings.model} goes on: {error}")
            return Trigger.Response(success=False, message=error)
        self._swapped()
        log.info(f"{bundle} took over")
        return Trigger.Response(success=True, message=model.detector.card.weights_sha256)

    def _replace(self, model: LiveModel, bundle: str, loaded: Future[str]) -> None:
        """Replace the model; `loaded` becomes what went wrong, or empty."""
        try:
            model.replace(bundle)
            loaded.set_result("")
        except Exception as error:
            loaded.set_result(describe(error))
        if self._node.executor is not None:
            self._node.executor.wake()
