"""How the stages of a run stand: state, time, progress and accuracy of each, as a table that fits a terminal."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console, ConsoleOptions, RenderResult
from rich.table import Table
from rich.text import Text

from skelpipe.errors import printable
from skelpipe.pipeline.progress import Trained, measured, trained
from skelpipe.pipeline.show import Stage, clock

WAITING, QUEUED, RUNNING, MADE, FAILED, REUSED, STOPPED = (
    "waiting", "queued", "running", "done", "failed", "reused", "stopped",
)  # fmt: skip
STYLES = {
    WAITING: "dim", QUEUED: "yellow", RUNNING: "bold cyan", MADE: "green", FAILED: "bold red", REUSED: "dim green",
    STOPPED: "yellow",
}  # fmt: skip
TRAINS, MEASURES = ("pretrain",), ("evaluate", "fuse")
BAR = 12  # characters of a bar of epochs, where there is room
AROUND = 4  # lines of a terminal that are not rows: headings, counts, a note, and where one types
STATE, TIME = max(map(len, STYLES)), len("0:00:00")


@dataclass
class Row:
    """A stage as it stands.

    Attributes:
        why: why it is to be made, or what it waits for.
        began: when it began to work, or to wait in a queue, by the clock of `time.monotonic`.
        took: how long it was at work.
        said: its last words, or why it failed.
    """

    rule: str
    folder: str
    name: str
    state: str
    why: str = ""
    began: float | None = None
    took: float | None = None
    said: str = ""
    order: int = 0  # of its last change


class Board:
    """The stages of a run in the order of its plan.

    Args:
        listen: gives the last words of the stage at work in a folder.
    """

    def __init__(self, data: Path, stages: Sequence[Stage], listen: Callable[[str], str] = lambda folder: "") -> None:
        self.data, self.listen = data, listen
        names = names_of([stage.folder for stage in stages])
        self.rows = {
            s.folder: Row(s.rule, s.folder, names[s.folder], WAITING if s.to_do else REUSED, s.why) for s in stages
        }
        self.note = ""
        self._began, self._ended, self._changes = time.monotonic(), 0.0, 0
        self._measured: dict[str, str] = {}

    def set(self, rule: str, folder: str, state: str, said: str = "") -> Row:
        """Note what has become of a stage; one that was not planned is added."""
        row = self.rows.setdefault(folder, Row(rule, folder, names_of([folder])[folder], WAITING))
        now = time.monotonic()
        self._changes += 1
        row.order = self._changes
        if state in (RUNNING, QUEUED):
            row.began, row.took, row.why = now, None, ""
        elif row.began is not None and row.took is None:
            row.took = now - row.began
        row.state, row.said = state, said
        self._measured.pop(folder, None)
        return row

    def stop(self) -> None:
        """Note that nothing is at work any more."""
        for row in self.rows.values():
            if row.state in (RUNNING, QUEUED):
                self.set(row.rule, row.folder, STOPPED, self.details(row)[-1])
        self._ended, self.note = time.monotonic(), ""

    def counts(self) -> Counter[str]:
        """How many stages are in each state."""
        return Counter(row.state for row in list(self.rows.values()))

    # What is told of a stage ---------------------------------------------------------------------------------------
    def details(self, row: Row) -> list[str]:
        """What is known of a stage beside its state, from the most to the least that can be said of it."""
        if row.state == RUNNING and row.rule in TRAINS:
            began = 0.0 if row.began is None else time.time() - (time.monotonic() - row.began)
            if found := trained(self.data / row.folder, began):
                return training_texts(found)
        if row.state == RUNNING:
            words = self.listen(row.folder)
            return [words.removeprefix(f"{row.folder}: ").removeprefix(f"{row.rule}: ")]
        if row.state in (MADE, REUSED) and row.rule in MEASURES:
            if row.folder not in self._measured:
                self._measured[row.folder] = measured(self.data / row.folder)
            if found_now := self._measured[row.folder]:
                return [found_now]
        return [row.said.removeprefix("finished, ") or row.why]

    def summary(self) -> str:
        """How many stages are in each state, and for how long they have been at work."""
        counts = self.counts()
        reused = f" ({counts[REUSED]} reused)" if counts[REUSED] else ""
        told = [f"{counts[MADE] + counts[REUSED]} of {len(self.rows)} stages done{reused}"]
        told += [f"{counts[state]} {state}" for state in (RUNNING, QUEUED, FAILED, STOPPED, WAITING) if counts[state]]
        return f"{', '.join(told)}; {clock((self._ended or time.monotonic()) - self._began)}"

    # As a table ----------------------------------------------------------------------------------------------------
    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        yield from self.fitted(options.max_width, console.size.height - AROUND)

    def fitted(self, width: int, height: int) -> Iterable[Table | Text]:
        """The table and the line below it, in so many columns and rows."""
        rows = list(self.rows.values())
        longest = max((len(row.name) for row in rows), default=0)
        rule = max((len(row.rule) for row in rows), default=0)
        room = width - rule - STATE - TIME - 4
        name = min(longest, max(12, room // 2))
        table = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0), header_style="dim", width=width)
        for title, size in (("stage", rule), ("", name), ("state", STATE)):
            table.add_column(title, width=size, no_wrap=True, overflow="ellipsis")
        table.add_column("time", width=TIME, no_wrap=True, justify="right")
        table.add_column("progress, top-1", ratio=1, no_wrap=True, overflow="ellipsis")
        shown = chosen(rows, max(3, height))
        left_out = [row for row in rows if row not in shown]
        _count(table, [row for row in left_out if row.state in (MADE, REUSED)])
        for row in shown:
            table.add_row(*self._cells(row, name, room - name))
        _count(table, [row for row in left_out if row.state not in (MADE, REUSED)])
        yield table
        for text in filter(None, (self.summary(), self.note)):
            yield Text(text, style="dim", no_wrap=True, overflow="ellipsis")

    def _cells(self, row: Row, name: int, room: int) -> list[Text]:
        took = row.took
        if took is None and row.began is not None:
            took = time.monotonic() - row.began
        texts = [printable(text) for text in self.details(row)]
        text = next((text for text in texts if len(text) <= room), texts[-1])
        soft = "dim" if row.state in (WAITING, REUSED) else ""
        told = "red" if row.state == FAILED else soft
        return [
            Text(row.rule, style=soft), Text(middle_out(printable(row.name), name), style=soft),
            Text(row.state, style=STYLES[row.state]),
            Text("" if took is None else clock(took), style=soft), Text(text, style=told),
        ]  # fmt: skip


def middle_out(name: str, width: int) -> str:
    """A name in so many columns: how it begins, and how it ends, which tells it from its neighbours."""
    if len(name) <= width:
        return name
    end = min(width - 1, max(width // 2, len(name) - name.find(" ")))
    return f"{name[: width - 1 - end]}…{name[len(name) - end :]}"


def training_texts(found: Trained) -> list[str]:
    """How far a pretraining has come, in fewer and fewer words."""
    epochs = f"epoch {found.epoch}/{found.epochs}"
    rate = f"{epochs}, {found.rate:,.0f} clips/s"
    left = f"{rate}, {clock(found.left)} left"
    full = round(BAR * found.share)
    return [f"{'━' * full}{'┄' * (BAR - full)} {left}", left, rate, epochs]


def chosen(rows: Sequence[Row], height: int) -> list[Row]:
    """The rows that are shown in so many lines: all in their order if they fit.

    Or else what was done last, what failed, what is at work and what comes next; what was done before and what comes
    after is counted in a line each.
    """
    if len(rows) <= height:
        return list(rows)
    room = height - 2
    failed = [row for row in rows if row.state in (FAILED, STOPPED)][:room]
    at_work = [row for state in (RUNNING, QUEUED) for row in rows if row.state == state][: room - len(failed)]
    done = sorted((row for row in rows if row.state == MADE), key=lambda row: row.order)
    coming = [row for row in rows if row.state == WAITING]
    room -= len(failed) + len(at_work)
    next_ones = min(len(coming), max(room // 3, room - len(done)))
    last_ones = min(len(done), room - next_ones)
    return [*done[len(done) - last_ones :], *failed, *at_work, *coming[:next_ones]]


def _count(table: Table, rows: Sequence[Row]) -> None:
    """A line for rows that are not shown, if there are some."""
    if counts := Counter(row.state for row in rows):
        told = ", ".join(f"{count} {state}" for state, count in counts.items())
        table.add_row(Text("…", style="dim"), None, None, None, Text(told, style="dim"))


def names_of(folders: Sequence[str]) -> dict[str, str]:
    """What each folder is called where it stands among these: no more than tells it apart.

    Of a folder below runs/ that is its recipe and stream, with seed, split, kind of clips, what was measured and what
    was changed in the recipe only where there are several.
    """
    found = {folder: folder.split("/") for folder in folders}
    trained_ones = {folder: parts for folder, parts in found.items() if parts[0] == "runs" and len(parts) == 6}
    seeds = {parts[4].rpartition("-s")[2] for parts in trained_ones.values()}
    splits = {parts[2] for parts in trained_ones.values()}
    changes = {parts[3].partition("+")[2] for parts in trained_ones.values()}
    kinds = Counter(tuple(parts[2:]) for parts in trained_ones.values())
    measures = Counter(tuple(parts[:5]) for parts in trained_ones.values() if parts[5] != "run")
    names = {folder: parts[-1] for folder, parts in found.items()}
    for folder, (_, clips, split, recipe, stream, what) in trained_ones.items():
        stream, _, seed = stream.rpartition("-s")
        shown = recipe.partition("+")[0] if len(changes) == 1 else recipe
        words = [shown, stream, *([f"s{seed}"] if len(seeds) > 1 else []), *([split] if len(splits) > 1 else [])]
        words += [clips] if kinds[split, recipe, f"{stream}-s{seed}", what] > 1 else []
        words += [what] if what != "run" and measures["runs", clips, split, recipe, f"{stream}-s{seed}"] > 1 else []
        names[folder] = " ".join(words)
    return names
