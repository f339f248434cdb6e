"""The C library's memory: kept by the process between steps, instead of given back and faulted in anew."""

from __future__ import annotations

import ctypes
import sys

TRIM_THRESHOLD, TOP_PAD, MMAP_MAX = -1, -2, -4  # the names' numbers in glibc's <malloc.h>
NEVER = 2**31 - 1
PAD = 64 * 2**20


def keep_memory() -> bool:
    """Let large blocks come from the heap and stay there; True where the C library can do so.

    A training step on a CPU allocates and frees gigabytes in tensors of megabytes. By default glibc maps each of them
    from the kernel and unmaps it again, which took up to a third of a step's time in page faults.
    """
    if not sys.platform.startswith("linux"):
        return False
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):  # another C library
        return False
    return all([mallopt(MMAP_MAX, 0), mallopt(TRIM_THRESHOLD, NEVER), mallopt(TOP_PAD, PAD)])
