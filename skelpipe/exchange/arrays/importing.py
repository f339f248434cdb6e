"""Arrays that were prepared for other projects become clips."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from skelpipe.clips.bodies import BODIES
from skelpipe.clips.prepare import CLIPS_PER_BLOCK, Settings, prepare_clips
from skelpipe.clips.ragged import Ragged
from skelpipe.errors import BadInput
from skelpipe.exchange.arrays import find_format
from skelpipe.exchange.arrays.asking import Taken
from skelpipe.exchange.arrays.base import JOINTS, LAYOUT, Floats, Format, Part, Progress, check_layout, finite, only
from skelpipe.exchange.arrays.columns import ColumnsOf
from skelpipe.exchange.arrays.usable import REMEDY, not_numbers
from skelpipe.layouts import find_layout
from skelpipe.outputs.folders import new_folder
from skelpipe.parallel import tell_threads
from skelpipe.recordings import store
from skelpipe.recordings.conventions.shown import check_shown
from skelpipe.recordings.datasets import Dataset, Dropped, find_dataset, find_split

if TYPE_CHECKING:
    import zarr

log = logging.getLogger(__name__)


# From padded frames to recordings ----------------------------------------------------------------------------------
def _as_recordings(block: Floats, taken: Taken) -> Ragged:
    """(n, T, M, V, 3), zeros where nobody is -> recordings that end with the last frame that shows somebody."""
    own = np.array([taken.own_frames(clip) for clip in block])
    block = taken.values(block)
    shown = np.count_nonzero(block, axis=(3, 4)) > 0
    shown &= np.arange(shown.shape[1])[:, None] < own[:, None]
    block, shown = taken.packed(block, shown)
    # A body keeps its slot where an earlier one is missing: `first` counts the rows of a frame.
    placed: npt.NDArray[np.bool_] = np.logical_or.accumulate(shown[..., ::-1], axis=2)[..., ::-1]
    seen = np.count_nonzero(placed, axis=2) > 0
    frames = np.where(np.count_nonzero(seen, axis=1) > 0, seen.shape[1] - np.argmax(seen[:, ::-1], axis=1), 0)
    clip, row_frame, row_body = np.nonzero(placed)
    joints = block[placed]
    joints[~shown[placed]] = 0
    return Ragged(joints, row_frame, row_body, np.searchsorted(clip, np.arange(len(block) + 1)), frames)


def _joined(parts: Sequence[Ragged]) -> Ragged:
    starts = np.cumsum([0, *(len(part.joints) for part in parts)])
    offset = [part.clip_offset[:-1] + start for part, start in zip(parts, starts[:-1], strict=True)]
    rows = (np.concatenate([getattr(part, name) for part in parts]) for name in ("joints", "row_frame", "row_body"))
    ends = np.concatenate([*offset, starts[-1:]])
    joints, row_frame, row_body = rows
    return Ragged(joints, row_frame, row_body, ends, np.concatenate([part.clip_frames for part in parts]))


# Import ------------------------------------------------------------------------------------------------------------
@dataclass(frozen=True)
class Imported:
    """What `import_arrays` did.

    Attributes:
        clips: how many there are.
        empty: how many of them show nobody.
        split: the only one that they can serve, or None.
        left_out: what the files hold and is no clip, with the reason.
        told: what was found in the files and converted, what is not as it should be, and what cannot be told.
    """

    clips: int
    empty: int
    split: str | None
    left_out: tuple[Dropped, ...] = ()
    told: tuple[str, ...] = ()


def import_arrays(
    format: str,
    files: Iterable[str | os.PathLike[str]],
    clips: str | os.PathLike[str],
    *,
    dataset: str,
    split: str | None = None,
    frames: int | None = None,
    centre: bool = True,
    turn: bool = True,
    threads: int | None = None,
    force: bool = False,
    progress: Progress | None = None,
) -> Imported:
    """Make a clips folder of arrays that another project prepared; see the table at the top.

    Args:
        format: key of `FORMATS`.
        files: its files; of aimclr-npy and agcn-npy every .npy with its .pkl, paired by name if that tells.
        clips: the clips folder to make.
        dataset: whose clips they are, key of `DATASETS`.
        split: which benchmark the file divides; for formats without names, and only for these.
        frames: T, 50 if None; aimclr-npy keeps its own.
        centre, turn: as in `prepare.Settings`; aimclr-npy has both done.
        progress: called with (clips done, clips in all) now and then.

    Raises:
        BadInput: a file is not of that format, or holds what contradicts it; names or labels do not fit the data set,
            or an option does not fit; or most clips show nobody.
    """
    kind, about = find_format(format), find_dataset(dataset)
    paths = [Path(file) for file in files]
    _check_options(kind, format, about, split)
    if kind.prepared and not (centre and turn):
        raise BadInput(format, "is centred and turned already", "leave out --no-centre and --no-turn")
    parts = kind.read(paths)
    length_of = _frames(format, kind, parts, frames)
    columns = ColumnsOf.parts(about, parts, split)
    taken = Taken.of(format, kind, parts, dataset)
    settings = Settings(frames=length_of, centre=centre, turn=taken.turned if kind.prepared else turn)
    inputs: Mapping[str, Any] = {f"file {number}": path for number, path in enumerate(paths, 1)}
    log.info("%s: %s clips of %s%s", format, f"{len(columns):,}", dataset, f", for {split} only" if split else "")
    told = (settings.frames, taken.bodies, settings.centre, settings.turn)
    log.info("%d frames; bodies: %s; centred: %s; turned: %s", *told)
    tell_threads(log, threads)
    prepared = {**asdict(settings), "bodies": taken.bodies}
    said = {"format": format, "dataset": dataset, "split": split, **prepared}
    with new_folder(clips, "clips", force=force, inputs=inputs, settings=said) as folder:
        kept = {"dataset": dataset, "layout": LAYOUT.name, "columns": list(columns.values), "imported": format}
        noted = {**columns.attributes, "conventions": taken.noted() | columns.conventions}
        made = store.create_group(folder, "clips", {**kept, **prepared, **noted})
        length, whole = _write(made, parts, taken, settings, threads, len(columns), progress)
        odd = not_numbers(paths[0], columns.values["name"].tolist(), whole)
        left_out = [*(each for part in parts for each in part.left_out), *odd]
        check_shown(length > 0, paths[0], REMEDY)
        store.write_columns(made, {name: values[whole] for name, values in columns.values.items()})
        store.write_array(made, "length", length)
        if left_out:
            store.write_dropped(made, left_out)
    return Imported(len(length), int((length == 0).sum()), split, tuple(left_out), (*columns.told, *taken.told()))


def _write(
    made: zarr.Group,
    parts: Sequence[Part],
    taken: Taken,
    settings: Settings,
    threads: int | None,
    total: int,
    progress: Progress | None,
) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.bool_]]:
    """Prepare and write the clips whose coordinates are numbers; returns their lengths, and which of all they are."""
    shape = (total, 3, settings.frames, JOINTS, BODIES)
    array = store.create_array(made, "clips", shape, "float32", store.CLIPS_PER_CHUNK)
    length, whole, done, seen = np.zeros(total, np.int32), np.zeros(total, bool), 0, 0
    for part in parts:
        for block in part.blocks(CLIPS_PER_BLOCK):
            fine = finite(block)
            whole[seen : seen + len(block)], stop = fine, done + int(fine.sum())
            seen += len(block)
            if done < stop:
                some = block if fine.all() else only(block, fine)
                array[done:stop], length[done:stop] = _prepared(some, part, taken, settings, threads)
                done = stop
            if progress is not None:
                progress(seen, total)
    if done < total:
        array.resize((done, *shape[1:]))
    return length[:done], whole


def _prepared(
    block: Any, part: Part, taken: Taken, settings: Settings, threads: int | None
) -> tuple[Floats, npt.NDArray[np.int32]]:
    if isinstance(block, list):
        ragged = _joined([_as_recordings(clip[None], taken) for clip in block])
    elif part.prepared:
        block = taken.values(block).transpose(0, 4, 1, 3, 2)
        # How long the recordings were is not told; plots go by it.
        return block, np.where(block.any(axis=(1, 2, 3, 4)), settings.frames, 0).astype(np.int32)
    else:
        ragged = _as_recordings(block, taken)
    values, length, _ = prepare_clips(ragged, LAYOUT, settings, threads, chosen=taken.bodies)
    return values, length


def _check_options(kind: Format, format: str, dataset: Dataset, split: str | None) -> None:
    check_layout(f"--dataset {dataset.name}", find_layout(dataset.layout))
    if kind.named:
        if split is not None:
            raise BadInput(
                f"split {split!r}", f"is not asked for: {format} has names, which say it", "leave --split out"
            )
        return
    if split is None:
        raise BadInput(format, "has no names of clips, so the split it divides must be told", "pass --split")
    if find_split(split).datasets[0].name != dataset.name:
        raise BadInput(f"split {split!r}", f"is not a split of {dataset.name}", "correct --split or --dataset")


def _frames(format: str, kind: Format, parts: Sequence[Part], frames: int | None) -> int:
    if not kind.prepared:
        return Settings().frames if frames is None else frames
    found = sorted({part.frames for part in parts})
    if len(found) > 1 or frames not in (None, found[0]):
        what = f"holds clips of {' and '.join(map(str, found))} frames, and they are taken as they are"
        raise BadInput(format, what, "give files of one length, and leave --frames out")
    return found[0]
