"""Predictions of windows over time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib import rc_context
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.ticker import FuncFormatter, MaxNLocator

from skelpipe.plots.confusion import short
from skelpipe.plots.style import BLACK, GREY, STYLE, TEN_COLOURS, new_figure

Floats = npt.NDArray[np.floating[Any]]
Ints = npt.NDArray[np.integer[Any]]

ROWS, PANELS = 12, 8  # at most: of a panel, persons
COLUMNS = 1200  # of the tint
COLOURS = tuple(colour for colour in TEN_COLOURS if colour not in (BLACK, "#8c8c8c"))
OTHER, NONE = "#8c8c8c", "#c4c4c4"
LONGEST = 34  # letters of a class
LETTERS = 13.5  # of small print on an inch, with a margin
NARROW = 18  # of running text in small print
TITLE = 11  # of a title
STEPS = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 21600, 43200, 86400)  # seconds
TICKS = 9
HEADING = 0.3  # inches
FEW = 300  # windows whose confidence is drawn one by one


@dataclass(frozen=True)
class _Cells:
    """The windows of one person, each with the time in which no other's centre is nearer.

    Attributes:
        left, right: (N,) frames.
        row: (N,) of the likeliest class.
        probability: (N, rows) of the rows' classes, of several the largest.
        top: (N,) of the likeliest class alone.
    """

    left: Floats
    right: Floats
    row: Ints
    probability: Floats
    top: Floats


@dataclass(frozen=True)
class _Rows:
    """What the rows of all panels stand for: names, colours, and of each class its row, -1 without one.

    The first `single` are a class each, then may come the other classes, and `of_none` is that of none of these.
    """

    names: list[str]
    colours: list[str]
    of_class: Ints
    single: int
    of_none: int


def timeline_figure(
    start: Ints,
    stop: Ints,
    probability: Floats,
    names: Sequence[str],
    *,
    fps: float | None = None,
    title: str = "",
    truth: Sequence[tuple[float, float, str | int]] | None = None,
    none: npt.NDArray[np.bool_] | None = None,
    called: str = "none",
    person: Sequence[Any] | npt.NDArray[Any] | None = None,
) -> Figure:
    """Draw which class is the likeliest over time, how likely it is, and how likely the other classes are.

    A point in time belongs to the window whose centre is the nearest. Classes that are the likeliest somewhere have a
    row each, in the order in which they appear; where they are more than 12, those of the least time share one.

    Args:
        start: (N,) first frame of each window.
        stop: (N,) the frame behind its last.
        probability: (N, K) of the classes.
        names: of the K classes.
        fps: frames per second; the axis is in frames without.
        title: printed above.
        truth: spans of frames (start, stop, class), a class by name or number, drawn in a row of their own.
        none: (N,) windows that are none of the classes.
        called: the name of the row of these.
        person: (N,) whose windows they are: a panel each.
    """
    begin, end = np.asarray(start, np.float64), np.asarray(stop, np.float64)
    probability = np.asarray(probability, np.float64).reshape(len(start), len(names))
    nothing = np.zeros(len(start), bool) if none is None else np.asarray(none, bool)
    people = np.zeros(len(start), int) if person is None else np.asarray(person)
    known = list(dict.fromkeys(people.tolist()))
    rows = _rows(begin, end, probability, names, nothing, called)
    shown = known[:PANELS]
    with rc_context(STYLE):
        width = 9.0 if len(start) <= 200 else 12.0
        drawn = max(1, len(shown))
        heights = [0.26] * (truth is not None) + [0.3 * max(1, len(rows.names)), 0.62] * drawn
        figure = new_figure(width, sum(heights) + 0.55 * drawn + 0.75)
        panels = figure.subplots(len(heights), 1, sharex=True, squeeze=False, height_ratios=heights)[:, 0]
        ends = (0.0, 1.0) if not len(begin) else (float(begin.min()), float(end.max()))
        if truth:
            ends = min(ends[0], *(span[0] for span in truth)), max(ends[1], *(span[1] for span in truth))
        if truth is not None:
            _truth(panels[0], truth, names, rows, (ends[1] - ends[0]) / width)
        for n in range(drawn):
            upper, lower = panels[len(panels) - 2 * drawn + 2 * n :][:2]
            mine = people == shown[n] if shown else np.zeros(0, bool)
            order = np.flatnonzero(mine)[np.argsort(begin[mine] + end[mine], kind="stable")]
            cells = _cells(begin[order], end[order], probability[order], nothing[order], rows)
            _panel(upper, cells, rows, ends, width)
            _confidence(lower, cells, rows)
            if len(known) > 1:
                upper.set_title(f"person {short(str(shown[n]), 40)}", fontsize=8.5, color="#333333")
        _heading(figure, title, len(known) - len(shown))
        _time_axis(panels[-1], ends, fps)
        return figure


def _rows(
    start: Floats, stop: Floats, probability: Floats, names: Sequence[str], none: npt.NDArray[np.bool_], called: str
) -> _Rows:
    top = probability.argmax(axis=1) if len(start) else np.zeros(0, int)
    first = np.argsort(start, kind="stable")
    appear = list(dict.fromkeys(top[first][~none[first]].tolist()))
    lasting = np.bincount(top[~none], (stop - start)[~none], len(names))
    kept = sorted(appear, key=lambda each: -lasting[each])[: ROWS - 1] if len(appear) > ROWS else appear
    kept = [each for each in appear if each in set(kept)]
    of_class = np.full(len(names), -1)
    of_class[appear] = len(kept)
    of_class[kept] = np.arange(len(kept))
    labels = [short(names[each], LONGEST) for each in kept]
    colours = [COLOURS[n % len(COLOURS)] for n in range(len(kept))]
    if left := len(appear) - len(kept):
        labels, colours = [*labels, f"{left} other classes"], [*colours, OTHER]
    of_none = len(labels)
    if none.any():
        labels, colours = [*labels, called], [*colours, NONE]
    return _Rows(labels, colours, of_class, len(kept), of_none)


def _cells(start: Floats, stop: Floats, probability: Floats, none: npt.NDArray[np.bool_], rows: _Rows) -> _Cells:
    """Windows in order of their centres."""
    left, right = start.copy(), stop.copy()
    centre = (start + stop) / 2
    overlap = stop[:-1] > start[1:]
    middle = (centre[:-1] + centre[1:]) / 2
    right[:-1][overlap] = middle[overlap]
    left[1:][overlap] = middle[overlap]
    top = probability.argmax(axis=1) if len(start) else np.zeros(0, int)
    row = np.where(none, rows.of_none, rows.of_class[top])
    kept = np.zeros((len(start), len(rows.names)))
    for each, place in enumerate(rows.of_class.tolist()):
        if place >= 0:
            kept[:, place] = np.maximum(kept[:, place], probability[:, each])
    return _Cells(left, right, row, kept, probability.max(axis=1) if len(start) else np.zeros(0))


def _spans(cells: _Cells) -> tuple[Floats, Floats, Ints, Floats]:
    """Neighbours of one row joined: (left, right, row, mean probability of the likeliest class)."""
    if not len(cells.left):
        return cells.left, cells.right, cells.row, cells.top
    same = (cells.row[1:] == cells.row[:-1]) & (cells.left[1:] <= cells.right[:-1])
    begin = np.flatnonzero(np.concatenate([[True], ~same]))
    end = np.concatenate([begin[1:], [len(cells.row)]])
    mean = np.add.reduceat(cells.top, begin) / (end - begin)
    return cells.left[begin], cells.right[end - 1], cells.row[begin], mean


def _panel(axes: Any, cells: _Cells, rows: _Rows, ends: tuple[float, float], width: float) -> None:
    """The spans of the likeliest classes over the tint of the rows' probabilities."""
    count, (first, last) = len(rows.names), ends
    axes.set(ylim=(max(count, 1) - 0.5, -0.5), xlim=ends)
    axes.set_yticks(range(count), rows.names, fontsize=8)
    axes.tick_params(axis="both", length=0)
    for place in range(1, count):
        axes.axhline(place - 0.5, color="#ececec", linewidth=0.6, zorder=0.5)
    axes.spines[:].set_visible(False)
    axes.tick_params(labelbottom=False)
    if not len(cells.left):
        axes.text(0.5, 0.5, "no windows", transform=axes.transAxes, ha="center", va="center", color=GREY)
        return
    tint = _tint(cells, rows, ends)
    axes.imshow(tint, extent=(first, last, count - 0.5, -0.5), aspect="auto", interpolation="nearest", zorder=1)
    left, right, row, mean = _spans(cells)
    inch = (last - first) / (0.78 * width)
    thin = np.maximum(right - left, 0.012 * inch)  # what lasts shorter is still seen
    for place in np.unique(row).tolist():
        mine = row == place
        axes.broken_barh(
            np.stack([left[mine], thin[mine]], axis=1).tolist(), (place - 0.3, 0.6), facecolor=rows.colours[place],
            hatch="////" if place == rows.of_none else None, edgecolor="white", linewidth=0, zorder=2,
        )  # fmt: skip
    for a, b, place, value in zip(left, right, row, mean, strict=True):
        if b - a > 0.42 * inch and len(left) <= FEW and place < rows.single:
            axes.text((a + b) / 2, place, f"{100 * value:.0f}%", ha="center", va="center", fontsize=7,
                      color=_ink(rows.colours[place]), zorder=3)  # fmt: skip


def _tint(cells: _Cells, rows: _Rows, ends: tuple[float, float]) -> Floats:
    """(rows, columns, 4): each row's colour, the denser the likelier; of a column the largest of its windows."""
    edges = np.linspace(*ends, COLUMNS + 1)
    centre = (edges[:-1] + edges[1:]) / 2
    cell = np.clip(np.searchsorted(cells.left, centre, "right") - 1, 0, None)
    inside = (centre >= cells.left[cell]) & (centre < cells.right[cell])
    share = np.where(inside[:, None], cells.probability[cell], 0)
    column = np.clip(np.searchsorted(edges, (cells.left + cells.right) / 2, "right") - 1, 0, COLUMNS - 1)
    np.maximum.at(share, column, cells.probability)
    made = np.empty((len(rows.names), COLUMNS, 4))
    made[..., :3] = np.array([to_rgb(colour) for colour in rows.colours])[:, None]
    made[..., 3] = 0.5 * np.clip(share.T, 0, 1)
    return made


def _confidence(axes: Any, cells: _Cells, rows: _Rows) -> None:
    """The probability of the likeliest class; of many windows also the range between the least and the largest."""
    axes.set(ylim=(0, 1.04))
    axes.set_yticks([0, 0.5, 1], ["0%", "confidence", "100%"], fontsize=7)
    axes.get_yticklabels()[1].set_fontsize(8)
    axes.grid(axis="y", color="#e4e4e4", linewidth=0.7)
    axes.set_axisbelow(True)
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)
    if len(cells.left) <= FEW:
        gap = np.append(cells.left[1:] > cells.right[:-1], True)
        x = np.stack([cells.left, cells.right, np.where(gap, cells.right, np.nan)], axis=1)
        y = np.stack([cells.top, cells.top, np.where(gap, np.nan, cells.top)], axis=1)
        keep = np.isfinite(x) | np.isnan(y)
        axes.plot(x[keep], y[keep], color="#333333", linewidth=1.2, solid_joinstyle="miter")
        axes.fill_between(x[keep], 0, y[keep], color="#333333", alpha=0.08, linewidth=0)
        return
    bins = min(FEW, len(cells.top) // 3)
    edges = np.linspace(cells.left[0], cells.right[-1], bins + 1)
    x = (edges[:-1] + edges[1:]) / 2
    place = np.clip(np.searchsorted(edges, (cells.left + cells.right) / 2, "right") - 1, 0, bins - 1)
    least, middle, most = np.full((3, bins), np.nan)
    for each in np.unique(place).tolist():
        some = cells.top[place == each]
        least[each], middle[each], most[each] = some.min(), np.median(some), some.max()
    axes.fill_between(x, least, most, color="#333333", alpha=0.18, linewidth=0)
    axes.plot(x, middle, color="#333333", linewidth=1.0)


def _truth(
    axes: Any, truth: Sequence[tuple[float, float, str | int]], names: Sequence[str], rows: _Rows, inch: float
) -> None:
    """Spans of labels, each in the colour of its class where that has a row."""
    axes.set(ylim=(0.5, -0.5))
    axes.set_yticks([0], ["labelled"], fontsize=8)
    axes.tick_params(axis="both", length=0, labelbottom=False)
    axes.spines[:].set_visible(False)
    for first, last, label in truth:
        number = label if isinstance(label, int) else names.index(label) if label in names else None
        place = int(rows.of_class[number]) if number is not None else -1
        colour = rows.colours[place] if place >= 0 else OTHER
        axes.broken_barh([(first, last - first)], (-0.36, 0.72), facecolor=colour, edgecolor="white", linewidth=0.6)
        most = int((last - first) / inch * 0.78 * LETTERS)
        if most >= 4:
            name = names[number] if number is not None else str(label)
            axes.text((first + last) / 2, 0, short(name, most), ha="center", va="center", fontsize=7,
                      color=_ink(colour), clip_on=True)  # fmt: skip


def _heading(figure: Figure, title: str, left: int) -> None:
    more = f" · {left} further persons are not drawn" if left else ""
    key = f"bars: the likeliest class, with its mean probability · tint: the probability of each{more}"
    room = int(TITLE * (figure.get_figwidth() - 0.3 - len(key) / NARROW))
    height = figure.get_figheight()
    y = 1 - 0.08 / height
    figure.text(0.012, y, short(title, max(room, 20)), ha="left", va="top", fontsize=10)
    figure.text(0.995, y - 0.02 / height, key, ha="right", va="top", fontsize=7, color=GREY)
    engine = figure.get_layout_engine()
    assert isinstance(engine, ConstrainedLayoutEngine)
    engine.set(rect=(0, 0, 1, 1 - HEADING / height), hspace=0.0, h_pad=0.03)


def _time_axis(axes: Any, ends: tuple[float, float], fps: float | None) -> None:
    axes.tick_params(axis="x", labelbottom=True)
    axes.set_xlim(ends)
    if fps is None:
        axes.xaxis.set_major_locator(MaxNLocator(TICKS, integer=True))
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
        axes.set_xlabel("frame")
        return
    first, last = ends[0] / fps, ends[1] / fps
    lasting = last - first
    step = next((each for each in STEPS if lasting / each <= TICKS), STEPS[-1])
    ticks = np.arange(np.ceil(first / step), last / step + 1e-9) * step
    if lasting < 3:
        ticks = np.array([tick for tick in MaxNLocator(TICKS).tick_values(first, last) if first <= tick <= last])
        axes.set_xticks(ticks * fps, [f"{tick:.4g}" for tick in ticks.tolist()])
        axes.set_xlabel("time (s)")
        return
    form, unit = (str, "s") if last < 180 else (_minutes, "min:s") if last < 7200 else (_hours, "h:min")
    axes.set_xticks(ticks * fps, [form(int(tick)) for tick in ticks])
    axes.set_xlabel(f"time ({unit})")


def _minutes(value: int) -> str:
    return f"{value // 60}:{value % 60:02}"


def _hours(value: int) -> str:
    return f"{value // 3600}:{value // 60 % 60:02}"


def _ink(colour: str) -> str:
    """White or nearly black, whichever stands out against a colour."""
    red, green, blue = to_rgb(colour)
    return "white" if 0.299 * red + 0.587 * green + 0.114 * blue < 0.55 else "#1a1a1a"
