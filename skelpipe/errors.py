"""The one exception that a user is meant to see, and the remedy for a misspelt name."""

from __future__ import annotations

import difflib
import errno
import os
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager


class BadInput(Exception):
    """Something the user gave cannot be used; the CLI prints it as one line and exits with status 2.

    In Python it is the one exception that is promised. Options are called as on the command line: `--split` is what
    functions take as `split`.

    Args:
        where: the file, folder, option or line that is at fault.
        what: what is wrong with it, without a final full stop.
        remedy: what to do about it, without a final full stop.

    Example:
        >>> try:
        ...     sk.get_layout("kinect")
        ... except sk.BadInput as error:
        ...     print(error.where, "|", error.what, "|", error.remedy.partition(" (")[0])
        layout 'kinect' | is not known | did you mean 'kinect_v2'?
    """

    def __init__(self, where: str | os.PathLike[str], what: str, remedy: str) -> None:
        self.where, self.what, self.remedy = os.fspath(where), what, remedy
        super().__init__(f"{self.where}: {what}; {remedy}")

    def __reduce__(self) -> tuple[type[BadInput], tuple[str, str, str]]:
        # Worker processes hand this exception back through pickle, which would call __init__ with one string.
        return type(self), (self.where, self.what, self.remedy)


def printable(text: str) -> str:
    """`text` as a terminal can show it: what is neither visible nor a blank becomes an escape such as \\x1b."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def shortened(text: str, most: int) -> str:
    """`text`, or its first characters and an ellipsis, in one line that a terminal can show."""
    return printable(text if len(text) <= most else text[: most - 1] + "…")


def nearest(word: str, known: Iterable[str]) -> str | None:
    """The known name most like `word`, if any is alike."""
    found = difflib.get_close_matches(word, list(known), n=1, cutoff=0.4)
    return found[0] if found else None


def hint(word: str, known: Iterable[str]) -> str:
    """A hint such as ` (did you mean 'crop'?)`, or an empty string when nothing is near."""
    near = nearest(word, known)
    return f" (did you mean {near!r}?)" if near else ""


def suggest(word: str, known: Iterable[str]) -> str:
    """The remedy for an unknown name: the nearest known one, or else all of them."""
    known = list(known)
    near = nearest(word, known)
    return f"did you mean {near!r}?" if near else f"use one of {', '.join(known)}"


# How libraries tell that they got no memory: torch's CPU and CUDA allocators, C++, threads' stacks, LLVM.
_NO_MEMORY = (
    r"out of memory|can(?:no|')t allocate memory|not enough memory|bad_alloc|ALLOC_FAILED|unable to allocate"
    r"|can't start new thread|could not create a (?:primitive(?! descriptor)|memory)"
)
_ASKED = r"(?:tried to allocate|allocate)\s+(?:\(?\s*)([\d.]+)\s*(bytes|[KMGT]?i?B)"


def shortage(error: BaseException) -> str | None:
    """What ran out, in words, if an exception says that memory did; else None.

    A catch-all must let these pass: no file is damaged because a machine was too small to read it.
    """
    known = isinstance(error, MemoryError) or getattr(error, "errno", None) == errno.ENOMEM
    text = str(error)
    if not known and not (isinstance(error, RuntimeError | OSError) and re.search(_NO_MEMORY, text, re.I)):
        return None
    if "new thread" in text:
        return "no further thread could be started"
    # What the system says names files, which may be called anything.
    of_gpu = not isinstance(error, OSError) and re.search(r"cuda|cublas|cudnn|hip", text, re.I)
    which = "GPU memory" if of_gpu or "cuda" in type(error).__module__ else "memory"
    found = re.search(_ASKED, text, re.I)
    if found is None:
        return f"{which} ran out"
    if found[2] == "bytes":
        return f"{which} ran out where {float(found[1]) / 2**20:,.0f} MiB more were asked for"
    return f"{which} ran out where {found[1]} {found[2]} more were asked for"


@contextmanager
def refusing(where: str | os.PathLike[str], what: str, remedy: str) -> Iterator[None]:
    """Whatever is raised inside becomes a BadInput, `what` with the error in brackets; but a lack of memory passes.

    For libraries that tell of damage in many ways.
    """
    try:
        yield
    except Exception as error:
        if shortage(error):
            raise
        raise BadInput(where, f"{what} ({error})", remedy) from None
