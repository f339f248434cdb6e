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
from skelpipe.exchange.arrays.base import JOINTS, LAYOUT, Floats, Format, Part, Progress
from skelpipe.exchange.arrays.columns import make_columns
from skelpipe.outputs.folders import new_folder
from skelpipe.parallel import tell_threads
from skelpipe.recordings import store
from skelpipe.recordings.datasets import Dataset, Dropped, find_dataset, find_split
from skelpipe.recordings.datasets.recording import UNREADABLE

if TYPE_CHECKING:
    import zarr

log = logging.getLogger(__name__)


# From padded frames to recordings ----------------------------------------------------------------------------------
def _as_recordings(block: Floats, looped: bool) -> Ragged:
    """(n, T, M, V, 3), zeros where nobody is -> recordings that end with the last frame that shows somebody."""
    shown = np.count_nonzero(block, axis=(3, 4)) > 0
    if looped:
        shown &= np.arange(shown.shape[1])[:, None] < np.array([_period(clip[:, 0]) for clip in block])[:, None, None]
    # A body keeps its slot where an earlier one is missing: `first` counts the rows of a frame.
    placed: npt.NDArray[np.bool_] = np.logical_or.accumulate(shown[..., ::-1], axis=2)[..., ::-1]
    seen = np.count_nonzero(placed, axis=2) > 0
    frames = np.where(np.count_nonzero(seen, axis=1) > 0, seen.shape[1] - np.argmax(seen[:, ::-1], axis=1), 0)
    clip, row_frame, row_body = np.nonzero(placed)
    return Ragged(block[placed], row_frame, row_body, np.searchsorted(clip, np.arange(len(block) + 1)), frames)


def _period(body: Floats) -> int:
    """After how many frames (T, V, 3) repeats itself to its end, bit by bit; T if it does not.

    2s-AGCN fills a clip to 300 frames by playing it again, which would be resized as if it had been seen.
    """
    for period in np.flatnonzero((body[1:] == body[0]).all(axis=(1, 2))) + 1:
        if np.array_equal(body[period:], body[:-period]):
            return int(period)
    return len(body)


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
        told: sentences about what was found in names, labels and lists, and is not as it should be.
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
        files: its files; of aimclr-npy and agcn-npy every .npy and as many .pkl in the same order.
        clips: the clips folder to make.
        dataset: whose clips they are, key of `DATASETS`.
        split: which benchmark the file divides; for formats without names, and only for these.
        frames: T, 50 if None; aimclr-npy keeps its own.
        centre, turn: as in `prepare.Settings`; aimclr-npy has both done.
        progress: called with (clips done, clips in all) now and then.

    Raises:
        BadInput: a file is not of that format, names or labels do not fit the data set, or an option does not fit.
    """
    kind, about = find_format(format), find_dataset(dataset)
    paths = [Path(file) for file in files]
    _check_split(kind, format, about, split)
    if kind.prepared and not (centre and turn):
        raise BadInput(format, "is centred and turned already", "leave out --no-centre and --no-turn")
    parts = kind.read(paths)
    settings = Settings(frames=_frames(format, kind, parts, frames), centre=centre, turn=turn)
    columns, found, told = make_columns(about, parts, split)
    total = len(columns["name"])
    inputs: Mapping[str, Any] = {f"file {number}": path for number, path in enumerate(paths, 1)}
    log.info("%s: %s clips of %s%s", format, f"{total:,}", dataset, f", for {split} only" if split else "")
    log.info("%d frames; centred: %s; turned: %s", settings.frames, settings.centre, settings.turn)
    tell_threads(log, threads)
    said = {"format": format, "dataset": dataset, "split": split, **asdict(settings)}
    with new_folder(clips, "clips", force=force, inputs=inputs, settings=said) as folder:
        kept = {"dataset": dataset, "layout": LAYOUT.name, "columns": list(columns), "imported": format, **found}
        made = store.create_group(folder, "clips", {**kept, **asdict(settings)})
        length, whole = _write_clips(made, parts, settings, total, threads, progress)
        left_out = [dropped for part in parts for dropped in part.left_out]
        left_out += _not_numbers(paths, columns, whole)
        store.write_columns(made, {name: values[whole] for name, values in columns.items()})
        store.write_array(made, "length", length)
        if left_out:
            store.write_dropped(made, left_out)
    for dropped in left_out:
        log.info("left out: %s: %s (%s)", dropped.name, dropped.reason, dropped.detail)
    return Imported(len(length), int((length == 0).sum()), split, tuple(left_out), tuple(told))


def _write_clips(
    made: zarr.Group, parts: Sequence[Part], settings: Settings, total: int, threads: int | None,
    progress: Progress | None,
) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.bool_]]:  # fmt: skip
    """Write the clips whose coordinates are numbers; returns their lengths, and which of the `total` they are."""
    shape = (total, 3, settings.frames, JOINTS, BODIES)
    array = store.create_array(made, "clips", shape, "float32", store.CLIPS_PER_CHUNK)
    length, whole, done, seen = np.zeros(total, np.int32), np.zeros(total, bool), 0, 0
    for part in parts:
        for block in part.blocks(CLIPS_PER_BLOCK):
            fine = np.array([bool(np.isfinite(clip).all()) for clip in block])
            whole[seen : seen + len(block)], stop = fine, done + int(fine.sum())
            seen += len(block)
            if done < stop:
                some = block if fine.all() else _only(block, fine)
                array[done:stop], length[done:stop] = _prepared(some, part, settings, threads)
                done = stop
            if progress is not None:
                progress(seen, total)
    if done < total:
        array.resize((done, *shape[1:]))
    return length[:done], whole


def _only(block: Any, wanted: npt.NDArray[np.bool_]) -> Any:
    return (
        [clip for clip, kept in zip(block, wanted, strict=True) if kept] if isinstance(block, list) else block[wanted]
    )


def _not_numbers(paths: Sequence[Path], columns: store.Columns, whole: npt.NDArray[np.bool_]) -> list[Dropped]:
    """The clips with coordinates that are no numbers; BadInput if these are most of them."""
    names = columns["name"][~whole].tolist()
    if 2 * len(names) > len(whole):
        what = f"{len(names):,} of {len(whole):,} clips have coordinates that are not numbers, the first {names[0]}"
        raise BadInput(paths[0], what, "mend it")
    return [Dropped(name, UNREADABLE, "it has coordinates that are not numbers") for name in names]


def _prepared(block: Any, part: Part, settings: Settings, threads: int | None) -> tuple[Floats, npt.NDArray[np.int32]]:
    if isinstance(block, list):
        ragged = _joined([_as_recordings(clip[None], False) for clip in block])
    elif part.prepared:
        # How long the recordings were is not told; plots go by it.
        return block, np.where(block.any(axis=(1, 2, 3, 4)), settings.frames, 0).astype(np.int32)
    else:
        ragged = _as_recordings(block, part.looped)
    values, length, _ = prepare_clips(ragged, LAYOUT, settings, threads)
    return values, length


def _check_split(kind: Format, format: str, dataset: Dataset, split: str | None) -> None:
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
