"""A clip as an animated skeleton, or as a strip of frames."""

from __future__ import annotations

import io
import itertools
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib import rc_context
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from skelpipe.errors import BadInput
from skelpipe.layouts.base import Layout
from skelpipe.outputs import files, provenance
from skelpipe.outputs.one_file import check_file
from skelpipe.plots.motion import Joints, Motion, load_motion
from skelpipe.plots.style import BLACK, GREY, PALETTE, STYLE, png_bytes

ARROW_SCALE = 5.0


def animate(
    path: str | os.PathLike[str], name: str, out: str | os.PathLike[str], *, stream: str = "joint", force: bool = False
) -> Path:
    """Draw one clip from the front and from the side: a `.gif` plays it, a `.png` is a film strip of eight frames.

    Poses of two coordinates are drawn as in the picture that they are from.

    Args:
        path: a clips folder or a store.
        name: the clip's name there.
        out: the picture to write; its suffix decides.
        stream: joint; motion (each joint's step to the next frame as an arrow, five times as long); or bone (the bone
            vectors laid end to end from the centre joint, which stays in place).
        force: replace an older file at `out`.

    Raises:
        BadInput: no such clip (the nearest names are told), stream or kind of picture, or `out` exists.
    """
    out = Path(out)
    if out.suffix.lower() not in (".gif", ".png"):
        raise BadInput(out, "is neither a .gif nor a .png", "give the picture one of these suffixes")
    if stream not in ("joint", "motion", "bone"):
        raise BadInput("--stream", f"{stream!r} is not a stream", "choose joint, motion or bone")
    check_file(out, force)
    motion = load_motion(path, name)
    if np.isnan(motion.joints).all():
        raise BadInput(path, f"the clip {name} holds no body in any frame", "choose another clip")
    made = provenance.file_provenance("picture", out, {"of": Path(path)}, {"clip": name, "stream": stream})
    if out.suffix.lower() == ".gif":
        data = gif_bytes(motion, stream, made)
    else:
        data = png_bytes(film_strip(motion, stream), made=made)
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        files.write_bytes(out, data)
    except OSError as error:
        raise BadInput(out, f"cannot be written ({error.strerror})", "choose a path you may write to") from None
    return out


def film_strip(motion: Motion, stream: str = "joint", frames: int = 8) -> Figure:
    """Frames at equal distances in time, seen from the front and from the side: a row each."""
    scene = _Scene(motion, stream)
    shown = np.unique(np.linspace(0, len(motion.joints) - 1, min(frames, len(motion.joints))).round().astype(int))
    rows = len(scene.views)
    with rc_context(STYLE):
        height = 2.3
        scale = height / scene.height
        width = max(1.0, max(scene.widths) * scale)
        figure = Figure(figsize=(max(7.0, width * len(shown) + 0.6), rows * height + 1.0), layout="constrained")
        FigureCanvasAgg(figure)
        grid = figure.subplots(rows, len(shown), squeeze=False)
        for column, t in enumerate(shown):
            for line, view in enumerate(scene.views):
                scene.frame(grid[line][column], view, outlined=False)
                scene.draw(grid[line][column], view, int(t))
            grid[0][column].set_title(f"{t * motion.seconds:.1f} s", loc="center", color=GREY)
        for line, view in enumerate(scene.views):
            grid[line][0].set_ylabel(view.title, color=GREY)
        figure.suptitle(f"{scene.title}   ({scene.note})", x=0.01, ha="left", fontsize=10)
        figure.legend(handles=scene.legend, loc="outside lower left", ncols=6, fontsize=8)
        return figure


def gif_bytes(motion: Motion, stream: str = "joint", made: str = "", most: int = 150) -> bytes:
    """A clip that plays, from the front and from the side, as GIF of at most so many frames; `made` is its comment."""
    from PIL import Image

    scene = _Scene(motion, stream)
    step = -(-len(motion.joints) // most)
    frames = range(0, len(motion.joints), step)
    # GIF counts in hundredths of a second, and browsers slow down frames that last less than two of them.
    milliseconds = 10 * max(2, round(100 * motion.seconds * step))
    # One palette for all frames, made of the colours that are drawn with: one taken from a frame would lack the bodies
    # that come in later.
    palette = Image.new("P", (1, 1))
    palette.putpalette(scene.shades())
    pictures = [
        Image.fromarray(picture).quantize(palette=palette, dither=Image.Dither.NONE)
        for picture in scene.pictures(frames)
    ]
    buffer = io.BytesIO()
    first, *rest = pictures
    first.save(
        buffer, format="GIF", save_all=True, append_images=rest, duration=milliseconds, loop=0, disposal=1, comment=made
    )
    return buffer.getvalue()


@dataclass(frozen=True)
class _View:
    title: str
    across: int  # the coordinate drawn to the right
    limits: tuple[float, float]


class _Scene:
    """What the frames of one clip have in common: limits, colours, legend; and how one frame is drawn."""

    def __init__(self, motion: Motion, stream: str) -> None:
        self.motion, self.stream, self.layout = motion, stream, motion.layout
        joints = motion.joints
        flat = self.layout.coordinates == 2
        if flat:  # y goes down in a picture, and up in a drawing
            joints = joints * np.array([1, -1], np.float32)
        if stream == "bone":
            joints = _bones_end_to_end(joints, self.layout)
        self.steps = np.zeros_like(joints)
        self.steps[:-1] = joints[1:] - joints[:-1]
        self.bodies = [b for b in range(joints.shape[1]) if not np.isnan(joints[:, b]).all()]
        self.apart = len(self.bodies) > 1 and (motion.centred or stream == "bone")
        self.joints = set_apart(joints) if self.apart else joints
        low, high = np.nanmin(self.joints, axis=(0, 1, 2)), np.nanmax(self.joints, axis=(0, 1, 2))
        # Equal scales everywhere; a little air, and never thinner than a body. Pixels have no metres: a body of 1.7 m.
        metre = (float((high - low).max()) or 1.7) / 1.7 if flat else 1.0
        middle, half = (low + high) / 2, np.maximum((high - low) / 2 + 0.12 * metre, 0.45 * metre)
        self.limits = [(float(m - h), float(m + h)) for m, h in zip(middle, half, strict=True)]
        self.views = [_View("picture" if flat else "front", 0, self.limits[0])]
        self.views += [] if flat else [_View("side", 2, self.limits[2])]
        self.widths = tuple(v.limits[1] - v.limits[0] for v in self.views)
        self.height = self.limits[1][1] - self.limits[1][0]
        self.side = self.layout.sides

    @property
    def title(self) -> str:
        extra = {"motion": f", arrows ×{ARROW_SCALE:.0f}", "bone": ", bones laid end to end"}.get(self.stream, "")
        return f"{self.motion.name}   {self.stream} stream{extra}"

    @property
    def note(self) -> str:
        return self.motion.note + (", bodies set apart for the picture" if self.apart else "")

    @property
    def legend(self) -> list[Line2D]:
        handles = []
        for b in self.bodies[:3]:
            colour = PALETTE[b % len(PALETTE)]
            handles.append(Line2D([], [], color=colour, linewidth=2.4, label=f"body {b + 1}, right side"))
            handles.append(Line2D([], [], color=_light(colour), linewidth=2.4, label=f"body {b + 1}, left side"))
        if self.stream == "motion":
            handles.append(
                Line2D([], [], color=BLACK, linewidth=1, marker=">", markersize=4, label="step to the next frame")
            )
        return handles

    def shades(self, steps: int = 8) -> list[int]:
        """Every colour of the picture in steps towards white, as the flat list of RGB values of a palette."""
        bodies = [PALETTE[b % len(PALETTE)] for b in self.bodies[: len(PALETTE)]]
        colours = np.array([_rgb(c) for c in (BLACK, "#4d4d4d", *bodies, *map(_light, bodies))])
        towards_white = np.linspace(0, 1, steps)[:, None, None] * (255 - colours)
        return [round(value) for value in (colours + towards_white).ravel().tolist()]

    def frame(self, axes: Any, view: _View, *, outlined: bool = True) -> None:
        """Prepare `axes` for the frames seen from one side."""
        axes.set(xlim=view.limits, ylim=self.limits[1], aspect="equal", xticks=[], yticks=[])
        axes.spines[:].set_visible(outlined)
        axes.spines[:].set_color("#d0d0d0")

    def draw(self, axes: Any, view: _View, t: int) -> None:
        """Draw frame t from one side into `axes`."""
        faint = 0.45 if self.stream == "motion" else 1.0
        # Left first: the right side is drawn over it, in the full colour.
        order = {"left": 0, "middle": 1, "right": 2}
        bones = sorted(self.layout.edges, key=lambda pair: order[self.side[pair[0]]])
        widths = [2.6 if v in self.layout.torso else 1.9 for v, _ in bones]
        for b in self.bodies:
            body, colour = self.joints[t, b][:, [view.across, 1]], PALETTE[b % len(PALETTE)]
            if np.isnan(body).all():
                continue
            shade = {"left": _light(colour), "middle": "#4d4d4d", "right": colour}
            shades = [shade[self.side[v]] for v, _ in bones]
            style: dict[str, Any] = {
                "colors": shades,
                "linewidths": widths,
                "alpha": faint,
                "capstyle": "round",
                "zorder": 2,
            }
            axes.add_collection(LineCollection(body[np.array(bones)], **style), autolim=False)
            axes.scatter(*body.T, s=5, color=colour, alpha=faint, zorder=3, linewidths=0)
            if self.stream == "motion":
                step = ARROW_SCALE * np.nan_to_num(self.steps[t, b])[:, [view.across, 1]]
                style = {"angles": "xy", "scale_units": "xy", "scale": 1, "width": 0.006, "headwidth": 4, "zorder": 4}
                axes.quiver(*body.T, *step.T, color=colour, **style)

    def pictures(self, frames: range) -> list[npt.NDArray[np.uint8]]:
        """(height, width, 3) images of these frames, front and side next to each other."""
        with rc_context(STYLE):
            height = 3.6
            scale = height / self.height
            width = max(5.4, sum(self.widths) * scale + 0.5)
            figure = Figure(figsize=(width, height + 1.0), dpi=100)
            canvas = FigureCanvasAgg(figure)
            top, bottom = 1 - 0.5 / (height + 1), 0.45 / (height + 1)
            share = np.cumsum([0.0, *self.widths]) / sum(self.widths)
            panels = [
                figure.add_axes((0.02 + 0.96 * a, bottom, 0.96 * (b - a) - 0.01, top - bottom))
                for a, b in itertools.pairwise(share)
            ]
            inch = 1 / (height + 1)
            figure.text(0.02, 1 - 0.16 * inch, self.title, fontsize=8.5, va="center")
            figure.text(0.02, 1 - 0.36 * inch, self.note, fontsize=7.5, va="center", color=GREY)
            figure.legend(handles=self.legend, loc="lower left", ncols=3, fontsize=7)
            clock = figure.text(0.98, 1 - 0.16 * inch, "", fontsize=8.5, va="center", ha="right", color=GREY)
            for axes, view in zip(panels, self.views, strict=True):
                self.frame(axes, view)
                axes.text(0.02, 0.98, view.title, transform=axes.transAxes, va="top", color=GREY)
            made = []
            for t in frames:
                for axes, view in zip(panels, self.views, strict=True):
                    for artist in list(axes.collections):
                        artist.remove()
                    self.draw(axes, view, t)
                clock.set_text(f"{t * self.motion.seconds:.1f} s")
                canvas.draw()
                made.append(np.asarray(canvas.buffer_rgba())[..., :3].copy())
            return made


def set_apart(joints: Joints) -> Joints:
    """The bodies moved next to each other, seen from the front and from the side."""
    size = np.nanmax(joints, axis=(0, 1, 2)) - np.nanmin(joints, axis=(0, 1, 2))
    size[1] = 0
    shift: Joints = np.arange(joints.shape[1], dtype=np.float32)[:, None, None] * size
    return joints + np.float32(0.8) * shift


def _bones_end_to_end(joints: Joints, layout: Layout) -> Joints:
    """The same bodies with the centre at the origin of every frame: what the bone vectors alone determine.

    Where the centre was not seen, it is the mean of what was.
    """
    middle: Joints = joints[:, :, layout.centre].mean(axis=2, keepdims=True)
    seen = ~np.isnan(joints)
    mean = np.where(seen, joints, 0).sum(axis=2, keepdims=True) / np.maximum(seen.sum(axis=2, keepdims=True), 1)
    return joints - np.where(np.isnan(middle), mean, middle).astype(np.float32)


def _light(colour: str) -> str:
    return "#" + "".join(f"{round(c + 0.55 * (255 - c)):02x}" for c in _rgb(colour))


def _rgb(colour: str) -> list[int]:
    return [int(colour[i : i + 2], 16) for i in (1, 3, 5)]
