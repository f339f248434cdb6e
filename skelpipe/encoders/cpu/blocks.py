"""Blocks of an operator's work on threads of their own, each of which goes through all its steps by itself.

Where every step of a block is shared among all threads instead, they wait for each other between any two steps: on two
cores that took as long as on one.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import TypeVar

import torch

from skelpipe.parallel import in_order

Made = TypeVar("Made")
MOST = 8  # blocks at a time: each takes some 70 MB


def in_turn(work: Callable[[int, int], Made], blocks: Iterable[tuple[int, int]]) -> Iterator[Made]:
    """What `work` makes of each block, in their order, on as many threads as torch uses; without gradients."""
    threads, blocks = torch.get_num_threads(), list(blocks)
    if threads == 1 or len(blocks) == 1:
        return (_without_gradients(work, block) for block in blocks)
    pool = _pool(threads)
    return in_order(lambda block: pool.submit(_without_gradients, work, block), blocks, min(threads, MOST))


def _without_gradients(work: Callable[[int, int], Made], block: tuple[int, int]) -> Made:
    with torch.no_grad():  # which hangs on the thread
        return work(*block)


@cache
def _pool(threads: int) -> ThreadPoolExecutor:
    """Threads that share torch's among them."""
    count = min(threads, MOST)
    ready = threading.Barrier(count + 1)

    def begin() -> None:
        torch.get_num_threads()  # or the first operator would set it back to what all have
        torch.set_num_threads(threads // count)
        ready.wait()

    pool = ThreadPoolExecutor(count, "skelpipe-blocks", begin)
    for _ in range(count):
        pool.submit(int)
    ready.wait()
    torch.set_num_threads(threads)  # also for threads that are still to come, which the last call has changed
    return pool


if hasattr(os, "register_at_fork"):  # not on Windows
    os.register_at_fork(after_in_child=_pool.cache_clear)  # the parent's threads are not there
