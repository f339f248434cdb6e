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
import math
import os
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from numba import njit

from skelpipe import store
from skelpipe.errors import BadInput
from skelpipe.outputs import new_folder, read_digest
from skelpipe.parallel import map_slices, tell_threads
from skelpipe.parts import Part, kind_of
from skelpipe.skeleton import LAYOUTS, Layout, X, Y, Z

if TYPE_CHECKING:
    import zarr

log = logging.getLogger(__name__)

BODIES = 2
LONGEST = 300
CLIPS_PER_BLOCK = store.CLIPS_PER_CHUNK * 4  # whole chunks, so that none is written twice
LENGTH_RULES = ("count", "last")

# CTR-GCN's thresholds (Chen et al., ICCV 2021), first used by SGN and VA-CNN's NTU scripts.
SHORTEST_BODY = 11  # bodies seen in no more frames than this are noise
WIDEST_FRAME = 0.8  # a frame whose x extent exceeds this many y extents is noise
NOISY_BODY = 0.69754  # a body with this share of noise frames is noise
ENERGY_SLOTS = 4

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


# Loops instead of NumPy calls: the same speed, and a tenth of the time to compile.


# from, to (V, 3)
@njit(cache=True, nogil=True)
def _put(source, to):  # type: ignore[no-untyped-def]
    for v in range(len(to)):
        for c in range(3):
            to[v, c] = source[v, c]


# pose (V, 3): whether any coordinate is not 0
@njit(cache=True, nogil=True)
def _shown(pose):  # type: ignore[no-untyped-def]
    shown = False
    for v in range(len(pose)):
        shown = shown or pose[v, X] != 0 or pose[v, Y] != 0 or pose[v, Z] != 0
    return shown


# pose (V, 3): largest minus smallest coordinate of one axis, float64
@njit(cache=True, nogil=True)
def _extent(pose, axis):  # type: ignore[no-untyped-def]
    low = high = pose[0, axis]
    for v in range(len(pose)):
        low, high = min(low, pose[v, axis]), max(high, pose[v, axis])
    return np.float64(high - low)


@njit(cache=True, nogil=True)
def _count(flags):  # type: ignore[no-untyped-def]
    count = 0
    for flag in flags:
        count += flag
    return count


# the places of the values from the largest to the smallest; equal ones stay in order
@njit(cache=True, nogil=True)
def _descending(values):  # type: ignore[no-untyped-def]
    order = np.arange(len(values))
    for i in range(1, len(values)):
        j = i
        while j > 0 and values[order[j]] > values[order[j - 1]]:
            order[j], order[j - 1] = order[j - 1], order[j]
            j -= 1
    return order


# A policy fills selected (F, 2, V, 3), zeros on entry, with a clip's two bodies and returns how many frames it kept.
# joints (rows, V, 3), frame (rows,) and body (rows,) are the clip's own rows.


@njit(cache=True, nogil=True)
def _first(joints, frame, body, selected):  # type: ignore[no-untyped-def]
    """AimCLR, CrosSCLR, ST-GCN: the first two rows of every frame; who they belong to is not asked."""
    slot = 0
    for row in range(len(joints)):
        slot = slot + 1 if row > 0 and frame[row] == frame[row - 1] else 0
        if slot < BODIES:
            _put(joints[row], selected[frame[row], slot])
    return len(selected)


@njit(cache=True, nogil=True)
def _energy(joints, frame, body, selected):  # type: ignore[no-untyped-def]
    """2s-AGCN, CMD: of the first four rows of every frame, the two slots that vary most; the livelier one first."""
    slots = np.full(len(joints), -1)
    for row in range(len(joints)):
        slots[row] = slots[row - 1] + 1 if row > 0 and frame[row] == frame[row - 1] else 0
    energy = np.zeros(ENERGY_SLOTS)
    for slot in range(ENERGY_SLOTS):
        used = slots == slot
        for row in range(len(joints)):
            used[row] = used[row] and _shown(joints[row])
        for variance in _variances(joints, used):
            energy[slot] += math.sqrt(variance)
    order = _descending(energy)
    for row in range(len(joints)):
        for place in range(BODIES):
            if slots[row] == order[place]:
                _put(joints[row], selected[frame[row], place])
    return len(selected)


@njit(cache=True, nogil=True)
def _motion(joints, used):  # type: ignore[no-untyped-def]
    variances = _variances(joints, used)
    return variances[X] + variances[Y] + variances[Z]


# joints (rows, V, 3); used (rows,) bool -> the variance of x, y and z over all joints of the rows used
@njit(cache=True, nogil=True)
def _variances(joints, used):  # type: ignore[no-untyped-def]
    count = 0
    mean, square = np.zeros(3), np.zeros(3)
    for row in range(len(joints)):
        if used[row]:
            count += joints.shape[1]
            for v in range(joints.shape[1]):
                for c in range(3):
                    mean[c] += joints[row, v, c]
    for c in range(3):
        mean[c] /= max(count, 1)
    for row in range(len(joints)):
        if used[row]:
            for v in range(joints.shape[1]):
                for c in range(3):
                    square[c] += (joints[row, v, c] - mean[c]) ** 2 / count
    return square


@njit(cache=True, nogil=True)
def _denoise(joints, frame, body, selected):  # type: ignore[no-untyped-def]
    """CTR-GCN: drop short and sprawling bodies, then give the others, liveliest first, to two actors by their time.

    Frames without a body are removed first. A body's rows are taken to follow each other without a gap from the frame
    it is first seen in, as there. If every body is short, all stay (there the script would stop).
    There, the sequence is then moved so that joint 2 of the first actor starts in the origin; here `centre` does that
    work, body by body. A clip of one actor leaves the second body zero (its NTU-120 script repeats the first).
    """
    rank, first, length, kept = _tracks(frame, body)
    several = len(first) > 1
    motion = np.zeros(len(first))
    alive = np.ones(len(first), np.bool_)
    if several:
        long = length > SHORTEST_BODY
        if _count(long) > 0:
            alive = long
        for b in range(len(first)):
            motion[b] = _motion(joints, rank == b)
        _drop_sprawling(joints, rank, length, motion, alive)
    for b in range(len(first)):
        if not alive[b]:
            motion[b] = -1
    order = _descending(motion)[: _count(alive)]
    _cast(joints, rank, first, length, order, selected[:kept])
    return _squeeze(selected, kept) if several else kept


# -> rank (rows,) which body a row belongs to, in order of appearance, -1 for a second row of a body in one frame;
#    per body the first frame (frames without a body not counted) and how many rows; the number of frames with a body
@njit(cache=True, nogil=True)
def _tracks(frame, body):  # type: ignore[no-untyped-def]
    rank = np.full(len(frame), -1)
    ids, latest = np.empty(len(frame), np.int64), np.empty(len(frame), np.int64)
    first, length = np.empty(len(frame), np.int64), np.empty(len(frame), np.int64)
    bodies, frames = 0, 0
    for row in range(len(frame)):
        if row == 0 or frame[row] != frame[row - 1]:
            frames += 1
        b = 0
        while b < bodies and ids[b] != body[row]:
            b += 1
        if b == bodies:
            ids[b], first[b], length[b], latest[b] = body[row], frames - 1, 0, -1
            bodies += 1
        if latest[b] != frames:
            rank[row], latest[b] = b, frames
            length[b] += 1
    return rank, first[:bodies], length[:bodies], frames


# changes motion and alive (bodies,): never the last body; one that stays counts its quieter motion without noise frames
@njit(cache=True, nogil=True)
def _drop_sprawling(joints, rank, length, motion, alive):  # type: ignore[no-untyped-def]
    for b in range(len(length)):
        if not alive[b] or _count(alive) == 1:
            continue
        clean = rank == b
        for row in range(len(joints)):
            clean[row] = clean[row] and _extent(joints[row], X) <= WIDEST_FRAME * _extent(joints[row], Y)
        noisy = length[b] - _count(clean)
        if noisy / length[b] >= NOISY_BODY:
            alive[b] = False
        elif noisy > 0:
            motion[b] = min(motion[b], _motion(joints, clean))


# order: the bodies, liveliest first; selected (F, 2, V, 3). One shared frame does not count as an overlap, and the
# second actor's time begins as [0, 0] and only grows
@njit(cache=True, nogil=True)
def _cast(joints, rank, first, length, order, selected):  # type: ignore[no-untyped-def]
    start, end = np.zeros(BODIES, np.int64), np.zeros(BODIES, np.int64)
    for place in range(len(order)):
        b = order[place]
        b_start, b_end = first[b], first[b] + length[b] - 1
        if place == 0:
            start[0], end[0] = b_start, b_end
        for actor in range(BODIES):
            if place == 0 or min(end[actor], b_end) - max(start[actor], b_start) <= 0:
                t = b_start
                for row in range(len(joints)):
                    if rank[row] == b:
                        _put(joints[row], selected[t, actor])
                        t += 1
                start[actor], end[actor] = min(start[actor], b_start), max(end[actor], b_end)
                break


# moves the frames that show somebody to the front; returns how many
@njit(cache=True, nogil=True)
def _squeeze(selected, frames):  # type: ignore[no-untyped-def]
    kept = 0
    for t in range(frames):
        if _shown(selected[t, 0]) or _shown(selected[t, 1]):
            for m in range(BODIES):
                _put(selected[t, m], selected[kept, m])
            kept += 1
    return kept


BODY_POLICIES: dict[str, Callable[[Any, Any, Any, Any], int]] = {
    "first": _first,
    "energy": _energy,
    "denoise": _denoise,
}


# selected (F, 2, V, 3) -> how many frames of it are to be resized
@njit(cache=True, nogil=True)
def _length(selected, last):  # type: ignore[no-untyped-def]
    count, latest = 0, 0
    for t in range(len(selected)):
        if _shown(selected[t, 0, :1]):
            count += 1
            latest = t + 1
    return latest if last else count


# selected (L, 2, V, 3): every body relative to its own joint, frame by frame; bodies that are all zero stay so
@njit(cache=True, nogil=True)
def _centre(selected, joint):  # type: ignore[no-untyped-def]
    frames, bodies, joints, _ = selected.shape
    for t in range(frames):
        for m in range(bodies):
            x, y, z = selected[t, m, joint, 0], selected[t, m, joint, 1], selected[t, m, joint, 2]
            for v in range(joints):
                selected[t, m, v, 0] -= x
                selected[t, m, v, 1] -= y
                selected[t, m, v, 2] -= z


# selected (L, 2, V, 3) -> out (3, T, V, 2)
@njit(cache=True, nogil=True, error_model="numpy")
def _resize(selected, out):  # type: ignore[no-untyped-def]
    length, bodies, joints, _ = selected.shape
    frames = out.shape[1]
    for t in range(frames):
        u = min(max((t + 0.5) * length / frames - 0.5, 0.0), length - 1.0)
        early = int(u)
        late, weight = min(early + 1, length - 1), u - early
        for v in range(joints):
            for m in range(bodies):
                for c in range(3):
                    a, b = selected[early, m, v, c], selected[late, m, v, c]
                    out[c, t, v, m] = a + weight * (b - a)


# out (3, T, V, 2). With v the shoulder line seen from above, the angle is phi = -+arccos(v_x / (|v| + 1e-4)), negative
# if the line points away from the camera on the whole; its cosine and sine need no arccos
@njit(cache=True, nogil=True, error_model="numpy")
def _turn(out, right, left):  # type: ignore[no-untyped-def]
    _, frames, joints, bodies = out.shape
    for m in range(bodies):
        depth = 0.0
        for t in range(frames):
            depth += out[2, t, right, m] - out[2, t, left, m]
        sign = -1.0 if depth >= 0 else 1.0
        for t in range(frames):
            vx, vz = out[0, t, right, m] - out[0, t, left, m], out[2, t, right, m] - out[2, t, left, m]
            cos = vx / (math.sqrt(np.float64(vx) ** 2 + np.float64(vz) ** 2) + 1e-4)
            sin = sign * math.sqrt(1 - cos**2)
            for v in range(joints):
                x, z = out[0, t, v, m], out[2, t, v, m]
                out[0, t, v, m] = cos * x - sin * z
                out[2, t, v, m] = sin * x + cos * z


# One clip from its two bodies: uses up selected (F, 2, V, 3), writes out (3, T, V, 2), zeros on entry; returns L
@njit(cache=True, nogil=True)
def _finish(selected, longest, last, centre, right, left, out):  # type: ignore[no-untyped-def]
    if 0 < longest < len(selected):
        start = (len(selected) - longest) // 2
        selected = selected[start : start + longest]
    length = _length(selected, last)
    if length == 0:
        return 0
    selected = selected[:length]
    if centre >= 0:
        _centre(selected, centre)
    _resize(selected, out)
    if right >= 0:
        _turn(out, right, left)
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
    centre = layout.centre if settings.centre else -1
    right, left = layout.shoulders if settings.turn else (-1, -1)
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
