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
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from rich.console import Console

from skelpipe.errors import printable
from skelpipe.pipeline import slurm
from skelpipe.pipeline.board import FAILED, MADE, QUEUED, RUNNING, WAITING, Board
from skelpipe.pipeline.cluster import Cluster
from skelpipe.pipeline.job import NO_LOG, Job
from skelpipe.pipeline.show import LONGEST, Stage, clock, complain, short_path

HEAR_SECONDS = 0.5
GONE_SECONDS = 600.0  # Snakemake's plugin for SLURM asks at least every 180
LOOK_SECONDS = 2.0  # between two looks at the logs of jobs that wait
QUIET_SECONDS = 300.0  # after which a line says what is at work, where no table does
SUBMITTED = (
    re.compile(r"Job (\d+) has been submitted with SLURM jobid (\S+) \(log: (.*)\)\."),
    re.compile(r"Submitted job (\d+) with external jobid '([^']*)'()\."),
)


def read_lines(stream: IO[str], meanwhile: Callable[[], None] = lambda: None) -> Iterator[str]:
    """The lines of a pipe as they come, waited for in short turns, after each of which `meanwhile` is called.

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
            meanwhile()
            continue
        if line is None:
            return
        yield line


class Watch:
    """Follows what Snakemake writes on stderr and says what matters of it: on its board, or in lines.

    Args:
        stages: all of the plan.
        cluster: where stages are jobs of a batch system, which wait before they begin.
        live: the board is shown while stages work, so that only what goes wrong needs a line.
    """

    def __init__(
        self,
        console: Console,
        data: Path,
        stages: Sequence[Stage],
        verbose: bool,
        signals: Signals,
        cluster: Cluster | None = None,
        live: bool = False,
    ) -> None:
        self.console, self.data, self.verbose, self.signals = console, data, verbose, signals
        self.cluster, self.live = cluster, live
        self.board = Board(data, stages, self._last_words)
        self.total = sum(stage.to_do for stage in stages)
        self.jobs: dict[str, Job] = {}
        self.begun = self.ended = self.ended_since = 0
        self.failed: list[str] = []
        self._open: Job | None = None
        self._broken: list[str] | None = None  # what is said of a job that failed
        self._seen: deque[str] = deque(maxlen=20)
        self._attempts: Counter[str] = Counter()
        self._told: set[tuple[str, str]] = set()
        self._looked, self._spoke = 0.0, time.monotonic()

    def see(self, line: str) -> None:
        """Take one line."""
        if self.verbose:
            print(line, file=sys.stderr)
        if line.strip():
            self._seen.append(line.strip())
        if self.cluster is not None:
            self._hear(self.cluster, line)
        if re.match(r"Trying to restart job \d+", line) and self.failed:
            rule, _, folder = self.failed.pop().partition(" ")
            self.board.set(rule, folder, WAITING)
        if fact := re.fullmatch(r" {4}(\w+): (.*)", line):
            self._fact(*fact.groups())
        elif self._broken is not None:
            self._broken = None if line.startswith("[") else [*self._broken, line]
        if start := re.fullmatch(r"(?:local)?(?:rule|checkpoint) (\w+):", line):
            self._announce()
            self._open = None if start[1] == "all" else Job(start[1], {})
        elif line.startswith("Shell command: ") and self._open:
            self._open.command = line.removeprefix("Shell command: ")
            self._announce()
        elif end := re.match(r"Finished jobid: (\d+)", line):
            self._finish(end[1])
        elif re.fullmatch(r"Error in rule (\w+):", line):
            self._broken = []
        elif line and not line.startswith((" ", "\t")):
            self._announce()

    def _hear(self, cluster: Cluster, line: str) -> None:
        """Take what is said of a batch system alone."""
        cluster.hear(line)
        for pattern in SUBMITTED:
            if (found := pattern.match(line)) and found[1] in self.jobs:
                self.jobs[found[1]].external, self.jobs[found[1]].output = found[2], found[3]

    def _fact(self, key: str, value: str) -> None:
        if self._broken is not None:
            if key == "jobid":
                told, self._broken = "\n".join(self._broken), None
                self._fail(value, told)
            elif key == "message":
                self._broken.append(value)
        elif self._open is not None:
            self._open.facts[key] = value

    def _announce(self) -> None:
        job, self._open = self._open, None
        if job is None or "jobid" not in job.facts:
            return
        self.jobs[job.facts["jobid"]] = job
        self._attempts[job.label] += 1
        again = self._attempts[job.label] > 1
        self.begun += not again
        self.board.set(job.rule, job.folder, RUNNING if self.cluster is None else QUEUED)
        text = printable(job.plain_command or job.label)
        if len(text) > LONGEST:  # a report of a hundred folders
            text = f"{text[: LONGEST // 2]} … {text[-LONGEST // 2 :]}"
        if self.cluster is not None:
            job.before = job.log_state(self.data) or NO_LOG
        if again:
            how = "to the queue again, asking for more" if self.cluster else "once more"
            self._say(f"      {how}: {job.label}")
        elif self.cluster is not None:
            self._say(f"[{self._number(self.begun)}] to the queue: {text if self.verbose else job.label}")
        elif self.verbose:
            self._say(f"      begun: {text}", always=True)

    def _finish(self, jobid: str) -> None:
        job = self.jobs.pop(jobid, None)
        if job is not None:
            self.ended += 1
            self.ended_since += bool(self.failed)
            row = self.board.set(job.rule, job.folder, MADE, job.last_words(self.data).removeprefix(f"{job.folder}: "))
            words = self.board.details(row)[0]
            age = clock(time.monotonic() - job.started)
            # When a job began is only known roughly, and when it ended is heard late.
            with_queue = " with its time in the queue" if self.cluster else ""
            self._say(
                f"[{self._number(self.ended)}] {job.label}: done in {age}{with_queue}" + (f", {words}" if words else "")
            )

    def _fail(self, jobid: str, told: str) -> None:
        job = self.jobs.pop(jobid, None)
        if job is None or self.signals.received:
            return
        self.failed.append(job.label)
        why = self._why(job, told)
        self.board.set(job.rule, job.folder, FAILED, why.removeprefix("failed: "))
        if not self._first(job, why):
            self._complain(f"{job.label} failed again")
            return
        self._complain(f"{job.label} {why}")
        if self.cluster is not None and not job.external:
            return  # there is no log of what was not submitted
        log = self.data / job.log
        self._complain(
            f"its log is {short_path(log if log.exists() or not job.output else Path(job.output))}; to try it alone:",
            f"  cd {shlex.quote(short_path(self.data))} && {printable(job.plain_command)}",
        )

    def _why(self, job: Job, told: str) -> str:
        """What has become of a failed job, in its own words or in those of the batch system."""
        words = job.last_words(self.data).removeprefix("skelpipe: ")
        if self.cluster is not None:
            if refused := slurm.refusal(told):
                return f"was refused by sbatch: {refused}; {slurm.remedy(job.rule, refused)}"
            if found := re.search(r"submission failed with exception: (.*)", told):
                return f"was not submitted: {printable(found[1])}; {slurm.remedy(job.rule, found[1])}"
            if ended := job.end(told, self.data):
                return ended + (f"; it last said: {words}" if words else "")
            words = words or job.outer_words()
        return f"failed: {words or 'it said nothing'}"

    def look(self) -> None:
        """Look, now and then, after the jobs that wait in a queue, and after their end if that was asked for."""
        if self.signals.received:
            self.board.note = "asked to stop, and what is at work saves what it has"
        self._tell_at_work()
        if self.cluster is None:
            return
        if self.signals.received:
            if self.cluster.ended(len(self.signals.received) > 1):
                self.signals.send(signal.SIGKILL)
            return
        if time.monotonic() < self._looked + LOOK_SECONDS:
            return
        self._looked = time.monotonic()
        asked = self.cluster.ask()
        for job in self.jobs.values():
            known = self.cluster.queue.get(job.external)
            state = job.log_state(self.data)
            if job.begun is None and (
                state not in (None, job.before) or (known is not None and known.state == "RUNNING")
            ):
                job.begun = time.monotonic()
                self.board.set(job.rule, job.folder, RUNNING)
                number = f" as job {job.external}" if job.external else ""
                self._say(f"      begun after {clock(job.begun - job.started)}{number}: {job.label}")
            elif asked and job.begun is None and known is not None:
                self.board.rows[job.folder].why = known.reason
                self._tell_why_waiting(self.cluster, job, known)
            if asked and job.external:
                self._tell_gone(job, known is not None)

    def _tell_gone(self, job: Job, known: bool) -> None:
        """Say once of a job that has left the queue that Snakemake does not hear of its end."""
        job.gone = None if known else job.gone or time.monotonic()
        if job.gone is not None and time.monotonic() > job.gone + GONE_SECONDS and self._first(job, "gone"):
            what = f"{job.label}: job {job.external} has left the queue, and Snakemake cannot read how it ended"
            self._complain(f"{what}; stop with Ctrl-C, and try -- --slurm-status-command squeue, or sacct")

    def _tell_why_waiting(self, cluster: Cluster, job: Job, known: slurm.Queued) -> None:
        """Say once what keeps a job in the queue, unless that passes by itself."""
        why = slurm.why_waiting(job.rule, job.external, known, cluster.partitions)
        if why is not None and self._first(job, why):
            self._complain(f"{job.label} waits in the queue as job {job.external}: {why}")

    def _first(self, job: Job, what: str) -> bool:
        """Whether this is the first time that something is said of a job, which it notes."""
        key = (job.label, what)
        new = key not in self._told
        self._told.add(key)
        return new

    def _tell_at_work(self) -> None:
        """Say what is at work, where nothing has been said for long and no table shows it."""
        if self.live or not self.jobs or time.monotonic() < self._spoke + QUIET_SECONDS:
            return
        rows = [self.board.rows[job.folder] for job in list(self.jobs.values()) if job.folder in self.board.rows]
        told = [
            f"{row.rule} {row.folder} ({row.state} for {clock(time.monotonic() - (row.began or 0.0))}"
            + (f", {words})" if (words := self.board.details(row)[-1]) else ")")
            for row in rows
        ]
        self._say(f"      {'; '.join(told)}")

    def _say(self, text: str, always: bool = False) -> None:
        """Print a line, if no table says the same."""
        self._spoke = time.monotonic()
        if always or not self.live:
            self.console.print(text, soft_wrap=True, highlight=False, markup=False)

    def _complain(self, text: str, *more: str) -> None:
        """Say what is wrong, on stderr; where a table is on the same terminal, above it."""
        self._spoke = time.monotonic()
        if self.live and sys.stderr.isatty():
            lines = "\n".join(map(printable, (f"skelpipe: {text}", *more)))
            self.console.print(lines, soft_wrap=True, highlight=False, markup=False)
            return
        complain(text)
        for line in more:
            print(printable(line), file=sys.stderr)

    def _last_words(self, folder: str) -> str:
        """The last words of the stage that is at work in a folder."""
        job = next((job for job in list(self.jobs.values()) if job.folder == folder), None)
        return "" if job is None else job.last_words(self.data)

    def _number(self, place: int) -> str:
        return f"{place}/{max(self.total, self.begun)}"

    def what_failed(self) -> str:
        """In a line, after the end: what failed, and what came of the other stages."""
        counts = self.board.counts()
        meanwhile = f", {self.ended_since} of them after it" if self.ended_since else ""
        left = f"; {counts[WAITING]} were not begun" if counts[WAITING] else ""
        which = self.failed[0] if len(self.failed) == 1 else f"{len(self.failed)} stages"
        others = f"{counts[MADE] or 'no'} other{'' if counts[MADE] == 1 else 's'} ended well{meanwhile}{left}"
        return f"{which} failed, {others}; once that is mended, the same command goes on from here"

    def tail(self) -> str:
        """The last thing that Snakemake said."""
        return self._seen[-1] if self._seen else "it gave no reason"


class Signals:
    """Signals that were received here, and the process group that they are passed on to.

    Args:
        remote: stages are jobs elsewhere: asked by SIGTERM, Snakemake would wait for them, by SIGINT it cancels them.
    """

    def __init__(self, remote: bool = False) -> None:
        self.remote = remote
        self.received: list[signal.Signals] = []
        self.group: int | None = None

    def take(self, number: int, frame: object) -> None:
        """Handle a signal: the second one asks harder, and the third one does not ask."""
        self.received.append(signal.Signals(number))
        if len(self.received) > 2:
            self.send(signal.SIGKILL)
        else:
            self.ask(self.received[0] if len(self.received) == 1 else signal.SIGTERM)

    def ask(self, number: signal.Signals = signal.SIGTERM) -> None:
        """Ask Snakemake to end."""
        self.send(signal.SIGINT if self.remote else number)

    def send_again(self) -> None:
        """Send what was received before there was anything to send it to."""
        if self.received:
            self.ask(self.received[-1])

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
