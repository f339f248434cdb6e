"""Files that stand in the place of another, and files of which a part is missing."""

from __future__ import annotations

import re
from pathlib import Path

from skelpipe.errors import BadInput

AGAIN = "fetch it again"
UNFINISHED = "is damaged or unfinished"
# By how they begin: what they are, and what to do.
STAND_INS = (
    (rb"\s*version https://git-lfs", "is a pointer of Git LFS, not the file itself", "run 'git lfs pull' beside it"),
    (rb"\s*<(!doctype|html|\?xml)", "is a web page, not the file itself", "download it again, logged in where needed"),
)
# How zipfile, NumPy, pickle and HDF5 say that a file ends too early.
_TOO_SHORT = re.compile(
    r"mmap length|truncated|ran out of input|not a zip file|it announces|cannot reshape"
    r"|end[- ]of[- ](file|stream)|invalid argument|eof|unpickling stack underflow",
    re.IGNORECASE,
)
_MAGIC = (b"PK\3\4", b"\x93NUMPY", b"\x89HDF\r\n", b"\x80")


def head_of(path: Path, size: int = 64) -> bytes:
    """The first bytes of a file; none of one that cannot be read."""
    try:
        with open(path, "rb") as file:
            return file.read(size)
    except OSError:
        return b""


def refuse_stand_in(path: Path, head: bytes | None = None) -> None:
    """Raise BadInput for what only stands in the place of a file: a pointer of Git LFS, or a web page."""
    head = head_of(path) if head is None else head
    for pattern, what, remedy in STAND_INS:
        if re.match(pattern, head, re.IGNORECASE):
            raise BadInput(path, what, remedy)


def cut_off(path: Path, error: BaseException) -> bool:
    """Whether a file begins as its format does and, by what reading it raised, ends too early."""
    return head_of(path).startswith(_MAGIC) and (isinstance(error, EOFError) or bool(_TOO_SHORT.search(str(error))))
