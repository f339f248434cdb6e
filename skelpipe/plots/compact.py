"""The motion of a clip in few bytes, for a page that plays it, and as a strip of frames in SVG for paper."""

from __future__ import annotations

import base64
from typing import Any

import numpy as np
import numpy.typing as npt

from skelpipe.layouts.base import Layout
from skelpipe.plots.animate import set_apart
from skelpipe.plots.motion import Joints, Motion

MOST_FRAMES = 60  # of one clip; of longer ones every second is kept, or every third ...
LEVELS = 254  # of a coordinate; 255 stands for a joint that was not seen
UNSEEN = 255
STRIP = 6  # frames on paper
BODIES = 2  # that are drawn
SIDES = {"left": "l", "middle": "m", "right": "r"}


def bones_of(layout: Layout) -> list[list[Any]]:
    """The bones as [joint, parent, side], side l, m or r; those of the left first, so that others lie over them."""
    sides = layout.sides
    bones = [[v, w, SIDES[sides[v]]] for v, w in layout.edges]
    return sorted(bones, key=lambda bone: "lmr".index(bone[2]))


def compact(motion: Motion) -> dict[str, Any]:
    """A clip's coordinates with 8 bits each, bodies that stand in the same place set apart.

    Returns:
        `shape` (T, B, V, D), `data` (base64 of T * B * V * D bytes, 255 unseen), `low` (D,) and `step`: a coordinate is
        low + step * byte, y upwards; `seconds` that a frame lasts, and `error`, half a step.

    Raises:
        ValueError: there is nobody in it.
    """
    joints = _joints(motion)
    every = -(-len(joints) // MOST_FRAMES)
    joints = joints[::every]
    seen = ~np.isnan(joints).any(axis=-1, keepdims=True)
    low, high = np.nanmin(joints, axis=(0, 1, 2)), np.nanmax(joints, axis=(0, 1, 2))
    step = max(float((high - low).max()), 1e-6) / LEVELS
    levels = np.where(seen, np.nan_to_num((joints - low) / step).round(), UNSEEN).astype(np.uint8)
    return {
        "shape": list(joints.shape),
        "data": base64.b64encode(levels.tobytes()).decode(),
        "low": [round(float(v), 4) for v in low],
        "step": float(f"{step:.6g}"),
        "seconds": round(motion.seconds * every, 5),
        "error": step / 2,
    }


def decoded(clip: dict[str, Any]) -> Joints:
    """The coordinates of `compact`, (T, B, V, D), what was not seen nan."""
    levels = np.frombuffer(base64.b64decode(clip["data"]), np.uint8).reshape(clip["shape"])
    values = levels.astype(np.float32) * np.float32(clip["step"]) + np.array(clip["low"], np.float32)
    values[(levels == UNSEEN).any(axis=-1)] = np.nan
    return values


def strip_svg(clip: dict[str, Any], bones: list[list[Any]], label: str) -> str:
    """Six frames at equal distances in time side by side, from the front; colours by the page's style sheet."""
    from html import escape

    joints = decoded(clip)[..., :2]
    low, high = np.nanmin(joints, axis=(0, 1, 2)), np.nanmax(joints, axis=(0, 1, 2))
    scale = 100 / max(float(high[1] - low[1]), 0.5 * float(high[0] - low[0]), 1e-6)
    width = float(high[0] - low[0]) * scale + 12
    shown = np.unique(np.linspace(0, len(joints) - 1, min(STRIP, len(joints))).round().astype(int))
    spots = np.stack([(joints[..., 0] - low[0]) * scale + 6, (high[1] - joints[..., 1]) * scale + 6], axis=-1)
    size = f"0 0 {width * len(shown):.0f} 126"
    parts = [f'<svg class="strip" viewBox="{size}" role="img" aria-label="{escape(label, quote=True)}">']
    for column, t in enumerate(shown):
        parts.append(f'<g transform="translate({width * column:.0f})">')
        for body in range(joints.shape[1]):
            parts += [
                f'<path class="b{body} {side}" d="{path}"/>'
                for side in "lmr"
                if (path := _path(spots[t, body], [bone for bone in bones if bone[2] == side]))
            ]
        parts.append(f'<text x="{width / 2:.0f}" y="122">{t * clip["seconds"]:.1f} s</text></g>')
    return "".join([*parts, "</svg>"])


def _path(spots: npt.NDArray[np.floating[Any]], bones: list[list[Any]]) -> str:
    pairs = [(spots[v], spots[w]) for v, w, _ in bones]
    drawn = [(a, b) for a, b in pairs if not (np.isnan(a).any() or np.isnan(b).any())]
    return "".join(f"M{a[0]:.1f} {a[1]:.1f}L{b[0]:.1f} {b[1]:.1f}" for a, b in drawn)


def _joints(motion: Motion) -> Joints:
    joints = motion.joints
    here = [b for b in range(joints.shape[1]) if not np.isnan(joints[:, b]).all()][:BODIES]
    if not here:
        raise ValueError("nobody is in it")
    joints = joints[:, here]
    if motion.layout.coordinates == 2:  # y goes down in a picture, and up in a drawing
        joints = joints * np.array([1, -1], np.float32)
    return set_apart(joints) if motion.centred and len(here) > 1 else joints
