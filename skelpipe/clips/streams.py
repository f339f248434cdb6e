"""The three streams of a clip: joint positions, their motion from frame to frame, and bones (child minus parent).

In training a stream is computed from the augmented clip, because motion does not commute with a reflecting crop. The
folder that `write_streams` makes holds the streams of clips that are not augmented, for use by other programs.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from skelpipe.errors import BadInput
from skelpipe.kernels import compiled
from skelpipe.layouts.base import Layout
from skelpipe.outputs.folders import new_folder
from skelpipe.parallel import map_slices, tell_threads
from skelpipe.recordings import store

if TYPE_CHECKING:
    from torch import Tensor

log = logging.getLogger(__name__)

STREAMS = ("joint", "motion", "bone")

Batch = npt.NDArray[np.float32]
Lengths = npt.NDArray[np.int64]


# x, out (B, C, T, V, M); out may be x, so differences are taken elsewhere: a loop that writes what it reads from two
# places has no vector code
@compiled
def motion(x, out):  # type: ignore[no-untyped-def]
    """Write x[t + 1] - x[t]; the last frame is 0 (as ST-GCN's successors define it)."""
    batch, channels, frames, joints, bodies = x.shape
    width = joints * bodies
    x_rows, out_rows = x.reshape(batch * channels, frames * width), out.reshape(batch * channels, frames * width)
    moved = np.zeros(frames * width, x.dtype)
    for row in range(len(x_rows)):
        now, to = x_rows[row], out_rows[row]
        then = now[width:]
        for i in range(then.size):
            moved[i] = then[i] - now[i]
        for i in range(moved.size):
            to[i] = moved[i]


# x (B, C, T, V, M), changed in place; parents (V,). All of a channel's parents are fetched before the first difference
# is taken: reading vectors where single numbers were just written stalls the processor
@compiled
def bone(x, parents):  # type: ignore[no-untyped-def]
    """Make x[v] - x[parents[v]] of x[v]; the root, its own parent, becomes 0."""
    batch, channels, frames, joints, bodies = x.shape
    width = joints * bodies
    rows = x.reshape(batch * channels, frames * width)
    origin = np.empty(width, np.uint64)  # unsigned: no test for a negative index
    for v in range(joints):
        for m in range(bodies):
            origin[v * bodies + m] = parents[v] * bodies + m
    starts = np.empty(frames * width, x.dtype)
    for row in range(len(rows)):
        channel, frame = rows[row], np.uint64(0)
        for _ in range(frames):
            for i in range(width):
                starts[frame + np.uint64(i)] = channel[frame + origin[i]]
            frame += np.uint64(width)
        for i in range(starts.size):
            channel[i] -= starts[i]


# x (B, C, T, K); lengths (B,)
@compiled
def _stop(x, lengths):  # type: ignore[no-untyped-def]
    """Set the motion of the last frame that is a clip's own to zero, and of those behind it."""
    for b in range(len(x)):
        for c in range(x.shape[1]):
            x[b, c, max(lengths[b] - 1, 0) :] = 0


def apply_stream(
    x: Batch,
    stream: str,
    layout: Layout,
    out: Batch | None = None,
    threads: int | None = None,
    lengths: Lengths | None = None,
) -> Batch:
    """Compute one stream of a batch (B, C, T, V, M) into `out`, which may be `x` itself; None makes a new array.

    A confidence behind the coordinates stays the joint's own. Of clips that are filled up, `lengths` (B,) says how many
    frames are their own: the last of those has no motion, nor has what is behind it.

    Raises:
        BadInput: the stream has no such name.
    """
    check_stream(stream)
    out = np.empty_like(x) if out is None else out
    result = out

    def compute(a: int, b: int) -> None:
        stream_slice(x[a:b], stream, layout, result[a:b], None if lengths is None else lengths[a:b])

    map_slices(compute, len(x), threads)
    return out


def stream_slice(x: Batch, stream: str, layout: Layout, out: Batch, lengths: Lengths | None = None) -> None:
    """`apply_stream` without checks and threads, for callers that have split the batch already."""
    confidence = x[:, layout.coordinates :].copy() if layout.confidence and stream != "joint" else None
    if stream == "motion":
        motion(x, out)
        if lengths is not None:
            _stop(out.reshape(*out.shape[:3], -1), lengths)
    elif out is not x:
        out[...] = x
    if stream == "bone":  # both bodies' numbers as one complex number: half the fetches
        bone(out.view(np.complex64) if out.dtype == np.float32 and out.shape[4] == 2 else out, layout.parent_index)
    if confidence is not None:
        out[:, layout.coordinates :] = confidence


def stream_on_device(x: Tensor, stream: str, layout: Layout, parents: Tensor, still: Tensor) -> Tensor:
    """`stream_slice` for a batch (B, C, T, V, M) that lies on a device, by torch.

    Args:
        parents: (V,) int64, where each bone starts.
        still: (B, T) or (1, T), the frames without motion: the last that is a clip's own, and all behind it.
    """
    if stream == "joint":
        return x
    if stream == "motion":
        found = (x.roll(-1, 2) - x).masked_fill(still[:, None, :, None, None], 0)
    else:
        found = x - x.index_select(3, parents)
    if not layout.confidence:
        return found
    found[:, layout.coordinates :] = x[:, layout.coordinates :]
    return found


def check_stream(stream: str) -> None:
    """Raise BadInput unless the stream is one of `STREAMS`."""
    if stream not in STREAMS:
        raise BadInput("stream", f"{stream!r} is not a stream", f"use one of {', '.join(STREAMS)}")


@dataclass(frozen=True)
class Written:
    """What `write_streams` did: how many clips, and which streams of them."""

    clips: int
    streams: tuple[str, ...]


def write_streams(
    clips_path: str | os.PathLike[str],
    out: str | os.PathLike[str],
    *,
    streams: tuple[str, ...] = STREAMS,
    threads: int | None = None,
    force: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> Written:
    """Write the streams of unaugmented clips as a Zarr group: one array (N, C, T, V, M) float32 per stream, in metres.

    Args:
        clips_path: a clips folder.
        out: the folder to make (kind "streams"); it carries the clips' attributes and columns too.
        progress: called with (clips done, clips in all) now and then.

    Raises:
        BadInput: the clips cannot be read, `out` cannot be written, or a stream has no such name.
    """
    for stream in streams:
        check_stream(stream)
    clips = store.Clips(os.fspath(clips_path))
    store.check_fixed(clips.attributes, clips_path)
    settings = {"streams": list(streams)}
    log.info("streams %s of %s clips, unaugmented, float32", ", ".join(streams), f"{len(clips):,}")
    tell_threads(log, threads)
    with new_folder(out, "streams", force=force, inputs={"clips": clips_path}, settings=settings) as folder:
        kept = {k: v for k, v in clips.attributes.items() if k not in ("kind", "format_version")}
        group = store.create_group(folder, "streams", {**kept, **settings})
        store.write_columns(group, clips.columns)
        shape = store.open_array(clips.group, "clips").shape
        arrays = {s: store.create_array(group, s, shape, "float32", store.CLIPS_PER_CHUNK) for s in streams}
        step = store.CLIPS_PER_CHUNK * 4
        for start in range(0, len(clips), step):
            rows = np.arange(start, min(start + step, len(clips)))
            x = clips.load(rows)
            for stream, array in arrays.items():
                array[start : start + len(rows)] = apply_stream(x, stream, clips.layout, threads=threads)
            if progress is not None:
                progress(start + len(rows), len(clips))
    return Written(len(clips), tuple(streams))
