"""Threads over slices of a batch.

The kernels are single-threaded and release the GIL; parallelism comes from giving each thread its own slice. So no
result can depend on the number of threads, two callers can run kernels at once (Numba's own pools forbid that), and
nothing breaks when a process forks.
"""

from __future__ import annotations

import logging
import os
import platform
import sys
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import TypeVar

Item = TypeVar("Item")
Made = TypeVar("Made")


def cpu_count() -> int:
    """How many cores this process may use (a batch system often grants fewer than the machine has)."""
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # not on macOS
        return os.cpu_count() or 1


def processor() -> str:
    """What the processor calls itself."""
    with suppress(OSError, StopIteration):  # not Linux, or one that has no name there
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return platform.processor() or platform.machine()


def cores() -> str:
    """How many cores there are, in words."""
    mine, all_of_them = cpu_count(), os.cpu_count() or 1
    return f"this process may use {mine} of {all_of_them} cores"


def tell_threads(log: logging.Logger, threads: int | None) -> None:
    """Log how many threads there are to be, and why; None takes all cores."""
    asked = "as asked" if threads else "one per core, as none were asked for"
    log.info("threads: %d (%s; %s)", threads or cpu_count(), asked, cores())


@cache
def _pool(threads: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(threads, thread_name_prefix="skelpipe")


def forked() -> bool:
    """Whether this process was forked from one that had loaded this module."""
    return os.getpid() != _loaded_by


def _after_fork() -> None:
    """Forget the parent's threads, which are not here: work given to ours or to torch's would wait for ever."""
    _pool.cache_clear()
    if "torch" in sys.modules:
        sys.modules["torch"].set_num_threads(1)  # as torch's own data loader does in its workers


_loaded_by = os.getpid()
if hasattr(os, "register_at_fork"):  # not on Windows
    os.register_at_fork(after_in_child=_after_fork)


def in_order(submit: Callable[[Item], Future[Made]], items: Iterable[Item], ahead: int) -> Iterator[Made]:
    """What `submit` begins for each item, in their order, when it is done; `ahead` of them are begun beforehand."""
    waiting = deque[Future[Made]]()
    for item in items:
        waiting.append(submit(item))
        if len(waiting) > ahead:
            yield waiting.popleft().result()
    while waiting:
        yield waiting.popleft().result()


def map_slices(kernel: Callable[[int, int], object], n: int, threads: int | None = None, least: int = 8) -> None:
    """Call `kernel(start, stop)` on slices that together cover range(n).

    Args:
        kernel: called once per slice; it must only write what belongs to its slice.
        n: how many items there are.
        threads: how many slices at most; None takes all cores.
        least: the smallest slice worth a thread.
    """
    threads = max(1, min(threads or cpu_count(), n // max(1, least)))
    if threads == 1:
        kernel(0, n)
        return
    bounds = [n * i // threads for i in range(threads + 1)]
    futures = [_pool(threads).submit(kernel, a, b) for a, b in pairwise(bounds)]
    for future in futures:
        future.result()
