"""Files that are written whole or not at all, their digests, and folders that change places in one step."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

SETTLE_SECONDS = 5.0
EXCHANGE, HERE = 2, -100  # RENAME_EXCHANGE of <linux/fs.h>, AT_FDCWD of <fcntl.h>


def write_json(path: Path, value: Any) -> None:
    """Write `value` as JSON so that the file is either old or new, never torn."""
    write_bytes(path, as_json(value))


def as_json(value: Any) -> bytes:
    """JSON as it stands in every file of ours."""
    return (json_text(value, indent=2) + "\n").encode()


def json_text(value: Any, indent: int | None = None) -> str:
    """`value` as JSON; what no encoding can write, as in a path that is not UTF-8, as an escape that reads the same."""
    text = json.dumps(value, indent=indent, ensure_ascii=False)
    return text.encode("utf-8", "backslashreplace").decode()


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
