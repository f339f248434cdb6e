"""From the ragged store to clips of one length: choose two bodies, centre them, resize in time, turn to the camera.

The steps and their order are those of CrosSCLR and AimCLR (whose NTU preprocessing files are identical):

1. two body slots per frame, by one of `BODY_POLICIES`;
2. clips of more than `longest` frames keep their middle part;
3. the length L: how many frames show joint 0 of the first body. The first L frames are used;
4. `centre`: in every frame, every body is moved so that its layout's centre joint lies in the origin;
5. the L frames become T by linear interpolation between frame centres, u = (t + 1/2) L / T - 1/2, clamped to 0..L-1;
6. `turn`: in every frame, every body is rotated about y until its shoulder line is parallel to the camera plane.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from numba import njit

from skelpipe.clips.align import centre_bodies, turn_bodies
from skelpipe.clips.bodies import BODIES, BODY_POLICIES
from skelpipe.clips.time import LENGTH_RULES, count_frames, resize_frames
from skelpipe.errors import BadInput
from skelpipe.layouts import LAYOUTS
from skelpipe.layouts.base import Layout
from skelpipe.outputs.digests import read_digest
from skelpipe.outputs.folders import new_folder
from skelpipe.parallel import map_slices, tell_threads
from skelpipe.recordings import store
from skelpipe.recordings.parts import Part, kind_of

if TYPE_CHECKING:
    import zarr


log = logging.getLogger(__name__)
LONGEST = 300
CLIPS_PER_BLOCK = store.CLIPS_PER_CHUNK * 4  # whole chunks, so that none is written twice

Floats = npt.NDArray[np.float32]
Whole = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Ragged:
    """A run of recordings as the store keeps them: one row per body per frame, in file order.

    Attributes:
        joints: (rows, V, 3) float32, metres.
        row_frame: (rows,) int64, the row's frame in its clip, from 0, never falling.
        row_body: (rows,) int64, the sensor's id of the body.
        clip_offset: (N + 1,) int64, clip n owns rows clip_offset[n] to clip_offset[n + 1].
        clip_frames: (N,) int64, frames in the clip.
    """

    joints: Floats
    row_frame: Whole
    row_body: Whole
    clip_offset: Whole
    clip_frames: Whole


# One clip from its two bodies: uses up selected (F, 2, V, 3), writes out (3, T, V, 2), zeros on entry; returns L
@njit(cache=True, nogil=True)
def _finish(selected, longest, last, centre, right, left, out):  # type: ignore[no-untyped-def]
    if 0 < longest < len(selected):
        start = (len(selected) - longest) // 2
        selected = selected[start : start + longest]
    length = count_frames(selected, last)
    if length == 0:
        return 0
    selected = selected[:length]
    if centre >= 0:
        centre_bodies(selected, centre)
    resize_frames(selected, out)
    if right >= 0:
        turn_bodies(out, right, left)
    return length


@dataclass(frozen=True)
class Settings:
    """How clips are prepared; every field is recorded with them.

    Attributes:
        frames: T.
        bodies: key of `BODY_POLICIES`.
        centre: whether bodies are centred.
        turn: whether bodies are turned to the camera.
        longest: clips of more frames keep their middle part; None keeps all.
        length: "count" takes as many frames from the start as show the first body, so empty frames inside a recording
            cut its tail, as the reference does; "last" takes all up to the last such frame.
    """

    frames: int = 50
    bodies: str = "first"
    centre: bool = True
    turn: bool = True
    longest: int | None = LONGEST
    length: str = "count"

    def __post_init__(self) -> None:
        for name, value, known in (("bodies", self.bodies, BODY_POLICIES), ("length", self.length, LENGTH_RULES)):
            if value not in known:
                raise BadInput(name, f"{value!r} is not known", f"use one of {', '.join(known)}")
        for name, number in (("frames", self.frames), ("longest", self.longest)):
            if number is not None and number < 1:
                raise BadInput(name, f"{number} is not a number of frames", "use 1 or more")


def prepare_clips(
    ragged: Ragged, layout: Layout, settings: Settings, threads: int | None = None
) -> tuple[Floats, npt.NDArray[np.int32], npt.NDArray[np.int32]]:
    """Prepare recordings in memory.

    Returns:
        clips (N, 3, T, V, 2) float32, metres; length (N,), the L of each, 0 where nobody was seen (its clip is all
        zeros); kept (N,), the frames that the body policy left.

    Raises:
        BadInput: the rows contradict each other.
    """
    _check_rows(ragged, layout)
    count = len(ragged.clip_frames)
    clips = np.zeros((count, 3, settings.frames, len(layout.joints), BODIES), np.float32)
    length, kept = np.zeros(count, np.int32), np.zeros(count, np.int32)
    policy = BODY_POLICIES[settings.bodies]
    centre = layout.centre[0] if settings.centre else -1
    (right,), (left,) = layout.shoulders if settings.turn else ((-1,), (-1,))
    most = int(ragged.clip_frames.max(initial=0))

    def prepare_slice(start: int, stop: int) -> None:
        scratch = np.empty((most, BODIES, len(layout.joints), 3), np.float32)
        for n in range(start, stop):
            rows = slice(ragged.clip_offset[n], ragged.clip_offset[n + 1])
            selected = scratch[: ragged.clip_frames[n]]
            selected[...] = 0
            kept[n] = policy(ragged.joints[rows], ragged.row_frame[rows], ragged.row_body[rows], selected)
            last = settings.length == "last"
            length[n] = _finish(selected[: kept[n]], settings.longest or 0, last, centre, right, left, clips[n])

    map_slices(prepare_slice, count, threads)
    return clips, length, kept


def _check_rows(ragged: Ragged, layout: Layout) -> None:
    # The kernels do not check bounds, so nothing wrong may reach them.
    rows, offset = len(ragged.joints), ragged.clip_offset
    whole = len(ragged.row_frame) == len(ragged.row_body) == rows and ragged.joints.shape[1:] == (len(layout.joints), 3)
    whole = whole and len(offset) == len(ragged.clip_frames) + 1 and offset[0] == 0 and offset[-1] == rows
    if whole and (np.diff(offset) >= 0).all():
        limit = np.repeat(ragged.clip_frames, np.diff(offset))
        if ((ragged.row_frame >= 0) & (ragged.row_frame < limit)).all():
            return
    raise BadInput(
        "store", "its rows, frames and clip offsets contradict each other", "remake it with 'skelpipe ingest'"
    )


@dataclass(frozen=True)
class Summary:
    """What `prepare` did: how many clips, the names of those that show nobody, how many were cut to `longest`."""

    clips: int
    empty: tuple[str, ...]
    shortened: int


def prepare(
    store_path: str | os.PathLike[str],
    clips: str | os.PathLike[str],
    *,
    frames: int = 50,
    bodies: str = "first",
    centre: bool = True,
    turn: bool = True,
    longest: int | None = LONGEST,
    length: str = "count",
    part: Part | None = None,
    threads: int | None = None,
    force: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> Summary:
    """Turn a store into clips of `frames` frames, in bounded memory; see `Settings` for the options.

    Args:
        store_path: a store folder.
        clips: the clips folder to make.
        part: prepare this part only, to be joined with the others (`parts.join`).
        progress: called with (clips done, clips in all) now and then.

    Raises:
        BadInput: the store cannot be read, an option does not fit, or `clips` cannot be written.
    """
    settings = Settings(frames, bodies, centre, turn, longest, length)
    group, attributes = store.open_group(os.fspath(store_path), "store")
    layout = LAYOUTS[attributes["layout"]]
    columns = {name: store.read_array(group, name) for name in attributes["columns"]}
    share, mark = slice(0, len(columns["name"])), {}
    if part is not None:
        share, mark = part.share(store.read_array(group, "clip_frames")), {"part": part.mark(read_digest(store_path))}
        columns = {name: values[share] for name, values in columns.items()}
    kind, told = kind_of("clips", part), {**asdict(settings), **({"part": str(part)} if part else {})}
    tell(settings, len(columns["name"]), part)
    tell_threads(log, threads)
    with new_folder(clips, kind, force=force, inputs={"store": store_path}, settings=told) as folder:
        kept: dict[str, Any] = {
            k: attributes[k] for k in ("dataset", "layout", "columns", "split_files") if k in attributes
        }
        made = store.create_group(folder, kind, {**kept, **asdict(settings), **mark})
        store.write_columns(made, columns)
        lengths, shortened = _write_clips(group, share, made, layout, settings, threads, progress)
    empty = tuple(str(name) for name in columns["name"][lengths == 0])
    log.info("%d clips show nobody and are all zeros; %d were cut to %s frames first", len(empty), shortened, longest)
    for name in empty:
        log.debug("%s shows nobody", name)
    return Summary(len(lengths), empty, shortened)


def tell(settings: Settings, clips: int, part: Part | None) -> None:
    """Log what is about to be done to how many clips."""
    log.info("%s clips%s become %d frames long", f"{clips:,}", f", part {part}," if part else "", settings.frames)
    policy = {"first": "the first two seen", "energy": "the two that move most", "denoise": "denoised tracks"}
    log.info(
        "bodies: %s (%s); length: %s", settings.bodies, policy.get(settings.bodies, settings.bodies), settings.length
    )
    centre = "each body's upper spine is put at the origin" if settings.centre else "left where the sensor saw them"
    turn = "shoulders are turned to the camera plane" if settings.turn else "not turned"
    log.info("%s; %s", centre, turn)


def _write_clips(
    group: zarr.Group,
    share: slice,
    made: zarr.Group,
    layout: Layout,
    settings: Settings,
    threads: int | None,
    progress: Callable[[int, int], None] | None,
) -> tuple[npt.NDArray[np.int32], int]:
    offset, clip_frames = (store.read_array(group, name).astype(np.int64) for name in ("clip_offset", "clip_frames"))
    offset, clip_frames = offset[share.start : share.stop + 1], clip_frames[share]
    count = len(clip_frames)
    shape = (count, 3, settings.frames, len(layout.joints), BODIES)
    array = store.create_array(made, "clips", shape, "float32", store.CLIPS_PER_CHUNK)
    lengths, shortened = np.zeros(count, np.int32), 0
    for start in range(0, count, CLIPS_PER_BLOCK):
        stop = min(start + CLIPS_PER_BLOCK, count)
        ragged = read_block(group, offset, clip_frames, start, stop)
        values, lengths[start:stop], kept = prepare_clips(ragged, layout, settings, threads)
        array[start:stop] = values
        shortened += int((kept > settings.longest).sum()) if settings.longest else 0
        if progress is not None:
            progress(stop, count)
    store.write_array(made, "length", lengths)
    return lengths, shortened


def read_block(group: zarr.Group, offset: Whole, clip_frames: Whole, start: int, stop: int) -> Ragged:
    """Clips `start` to `stop` of a store, whose `clip_offset` and `clip_frames` are read already."""
    rows = slice(int(offset[start]), int(offset[stop]))
    parts = {name: store.read_array(group, name, rows) for name in ("joints", "row_frame", "row_body")}
    return Ragged(
        np.ascontiguousarray(parts["joints"], np.float32),
        parts["row_frame"].astype(np.int64),
        parts["row_body"].astype(np.int64),
        offset[start : stop + 1] - offset[start],
        clip_frames[start:stop],
    )
