"""Bytes as they come out of a pipe, a file or a file that grows; and the lines of text in them."""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

from skelpipe.errors import BadInput, shortened
from skelpipe.recordings.poses.live.base import READABLE

POLL = 0.03  # seconds between two looks at a file that grows
CHUNK = 1 << 18
LONGEST = 1 << 22  # bytes of a line: a frame of a hundred people
STREAM = "the stream"


def where_of(source: Path | BinaryIO) -> str:
    """What to call a source in messages."""
    if isinstance(source, Path):
        return str(source)
    name = getattr(source, "name", None)
    return {"<stdin>": "standard input"}.get(name, name) if isinstance(name, str) else STREAM


class Bytes:
    """The bytes of a source, as soon as they are there.

    Attributes:
        rests: whether it is a file that is there as a whole.

    Args:
        source: a file, a named pipe, or what is open already.
        follow: wait at the end of a regular file for more; a pipe is read until it is closed in any case.
        patience: seconds without anything new after which it has ended; None waits for ever.

    Raises:
        BadInput: it cannot be opened.
    """

    def __init__(self, source: Path | BinaryIO, follow: bool, patience: float | None) -> None:
        self.where, self.patience = where_of(source), patience
        self._own = isinstance(source, Path)
        try:
            self._file: Any = open(source, "rb", buffering=0) if isinstance(source, Path) else source  # noqa: SIM115
        except OSError as error:
            what = "does not exist" if isinstance(error, FileNotFoundError) else f"cannot be read ({error.strerror})"
            raise BadInput(self.where, what, "check its path") from None
        self._read = getattr(self._file, "read1", None) or self._file.read  # which do not wait until a buffer is full
        regular = _is_regular(self._file)
        self._grows = follow and regular
        self.rests = regular and not follow

    def __enter__(self) -> Bytes:
        return self

    def __exit__(self, *_: object) -> None:
        if self._own:
            self._file.close()

    def read(self) -> bytes:
        """What is there, or comes next; nothing at the end.

        Raises:
            BadInput: it cannot be read, or has become shorter.
        """
        since = time.monotonic()
        while True:
            try:
                data: bytes | None = self._read(CHUNK)
                shrunk = self._grows and not data and os.fstat(self._file.fileno()).st_size < self._file.tell()
            except OSError as error:
                raise BadInput(self.where, f"cannot be read ({error.strerror})", "check its disk") from None
            if shrunk:
                raise BadInput(self.where, "has become shorter while it was followed", "let its writer append only")
            if data or (data is not None and not self._grows):
                return data
            if self._grows and self.patience is not None and time.monotonic() - since >= self.patience:
                return b""
            time.sleep(POLL)


def _is_regular(file: Any) -> bool:
    try:
        return stat.S_ISREG(os.fstat(file.fileno()).st_mode)
    except (OSError, AttributeError):  # in memory
        return False


class Lines:
    """The lines of a source, as soon as they are whole.

    Attributes:
        rests: as of `Bytes`.
        number: of the last whole line.
        cut: what stands behind it, when all was read.
    """

    def __init__(self, source: Bytes) -> None:
        self.where, self.rests, self._source = source.where, source.rests, source
        self.number, self.cut = 0, ""

    def batches(self) -> Iterator[list[tuple[int, str]]]:
        """Numbered lines without their ends, as many at once as are there.

        Raises:
            BadInput: no text in UTF-8, or a line without an end; names it, after all lines before it were given.
        """
        rest = bytearray()
        while data := self._source.read():
            end = data.rfind(b"\n")
            if end < 0:
                rest += data
                self._check(rest if len(rest) == len(data) else data, len(rest))
                continue
            block = bytes(rest) + data[: end + 1]
            rest = bytearray(data[end + 1 :])
            yield from self._decoded(block)
            self._check(rest, len(rest))
        self.cut = bytes(rest).decode("utf-8-sig" if self.number == 0 else "utf-8", "ignore")

    def _check(self, new: bytes | bytearray, length: int) -> None:
        """Refuse a line that is not yet whole, and cannot become one."""
        if b"\0" in new:
            raise self._no_text(bytes(new))
        if length > LONGEST:
            what = f"has more than {LONGEST >> 20} MiB without a line end"
            raise BadInput(f"{self.where}, line {self.number + 1}", what, "write each frame in a line of its own")

    def _no_text(self, data: bytes) -> BadInput:
        what = f"is no text in UTF-8 ({shortened(repr(data[:40]), 60)})"
        return BadInput(f"{self.where}, line {self.number + 1}", what, READABLE)

    def _decoded(self, block: bytes) -> Iterator[list[tuple[int, str]]]:
        try:
            if b"\0" in block:
                raise UnicodeError
            found = block.decode("utf-8-sig" if self.number == 0 else "utf-8").split("\n")
        except UnicodeError:
            whole = block.split(b"\n")[:-1]
            if len(whole) == 1:
                raise self._no_text(block) from None
            for line in whole:
                yield from self._decoded(line + b"\n")
            return
        found.pop()
        first, self.number = self.number + 1, self.number + len(found)
        yield [(first + n, text.rstrip("\r")) for n, text in enumerate(found)]
