"""What a function leaves as it has found it in the process of its caller."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import torch

_alone = threading.RLock()  # torch draws from one generator for all threads: two trainings would mix their numbers


def _after_fork() -> None:
    global _alone
    _alone = threading.RLock()  # the thread that held it is the parent's


if hasattr(os, "register_at_fork"):  # not on Windows
    os.register_at_fork(after_in_child=_after_fork)


@contextmanager
def left_as_found() -> Iterator[None]:
    """Inside, torch may be seeded and told its number of threads; afterwards all of that is as it was before.

    One thread of a process at a time: others wait.
    """
    with _alone:
        threads, cudnn = torch.get_num_threads(), torch.backends.cudnn
        flags = cudnn.deterministic, cudnn.benchmark
        devices = list(range(torch.cuda.device_count())) if torch.cuda.is_initialized() else []  # type: ignore[no-untyped-call]
        with torch.random.fork_rng(devices):
            try:
                yield
            finally:
                cudnn.deterministic, cudnn.benchmark = flags
                if torch.get_num_threads() != threads:
                    torch.set_num_threads(threads)
