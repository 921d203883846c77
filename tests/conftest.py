"""What every test may ask for: the real recordings beside the checkout, and a ROS graph of its own."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from mono3d_kd_ros.starting.domain import reserve_domain

REPOSITORY = Path(__file__).resolve().parent.parent
SHARED_DATA = REPOSITORY.parent / "shared" / "data"
"""Real recordings, oracles and pretrained weights; they lie beside the checkout and are not part of the repository."""


# Each test process gets a graph of its own, on this machine only. This comes before anything imports rclpy, and nodes
# that a test starts as processes inherit it.
os.environ["ROS_DOMAIN_ID"] = str(reserve_domain())
os.environ["ROS_AUTOMATIC_DISCOVERY_RANGE"] = "LOCALHOST"
# Without it large best-effort messages, such as images, are lost between processes.
os.environ["FASTDDS_BUILTIN_TRANSPORTS"] = "LARGE_DATA"
# Two cores, and perhaps two test processes: threads beyond that only fight.
os.environ.setdefault("OMP_NUM_THREADS", "2")


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real recordings; the test is skipped where it is absent."""
    if not SHARED_DATA.is_dir():
        pytest.skip(f"the real recordings are not at {SHARED_DATA}")
    return SHARED_DATA


@pytest.fixture
def ros_context(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Iterator[object]:
    """An initialised rclpy context that ends with the test; its logs go to a temporary folder."""
    rclpy = pytest.importorskip("rclpy", reason="ROS 2 is not in this environment")
    monkeypatch.setenv("ROS_LOG_DIR", str(tmp_path_factory.mktemp("ros_log")))
    context = rclpy.Context()
    rclpy.init(context=context, args=[])
    yield context
    rclpy.try_shutdown(context=context)


@pytest.fixture
def one_thread() -> Iterator[None]:
    """Leave PyTorch one thread.

    With more, oneDNN's bfloat16 gradient of a 1x1 convolution of stride 2 over the eight channels of such tiny networks
    writes beside its memory (PyTorch 2.13 on the CPU; wider layers are right).
    """
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)
