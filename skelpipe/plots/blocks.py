"""Block diagrams as SVG text: what passes through what, in the classes of `drawings`."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

from skelpipe.plots.drawings import svg, text

WIDE, TALL, GAP, TURN = 132.0, 50.0, 26.0, 5


class Box(NamedTuple):
    """One box of a diagram.

    Attributes:
        title: what it is.
        under: a smaller line below that, and `note` between the two.
        kind: data, net or part, which are drawn apart.
        to: the titles in the next column that it leads to; None: all.
    """

    title: str
    under: str = ""
    note: str = ""
    kind: str = "part"
    to: tuple[str, ...] | None = None


def draw_blocks(columns: Sequence[Sequence[Box]], title: str, across: bool = False) -> str:
    """Boxes from left to right, those of a column below each other, and arrows between the columns.

    Args:
        across: every box of a column leads to every one of the next; otherwise columns have one box, and rows turn
            round after some of them, so that a long chain fits a page.
    """
    parts = [
        '<defs><marker id="end" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="6" markerHeight="6" orient="auto">'
        '<path class="tip" d="M0 0L8 4L0 8z"/></marker></defs>'
    ]
    if across:
        return _across(columns, parts, title)
    boxes = [column[0] for column in columns]
    rows = -(-len(boxes) // TURN)
    for place, box in enumerate(boxes):
        row, at = divmod(place, TURN)
        x, y = at * (WIDE + GAP), row * (TALL + 34)
        parts += _box(box, x, y)
        if place + 1 == len(boxes):
            break
        if at + 1 < TURN:
            parts.append(_arrow(x + WIDE, y + TALL / 2, x + WIDE + GAP - 3, y + TALL / 2))
        else:  # round to the start of the next row
            middle = y + TALL + 17
            parts.append(
                f'<path class="wire" d="M{x + WIDE / 2:.0f} {y + TALL:.0f}V{middle:.0f}'
                f'H{WIDE / 2:.0f}V{middle + 14:.0f}" marker-end="url(#end)"/>'
            )
    width = min(len(boxes), TURN) * (WIDE + GAP) - GAP
    return svg(width + 2, rows * (TALL + 34) - 32, parts, title)


def _across(columns: Sequence[Sequence[Box]], parts: list[str], title: str) -> str:
    tallest = max(map(len, columns))
    height, step, gap = tallest * (TALL + 14) - 14, TALL + 14, 46.0
    places = []
    for number, column in enumerate(columns):
        first = (height - (len(column) * step - 14)) / 2
        places.append([(number * (WIDE + gap), first + row * step) for row in range(len(column))])
    for number, (ours, theirs) in enumerate(pairwise(places)):
        for box, (x, y) in zip(columns[number], ours, strict=True):
            for other, to in zip(columns[number + 1], theirs, strict=True):
                if box.to is None or other.title in box.to:
                    parts.append(_arrow(x + WIDE, y + TALL / 2, to[0] - 3, to[1] + TALL / 2))
    for column, spots in zip(columns, places, strict=True):
        for box, (x, y) in zip(column, spots, strict=True):
            parts += _box(box, x, y)
    return svg(len(columns) * (WIDE + gap) - gap + 2, height + 2, parts, title)


def _box(box: Box, x: float, y: float) -> list[str]:
    made = [
        f'<rect class="box {box.kind}" x="{x + 1:.0f}" y="{y + 1:.0f}" width="{WIDE - 2:.0f}"'
        f' height="{TALL - 2:.0f}" rx="7"/>'
    ]
    lines = [line for line in (box.title, box.note, box.under) if line]
    first = y + TALL / 2 + 4 - (len(lines) - 1) * 7.5
    for place, words in enumerate(lines):
        size, kind = (12.5, "text") if place == 0 else (11, "small")
        made.append(text(x + WIDE / 2, first + place * 15, words, size, kind=kind))
    return made


def _arrow(x: float, y: float, to_x: float, to_y: float) -> str:
    return f'<path class="wire" d="M{x:.0f} {y:.0f}L{to_x:.0f} {to_y:.0f}" marker-end="url(#end)"/>'
