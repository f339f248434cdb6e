"""The sha256 of an input that is one file, taken by a thread of its own while the output is made of it.

An archive of recordings has gigabytes; to read them once more when all else is done would take seconds.
"""

from __future__ import annotations

import hashlib
import os
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from skelpipe.outputs.files import file_digest

LARGE, AT_ONCE = 1 << 26, 1 << 20  # bytes: of a file that is worth a thread, and read at a time
State = tuple[int, ...]


class Beforehand:
    """Digests of files as they are when it is asked for them; those of large ones are there already, if all is well."""

    def __init__(self, paths: Iterable[Path]) -> None:
        self._found: dict[Path, tuple[State, str]] = {}
        self._stopped = threading.Event()
        large = [path for path in paths if path.is_file() and path.stat().st_size >= LARGE]
        self._thread = threading.Thread(target=self._read, args=(large,), name="digests", daemon=True)
        if large:
            self._thread.start()

    def digest(self, path: Path) -> str | None:
        """The sha256 of a file's bytes, or None where it cannot be read."""
        if self._thread.is_alive():
            self._thread.join()
        before, digest = self._found.get(path, ((), ""))
        try:
            return digest if before == _state(path) else file_digest(path)
        except OSError:
            return None

    def stop(self) -> None:
        """Read no further."""
        self._stopped.set()

    def _read(self, paths: list[Path]) -> None:
        for path in paths:
            digest = hashlib.sha256()
            try:
                with open(path, "rb", buffering=0) as file:
                    before, buffer = _state(file.fileno()), bytearray(AT_ONCE)
                    while count := file.readinto(buffer):
                        if self._stopped.is_set():
                            return
                        digest.update(memoryview(buffer)[:count])
            except OSError:
                continue  # who asks for it is told
            self._found[path] = before, digest.hexdigest()


def _state(file: Path | int) -> State:
    """What tells that a file was replaced or written to."""
    about = os.stat(file)  # noqa: PTH116
    return about.st_dev, about.st_ino, about.st_size, about.st_mtime_ns


@contextmanager
def beforehand(paths: Iterable[str | os.PathLike[str]]) -> Iterator[Beforehand]:
    """Take the digests of some files while the block runs."""
    found = Beforehand(map(Path, paths))
    try:
        yield found
    finally:
        found.stop()
