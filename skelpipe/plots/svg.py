"""Line charts as SVG that needs no script: axes, lines with their markers, and bars of one standard deviation.

A page's own script may read the panel's scales and points to show values and hide lines; colours, dashes and widths are
those of the page's style sheet, by the classes `s0` to `s6`. The marker of a line repeats what its colour says.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import Any

WIDTH, HEIGHT = 380, 220
LEFT, RIGHT, TOP, BOTTOM = 50, 370, 10, 190
COLOURS = 7
MARKS = 5  # on a line of many points
# Paths round the origin, about 7 units across.
SHAPES = (
    "M-3 0a3 3 0 1 0 6 0a3 3 0 1 0 -6 0", "M-3 -3h6v6h-6z", "M0 -4l4 7h-8z", "M0 -4l4 4l-4 4l-4 -4z",
    "M0 4l4 -7h-8z", "M-1 -4h2v3h3v2h-3v3h-2v-3h-3v-2h3z", "M-4 -2.5l1.5 -1.5l2.5 2.5l2.5 -2.5l1.5 1.5l-2.5 2.5l2.5 2.5"
    "l-1.5 1.5l-2.5 -2.5l-2.5 2.5l-1.5 -1.5l2.5 -2.5z",
)  # fmt: skip

Point = tuple[float, float, float | None]


def line_class(order: int) -> str:
    """The classes of the line at that place: its colour, and its dashes from the eighth on."""
    return f"line s{order % COLOURS} d{order // COLOURS % 3}"


def sample(order: int) -> str:
    """A piece of a line with its marker, for a legend."""
    return (
        f'<svg class="sample" viewBox="0 0 30 12" aria-hidden="true"><g class="{line_class(order)}">'
        f'<path d="M1 6H29"/><path class="mark" transform="translate(15 6)" d="{SHAPES[order % COLOURS]}"/></g></svg>'
    )


def scales(panel: Mapping[str, Any]) -> dict[str, list[float]]:
    """What a panel's axes span: {x, y}, each [low, high, 1 if logarithmic else 0].

    Args:
        panel: {title, x, log_x, log_y, lines}; a line {order, points}, a point (x, y, standard deviation or None).
    """
    points = [point for line in panel["lines"] for point in line["points"]]
    xs = [x for x, _, _ in points]
    ys = [y + side * (std or 0) for _, y, std in points for side in (-1, 1)]
    if panel["log_y"]:
        low, high = min(ys), max(ys)
        low, high = (low / 1.1, high * 1.1) if low == high else (low, high)
    else:
        low, high = min(ys), max(ys)
        air = 0.06 * (high - low) or 0.5 * abs(high) or 0.5
        low, high = (0.0 if 0 <= low < air else low - air), high + air
    left, right = min(xs), max(xs)
    if left == right:
        left, right = (left / 2, right * 2) if panel["log_x"] else (left - 0.5, right + 0.5)
    return {"x": [left, right, int(panel["log_x"])], "y": [low, high, int(panel["log_y"])]}


def place(value: float, scale: Sequence[float], low: float, high: float) -> float:
    """Where a value lies between two ends of the drawing."""
    first, last, logarithmic = scale
    if logarithmic:
        value, first, last = math.log(value), math.log(first), math.log(last)
    return low + (high - low) * (value - first) / (last - first)


def line_panel(panel: Mapping[str, Any]) -> str:
    """One panel as SVG; `panel` as for `scales`."""
    spans = scales(panel)
    parts = [
        f'<svg class="panel" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(_told(panel), quote=True)}">'
    ]
    parts += _axes(panel, spans)
    for line in panel["lines"]:
        parts.append(f'<g class="{line_class(line["order"])}" data-line="{line["order"]}">')
        spots = [
            (place(x, spans["x"], LEFT, RIGHT), place(y, spans["y"], BOTTOM, TOP), y, std)
            for x, y, std in line["points"]
        ]
        parts.append('<path d="M' + "L".join(f"{x:.1f} {y:.1f}" for x, y, *_ in spots) + '"/>')
        for x, _, y, std in spots:
            if std:
                ends = [place(y + side * std, spans["y"], BOTTOM, TOP) for side in (-1, 1)]
                parts.append(f'<path class="std" d="M{x:.1f} {ends[0]:.1f}V{ends[1]:.1f}"/>')
        shape = SHAPES[line["order"] % COLOURS]
        for x, y, *_ in _some(spots, line["order"]):
            parts.append(f'<path class="mark" transform="translate({x:.1f} {y:.1f})" d="{shape}"/>')
        parts.append("</g>")
    return "".join([*parts, "</svg>"])


def _told(panel: Mapping[str, Any]) -> str:
    count = len(panel["lines"])
    return f"{panel['title']} against {panel['x']}, {count} line{'s' if count > 1 else ''}"


def _some(spots: Sequence[tuple[Any, ...]], order: int) -> list[tuple[Any, ...]]:
    """The points that get a marker: all of a few, else some, not the same for every line."""
    if len(spots) <= 2 * MARKS:
        return list(spots)
    step = len(spots) / MARKS
    return [spots[int(step * (k + (0.2 + 0.11 * (order % COLOURS))))] for k in range(MARKS)]


def _axes(panel: Mapping[str, Any], spans: Mapping[str, Sequence[float]]) -> Iterable[str]:
    (left, right, _), (bottom, top, _) = spans["x"], spans["y"]
    yield '<g class="axes">'
    for value in _log_ticks(bottom, top) if panel["log_y"] else _ticks(bottom, top):
        y = place(value, spans["y"], BOTTOM, TOP)
        yield f'<path d="M{LEFT} {y:.1f}H{RIGHT}"/>'
        yield f'<text class="y" x="{LEFT - 6}" y="{y + 4:.1f}">{value:g}</text>'
    values = sorted({x for line in panel["lines"] for x, *_ in line["points"]})
    given = panel["log_x"] or len(values) <= 6
    for value in _thinned(values) if given else _ticks(left, right, whole=True):
        x = place(value, spans["x"], LEFT, RIGHT)
        yield f'<text class="x" x="{x:.1f}" y="{BOTTOM + 15}">{value:g}</text>'
    yield f'<text class="x" x="{(LEFT + RIGHT) / 2}" y="{HEIGHT - 2}">{escape(str(panel["x"]))}</text></g>'


def _thinned(values: Sequence[float]) -> Sequence[float]:
    return values[:: -(-len(values) // 7)]


def _ticks(low: float, high: float, whole: bool = False) -> list[float]:
    """Round values between two ends, four to seven of them."""
    raw = (high - low) / 5
    size = 10 ** math.floor(math.log10(raw))
    step = next(size * k for k in (1, 2, 5, 10) if size * k >= raw)
    step = max(1.0, step) if whole else step
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [round(k * step, 10) for k in range(first, last + 1)]


def _log_ticks(low: float, high: float) -> list[float]:
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    found = [float(f"{k}e{p}") for p in powers for k in (1, 2, 5) if low <= float(f"{k}e{p}") <= high]
    whole = [value for value in found if f"{value:e}".startswith("1")]
    return whole if len(whole) > 2 else found or [low, high]
