"""One pipeline at a time in a data folder, and nothing of it left at work once `skelpipe run` is gone."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from skelpipe.errors import BadInput
from skelpipe.outputs.locks import lock
from skelpipe.pipeline import watchdog

AREA = ".snakemake"  # Snakemake's own folder in the data folder; the plan and the lock lie there too


@contextmanager
def locked(data: Path) -> Iterator[int | None]:
    """Hold the data folder for one pipeline at a time; yields the lock's descriptor, if there can be one.

    Raises:
        BadInput: another one runs there, or the folder cannot be written.
    """
    try:
        (data / AREA).mkdir(parents=True, exist_ok=True)
        held = lock(data / AREA / "skelpipe.lock")
    except BlockingIOError:
        raise BadInput(
            data, "another 'skelpipe run' works in this folder", "wait for it, or use another --data"
        ) from None
    except OSError as error:
        raise BadInput(data, f"cannot be written ({error.strerror})", "choose another folder by --data") from None
    try:
        yield held
    finally:
        if held is not None:
            os.close(held)


@dataclass(frozen=True)
class Guard:
    """The process that ends a group; it leads the group, so its number is the group's."""

    group: int
    stdin: IO[bytes]

    def tell(self, name: str) -> None:
        """Let it cancel jobs of that name as well."""
        with suppress(OSError):
            self.stdin.write(name.encode() + b"\n")
            self.stdin.flush()


@contextmanager
def guarded(held: int | None) -> Iterator[Guard]:
    """Yield the guard of a process group that ends when this process does, and that holds the lock `held` till then."""
    process = subprocess.Popen(
        [sys.executable, "-I", "-S", watchdog.__file__],
        stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        pass_fds=() if held is None else (held,), process_group=0,
    )  # fmt: skip
    assert process.stdin is not None
    try:
        yield Guard(process.pid, process.stdin)
    finally:
        with suppress(OSError):
            process.stdin.write(b".")
            process.stdin.flush()
        with suppress(OSError):
            process.stdin.close()
        process.wait()
