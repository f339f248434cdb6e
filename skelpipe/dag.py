"""Snakemake: asked what is to do, started, watched and stopped.

It runs as a process of its own, so that any of its arguments can be passed on, and in a process group of its own, so
that one signal reaches it and every stage that it started. A guard ends that group if this process is killed.
"""

from __future__ import annotations

import os
import queue
import re
import shlex
import signal
import subprocess
import sys
import threading
import time
from collections import Counter, deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass, field
from pathlib import Path
from statistics import mean, stdev
from typing import IO, Any

from rich.console import Console, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

import skelpipe
from skelpipe import guard
from skelpipe.disk import write_json
from skelpipe.errors import BadInput, printable
from skelpipe.history import DONE
from skelpipe.locks import lock
from skelpipe.resources import shipped

AREA = ".snakemake"  # Snakemake's own folder in the data folder; the plan and the lock lie there too
# What a changed Snakefile line would set off is left to the stages' version numbers: `code` is not among the triggers.
FIXED = (
    "--rerun-incomplete", "--nolock", "--scheduler", "greedy", "--rerun-triggers", "mtime", "params", "input",
    "--printshellcmds", "--nocolor",
)  # fmt: skip
WHY = {
    "missing": "",
    "ok": "its input is made anew",
    "params changed": "its settings changed",
    "updated input files": "its input changed",
    "set of input files changed": "its inputs are others",
}


DATA = ("synth", "store_parts", "stores", "clips_parts", "clips")
LONG = 40  # stages; a longer plan is shown as a summary
FIRST = 3  # stages of each kind that a summary names
LONGEST = 1000  # characters of a command line
HEAR_SECONDS = 0.5
WIDE = 6  # columns of accuracies; more are shown as a table for each split


@dataclass(frozen=True)
class Stage:
    """One stage of the plan: its rule, the folder that it makes (relative to the data folder), and its state."""

    rule: str
    folder: str
    to_do: bool
    why: str = ""

    @property
    def state(self) -> str:
        return "done" if not self.to_do else f"to do: {self.why}" if self.why else "to do"


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


@contextmanager
def guarded(held: int | None) -> Iterator[int]:
    """Yield a process group that ends when this process does, and that holds the lock `held` until it has ended."""
    process = subprocess.Popen(
        [sys.executable, "-I", "-S", guard.__file__],
        stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        pass_fds=() if held is None else (held,), process_group=0,
    )  # fmt: skip
    assert process.stdin is not None
    try:
        yield process.pid
    finally:
        with suppress(OSError):
            process.stdin.write(b".")
            process.stdin.flush()
        with suppress(OSError):
            process.stdin.close()
        process.wait()


def survey(data: Path, config: dict[str, Any], arguments: Sequence[str], verbose: bool = False) -> list[Stage]:
    """Ask Snakemake for the state of every stage.

    Raises:
        BadInput: Snakemake does not understand its arguments.
    """
    done = subprocess.run(
        [*_command(data, config, arguments), "--summary"],
        env=_environment(), stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False,
    )  # fmt: skip
    if verbose:
        sys.stderr.write(done.stderr)
    if done.returncode:
        words = [line.strip() for line in done.stderr.splitlines() if line.strip()] or ["it gave no reason"]
        raise BadInput(
            "snakemake",
            words[-1].removeprefix("__main__.py: error: "),
            "check what follows '--' on the command line, or use -v to see it all",
        )
    rows = [line.split("\t") for line in done.stdout.splitlines() if f"{DONE}\t" in line]
    order = {output: number for number, output in enumerate(_outputs(config))}
    rows.sort(key=lambda row: order.get(row[0], len(order)))
    return [_stage(data, *(row[i] for i in (2, 0, -2, -1))) for row in rows]


def show_plan(
    title: str, stages: Sequence[Stage], data: Path, verbose: bool = False, lacking: Sequence[BadInput] = ()
) -> None:
    """Print which stages are done: one by one, or counted by kind if they are many and it is not `verbose`.

    Args:
        lacking: what has to be there before it can run.
    """
    console = new_console()
    summary = len(stages) > LONG and not verbose
    console.print(
        Text(printable(title), style="bold"), _summary(stages) if summary else _listing(stages, data), sep="\n"
    )
    left = sum(stage.to_do for stage in stages)
    more = " 'skelpipe -v run' lists them all." if summary else ""
    text = f"{len(stages) - left} of {len(stages)} stages are done, {left} to do." if left else "All is done."
    console.print(text + more + "\n")
    for problem in lacking:
        console.print(f"Before it can run: {problem}", soft_wrap=True, highlight=False, markup=False)


def _listing(stages: Sequence[Stage], data: Path) -> Table:
    table = _table("stage", f"output in {_short(data)}", "state")
    for stage in stages:
        table.add_row(stage.rule, Text(stage.folder), Text(stage.state, style="" if stage.to_do else "green"))
    return table


def _summary(stages: Sequence[Stage]) -> Table:
    table = _table("stage", "done", "to do")
    for rule in dict.fromkeys(stage.rule for stage in stages):
        of_rule = [stage for stage in stages if stage.rule == rule]
        left = [stage for stage in of_rule if stage.to_do]
        lines = [stage.folder + (f" ({stage.why})" if stage.why else "") for stage in left]
        if len(lines) > FIRST + 1:
            reasons = Counter(stage.why for stage in left[FIRST:] if stage.why)
            why = "".join(f", {count} of them: {reason}" for reason, count in reasons.items())
            lines[FIRST:] = [f"and {len(left) - FIRST} more{why}"]
        table.add_row(rule, f"{len(of_rule) - len(left)} of {len(of_rule)}", Text("\n".join(lines)))
    return table


def execute(
    data: Path,
    config: dict[str, Any],
    stages: Sequence[Stage],
    arguments: Sequence[str],
    verbose: bool = False,
    held: int | None = None,
) -> int:
    """Run what is to do; returns 0, 1 if a stage or Snakemake failed, 130 if interrupted.

    Args:
        held: the descriptor of the lock on `data`, which outlives this process until nothing works there any more.
    """
    if not any(stage.to_do for stage in stages) and not arguments:
        return 0
    console = new_console()
    signals = _Signals()
    watch = _Watch(console, data, sum(stage.to_do for stage in stages), verbose, signals)
    live = Live(
        console=console, get_renderable=watch.at_work, refresh_per_second=2, transient=True,
        redirect_stdout=False, redirect_stderr=False,
    )  # fmt: skip
    with guarded(held) as group, signals.taken(), live if console.is_terminal else nullcontext():
        signals.group = group
        process = subprocess.Popen(
            _command(data, config, arguments, verbose), env=_environment(),
            stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, errors="replace", process_group=group,
        )  # fmt: skip
        try:
            signals.send_again()
            assert process.stderr is not None
            for line in _lines(process.stderr):
                watch.see(line.rstrip("\n"))
        finally:
            if sys.exc_info()[0] is not None:
                signals.send(signal.SIGTERM)
            status = process.wait()
            signals.group = None
    if signals.received:
        _error(f"interrupted ({signals.received[0].name}); the same command goes on from what is done")
        return 130
    if status < 0:
        _error(f"snakemake: was killed by {signal.Signals(-status).name}; the same command goes on from what is done")
    elif status and not watch.failed:
        _error(f"snakemake: {watch.tail()}; check what follows '--' on the command line, or use -v to see it all")
    return 1 if status else 0


def _lines(stream: IO[str]) -> Iterator[str]:
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


def show_results(results: Sequence[Mapping[str, Any]], report: Path) -> None:
    """Print top-1 accuracies (mean ± standard deviation over seeds), and where the report is.

    Args:
        results: as `pipeline.results` gives them.
    """
    console = new_console()
    console.print("\nTop-1 accuracy on the test clips, %")
    splits = list(dict.fromkeys(row["split"] for row in results))
    if len(_columns(results)) <= WIDE:
        console.print(_accuracies(results, len(splits) > 1))
    else:
        for split in splits:
            console.print(Text(split, style="bold"), _accuracies([r for r in results if r["split"] == split]), sep="\n")
    classes = {m.get("classes_present", m["classes"]) for row in results for m in row["metrics"]}
    if len(classes) == 1:
        console.print(f"Chance is {100 / classes.pop():.1f} %.")
    page = next(iter(sorted(report.glob("*.html"))), report)
    console.print(f"Report: {_short(page)}", soft_wrap=True, highlight=False, markup=False)


def _columns(results: Sequence[Mapping[str, Any]]) -> list[tuple[str, str]]:
    """(split, protocol), in the order in which they come; all protocols of a split stand together."""
    found = dict.fromkeys((row["split"], p) for row in results for m in row["metrics"] for p in m["protocols"])
    splits = list(dict.fromkeys(split for split, _ in found))
    return sorted(found, key=lambda column: splits.index(column[0]))


def _accuracies(results: Sequence[Mapping[str, Any]], name_splits: bool = False) -> Table:
    """A row per experiment, number of epochs (told only where one experiment has several) and stream."""
    columns = _columns(results)
    rows: dict[tuple[str, int, str], dict[tuple[str, str], list[float]]] = {}
    for row in results:
        cells = rows.setdefault((row["experiment"], row["epochs"], row["stream"]), {})
        for metrics in row["metrics"]:
            for protocol, values in metrics["protocols"].items():
                cells.setdefault((row["split"], protocol), []).append(values["top1"])
    several = len({(experiment, epochs) for experiment, epochs, _ in rows}) > len({row[0] for row in rows})
    table = _table("recipe", *(["epochs"] if several else []), "stream")
    for split, protocol in columns:
        table.add_column(f"{split}\n{protocol}" if name_splits else protocol, header_style="dim", justify="right")
    for (experiment, epochs, stream), cells in rows.items():
        head = [experiment, *([str(epochs)] if several else []), stream]
        table.add_row(*map(Text, head), *(_percent(cells.get(column, [])) for column in columns))
    return table


class _Watch:
    """Follows what Snakemake writes on stderr and says what matters of it."""

    def __init__(self, console: Console, data: Path, total: int, verbose: bool, signals: _Signals) -> None:
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
            age = _clock(time.monotonic() - job.started)
            self._say(f"      done in {age}, {job.label}" + (f": {words}" if words else ""))

    def _fail(self, jobid: str) -> None:
        job = self.jobs.pop(jobid, None)
        if job is None or self.signals.received:
            return
        self.failed.append(job.label)
        words = job.last_words(self.data).removeprefix("skelpipe: ")
        log = job.facts.get("log", "").partition(" (")[0]
        _error(f"{job.label} failed: {words or 'it said nothing'}")
        _error(f"its log is {_short(self.data / log)}; to try it alone:")
        print(f"  cd {shlex.quote(_short(self.data))} && {printable(job.plain_command)}", file=sys.stderr)

    def _say(self, text: str) -> None:
        self.console.print(text, soft_wrap=True, highlight=False, markup=False)

    def at_work(self) -> RenderableType:
        """One line per running stage: its age and the last line of its log."""
        lines = [
            f"  {_clock(time.monotonic() - job.started)} {job.label}: {job.last_words(self.data)}"
            for job in list(self.jobs.values())
        ]
        return Text("\n".join(lines), style="dim", no_wrap=True, overflow="ellipsis")

    def tail(self) -> str:
        """The last thing that Snakemake said."""
        return self._seen[-1] if self._seen else "it gave no reason"


def _outputs(config: Mapping[str, Any]) -> list[str]:
    """Every stage's declared output, in the order in which a person thinks of them: data, then recipe by recipe."""
    trained = [folder for kind in ("runs", "evaluations", "fusions") for folder in config[kind]]
    recipes = list(dict.fromkeys(_recipe_folder(folder) for folder in trained))
    trained.sort(key=lambda folder: recipes.index(_recipe_folder(folder)))
    data = [folder for kind in DATA for folder in config[kind]]
    return [f"{folder}/{DONE}" for folder in [*data, *trained, *config["reports"]]]


def _recipe_folder(folder: str) -> str:
    """What all stages of one recipe on one split have in common: runs/<clips>/<split>/<recipe>."""
    return folder.rsplit("/", 2)[0]


def _stage(data: Path, rule: str, output: str, status: str, planned: str) -> Stage:
    folder = output.removesuffix(f"/{DONE}")
    to_do = planned != "no update"
    why = WHY.get(status, status)
    if to_do and rule == "pretrain" and (data / folder / "checkpoint.pt").is_file() and status == "missing":
        why = "goes on from its checkpoint"
    return Stage(rule, folder, to_do, why if to_do else "")


def _command(data: Path, config: dict[str, Any], arguments: Sequence[str], verbose: bool = False) -> list[str]:
    """The command line of Snakemake; what the user adds comes last and so wins."""
    plan = data / AREA / f"skelpipe-{config['pipeline']}.json"
    plan.parent.mkdir(parents=True, exist_ok=True)
    write_json(plan, {"command": [sys.executable, "-m", "skelpipe", *(["-v"] if verbose else [])], **config})
    given = {argument.partition("=")[0] for argument in arguments}
    mine = []
    if given.isdisjoint({"-c", "--cores", "-j", "--jobs", "-e", "--executor", "--profile"}):
        mine += ["--cores", "all"]
    if given.isdisjoint({"--resources", "--res"}):
        mine += ["--resources", f"gpu={config['slots']}"]
    base = ["--snakefile", str(shipped("pipelines") / "Snakefile"), "--directory", str(data), "--configfile", str(plan)]
    return [sys.executable, "-m", "snakemake", *base, *mine, *FIXED, *arguments]


def _environment() -> dict[str, str]:
    """The stages must import this very package, also when it runs from a checkout without being installed."""
    package = Path(skelpipe.__file__).resolve().parent.parent
    if not (package / "pyproject.toml").is_file():
        return dict(os.environ)
    paths = [str(package), *filter(None, [os.environ.get("PYTHONPATH")])]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}


class _Signals:
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


def _table(*headings: str) -> Table:
    table = Table(box=None, pad_edge=False)
    for heading in headings:
        table.add_column(Text(heading), header_style="dim", overflow="fold")
    return table


def new_console() -> Console:
    """A console for standard output, wide where there is no terminal."""
    console = Console()
    # A table in a file or a pipe is not cut to the 80 columns of a terminal that is not there.
    return console if console.is_terminal else Console(width=160, highlight=False)


def _error(text: str) -> None:
    print(printable(f"skelpipe: {text}"), file=sys.stderr)


def _percent(values: Sequence[float]) -> str:
    if not values:
        return ""
    spread = f" ± {100 * stdev(values):.1f}" if len(values) > 1 else ""
    return f"{100 * mean(values):.1f}{spread}"


def _clock(seconds: float) -> str:
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes}:{seconds:02}"


def _short(path: Path) -> str:
    """The path as seen from the current folder, if it lies in it."""
    return printable(str(path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path))
