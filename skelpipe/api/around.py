"""What a function leaves as it has found it in the process of its caller."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def left_as_found() -> Iterator[None]:
    """Inside, torch may be seeded and told its number of threads; afterwards all of that is as it was before."""
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
