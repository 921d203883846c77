"""Work in blocks on threads of their own: fast beside other processes, and the same bits whatever the number of threads."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache

import torch
from torch import Tensor

BLOCK = 2048
"""Rows that pass through the layers at once; their features stay in the processor's cache."""


def workers() -> ThreadPoolExecutor:
    """Return as many threads as torch would use here, each of which runs torch's operations on its own.

    Left to torch, every small product is split among threads that then wait for each other, ten thousand times a frame:
    ruinous where another process has one of the cores. A split product also sums in another order than a whole one.
    """
    return _pool(torch.get_num_threads(), os.getpid())


def rowwise(function: Callable[[Tensor], Tensor], rows: Tensor) -> Tensor:
    """Return function(rows) for a function that treats each row (N,C) alike, such as an MLP; in inference only."""
    if rows.device.type != "cpu" or len(rows) == 0:
        return function(rows)

    def work(block: Tensor) -> Tensor:
        with torch.inference_mode():
            return function(block)

    return torch.cat(list(workers().map(work, torch.split(rows, BLOCK))))


@cache
def _pool(count: int, process: int) -> ThreadPoolExecutor:
    """One pool a process: a forked child has none of its parent's threads."""
    before = torch.get_num_threads()
    all_started = threading.Barrier(count + 1)

    def start() -> None:
        torch.get_num_threads()  # a thread takes over the default at its first operation: let that be now
        torch.set_num_threads(1)
        all_started.wait()

    pool = ThreadPoolExecutor(count, thread_name_prefix="teacher")
    for _ in range(count):
        pool.submit(start)
    all_started.wait()
    torch.set_num_threads(before)  # the calls above have also changed what threads to come start with
    return pool
