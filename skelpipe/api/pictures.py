"""Pictures of clips, evaluations and embeddings, which a notebook shows and a file keeps."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt

from skelpipe.api.arrays import as_batch, numbers_of
from skelpipe.api.folders import Clips, PathLike, Store
from skelpipe.api.names import get_layout
from skelpipe.errors import BadInput
from skelpipe.layouts.base import Layout

if TYPE_CHECKING:
    from torch import Tensor

    from skelpipe.api.measure import Evaluation

# Of drawings, which have classes instead of colours, in a page that has no style for them.
STYLE = """
.skelpipe-drawing .bone, .skelpipe-drawing .joint { stroke-linecap: round; }
.skelpipe-drawing .bone.left { stroke: var(--sk-left, #0072b2); }
.skelpipe-drawing .bone.right { stroke: var(--sk-right, #d55e00); }
.skelpipe-drawing .bone.middle { stroke: var(--sk-middle, #777); }
.skelpipe-drawing .text { fill: currentColor; font-family: system-ui, sans-serif; }
"""
MOST = 10  # classes whose colours and marks can be told apart
MOST_NAMED = 20  # classes of a confusion matrix with its numbers written in
FAINT, FULL = np.array([0.93, 0.93, 0.93]), np.array([0.8, 0.0, 0.45])  # of joints that matter little, and much


@dataclass(frozen=True)
class Picture:
    """A picture, which a notebook shows by itself.

    Attributes:
        kind: png, gif or svg.
        data: what a file of it holds.

    Example:
        >>> clips = sk.open_clips("clips.zarr")
        >>> sk.draw_motion(clips[0], clips.layout).save("clip.svg").name
        'clip.svg'
    """

    kind: Literal["png", "gif", "svg"]
    data: bytes

    def save(self, path: PathLike) -> Path:
        """Write it to a file, which is replaced if it is there; returns its path.

        Raises:
            BadInput: the suffix is of another kind, or it cannot be written.
        """
        path = Path(path)
        if path.suffix.lower() != f".{self.kind}":
            raise BadInput(path, f"is no name of a {self.kind.upper()}", f"let it end in .{self.kind}")
        try:
            path.write_bytes(self.data)
        except OSError as error:
            raise BadInput(path, f"cannot be written ({error.strerror})", "choose a path you may write to") from None
        return path

    def __repr__(self) -> str:
        return f"<skelpipe Picture: {self.kind}, {len(self.data):,} bytes>"

    def _repr_html_(self) -> str:
        if self.kind == "svg":
            return f'<div class="skelpipe-drawing">{self.data.decode()}</div>'
        return (
            f'<img alt="" src="data:image/{self.kind};base64,{b64encode(self.data).decode()}" style="max-width:100%">'
        )


def draw_motion(
    clips: npt.NDArray[Any] | Tensor | Mapping[str, npt.NDArray[Any] | Tensor],
    layout: str | Layout = "kinect_v2",
    *,
    frames: int = 8,
    height: int = 130,
    weights: Sequence[float] | npt.NDArray[Any] | None = None,
) -> Picture:
    """Clips as rows of poses at equal distances in time, seen from the front; the right side is vermilion.

    Args:
        clips: one clip (C, T, V, M), or several by what is written over them, NumPy or torch.
        layout: whose joints they are: a name, the path of a YAML, or a layout.
        frames: how many poses of each.
        height: of a row, in pixels.
        weights: (V,) how much each joint matters, which is shown by its colour.

    Returns:
        An SVG drawing.

    Raises:
        BadInput: the clips have not the joints of the layout, none shows anybody, or the weights are not one a joint.

    Example:
        >>> clips = sk.open_clips("clips.zarr")
        >>> sk.draw_motion({"one": clips[0], "another": clips[1]}, clips.layout).kind
        'svg'
    """
    from skelpipe.plots.drawings import draw_films

    found = get_layout(layout)
    given = clips if isinstance(clips, Mapping) else {"": clips}
    rows = [(name, as_batch(clip, found, name or "clip")[0]) for name, clip in given.items()]
    if not any(clip.any() for _, clip in rows):
        raise BadInput("clips", "show nobody", "give one that is not all zeros")
    for name, value in (("frames", frames), ("height", height)):
        if value < 1:
            raise BadInput(name, f"{value} is below 1", "give a whole number above 0")
    colours = [] if weights is None else [tinted(weights, clip, found) for _, clip in rows]
    drawn = draw_films(found, rows, frames, "Motion of clips", colours, height=height)
    start, _, rest = drawn.partition("</title>")
    return Picture("svg", f"{start}</title><style>{STYLE}</style>{rest}".encode())


def tinted(weights: Any, clip: npt.NDArray[Any], layout: Layout) -> npt.NDArray[np.float64]:
    """The colours of joints (3, T, V, M) by weights (V,), from the least to the greatest."""
    values = np.asarray(weights, np.float64)
    if values.shape != (len(layout.joints),) or not np.isfinite(values).all():
        raise BadInput("weights", f"have shape {values.shape}", f"give {len(layout.joints)}, a number for each joint")
    share = (values - values.min()) / (np.ptp(values) or 1.0)
    shades = FAINT[:, None] + (FULL - FAINT)[:, None] * share
    return np.broadcast_to(shades[:, None, :, None], (3, *clip.shape[1:]))


def animate(clips: Clips | Store, which: int | str, *, stream: str = "joint") -> Picture:
    """One clip, or a recording of a store, as a skeleton that moves, seen from the front and from the side.

    Args:
        clips: clips or a store.
        which: its row or name.
        stream: joint; motion, each joint's step to the next frame as an arrow; or bone, the bones laid end to end.

    Returns:
        A GIF.

    Raises:
        BadInput: there is no such clip or stream, or it shows nobody.

    Example:
        >>> sk.animate(sk.open_clips("clips.zarr"), "S001C001P001R001A001").kind
        'gif'
    """
    from skelpipe.clips.streams import check_stream
    from skelpipe.plots.animate import gif_bytes
    from skelpipe.plots.motion import load_motion

    check_stream(stream)
    name = which if isinstance(which, str) else str(clips.ids[range(len(clips))[which]])
    clips.row(name)
    motion = load_motion(clips.path, name)
    if np.isnan(motion.joints).all():
        raise BadInput(clips.path, f"the clip {name} holds no body in any frame", "choose another clip")
    return Picture("gif", gif_bytes(motion, stream))


def draw_confusion(evaluation: Evaluation, protocol: str | None = None) -> Picture:
    """Which classes were taken for which: each row a class, as shares of its test clips.

    Args:
        evaluation: of `evaluate`, `fuse` or `open_evaluation`.
        protocol: whose; None: the first.

    Returns:
        A PNG.

    Raises:
        BadInput: there is no such protocol.

    Example:
        >>> sk.draw_confusion(sk.open_evaluation("evaluation"), "knn").kind
        'png'
    """
    from skelpipe.plots.confusion import confusion_figure
    from skelpipe.plots.style import png_bytes

    protocol = protocol or evaluation.protocols[0]
    table = evaluation.confusion(protocol)
    counts = table.to_numpy()
    there = np.flatnonzero(counts.any(axis=0) | counts.any(axis=1)).tolist()
    title = f"{protocol}, {evaluation.facts['stream']}: percent of each class"
    figure = confusion_figure(
        counts, [*table.columns], title, classes=there if len(there) <= MOST_NAMED else None, other=False
    )
    return Picture("png", png_bytes(figure, 100))


def draw_map(
    places: npt.NDArray[Any] | Tensor, labels: npt.NDArray[Any], class_names: Sequence[str], title: str = ""
) -> Picture:
    """A map of clips: a point for each, each class by its own colour and mark.

    Args:
        places: (N, 2) where they lie, as of principal components or t-SNE.
        labels: (N,) classes, from 0; those below 0 are left out.
        class_names: what the labels mean; at most 10 can be told apart.
        title: what is written over it.

    Returns:
        A PNG.

    Raises:
        BadInput: shapes do not fit, or there are more than 10 classes.

    Example:
        >>> sk.draw_map(np.eye(4)[:, :2], np.array([0, 0, 1, 1]), ["wave", "kick"]).kind
        'png'
    """
    from skelpipe.plots.style import png_bytes
    from skelpipe.plots.tsne import map_figure

    at, label = numbers_of(places), np.asarray(numbers_of(labels))
    if at.ndim != 2 or at.shape[1] != 2 or label.shape != at.shape[:1]:
        raise BadInput("places", f"and labels have shapes {at.shape} and {label.shape}", "give (N, 2) and (N,)")
    shown = np.unique(label[label >= 0]).tolist()
    if len(shown) > MOST or (shown and shown[-1] >= len(class_names)):
        what = f"are of {len(shown)} classes, of which {len(class_names)} have names"
        raise BadInput("labels", what, f"give those of at most {MOST} classes, and a name for each")
    return Picture("png", png_bytes(map_figure(at, label, {n: class_names[n] for n in shown}, title), 100))
