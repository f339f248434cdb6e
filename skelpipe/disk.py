"""Files that are written whole or not at all, and what a file system refuses, told in one line with a remedy."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import re
import shutil
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

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
SETTLE_SECONDS = 5.0
GO_ON = "run the same command again"
EXCHANGE, HERE = 2, -100  # RENAME_EXCHANGE of <linux/fs.h>, AT_FDCWD of <fcntl.h>


def write_json(path: Path, value: Any) -> None:
    """Write `value` as JSON so that the file is either old or new, never torn."""
    write_bytes(path, as_json(value))


def as_json(value: Any) -> bytes:
    """JSON as it stands in every file of ours."""
    return (json.dumps(value, indent=2, ensure_ascii=False) + "\n").encode()


def write_bytes(path: Path, data: bytes) -> None:
    """Replace `path` by `data` in one step; nothing is left of it if that fails."""
    scratch = path.with_name(f".{path.name}.partial")
    try:
        with open(scratch, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        scratch.replace(path)
    except BaseException:
        with suppress(OSError):
            scratch.unlink(missing_ok=True)
        raise


def file_digest(path: Path) -> str | None:
    """The sha256 of a file's bytes, or None where it cannot be read."""
    try:
        return sha256(path)
    except OSError:
        return None


def sha256(path: Path, flush: bool = False) -> str:
    """The sha256 of a file's bytes; `flush` sees to it that they are on the disk."""
    with open(path, "rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
        if flush:
            os.fsync(file.fileno())
        return digest


def exchange(a: Path, b: Path) -> bool:
    """Let two folders change places in one step, so that no reader finds neither; False where that cannot be done."""
    import ctypes

    try:
        rename = ctypes.CDLL(None, use_errno=True).renameat2  # Linux
    except (OSError, AttributeError, TypeError):
        return False
    return bool(rename(HERE, os.fsencode(a), HERE, os.fsencode(b), EXCHANGE) == 0)


def settle() -> None:
    """After an interrupt, wait for what Zarr's own thread is still writing: it would make a removed folder anew."""
    loop = (getattr(sys.modules.get("zarr.core.sync"), "loop", None) or [None])[0]
    if loop is None or not loop.is_running():
        return
    import asyncio

    async def others() -> None:
        if rest := asyncio.all_tasks() - {asyncio.current_task()}:
            await asyncio.wait(rest, timeout=SETTLE_SECONDS)

    with suppress(Exception):
        asyncio.run_coroutine_threadsafe(others(), loop).result(2 * SETTLE_SECONDS)


def remove(folder: Path) -> None:
    """Remove scratch. A thread that an interrupt left behind may still be writing into it, so it is tried again."""
    for _ in range(5):
        shutil.rmtree(folder, ignore_errors=True)
        if not folder.exists():
            return
        time.sleep(0.1)


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
