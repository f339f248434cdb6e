"""How objects show themselves in a terminal and in a notebook."""

from __future__ import annotations

import logging
import os
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from html import escape
from pathlib import Path
from typing import Any

from skelpipe.errors import printable
from skelpipe.outputs.again import Answer

ROWS, BEST, OCCURRING = 20, 3, 8  # of predictions: clips, classes of each, and classes that are counted
log = logging.getLogger(__name__)


def tell(lines: Iterable[str]) -> None:
    """Say what a command would say on stderr; by Python's rule warnings are shown even where no logging is set up."""
    for line in lines:
        log.warning("%s", printable(line))


def tell_there(answer: Answer, path: str | os.PathLike[str]) -> None:
    """Say so if an output was there, made of the same."""
    if answer.there:
        tell([f"{os.fspath(path)}: is there already, made of the same by the same settings; nothing was done"])


class Line:
    """How far something is, on stderr: one line that is written over on a terminal and in a notebook; else its end."""

    def __init__(self) -> None:
        self._live = self.live()
        self._said, self._when = "", 0.0

    @staticmethod
    def live() -> bool:
        """Whether a line can be written over."""
        return sys.stderr.isatty() or "ipykernel" in sys.modules

    def say(self, text: str, ended: bool) -> None:
        """Show a text in place of the last one; at an end the line is let be."""
        now = time.monotonic()
        if text == self._said or not (ended or (self._live and now - self._when > 0.1)):
            return
        before = f"\r{' ' * len(self._said)}\r" if self._live and self._said else ""
        sys.stderr.write(f"{before}{text}" + ("\n" if ended else ""))
        sys.stderr.flush()
        self._said, self._when = ("" if ended else text), now


def shown(progress: Any, verb: str) -> Callable[..., Any] | None:
    """What a function is to call with ([what,] done, in all, …): what was given, or for True one that shows a line."""
    if progress is not True:
        return progress or None
    line, ends = Line(), set[str]()

    def show(*news: Any) -> None:
        what, done, total = news[:3] if isinstance(news[0], str) else (verb, *news[:2])
        if what not in ends:
            line.say(f"{what}: {done:,} of {total:,}", done >= total)
        ends.update({what} if done >= total else ())

    return show


def counted(count: int, one: str, several: str) -> str:
    """ "1 class", "2 classes"."""
    return f"{count:,} {one if count == 1 else several}"


def as_text(kind: str, told: Mapping[str, str]) -> str:
    """A line with the kind, and one for each fact."""
    width = max(map(len, told))
    return "\n".join([f"<skelpipe {kind}>", *(f"  {key:{width}}  {printable(value)}" for key, value in told.items())])


def as_html(kind: str, told: Mapping[str, str]) -> str:
    """The same as a table; what files say is escaped."""
    rows = "".join(
        f'<tr><th style="text-align:left">{escape(key)}</th><td style="text-align:left">{escape(printable(value))}</td>'
        "</tr>"
        for key, value in told.items()
    )
    return f"<table><caption>{escape(kind)}</caption>{rows}</table>"


class Shown:
    """Shows itself in a terminal and in a notebook by what `_told` says of it."""

    def _told(self) -> Mapping[str, str]:
        raise NotImplementedError

    def __repr__(self) -> str:
        return as_text(type(self).__name__, self._told())

    def _repr_html_(self) -> str:
        return as_html(type(self).__name__, self._told())


class ShownFolder(Shown, os.PathLike[str]):
    """The same of a folder, which can be given wherever a path is asked for."""

    path: Path

    def __fspath__(self) -> str:
        return os.fspath(self.path)


def occurring(found: Any) -> dict[str, str]:
    """Of predictions: how many clips there are, and of which classes most."""
    names = found.names
    often = sorted(set(names), key=names.count, reverse=True)
    told = {"clips": f"{len(names):,}, told as {counted(len(often), 'class', 'classes')} of {len(found.classes):,}"}
    told |= {name: f"{names.count(name):,}" for name in often[:OCCURRING]}
    return told | ({} if len(often) <= OCCURRING else {"…": f"{len(often) - OCCURRING:,} more"})


def best_table(found: Any) -> str:
    """Of predictions: the most probable classes of the first clips, as a table."""
    lines = []
    for n in range(min(len(found), ROWS)):
        row = [float(value) for value in found.probability[n]]
        best = sorted(range(len(row)), key=row.__getitem__, reverse=True)[:BEST]
        cells = [f"{printable(found.classes[k])} {row[k]:.1%}" for k in best] if found.seen[n] else ["nobody is seen"]
        lines.append("".join(f'<td style="text-align:left">{escape(cell)}</td>' for cell in (str(n), *cells)))
    more = f"<caption>Predictions, {min(len(found), ROWS)} of {len(found):,} clips</caption>"
    return f"<table>{more}{''.join(f'<tr>{line}</tr>' for line in lines)}</table>"
