"""Drawings as SVG text for pages: a layout with its joints numbered, a graph's partition, rows of poses.

They hold no colours: a page says by its style sheet how the classes `left`, `right`, `middle`, `joint`, `arrow`,
`faint` and `box` look, so that one drawing suits a light and a dark page. Sides are told by dashes as well.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape

import numpy as np
import numpy.typing as npt

from skelpipe.layouts.base import Layout
from skelpipe.plots.standing import standing

Points = npt.NDArray[np.float64]
SCALE = 250.0  # of a layout's drawing, units a metre
TIP = (
    '<defs><marker id="tip" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="4" markerHeight="4"'
    ' orient="auto-start-reverse"><path class="tip" d="M0 0L8 4L0 8z"/></marker></defs>'
)
SHORTEST = 2.0  # units: arrows that are shorter say nothing
CLOSE = 0.09  # metres: joints nearer than that share a magnifier, where their numbers find no room


def svg(width: float, height: float, parts: Iterable[str], title: str) -> str:
    """An SVG element in a frame, as wide as its page lets it be; `title` is for who cannot see it."""
    least = min(width, max(300.0, 0.75 * width))  # smaller, words could not be read: a narrow page moves it sideways
    return (
        f'<div class="figure"><svg class="drawing" viewBox="0 0 {width:.0f} {height:.0f}" role="img"'
        f' style="max-width:{width:.0f}px;min-width:{least:.0f}px" xmlns="http://www.w3.org/2000/svg">'
        f"<title>{escape(title)}</title>{''.join(parts)}</svg></div>"
    )


def line(a: Points, b: Points, kind: str, width: float = 2.5, more: str = "") -> str:
    """A line from a to b (2,)."""
    return (
        f'<line class="{kind}" x1="{a[0]:.1f}" y1="{a[1]:.1f}" x2="{b[0]:.1f}" y2="{b[1]:.1f}"'
        f' stroke-width="{width:g}"{more}/>'
    )


def text(x: float, y: float, words: str, size: float = 12, anchor: str = "middle", kind: str = "text") -> str:
    """Words whose baseline is at y."""
    where = f'x="{x:.1f}" y="{y:.1f}" font-size="{size:g}" text-anchor="{anchor}"'
    return f'<text class="{kind}" {where}>{escape(words)}</text>'


def _dot(at: Points, radius: float, kind: str, name: str = "", more: str = "") -> str:
    inside = f"<title>{escape(name)}</title>" if name else ""
    return f'<circle class="{kind}" cx="{at[0]:.1f}" cy="{at[1]:.1f}" r="{radius:g}"{more}>{inside}</circle>'


def bones(layout: Layout, at: Points, width: float = 2.5) -> list[str]:
    """The bones of one body, whose joints lie at (V, 2) on the page: left first, so that right lies over it."""
    order = {"left": 0, "middle": 1, "right": 2}
    sides = layout.sides
    pairs = sorted(layout.edges, key=lambda pair: order[sides[pair[0]]])
    return [line(at[v], at[p], f"bone {sides[v]}", width + 0.7 * (v in layout.torso)) for v, p in pairs]


def on_page(
    points: npt.NDArray[np.floating], scale: float, left: float, top: float, low: Points, high: Points
) -> Points:
    """Coordinates x to the right, y up -> places on a page, whose corner (left, top) is (low[0], high[1])."""
    x, y = points[..., 0] - low[0], high[1] - points[..., 1]
    return np.stack([left + scale * x, top + scale * y], axis=-1)


def draw_layout(layout: Layout) -> str:
    """A standing person from the front with every joint's number; where they are too close, beside it and larger."""
    pose = standing(layout).astype(np.float64)[:, :2]
    low, high = pose.min(0), pose.max(0)
    margin = 30.0
    at = on_page(pose, SCALE, margin, margin, low, high)
    width, height = SCALE * (high - low) + 2 * margin
    taken = [(x - 4, y - 4, x + 4, y + 4) for x, y in at]
    numbers, without = _number(layout, at, taken, range(len(at)))
    parts = [*bones(layout, at), *_joints(layout, at), *numbers]
    groups = _groups(pose, without)
    right = width
    for place, group in enumerate(groups):
        made, (wide, tall) = _magnified(layout, pose, group, width + 20, 10 + place * 175)
        parts += made
        right, height = max(right, width + 30 + wide), max(height, 20 + place * 175 + tall)
    return svg(right, height, parts, f"The joints of {layout.name}, of a person who faces you")


def _joints(layout: Layout, at: Points, some: Iterable[int] | None = None) -> list[str]:
    chosen = range(len(at)) if some is None else some
    return [_dot(at[v], 3.6, f"joint {layout.sides[v]}", f"{v} {layout.joints[v]}") for v in chosen]


def _number(
    layout: Layout, at: Points, taken: list[tuple[float, float, float, float]], some: Iterable[int]
) -> tuple[list[str], list[int]]:
    """Numbers beside their joints where there is room, and the joints that found none."""
    made, without = [], []
    for v in some:
        wide = 7.0 * len(str(v))
        x, y = at[v]
        outward = 1 if x >= at[:, 0].mean() - 1e-6 else -1
        spots = [(outward * (7 + wide / 2), 4), (-outward * (7 + wide / 2), 4), (0, -8), (0, 17)]
        spots += [(dx * (5 + wide / 2), dy) for dy in (-7, 15) for dx in (outward, -outward)]
        for dx, dy in spots:
            box = (x + dx - wide / 2, y + dy - 10, x + dx + wide / 2, y + dy + 1)
            if not any(box[0] < b[2] and b[0] < box[2] and box[1] < b[3] and b[1] < box[3] for b in taken):
                taken.append(box)
                made.append(text(x + dx, y + dy, str(v), 12, kind="number"))
                break
        else:
            without.append(v)
    return made, without


def _groups(pose: Points, some: Sequence[int]) -> list[list[int]]:
    """Joints without a number, with all that are close to them, in groups that are close together."""
    groups: list[set[int]] = []
    for v in some:
        near = {w for w in range(len(pose)) if np.abs(pose[w] - pose[v]).max() < CLOSE}
        joined = [group for group in groups if group & near]
        groups = [group for group in groups if not group & near] + [near.union(*joined)]
    return [sorted(group) for group in groups]


def _magnified(
    layout: Layout, pose: Points, group: Sequence[int], left: float, top: float
) -> tuple[list[str], tuple[float, float]]:
    low, high = pose[group].min(0), pose[group].max(0)
    scale = min(1500.0, 110 / max(float((high - low)[1]), 0.02), 190 / max(float((high - low)[0]), 0.02))
    at = on_page(pose, scale, left + 30, top + 26, low, high)
    wide, tall = scale * (high - low) + (60, 52)
    inside = set(group)
    sides = layout.sides
    made = [f'<rect class="lens" x="{left:.0f}" y="{top:.0f}" width="{wide:.0f}" height="{tall:.0f}" rx="8"/>']
    made += [line(at[v], at[p], f"bone {sides[v]}") for v, p in layout.edges if v in inside and p in inside]
    made += _joints(layout, at, group)
    taken = [(x - 4, y - 4, x + 4, y + 4) for x, y in at[group]]
    numbers, _ = _number(layout, at, taken, group)
    return [*made, *numbers], (float(wide), float(tall))


def draw_partition(layout: Layout, matrices: npt.NDArray[np.floating], names: Sequence[str]) -> str:
    """A graph's matrices (K, V, V) side by side: an arrow from source to target, a ring for a joint itself."""
    pose = standing(layout).astype(np.float64)[:, :2]
    low, high = pose.min(0), pose.max(0)
    scale, margin = 150.0, 18.0
    wide, tall = scale * (high - low) + 2 * margin
    parts = [TIP]
    for k, (matrix, name) in enumerate(zip(matrices, names, strict=True)):
        at = on_page(pose, scale, margin + k * wide, margin + 22, low, high)
        parts.append(text(wide * (k + 0.5), 18, name, 13))
        parts += [line(at[v], at[p], "faint", 1) for v, p in layout.edges]
        for source, target in np.argwhere(matrix > 0):
            if source == target:
                parts.append(_dot(at[source], 5.5, "ring"))
                continue
            step = at[target] - at[source]
            unit = step / max(float(np.hypot(*step)), 1e-6)
            beside = np.array([-unit[1], unit[0]]) * 2.2  # both ways of a bone, beside each other
            shown = (at[source] + unit * 3 + beside, at[target] - unit * 3 + beside)
            parts.append(line(*shown, "arrow", 1.4, ' marker-end="url(#tip)"'))
        parts += [_dot(at[v], 2.2, "joint middle", layout.joints[v]) for v in range(len(pose))]
    return svg(wide * len(matrices), tall + 24, parts, f"{len(matrices)} parts of each joint's neighbourhood")


def draw_films(
    layout: Layout,
    rows: Sequence[tuple[str, npt.NDArray[np.floating]]],
    frames: int = 7,
    title: str = "",
    colours: Sequence[npt.NDArray[np.floating] | None] = (),
    arrows: Sequence[npt.NDArray[np.floating] | None] = (),
    height: float = 130,
) -> str:
    """Clips below each other, each as a row of poses at equal distances in time, from the front.

    Args:
        rows: what is written over each, and the clip (C, T, V, M); bodies of zeros are absent.
        colours: of the joints, (3, T, V, M) from 0 to 1, by rows; None or nothing draws them plainly.
        arrows: by rows, (C, T, V, M) what leads to each joint, drawn over a faint body; None: the body alone.
        height: of a row, in units of the drawing, where no clip is wider than it is high.
    """
    clips = [clip[: layout.coordinates].astype(np.float64) for _, clip in rows]
    if layout.coordinates == 2:  # y goes down in a picture
        clips = [clip * np.array([1, -1]).reshape(2, 1, 1, 1) for clip in clips]
    there = np.concatenate([clip.reshape(len(clip), -1)[:2, _seen(clip)] for clip in clips], axis=1)
    low, high = there.min(1), there.max(1)
    larger = height / 130
    scale = larger * min(130 / max(float((high - low)[1]), 1e-3), 110 / max(float((high - low)[0]), 1e-3))
    wide, tall = scale * (high - low) + (8, 34)
    parts = [TIP]
    for row, ((name, _), clip) in enumerate(zip(rows, clips, strict=True)):
        top = row * tall
        parts.append(text(4, top + 14, name, 13, "start"))
        shown = np.linspace(0, clip.shape[1] - 1, frames).round().astype(int)
        own = colours[row] if row < len(colours) else None
        steps = arrows[row] if row < len(arrows) else None
        for column, t in enumerate(shown):
            for m in range(clip.shape[3]):
                body = clip[:2, t, :, m].T
                if not body.any():
                    continue
                at = on_page(body, scale, 4 + column * wide, top + 24, low, high)
                if steps is not None:
                    vectors = scale * steps[:2, t, :, m].T * ((1, 1) if layout.coordinates == 2 else (1, -1))
                    parts += [line(at[v], at[p], "faint", 1.4 * larger) for v, p in layout.edges]
                    parts += _arrows(at - vectors, at)
                    continue
                parts += bones(layout, at, 1.8 * larger)
                if own is not None:
                    shades = np.clip(255 * own[:, t, :, m], 0, 255).astype(int).T
                    parts += [
                        _dot(p, 3.4 * larger, "tinted", more=f' style="fill:rgb({r},{g},{b})"')
                        for p, (r, g, b) in zip(at, shades, strict=True)
                    ]
    words = max(len(name) for name, _ in rows) * 7.2 + 8
    return svg(max(wide * frames, words), tall * len(rows), parts, title)


def _arrows(start: Points, end: Points) -> list[str]:
    """Arrows (V, 2) -> (V, 2), but those that lead nowhere."""
    far = np.hypot(*(end - start).T) > SHORTEST
    return [line(a, b, "arrow", 1.2, ' marker-end="url(#tip)"') for a, b in zip(start[far], end[far], strict=True)]


def _seen(clip: npt.NDArray[np.float64]) -> npt.NDArray[np.bool_]:
    """Which points (T·V·M,) are those of bodies that are there."""
    there: npt.NDArray[np.bool_] = np.abs(clip).max(axis=(0, 2)) > 0
    seen: npt.NDArray[np.bool_] = np.broadcast_to(there[:, None], clip.shape[1:]).reshape(-1)
    return seen
