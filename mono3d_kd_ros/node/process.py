"""A node as a process: started, spun, and brought to an orderly end by signals."""

from __future__ import annotations

import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable, Sequence
from typing import Protocol

import rclpy
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.signals import SignalHandlerOptions

from mono3d_kd_core.errors import Mono3DError
from mono3d_kd_ros.node import cores

LAST_MESSAGES_S = 0.5
"""How long what one node has said before it ended is still on its way to the others of its process."""


class Runnable(Protocol):
    """What `run` asks of a node beside being one."""

    def start(self, finished: threading.Event) -> None:
        """Begin, now that callbacks are served; set `finished` to end the process."""
        ...

    def close(self) -> int:
        """End while publishing is still possible, callbacks are not served any more; return the exit code."""
        ...


def run(make_node: Callable[[], Runnable], arguments: list[str] | None = None) -> int:
    """Run a node in this process; see `run_together`."""
    return run_together([make_node], arguments)


def run_together(make_nodes: Sequence[Callable[[], Runnable]], arguments: list[str] | None = None) -> int:
    """Run nodes, served by one executor, until SIGINT, SIGTERM or the end of one of them.

    Returns the exit code, 2 for a mistake of the user's.

    A second signal ends the process at once, also when the node is busy. What follows the first within a second is the
    same wish: the terminal tells the whole group of processes, and `ros2 launch` tells its own once more.
    """
    cores.share()
    finished = threading.Event()
    asked_at = 0.0

    def on_signal(number: int, frame: object) -> None:
        nonlocal asked_at
        if not asked_at:
            asked_at = time.monotonic()
            finished.set()
        elif time.monotonic() - asked_at > 1:
            sys.exit(128 + number)

    # Own handlers: rclpy's shut the context down at once, and a frame in work could no longer be published.
    rclpy.init(args=arguments, signal_handler_options=SignalHandlerOptions.NO)
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, on_signal)
    try:
        return _spin([make_node() for make_node in make_nodes], finished)
    except Mono3DError as error:
        print(f"mono3d_kd: {error}", file=sys.stderr)
        return 2
    finally:
        rclpy.try_shutdown()


def _spin(runnables: Sequence[Runnable], finished: threading.Event) -> int:
    """Spin on a thread, so that the main thread receives signals at any time; return the worst exit code."""
    executor = SingleThreadedExecutor()
    nodes = [runnable for runnable in runnables if isinstance(runnable, Node)]
    for node in nodes:
        executor.add_node(node)
    stop = threading.Event()
    thread = threading.Thread(target=_serve, args=(executor, nodes[0], stop), name="executor", daemon=True)
    thread.start()
    for runnable in runnables:
        runnable.start(finished)
    finished.wait()
    if len(nodes) > 1:
        time.sleep(LAST_MESSAGES_S)
    stop.set()
    executor.wake()
    thread.join(timeout=10)  # a callback may be at work on a long transition
    code = max([runnable.close() for runnable in reversed(runnables)])
    executor.shutdown(timeout_sec=1.0)  # a service that still waits for something is not waited for
    for node in nodes:
        node.destroy_node()
    return code


def _serve(executor: SingleThreadedExecutor, node: Node, stop: threading.Event) -> None:
    """Serve callbacks until `stop`; one that raises is logged, and the others go on."""
    while not stop.is_set():
        try:
            executor.spin_once(timeout_sec=1.0)
        except Exception:
            node.get_logger().error(f"a callback failed:\n{traceback.format_exc()}")
