"""What keeps other processes out of an output, and interrupts from leaving it half-way."""

from __future__ import annotations

import errno
import logging
import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

# How a file system says that it has no locks, as some network file systems do.
NO_LOCKS = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOTSUP, errno.EINVAL)
BUSY = (errno.EACCES, errno.EAGAIN, errno.EWOULDBLOCK)

log = logging.getLogger(__name__)


def lock(path: Path) -> int | None:
    """Take the lock that is the file `path`; the kernel releases it when its descriptor is closed, or its holder dies.

    Returns:
        The open descriptor, or None where the file system has no locks, after a warning.

    Raises:
        BlockingIOError: another process holds it.
        OSError: the file cannot be made.
    """
    import fcntl

    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            # A holder removes the file before it lets go, and then a lock on it would keep nobody out.
            if os.fstat(descriptor).st_nlink:
                return descriptor
            os.close(descriptor)
        except OSError as error:
            os.close(descriptor)
            if error.errno in BUSY:
                raise BlockingIOError(*error.args) from None
            if error.errno not in NO_LOCKS:
                raise
            told = "%s: its file system has no locks (%s); take care that nothing else writes there meanwhile"
            log.warning(told, path.parent, error.strerror)
            return None


@contextmanager
def undisturbed() -> Iterator[None]:
    """Hold back Ctrl-C and SIGTERM until the block has ended, so that what cleans up is not left half-way."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    came: list[int] = []
    numbers = (signal.SIGINT, signal.SIGTERM)
    before = {number: signal.signal(number, lambda number, frame: came.append(number)) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler or signal.SIG_DFL)
        if came:
            signal.raise_signal(came[0])
