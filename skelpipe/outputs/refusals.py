"""What a file system refuses, told in one line with a remedy."""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from skelpipe.errors import BadInput

REFUSED = {
    errno.ENOSPC: "free some space or choose another path",
    errno.EDQUOT: "free some space or choose another path",
    errno.EROFS: "choose a path you may write to",
    errno.EACCES: "choose a path you may write to",
    errno.EPERM: "choose a path you may write to",
    errno.ENOTDIR: "choose a path whose parent is a folder",
    errno.EFBIG: "its file system, or a limit of this account, takes no larger files: choose another path",
    errno.EIO: "check that disk, or choose another path",
    errno.ESTALE: "its file system is gone: mount it again, or choose another path",
}
GO_ON = "run the same command again"


@contextmanager
def refusals(target: Path) -> Iterator[None]:
    """Turn what the file system refuses while `target` is written into BadInput.

    Raises:
        BadInput: the disk is full, read-only or gone, or the folder of `target` is.
    """
    try:
        yield
    except OSError as error:
        number = refused(error)
        where = Path(os.path.abspath(os.fsdecode(error.filename))) if _is_path(error.filename) else target
        ours = (target, *(target.with_name(f".{target.name}.{end}") for end in ("partial", "old", "lock")))
        mine = number in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG) or any(map(where.is_relative_to, ours))
        if mine and number in (errno.ENOENT, errno.ESTALE):
            what = "was lost: it, or the folder that held it, was deleted while it was written"
            remedy = f"choose a path that lasts (scratch disks are cleaned from time to time), and {GO_ON}"
            raise BadInput(target, what, remedy) from None
        if number not in REFUSED:
            raise
        if mine:
            raise unwritable(target, error) from None
        raise BadInput(where, f"cannot be used ({os.strerror(number)})", REFUSED[number]) from None


def _is_path(name: object) -> bool:
    return isinstance(name, str | bytes | os.PathLike) and bool(name)


def refused(error: OSError) -> int:
    """The error's number, also where a library only tells it in words."""
    if error.errno:
        return error.errno
    if told := re.search(r"errno = (\d+)", str(error)):  # HDF5
        return int(told[1])
    return errno.ENOSPC if re.search(r"requested and \d+ written|free space", str(error)) else 0  # NumPy


def unwritable(target: Path, error: OSError) -> BadInput:
    """The BadInput for a file system that refuses."""
    number = refused(error)
    remedy = REFUSED.get(number, "choose a path you may write to")
    return BadInput(target, f"cannot be written ({os.strerror(number) if number else error})", remedy)
