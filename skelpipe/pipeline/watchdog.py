"""Run as a program of its own: ends a process group once the process that started it is gone, however that ended.

It leads the group, so that no time passes in which the group has members and no guard. Its stdin is a pipe that only
the starter can write to, and that the kernel closes when the starter dies, even by SIGKILL. The starter ends the guard
by writing a full stop. Before, it may write a line, the name of jobs in SLURM, which are then cancelled too, as they
are no processes of the group. While the guard lives it holds what descriptors it was given, such as a lock.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from contextlib import suppress

GRACE_SECONDS = 60.0  # in which a pretraining saves its checkpoint


def guard() -> None:
    """Wait for the starter's full stop; without it, ask the group to end, and make it end after GRACE_SECONDS."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)  # they are meant for the others
    heard = b""
    while not heard.endswith(b".") and (more := os.read(0, 4096)):
        heard += more
    if heard.endswith(b"."):
        return
    until = time.monotonic() + GRACE_SECONDS
    if name := heard.decode().strip():
        cancel(name)
        os.killpg(0, signal.SIGINT)  # Snakemake would wait for its jobs if asked otherwise
    else:
        os.killpg(0, signal.SIGTERM)
    while company() and time.monotonic() < until:
        time.sleep(0.1)
    if name:
        cancel(name)  # what was submitted meanwhile
    if company():
        os.killpg(0, signal.SIGKILL)


def cancel(name: str) -> None:
    """Cancel the jobs of that name."""
    with suppress(OSError, subprocess.TimeoutExpired):
        subprocess.run(
            ["scancel", "--name", name], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            timeout=GRACE_SECONDS / 2, check=False,
        )  # fmt: skip


def company() -> bool:
    """Whether another process of this group is at work; where that cannot be told, there is."""
    try:
        found = [int(name) for name in os.listdir("/proc") if name.isdigit()]  # noqa: PTH208
    except OSError:  # not Linux
        return True
    return any(_at_work(pid) for pid in found if pid != os.getpid())


def _at_work(pid: int) -> bool:
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as file:
            state, _, group = file.read().rpartition(") ")[2].split()[:3]
    except (OSError, ValueError):  # it has ended meanwhile
        return False
    return int(group) == os.getpgrp() and state not in "ZX"


if __name__ == "__main__":
    guard()
    sys.exit(0)
