"""From the ragged store to clips.

Today's preparation, `aimclr`, is compiled as a whole, here. Its steps and their order are those of CrosSCLR and AimCLR
(whose NTU preprocessing files are identical):

1. two body slots per frame, by one of `BODY_POLICIES`;
2. clips of more than `longest` frames keep their middle part;
3. the length L: how many frames show the first body; with bodies that were chosen otherwise, any of the two
   (`ragged.bodies_seen`). The first L frames are used;
4. `centre`: in every frame, every body is moved so that its layout's centre lies in the origin;
5. the L frames become T by linear interpolation between frame centres, u = (t + 1/2) L / T - 1/2, clamped to 0..L-1;
6. `turn`: in every frame, every body is rotated about y until its shoulder line is parallel to the camera plane.

Every other one (`presets.PRESETS`, `steps.STEPS`) is a `chain.Chain` of compiled steps.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Unpack

import numpy as np
import numpy.typing as npt

from skelpipe.allocator import keep_memory
from skelpipe.clips.align import turn_bodies
from skelpipe.clips.bodies import BODIES, BODY_POLICIES
from skelpipe.clips.centre import centre_bodies
from skelpipe.clips.chain import Chain
from skelpipe.clips.presets import LENGTH_RULES, LONGEST, PRESETS, Options, Preparation, find_preparation
from skelpipe.clips.ragged import Floats, Ragged, bodies_seen, check_rows, read_block
from skelpipe.clips.steps import axes, channels, check_fits
from skelpipe.clips.time import count_frames, resize_frames
from skelpipe.errors import BadInput
from skelpipe.kernels import compiled
from skelpipe.layouts import layout_of
from skelpipe.layouts.base import Layout
from skelpipe.outputs.digests import read_digest
from skelpipe.outputs.folders import new_folder
from skelpipe.parallel import map_slices, tell_threads
from skelpipe.recordings import NATIVE, store
from skelpipe.recordings.conventions.folders import is_relative, noted_for_clips
from skelpipe.recordings.conventions.shown import check_shown
from skelpipe.recordings.datasets.recording import RATE, READING
from skelpipe.recordings.frames import FrameWriter
from skelpipe.recordings.parts import Part, kind_of

if TYPE_CHECKING:
    import zarr


log = logging.getLogger(__name__)
CLIPS_PER_BLOCK = store.CLIPS_PER_CHUNK * 4  # whole chunks, so that none is written twice
WHERE_SEEN = "left where the sensor saw them"

Progress = Callable[[int, int], None]


# One clip from its two bodies: uses up selected (F, 2, V, C), writes out (C, T, V, 2), zeros on entry; returns L
@compiled
def _finish(selected, channels, axes, longest, last, bodies, centre, right, left, out):  # type: ignore[no-untyped-def]
    if 0 < longest < len(selected):
        start = (len(selected) - longest) // 2
        selected = selected[start : start + longest]
    length = count_frames(selected, last, bodies)
    if length == 0:
        return 0
    selected = selected[:length]
    if len(centre):
        centre_bodies(selected, centre, axes)
    resize_frames(selected, channels, out)
    if len(right):
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
        length: "count" takes as many frames from the start as show somebody, so empty frames inside a recording cut its
            tail, as the reference does; "last" takes all up to the last such frame.
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
    ragged: Ragged, layout: Layout, settings: Settings, threads: int | None = None, *, chosen: str | None = None
) -> tuple[Floats, npt.NDArray[np.int32], npt.NDArray[np.int32]]:
    """Prepare recordings in memory.

    Args:
        chosen: by which rule the rows of a frame are its bodies already; None chooses them by the settings.

    Returns:
        clips (N, C, T, V, 2) float32, metres; length (N,), the L of each, 0 where nobody was seen (its clip is all
        zeros); kept (N,), the frames that the body policy left.

    Raises:
        BadInput: the rows contradict each other, or the layout has no third coordinate to turn in.
    """
    check_rows(ragged, layout)
    check_fits((("align", "yaw" if settings.turn else "none"),), layout)
    count = len(ragged.clip_frames)
    clips = np.zeros((count, layout.channels, settings.frames, len(layout.joints), BODIES), np.float32)
    length, kept = np.zeros(count, np.int32), np.zeros(count, np.int32)
    policy, space, every = BODY_POLICIES["first" if chosen else settings.bodies], axes(layout), channels(layout)
    bodies, last = bodies_seen(chosen or settings.bodies, BODIES), settings.length == "last"
    nothing = np.empty(0, np.int64)
    centre = np.array(layout.centre) if settings.centre else nothing
    right, left = map(np.array, layout.shoulders) if settings.turn else (nothing, nothing)
    most = int(ragged.clip_frames.max(initial=0))

    def prepare_slice(start: int, stop: int) -> None:
        scratch = np.empty((most, BODIES, len(layout.joints), layout.channels), np.float32)
        for n in range(start, stop):
            rows = ragged.rows(n)
            selected = scratch[: ragged.clip_frames[n]]
            selected[...] = 0
            kept[n] = policy(ragged.joints[rows], ragged.row_frame[rows], ragged.row_body[rows], space, selected)
            used, longest = selected[: kept[n]], settings.longest or 0
            length[n] = _finish(used, every, space, longest, last, bodies, centre, right, left, clips[n])

    map_slices(prepare_slice, count, threads)
    return clips, length, kept


@dataclass(frozen=True)
class Summary:
    """What `prepare` did: how many clips, the names of those that show nobody, how many were cut to how many frames.

    `frames` is T, or "native".
    """

    clips: int
    empty: tuple[str, ...]
    shortened: int
    longest: int | None = None
    frames: int | str = 0


def prepare(
    store_path: str | os.PathLike[str],
    clips: str | os.PathLike[str],
    *,
    preset: str = "aimclr",
    steps: Sequence[str] = (),
    part: Part | None = None,
    threads: int | None = None,
    force: bool = False,
    progress: Progress | None = None,
    **options: Unpack[Options],
) -> Summary:
    """Turn a store into clips, in bounded memory.

    Args:
        store_path: a store folder.
        clips: the clips folder to make.
        preset: key of `presets.PRESETS`.
        steps: changes of its steps, "kind=choice" of `steps.STEPS`.
        part: prepare this part only, to be joined with the others (`parts.join`).
        progress: called with (clips done, clips in all) now and then.
        options: further changes of the preset, see `presets.Options`.

    Raises:
        BadInput: the store cannot be read, an option does not fit, most clips show nobody, or `clips` cannot be
            written.
    """
    keep_memory()  # blocks of clips would be mapped, faulted in and unmapped anew each time
    how = find_preparation(preset, options, steps)
    group, attributes = store.open_group(os.fspath(store_path), "store")
    layout = layout_of(attributes, store_path)
    maker = Maker(how, layout, threads, relative=is_relative(attributes))
    columns = {name: store.read_array(group, name) for name in attributes["columns"]}
    share, mark = slice(0, len(columns["name"])), {}
    if part is not None:
        share, mark = part.share(store.read_array(group, "clip_frames")), {"part": part.mark(read_digest(store_path))}
        columns = {name: values[share] for name, values in columns.items()}
    kind, told = kind_of("clips", part), {**maker.attributes, **({"part": str(part)} if part else {})}
    tell(how, len(columns["name"]), part)
    tell_threads(log, threads)
    with new_folder(clips, kind, force=force, inputs={"store": store_path}, settings=told) as folder:
        kept: dict[str, Any] = {
            k: attributes[k]
            for k in ("dataset", "dataset_table", "layout", "layout_table", "columns", "split_files", READING, RATE)
            if k in attributes
        }
        noted = noted_for_clips(attributes)
        made = store.create_group(folder, kind, {**kept, **maker.attributes, **noted, **mark})
        store.write_columns(made, columns)
        lengths, shortened = maker.write(group, share, made, progress)
        if part is None:
            check_shown(lengths > 0, store_path, "check what the store was made from, by 'skelpipe inspect'")
    for done in noted.get("conventions", {}).get("converted", []):
        log.info("converted: %s", done)
    empty = tuple(str(name) for name in columns["name"][lengths == 0])
    limit = how.longest or how.frames
    log.info("%d clips show nobody and are all zeros; %d were cut to %s frames first", len(empty), shortened, limit)
    for name in empty:
        log.debug("%s shows nobody", name)
    return Summary(len(lengths), empty, shortened, limit, how.frames or NATIVE)


def tell(how: Preparation, clips: int, part: Part | None) -> None:
    """Log what is about to be done to how many clips."""
    become = f"become {how.frames} frames long" if how.frames is not None else "keep their lengths"
    log.info("%s clips%s %s", f"{clips:,}", f", part {part}," if part else "", become)
    if settings_of(how) is None:
        log.info("%s: %s; length: %s", how.name or "steps", ", ".join(how.text), how.length)
        return
    policy = {"first": "the first two seen", "energy": "the two that move most", "denoise": "denoised tracks"}
    log.info("bodies: %s (%s); length: %s", how.choice("bodies"), policy[how.choice("bodies")], how.length)
    centre = "each body's upper spine is put at the origin" if how.choice("centre") == "own" else WHERE_SEEN
    turn = "shoulders are turned to the camera plane" if how.choice("align") == "yaw" else "not turned"
    log.info("%s; %s", centre, turn)


def settings_of(how: Preparation) -> Settings | None:
    """The same as `Settings`, if it is today's preparation with no more than today's changes."""
    today = dict(PRESETS["aimclr"].steps)
    fits = [kind for kind, _ in how.steps] == list(today) and how.frames is not None and how.length in LENGTH_RULES
    free = {"bodies": BODY_POLICIES, "centre": ("own", "none"), "align": ("yaw", "none")}
    if not fits or any(choice not in free.get(kind, (today[kind],)) for kind, choice in how.steps):
        return None
    centre, turn = how.choice("centre") == "own", how.choice("align") == "yaw"
    return Settings(how.frames or 0, how.choice("bodies"), centre, turn, how.longest, how.length)


class Maker:
    """Makes the clips of a store, block by block.

    Attributes:
        attributes: what the clips folder says of their preparation.
    """

    def __init__(self, how: Preparation, layout: Layout, threads: int | None, *, relative: bool = False) -> None:
        self.how, self.layout, self.threads = how, layout, threads
        self.chain, self.settings = Chain(how, layout, relative=relative), settings_of(how)
        self.attributes = how.attributes() if self.settings is None else asdict(self.settings)
        if self.chain.bodies != BODIES:
            self.attributes["max_bodies"] = self.chain.bodies

    def write(
        self, group: zarr.Group, share: slice, made: zarr.Group, progress: Progress | None
    ) -> tuple[npt.NDArray[np.int32], int]:
        """Prepare and write all clips of a share; returns their lengths, and how many were cut."""
        offset, clip_frames = (
            store.read_array(group, name).astype(np.int64) for name in ("clip_offset", "clip_frames")
        )
        offset, clip_frames = offset[share.start : share.stop + 1], clip_frames[share]
        count, frames = len(clip_frames), self.how.frames
        channels, *tail = self.chain.tail
        length, valid, shortened = np.zeros(count, np.int32), np.zeros(count, np.int32), 0
        if frames is None:
            array: Any = FrameWriter(made, "clips", (channels, *tail))
        else:
            shape = (count, channels, frames, *tail)
            array = store.create_array(made, "clips", shape, "float32", store.CLIPS_PER_CHUNK)
        for start in range(0, count, CLIPS_PER_BLOCK):
            stop = min(start + CLIPS_PER_BLOCK, count)
            ragged = read_block(group, offset, clip_frames, start, stop)
            values, length[start:stop], valid[start:stop], cut = self.block(ragged)
            shortened += cut
            if frames is None:
                array.add(values)
            else:
                array[start:stop] = values
            if progress is not None:
                progress(stop, count)
        store.write_array(made, "length", length)
        if frames is None:
            array.finish()
            store.write_array(made, "clip_offset", np.concatenate([[0], np.cumsum(valid, dtype=np.int64)]))
        elif self.chain.fills:
            store.write_array(made, "valid", valid)
        return length, shortened

    def block(self, ragged: Ragged) -> tuple[Floats, Any, Any, int]:
        """Values, lengths and valid frames of some clips, and how many were cut."""
        limit = self.how.longest
        if self.settings is not None:
            values, length, kept = prepare_clips(ragged, self.layout, self.settings, self.threads)
            return values, length, self.settings.frames, int((kept > limit).sum()) if limit else 0
        made = self.chain.run(ragged, self.threads)
        long = (made.kept > limit) if limit else made.cut
        return made.values, made.length, made.valid, int(long.sum())
