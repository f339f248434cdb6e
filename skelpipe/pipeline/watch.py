"""What Snakemake says, told as it happens, and signals passed on to it."""

from __future__ import annotations

import os
import queue
import re
import shlex
import signal
import sys
import threading
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from rich.console import Console, RenderableType
from rich.text import Text

from skelpipe.errors import printable
from skelpipe.outputs.ancestry import DONE
from skelpipe.pipeline.show import LONGEST, clock, complain, short_path

HEAR_SECONDS = 0.5


@dataclass
class Job:
    """A stage at work, as Snakemake announced it."""

    rule: str
    facts: dict[str, str]
    command: str = ""
    started: float = field(default_factory=time.monotonic)

    @property
    def label(self) -> str:
        return f"{self.rule} {self.folder}"

    @property
    def folder(self) -> str:
        return self.facts.get("output", "").removesuffix(f"/{DONE}")

    @property
    def plain_command(self) -> str:
        """The command as a person types it, without the redirection to the log."""
        return re.sub(r" > \S.* 2>&1$", "", self.command.strip())

    def last_words(self, data: Path) -> str:
        """The last line of its log that says something."""
        log = self.facts.get("log", "").partition(" (")[0]
        try:
            with open(data / log, "rb") as file:
                file.seek(max(0, os.fstat(file.fileno()).st_size - 8192))
                lines = file.read().decode("utf-8", "replace").replace("\r", "\n").splitlines()
        except OSError:
            return ""
        return next((printable(line.strip()) for line in reversed(lines) if line.strip()), "")


def read_lines(stream: IO[str]) -> Iterator[str]:
    """The lines of a pipe as they come, waited for in short turns.

    A signal that comes just before a wait begins is only taken at its end, and the next line may be hours away.
    """
    found: queue.SimpleQueue[str | None] = queue.SimpleQueue()

    def read() -> None:
        try:
            for line in stream:
                found.put(line)
        finally:
            found.put(None)

    threading.Thread(target=read, name="skelpipe-lines", daemon=True).start()
    while True:
        try:
            line = found.get(timeout=HEAR_SECONDS)
        except queue.Empty:
            continue
        if line is None:
            return
        yield line


class Watch:
    """Follows what Snakemake writes on stderr and says what matters of it."""

    def __init__(self, console: Console, data: Path, total: int, verbose: bool, signals: Signals) -> None:
        self.console, self.data, self.total, self.verbose, self.signals = console, data, total, verbose, signals
        self.jobs: dict[str, Job] = {}
        self.begun = 0
        self.failed: list[str] = []
        self._open: Job | None = None
        self._broken: str | None = None
        self._seen: deque[str] = deque(maxlen=20)

    def see(self, line: str) -> None:
        """Take one line."""
        if self.verbose:
            print(line, file=sys.stderr)
        if line.strip():
            self._seen.append(line.strip())
        if fact := re.fullmatch(r" {4}(\w+): (.*)", line):
            self._fact(*fact.groups())
        elif self._broken is not None and not line.startswith(" "):
            self._broken = None
        if start := re.fullmatch(r"(?:local)?(?:rule|checkpoint) (\w+):", line):
            self._announce()
            self._open = None if start[1] == "all" else Job(start[1], {})
        elif line.startswith("Shell command: ") and self._open:
            self._open.command = line.removeprefix("Shell command: ")
            self._announce()
        elif end := re.match(r"Finished jobid: (\d+)", line):
            self._finish(end[1])
        elif error := re.fullmatch(r"Error in rule (\w+):", line):
            self._broken = error[1]
        elif line and not line.startswith((" ", "\t")):
            self._announce()

    def _fact(self, key: str, value: str) -> None:
        if self._broken is not None:
            if key == "jobid":
                self._fail(value)
        elif self._open is not None:
            self._open.facts[key] = value

    def _announce(self) -> None:
        job, self._open = self._open, None
        if job is None or "jobid" not in job.facts:
            return
        self.jobs[job.facts["jobid"]] = job
        self.begun += 1
        text = printable(job.plain_command or job.label)
        if len(text) > LONGEST:  # a report of a hundred folders
            text = f"{text[: LONGEST // 2]} … {text[-LONGEST // 2 :]}"
        self._say(f"[{self.begun}/{max(self.total, self.begun)}] {text}")

    def _finish(self, jobid: str) -> None:
        job = self.jobs.pop(jobid, None)
        if job is not None:
            words = job.last_words(self.data).removeprefix(f"{job.folder}: ")
            age = clock(time.monotonic() - job.started)
            self._say(f"      done in {age}, {job.label}" + (f": {words}" if words else ""))

    def _fail(self, jobid: str) -> None:
        job = self.jobs.pop(jobid, None)
        if job is None or self.signals.received:
            return
        self.failed.append(job.label)
        words = job.last_words(self.data).removeprefix("skelpipe: ")
        log = job.facts.get("log", "").partition(" (")[0]
        complain(f"{job.label} failed: {words or 'it said nothing'}")
        complain(f"its log is {short_path(self.data / log)}; to try it alone:")
        print(f"  cd {shlex.quote(short_path(self.data))} && {printable(job.plain_command)}", file=sys.stderr)

    def _say(self, text: str) -> None:
        self.console.print(text, soft_wrap=True, highlight=False, markup=False)

    def at_work(self) -> RenderableType:
        """One line per running stage: its age and the last line of its log."""
        lines = [
            f"  {clock(time.monotonic() - job.started)} {job.label}: {job.last_words(self.data)}"
            for job in list(self.jobs.values())
        ]
        return Text("\n".join(lines), style="dim", no_wrap=True, overflow="ellipsis")

    def tail(self) -> str:
        """The last thing that Snakemake said."""
        return self._seen[-1] if self._seen else "it gave no reason"


class Signals:
    """Signals that were received here, and the process group that they are passed on to."""

    def __init__(self) -> None:
        self.received: list[signal.Signals] = []
        self.group: int | None = None

    def take(self, number: int, frame: object) -> None:
        """Handle a signal: the second one asks harder, and the third one does not ask."""
        self.received.append(signal.Signals(number))
        self.send((signal.Signals(number), signal.SIGTERM, signal.SIGKILL)[min(len(self.received), 3) - 1])

    def send_again(self) -> None:
        """Send what was received before there was anything to send it to."""
        if self.received:
            self.send(self.received[-1])

    def send(self, number: signal.Signals) -> None:
        """Send a signal to the whole group, if it is still there."""
        if self.group is not None:
            with suppress(ProcessLookupError):
                os.killpg(self.group, number)

    @contextmanager
    def taken(self) -> Iterator[None]:
        """Take what ends a program. To be entered before the process starts, which so begins without handlers."""
        before = {number: signal.signal(number, self.take) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
