"""How far a command is, on stderr: a bar on a terminal, else a line now and then."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import click

SECONDS = 10.0  # between two lines


@contextmanager
def bar(verb: str, unit: str) -> Iterator[Callable[..., None]]:
    """A function to call with (done, in all): a bar on a terminal, else a line now and then, both on stderr."""
    if not sys.stderr.isatty():
        yield _now_and_then(lambda done, total, *more: f"{verb}: {done:,} of {total:,} {unit}")
        return
    from rich.progress import BarColumn, MofNCompleteColumn, ProgressColumn, TextColumn, TimeRemainingColumn
    from rich.text import Text

    class Rate(ProgressColumn):
        def render(self, task: Any) -> Text:
            return Text(f"{task.speed:,.0f} {unit}/s" if task.speed else "")

    with _live(
        TextColumn(verb, markup=False), BarColumn(), MofNCompleteColumn(), Rate(), TimeRemainingColumn()
    ) as live:
        task = live.add_task(verb, total=None)
        yield lambda done, total, *more: live.update(task, completed=done, total=total)


@contextmanager
def stages() -> Iterator[Callable[[str, int, int], None]]:
    """A function to call with (what, done, in all): a bar for each `what`, or a line now and then."""
    if not sys.stderr.isatty():
        yield _now_and_then(lambda what, done, total: f"{what}: {done:,} of {total:,}")
        return
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn

    with _live(TextColumn("{task.description}", markup=False), BarColumn(), MofNCompleteColumn()) as live:
        tasks: dict[str, Any] = {}

        def show(what: str, done: int, total: int) -> None:
            if what not in tasks:
                tasks[what] = live.add_task(what)
            live.update(tasks[what], completed=done, total=total)

        yield show


@contextmanager
def training(what: str) -> Iterator[Callable[[Mapping[str, Any]], None]]:
    """A function to call with {epoch, epochs, step, steps} and now and then {loss, clips_per_second}.

    Where a run's length is in steps, {iteration, iterations} are shown instead.
    """
    latest: dict[str, Any] = {}
    if not sys.stderr.isatty():
        tell = _now_and_then(lambda: _training_line(latest))

        def note(event: Mapping[str, Any]) -> None:
            latest.update(event)
            tell()

        yield note
        return
    from rich.progress import BarColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn

    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
    )
    with _live(*columns) as live:
        task = live.add_task(what, total=None)

        def show(event: Mapping[str, Any]) -> None:
            latest.update(event)
            done, total = _steps(event)
            live.update(task, description=_training_line(latest), completed=done, total=total)

        yield show


def _live(*columns: Any) -> Any:
    from rich.console import Console
    from rich.progress import Progress

    return Progress(*columns, console=Console(stderr=True), transient=True)


def _steps(event: Mapping[str, Any]) -> tuple[int, int]:
    if "iterations" in event:
        return event["iteration"], event["iterations"]
    return (event["epoch"] - 1) * event["steps"] + event["step"], event["epochs"] * event["steps"]


def _training_line(event: Mapping[str, Any]) -> str:
    if "iterations" in event:
        parts = [f"iteration {event['iteration']:,}/{event['iterations']:,}"]
    else:
        parts = [f"epoch {event['epoch']}/{event['epochs']}"]
    if event.get("loss") is not None:
        parts.append(f"loss {event['loss']:.3f}, {event['clips_per_second']:,.0f} clips/s")
    return ", ".join(parts)


def _now_and_then(line: Callable[..., str]) -> Callable[..., None]:
    last = time.monotonic()

    def say(*news: Any) -> None:
        nonlocal last
        if time.monotonic() - last >= SECONDS:
            last = time.monotonic()
            click.echo(line(*news), err=True)

    return say
