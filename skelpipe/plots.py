"""Pictures: confusion matrices, training curves, sweeps, t-SNE maps and animated skeletons.

Every function makes its own `Figure`, so nothing depends on pyplot's global state or on a display. Colours are those of
Okabe and Ito, which stay apart for colour-blind readers; line styles, markers or numbers repeat what colour says.
"""

from __future__ import annotations

import difflib
import io
import itertools
import os
from collections.abc import Mapping, Sequence
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

from skelpipe import disk, outputs
from skelpipe.datasets import DATASETS
from skelpipe.errors import BadInput, printable
from skelpipe.skeleton import LAYOUTS, Layout
from skelpipe.store import Clips, open_group, read_array

BLUE, VERMILION, GREEN, PURPLE, ORANGE, SKY, BLACK = (
    "#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000",
)  # fmt: skip
PALETTE = (BLUE, VERMILION, GREEN, PURPLE, ORANGE, SKY, BLACK)
# Three more for scatter plots of ten classes, where the marker tells as well.
TEN_COLOURS = (*PALETTE, "#882255", "#999933", "#8c8c8c")
DASHES = ("-", "--", ":", "-.")
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "<", ">", "*")
GREY = "#6b6b6b"
STYLE = {
    "font.family": "DejaVu Sans",
    "font.size": 9,
    "axes.titlesize": 10,
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": GREY,
    "axes.labelcolor": "#333333",
    "xtick.color": GREY,
    "ytick.color": GREY,
    "legend.frameon": False,
    "figure.facecolor": "white",
    "savefig.facecolor": "white",
    "text.parse_math": False,  # a dollar sign in a name starts no formula
}

Joints = npt.NDArray[np.float32]


def class_names(dataset: str, classes: int) -> list[str]:
    """Names of the classes of a data set, `class 1`, `class 2`, ... where none are known."""
    known = DATASETS[dataset].class_names if dataset in DATASETS else ()
    return [known[i] if i < len(known) else f"class {i + 1}" for i in range(classes)]


def new_figure(width: float, height: float) -> Figure:
    """A figure of that size in inches with an Agg canvas and a tight layout."""
    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def png_bytes(figure: Figure, dpi: int = 150, made: str | None = None) -> bytes:
    """The figure as PNG; the same figure always gives the same bytes. `made` becomes its text `skelpipe`."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=dpi, metadata={"Software": None, **({"skelpipe": made} if made else {})})
    return buffer.getvalue()


def save_figure(figure: Figure, path: Path, dpi: int = 150) -> None:
    """Write the figure as PNG in one step."""
    disk.write_bytes(path, png_bytes(figure, dpi))


# ---------------------------------------------------------------------------------------------------------------------
# Confusion matrices


def confusion_figure(
    matrix: npt.NDArray[np.integer[Any]], names: Sequence[str], title: str, *, classes: Sequence[int] | None = None
) -> Figure:
    """Draw a confusion matrix, each row as shares of the label's clips.

    Args:
        matrix: (classes, classes) counts, rows = labels, columns = predictions.
        names: one per class.
        title: printed above.
        classes: draw these classes only, with the numbers written in and a last column for all other predictions.
    """
    if classes is None:
        return _confusion_all(_shares(matrix), names, title)
    count = matrix.sum(axis=1)[list(classes)]
    return _confusion_some(confusion_shares(matrix, classes), [names[i] for i in classes], count, title)


def confusion_shares(matrix: npt.NDArray[np.integer[Any]], classes: Sequence[int]) -> npt.NDArray[np.float64]:
    """Shares of the clips of some classes: (classes, classes + 1), the last column for all other predictions."""
    index = np.asarray(classes, dtype=np.int64)
    inside = _shares(matrix)[np.ix_(index, index)]
    other = np.where(matrix.sum(axis=1)[index] > 0, 1 - inside.sum(axis=1), 0.0)
    return np.column_stack([inside, other])


def _shares(matrix: npt.NDArray[np.integer[Any]]) -> npt.NDArray[np.float64]:
    count = matrix.sum(axis=1, keepdims=True)
    share: npt.NDArray[np.float64] = np.divide(matrix, count, out=np.zeros(matrix.shape), where=count > 0)
    return share


def _confusion_all(share: npt.NDArray[np.float64], names: Sequence[str], title: str) -> Figure:
    n = len(share)
    with rc_context(STYLE):
        size = float(np.clip(0.115 * n, 3.6, 9.0))
        figure = new_figure(size + 1.6, size + 0.6)
        axes = figure.add_subplot()
        image = axes.imshow(share, cmap="Blues", vmin=0, vmax=1, interpolation="nearest")
        axes.set(title=title, xlabel="predicted class", ylabel="label")
        _spines(axes)
        if n <= 20:
            ticks = list(range(n))
            axes.set_xticks(ticks, [_short(name) for name in names], rotation=90, fontsize=7)
            axes.set_yticks(ticks, [_short(name) for name in names], fontsize=7)
        else:
            ticks = [0, *range(9, n, 10)]
            axes.set_xticks(ticks, [str(t + 1) for t in ticks])
            axes.set_yticks(ticks, [str(t + 1) for t in ticks])
        bar = figure.colorbar(image, ax=axes, fraction=0.046, pad=0.02, ticks=[0, 0.5, 1], format="{x:.0%}")
        bar.set_label("share of the label's clips")
        bar.outline.set_visible(False)
        return figure


def _confusion_some(
    share: npt.NDArray[np.float64], names: Sequence[str], count: npt.NDArray[np.integer[Any]], title: str
) -> Figure:
    rows, columns = share.shape
    with rc_context(STYLE):
        figure = new_figure(2.6 + 0.44 * columns, 1.9 + 0.36 * rows)
        axes = figure.add_subplot()
        draw_confusion(axes, share, names)
        axes.set_title(title)
        axes.set_yticks(range(rows), [f"{_short(name)}  ({n})" for name, n in zip(names, count, strict=True)])
        axes.set(xlabel="predicted", ylabel="label (test clips)")
        return figure


def draw_confusion(axes: Any, share: npt.NDArray[np.float64], names: Sequence[str]) -> None:
    """Draw the shares of `confusion_shares` on axes, with the numbers written in."""
    rows, columns = share.shape
    axes.imshow(share, cmap="Blues", vmin=0, vmax=1, interpolation="nearest", aspect="auto")
    axes.axvline(columns - 1.5, color="white", linewidth=3)
    axes.set_yticks(range(rows), [_short(name) for name in names])
    labels = [*(_short(name) for name in names), "other"]
    axes.set_xticks(range(columns), labels, rotation=40, ha="right", rotation_mode="anchor")
    _spines(axes)
    for (i, j), value in np.ndenumerate(share):
        if value >= 0.005:
            axes.text(
                j, i, f"{100 * value:.0f}", ha="center", va="center", fontsize=8,
                color="white" if value > 0.55 else "#222222", fontweight="bold" if i == j else "normal",
            )  # fmt: skip


def _spines(axes: Any) -> None:
    axes.spines[:].set_visible(False)
    axes.tick_params(length=0)


def _short(name: str, most: int = 22) -> str:
    return printable(name if len(name) <= most else name[: most - 1].rstrip() + "…")


# ---------------------------------------------------------------------------------------------------------------------
# Training curves

PANELS = (
    ("loss", "loss"),
    ("spread", "spread of the embeddings"),
    ("positive", "similarity to the positive"),
    ("negative", "similarity to the queue"),
    ("neighbour_label", "neighbour has the clip's label"),
    ("train_top1", "training clips recognised"),
    ("lr", "learning rate"),
)


def curves_figure(logs: Mapping[str, Sequence[Mapping[str, Any]]]) -> Figure:
    """Draw what training logged against the epoch, one line per run.

    Args:
        logs: label -> the lines of `log.jsonl`. Quantities that no run logged are left out; a value that is null or not
            finite leaves a gap.
    """
    panels = [p for p in PANELS if any(_number(line.get(p[0])) is not None for log in logs.values() for line in log)]
    columns = min(3, max(1, len(panels)))
    rows = max(1, -(-len(panels) // columns))
    with rc_context(STYLE):
        figure = new_figure(3.3 * columns, 2.2 * rows + 0.35 + 0.2 * -(-len(logs) // 3))
        handles: dict[str, Any] = {}
        for place, (key, title) in enumerate(panels, start=1):
            axes = figure.add_subplot(rows, columns, place)
            axes.set_title(title)
            axes.grid(axis="y", color="#e4e4e4", linewidth=0.7)
            axes.set_axisbelow(True)
            for order, (label, log) in enumerate(logs.items()):
                handles[label] = _curve(axes, key, log, order)
            values = [v for log in logs.values() for line in log if (v := _number(line.get(key))) is not None]
            if key in ("spread", "lr") and 0 < min(values) < max(values) / 30:
                axes.set_yscale("log")
            if place > len(panels) - columns:
                axes.set_xlabel("epoch")
        if handles:
            titles = [_short(label, 60) for label in handles]
            figure.legend(handles.values(), titles, loc="outside lower center", ncols=min(3, len(handles)), fontsize=8)
        return figure


def _curve(axes: Any, key: str, log: Sequence[Mapping[str, Any]], order: int) -> Any:
    points = [(line.get("epoch", i + 1), _number(line.get(key))) for i, line in enumerate(log)]
    x = [epoch for epoch, _ in points]
    y = [np.nan if value is None else value for _, value in points]
    (line,) = axes.plot(
        x, y, color=PALETTE[order % len(PALETTE)], linestyle=DASHES[(order // len(PALETTE)) % len(DASHES)],
        linewidth=1.3, marker="o" if len(points) == 1 else None, markersize=4,
    )  # fmt: skip
    return line


def _number(value: Any) -> float | None:
    return float(value) if isinstance(value, int | float) and np.isfinite(value) else None


# ---------------------------------------------------------------------------------------------------------------------
# Sweeps


def sweep_figure(panels: Sequence[Mapping[str, Any]], name: str, *, doubling: bool = False) -> Figure:
    """Draw accuracies against a setting that was varied, a panel for each way of measuring.

    Args:
        panels: each {title, lines}, a line {label, points}, a point {x, mean, std}: fractions, `std` None without one.
        name: of the setting.
        doubling: space the values as powers of two.
    """
    labels = list(dict.fromkeys(line["label"] for panel in panels for line in panel["lines"]))
    values = sorted({p["x"] for panel in panels for line in panel["lines"] for p in line["points"]})
    with rc_context(STYLE):
        columns = 1 if len(labels) > 4 or max(map(len, labels), default=0) > 40 else 2
        figure = new_figure(max(5.0, 3.6 * len(panels)), 2.8 + 0.2 * -(-len(labels) // columns))
        handles: dict[str, Any] = {}
        for axes, panel in zip(figure.subplots(1, len(panels), squeeze=False)[0], panels, strict=True):
            axes.set(title=_short(panel["title"], 40), xlabel=_short(name, 40), ylabel="accuracy (%)")
            axes.grid(axis="y", color="#e4e4e4", linewidth=0.7)
            axes.set_axisbelow(True)
            if doubling:
                axes.set_xscale("log", base=2)
            axes.set_xticks(values, [f"{value:g}" for value in values], minor=False)
            axes.minorticks_off()
            if len(values) > 6 or sum(len(f"{value:g}") for value in values) > 24:
                axes.tick_params(axis="x", rotation=45)
            for line in panel["lines"]:
                order = labels.index(line["label"])
                handles[line["label"]] = _sweep_line(axes, line["points"], order)
        titles = [_short(label, 90) for label in handles]
        figure.legend(handles.values(), titles, loc="outside lower center", ncols=columns, fontsize=8)
        return figure


def _sweep_line(axes: Any, points: Sequence[Mapping[str, Any]], order: int) -> Any:
    return axes.errorbar(
        [p["x"] for p in points],
        [100 * p["mean"] for p in points],
        [100 * (p["std"] or 0) for p in points] if any(p["std"] for p in points) else None,
        color=PALETTE[order % len(PALETTE)],
        linestyle=DASHES[(order // len(PALETTE)) % len(DASHES)],
        marker=MARKERS[order % len(MARKERS)],
        linewidth=1.3,
        markersize=4.5,
        capsize=2.5,
        elinewidth=0.9,
    )


# ---------------------------------------------------------------------------------------------------------------------
# t-SNE


def tsne_figure(
    features: npt.NDArray[np.floating[Any]],
    labels: npt.NDArray[np.integer[Any]],
    names: Mapping[int, str],
    caption: str,
    *,
    seed: int = 0,
) -> Figure:
    """Draw a two-dimensional t-SNE map (van der Maaten and Hinton 2008) of the clips of a few classes.

    Args:
        features: (n, D), one row per clip; scaled to unit length first, so that distances follow the cosine.
        labels: (n,) classes.
        names: class -> name, in the order of the legend; clips of other classes are left out.
        caption: says which features and clips these are; how many clips and the map's settings are added to it.
        seed: of the map; the start is the principal components.
    """
    keep = np.isin(labels, list(names))
    features, labels = features[keep], np.asarray(labels)[keep]
    place, perplexity = tsne_map(features, seed=seed)
    with rc_context(STYLE):
        figure = new_figure(7.0, 5.0)
        axes = figure.add_subplot()
        draw_map(axes, place, labels, names)
        axes.legend(loc="center left", bbox_to_anchor=(1.0, 0.5), fontsize=8, markerscale=1.3)
        told = f"n = {len(features)}, t-SNE perplexity {perplexity:.0f}, seed {seed}"
        axes.set_title(f"{caption}; {told}", wrap=True, fontsize=8)
        return figure


def tsne_map(features: npt.NDArray[np.floating[Any]], *, seed: int = 0) -> tuple[npt.NDArray[np.floating[Any]], float]:
    """The places (n, 2) of a t-SNE map of features (n, D), scaled to unit length first, and its perplexity.

    Raises:
        ValueError: there are fewer than four.
    """
    from sklearn.manifold import TSNE
    from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

    features = np.asarray(features, np.float64)
    n = len(features)
    if n < 4:
        raise ValueError(f"{n} clips are too few for a t-SNE map")
    length = np.linalg.norm(features, axis=1, keepdims=True)
    features = features / np.where(length > 0, length, 1)
    perplexity = min(30.0, max(2.0, (n - 1) / 3))
    init = "pca" if features.shape[1] >= 2 else "random"
    # On so few points OpenMP threads cost more than they give, and one thread adds in one order.
    with threadpool_limits(1):
        model = TSNE(perplexity=perplexity, init=init, learning_rate="auto", random_state=seed, n_jobs=1)
        return model.fit_transform(features), perplexity


def draw_map(
    axes: Any, place: npt.NDArray[np.floating[Any]], labels: npt.NDArray[np.integer[Any]], names: Mapping[int, str]
) -> None:
    """Draw a map's places (n, 2) on axes, each class of `names` in its colour and with its marker."""
    for order, (label, name) in enumerate(names.items()):
        axes.scatter(
            place[labels == label, 0], place[labels == label, 1], s=24, label=_short(name, 28),
            color=TEN_COLOURS[order % len(TEN_COLOURS)], linewidths=0.3, edgecolors="white",
            marker=MARKERS[order % len(MARKERS)],
        )  # fmt: skip
    axes.set(xticks=[], yticks=[])
    axes.spines[:].set_visible(False)


# ---------------------------------------------------------------------------------------------------------------------
# Skeletons


@dataclass(frozen=True)
class Motion:
    """One clip ready to draw.

    Attributes:
        name: of the clip.
        joints: (T, B, V, 3) metres; a body that is absent from a frame is nan there.
        layout: which joints hang together.
        seconds: how long a frame lasts.
        note: where it comes from, in words.
        centred: whether each body was centred on itself, so that all stand in the same place.
    """

    name: str
    joints: Joints
    layout: Layout
    seconds: float
    note: str
    centred: bool = False


FRAME_RATE = 30  # of Kinect v2, in which NTU RGB+D and PKU-MMD were recorded
ARROW_SCALE = 5.0


def animate(
    path: str | os.PathLike[str], name: str, out: str | os.PathLike[str], *, stream: str = "joint", force: bool = False
) -> Path:
    """Draw one clip from the front and from the side: a `.gif` plays it, a `.png` is a film strip of eight frames.

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
    if out.exists() and not force:
        raise BadInput(out, "already exists", "choose another path, or pass --force to replace it")
    motion = load_motion(path, name)
    if np.isnan(motion.joints).all():
        raise BadInput(path, f"the clip {name} holds no body in any frame", "choose another clip")
    made = outputs.file_provenance("picture", out, {"of": Path(path)}, {"clip": name, "stream": stream})
    if out.suffix.lower() == ".gif":
        data = _gif(motion, stream, made)
    else:
        data = png_bytes(film_strip(motion, stream), made=made)
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        disk.write_bytes(out, data)
    except OSError as error:
        raise BadInput(out, f"cannot be written ({error.strerror})", "choose a path you may write to") from None
    return out


def load_motion(path: str | os.PathLike[str], name: str) -> Motion:
    """Read one clip of a clips folder or of a store.

    Raises:
        BadInput: not such a folder, or no clip of that name.
    """
    path = Path(path)
    return _from_store(path, name) if outputs.read_kind(path) == "store" else _from_clips(path, name)


def _find(names: npt.NDArray[Any], name: str, path: Path) -> int:
    row = np.flatnonzero(names == name)
    if len(row):
        return int(row[0])
    near = difflib.get_close_matches(name, names.tolist(), n=3, cutoff=0.5)
    remedy = f"did you mean {', '.join(near)}?" if near else "'skelpipe inspect' lists what it holds"
    raise BadInput(path, f"holds no clip called {name!r}", remedy)


def _from_clips(path: Path, name: str) -> Motion:
    clips = Clips(path)
    row = _find(clips.columns["name"], name, path)
    joints = clips.load(np.array([row]))[0].transpose(1, 3, 2, 0).astype(np.float32)
    joints[~joints.any(axis=(2, 3))] = np.nan
    length = int(read_array(clips.group, "length")[row])
    note = f"{clips.frames} frames from {length} recorded"
    return Motion(
        name,
        joints,
        clips.layout,
        max(length, 1) / FRAME_RATE / clips.frames,
        note,
        bool(clips.attributes.get("centre")),
    )


def _from_store(path: Path, name: str) -> Motion:
    group, attributes = open_group(path, "store")
    row = _find(read_array(group, "name"), name, path)
    first, last = (int(v) for v in read_array(group, "clip_offset", slice(row, row + 2)))
    joints, frame, body = (read_array(group, key, slice(first, last)) for key in ("joints", "row_frame", "row_body"))
    frames = int(read_array(group, "clip_frames")[row])
    bodies = list(dict.fromkeys(body.tolist()))  # in order of appearance
    layout = LAYOUTS[str(attributes["layout"])]
    dense = np.full((frames, max(1, len(bodies)), len(layout.joints), 3), np.nan, np.float32)
    dense[frame, [bodies.index(b) for b in body.tolist()]] = joints
    counted = "1 body" if len(bodies) == 1 else f"{len(bodies)} bodies"
    return Motion(name, dense, layout, 1 / FRAME_RATE, f"as recorded, {frames} frames, {counted}")


def film_strip(motion: Motion, stream: str = "joint", frames: int = 8) -> Figure:
    """Frames at equal distances in time, seen from the front (upper row) and from the side (lower row)."""
    scene = _Scene(motion, stream)
    shown = np.unique(np.linspace(0, len(motion.joints) - 1, min(frames, len(motion.joints))).round().astype(int))
    front, side = scene.widths
    with rc_context(STYLE):
        height = 2.3
        scale = height / scene.height
        width = max(1.0, max(front, side) * scale)
        figure = Figure(figsize=(max(7.0, width * len(shown) + 0.6), 2 * height + 1.0), layout="constrained")
        FigureCanvasAgg(figure)
        grid = figure.subplots(2, len(shown), squeeze=False)
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


def _gif(motion: Motion, stream: str, made: str, most: int = 150) -> bytes:
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
        if stream == "bone":
            joints = _bones_end_to_end(joints, self.layout)
        self.steps = np.zeros_like(joints)
        self.steps[:-1] = joints[1:] - joints[:-1]
        self.bodies = [b for b in range(joints.shape[1]) if not np.isnan(joints[:, b]).all()]
        self.apart = len(self.bodies) > 1 and (motion.centred or stream == "bone")
        self.joints = _set_apart(joints) if self.apart else joints
        low, high = np.nanmin(self.joints, axis=(0, 1, 2)), np.nanmax(self.joints, axis=(0, 1, 2))
        # Equal scales everywhere; a little air, and never thinner than a body.
        middle, half = (low + high) / 2, np.maximum((high - low) / 2 + 0.12, 0.45)
        self.limits = [(float(m - h), float(m + h)) for m, h in zip(middle, half, strict=True)]
        self.views = (_View("front", 0, self.limits[0]), _View("side", 2, self.limits[2]))
        self.widths = tuple(v.limits[1] - v.limits[0] for v in self.views)
        self.height = self.limits[1][1] - self.limits[1][0]
        left = [name.startswith("left") for name in self.layout.joints]
        middle_line = [m == v for v, m in enumerate(self.layout.mirror)]
        self.side = ["middle" if c else "left" if s else "right" for c, s in zip(middle_line, left, strict=True)]

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


def _set_apart(joints: Joints) -> Joints:
    """The bodies moved next to each other, seen from the front and from the side."""
    size = np.nanmax(joints, axis=(0, 1, 2)) - np.nanmin(joints, axis=(0, 1, 2))
    shift = np.arange(joints.shape[1], dtype=np.float32)[:, None, None] * np.array([size[0], 0, size[2]], np.float32)
    return joints + np.float32(0.8) * shift


def _bones_end_to_end(joints: Joints, layout: Layout) -> Joints:
    """The same bodies with the centre joint at the origin of every frame: what the bone vectors alone determine."""
    return joints - joints[:, :, layout.centre : layout.centre + 1]


def _light(colour: str) -> str:
    return "#" + "".join(f"{round(c + 0.55 * (255 - c)):02x}" for c in _rgb(colour))


def _rgb(colour: str) -> list[int]:
    return [int(colour[i : i + 2], 16) for i in (1, 3, 5)]
