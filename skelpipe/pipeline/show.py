"""A plan and its accuracies as tables for a terminal."""

from __future__ import annotations

import shlex
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import mean, stdev
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from skelpipe.errors import BadInput, printable
from skelpipe.paper.systems import SYSTEMS

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


def show_plan(
    title: str,
    stages: Sequence[Stage],
    data: Path,
    verbose: bool = False,
    lacking: Sequence[BadInput] = (),
    missing: Sequence[str] = (),
    listed: bool = True,
) -> None:
    """Print which stages are done: one by one, or counted by kind if they are many and it is not `verbose`.

    Args:
        listed: or only how many, where what is done next is told of each of them.
        lacking: what has to be there before it can run.
        missing: systems of the paper that are left out, as they have no recipe yet.
    """
    console = new_console()
    summary = listed and len(stages) > LONG and not verbose
    console.print(Text(printable(title), style="bold"))
    if listed:
        console.print(_summary(stages) if summary else _listing(stages, data))
    left = sum(stage.to_do for stage in stages)
    more = " 'skelpipe -v run' lists them all." if summary else ""
    text = f"{len(stages) - left} of {len(stages)} stages are done, {left} to do." if left else "All is done."
    console.print(text + more + "\n")
    for problem in lacking:
        console.print(f"Before it can run: {problem}", soft_wrap=True, highlight=False, markup=False)
    show_missing(missing)


def show_missing(systems: Sequence[str]) -> None:
    """Print which systems of the paper have no recipe yet, if any."""
    if systems:
        titles = ", ".join(SYSTEMS[name].title for name in systems)
        new_console().print(f"No recipe yet: {titles}.", soft_wrap=True, highlight=False, markup=False)


def _listing(stages: Sequence[Stage], data: Path) -> Table:
    table = _table("stage", f"output in {short_path(data)}", "state")
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


def show_results(results: Sequence[Mapping[str, Any]], report: Path) -> None:
    """Print top-1 accuracies (mean ± standard deviation over seeds and folds), and where the report is.

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
    console.print(f"Report: {short_path(page)}", soft_wrap=True, highlight=False, markup=False)


def show_prediction(teller: Path | None) -> None:
    """Print the command that tells the classes of other recordings, where something has been kept that does."""
    if teller is not None:
        words = f"skelpipe predict {shlex.quote(short_path(teller))} RECORDINGS"
        new_console().print(f"Classes of other recordings: {words}", soft_wrap=True, highlight=False, markup=False)


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
        title = Text(f"{split}\n{protocol}" if name_splits else protocol)
        table.add_column(title, header_style="dim", justify="right")
    for (experiment, epochs, stream), cells in rows.items():
        head = [experiment, *([str(epochs)] if several else []), stream]
        table.add_row(*map(Text, head), *(_percent(cells.get(column, [])) for column in columns))
    return table


def recipe_folder(folder: str) -> str:
    """What all stages of one recipe on one split have in common: runs/<clips>/<split>/<recipe>."""
    return folder.rsplit("/", 2)[0]


def _table(*headings: str) -> Table:
    table = Table(box=None, pad_edge=False)
    for heading in headings:
        table.add_column(Text(heading), header_style="dim", overflow="fold")
    return table


def new_console() -> Console:
    console = Console(emoji=False)  # or a split by ":camera:" is shown as one
    # A table in a file or a pipe is not cut to the 80 columns of a terminal that is not there.
    return console if console.is_terminal else Console(width=160, highlight=False, emoji=False)


def is_live() -> bool:
    """Whether a table on stdout can be drawn again and again."""
    return sys.stdout.isatty() and not Console().is_dumb_terminal


def complain(text: str) -> None:
    print(printable(f"skelpipe: {text}"), file=sys.stderr)


def _percent(values: Sequence[float]) -> str:
    if not values:
        return ""
    spread = f" ± {100 * stdev(values):.1f}" if len(values) > 1 else ""
    return f"{100 * mean(values):.1f}{spread}"


def clock(seconds: float) -> str:
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes}:{seconds:02}"


def short_path(path: Path) -> str:
    """The path as seen from the current folder, if it lies in it."""
    return printable(str(path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path))
