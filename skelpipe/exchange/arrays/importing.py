"""Arrays that were prepared for other projects become clips."""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import repeat
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from skelpipe.clips.bodies import BODIES
from skelpipe.clips.prepare import CLIPS_PER_BLOCK, Settings, prepare_clips
from skelpipe.clips.ragged import Ragged
from skelpipe.errors import BadInput, shortened
from skelpipe.exchange.arrays import find_format
from skelpipe.exchange.arrays.asking import Taken
from skelpipe.exchange.arrays.base import JOINTS, LAYOUT, SUFFIX, Floats, Format, Part, Progress
from skelpipe.outputs.folders import new_folder
from skelpipe.parallel import tell_threads
from skelpipe.recordings import store
from skelpipe.recordings.conventions.shown import check_shown
from skelpipe.recordings.datasets import Dataset, find_dataset, find_split
from skelpipe.recordings.datasets.base import column_array
from skelpipe.recordings.datasets.ntu import parse_name
from skelpipe.recordings.datasets.pku import VIEWS, Pku
from skelpipe.recordings.datasets.splits import RECORDED

if TYPE_CHECKING:
    import zarr

log = logging.getLogger(__name__)
# AimCLR's names of PKU-MMD clips, which are ours too: video, view, class, line of the label file.
PKU_NAMES = {
    "pku1": re.compile(r"F(\d{3,4})V(\d{3})C(\d{3})L(\d{3,7})", re.ASCII),
    "pku2": re.compile(r"A(\d{3})N(\d{3})V(\d{3})C(\d{3})L(\d{3,7})", re.ASCII),
}


# From padded frames to recordings ----------------------------------------------------------------------------------
def _as_recordings(block: Floats, taken: Taken) -> Ragged:
    """(n, T, M, V, 3), zeros where nobody is -> recordings that end with the last frame that shows somebody."""
    own = np.array([taken.own_frames(clip) for clip in block])
    block = taken.values(block)
    shown = np.count_nonzero(block, axis=(3, 4)) > 0
    shown &= np.arange(shown.shape[1])[:, None] < own[:, None]
    # A body keeps its slot where an earlier one is missing: `first` counts the rows of a frame.
    placed: npt.NDArray[np.bool_] = np.logical_or.accumulate(shown[..., ::-1], axis=2)[..., ::-1]
    seen = np.count_nonzero(placed, axis=2) > 0
    frames = np.where(np.count_nonzero(seen, axis=1) > 0, seen.shape[1] - np.argmax(seen[:, ::-1], axis=1), 0)
    clip, row_frame, row_body = np.nonzero(placed)
    return Ragged(block[placed], row_frame, row_body, np.searchsorted(clip, np.arange(len(block) + 1)), frames)


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
        clips: how many.
        empty: how many of them show nobody.
        split: the only split that they serve, if there is only one.
        told: what was found in the arrays and converted, and what cannot be told of them, in words.
    """

    clips: int
    empty: int
    split: str | None
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
        BadInput: a file is not of that format, or holds what contradicts it; names or labels do not fit the data set,
            or an option does not fit; or most clips show nobody.
    """
    kind, about = find_format(format), find_dataset(dataset)
    paths = [Path(file) for file in files]
    _check_split(kind, format, about, split)
    if kind.prepared and not (centre and turn):
        raise BadInput(format, "is centred and turned already", "leave out --no-centre and --no-turn")
    parts = kind.read(paths)
    length_of = _frames(format, kind, parts, frames)
    columns = _columns(about, parts, split)
    taken = Taken.of(format, kind, parts)
    settings = Settings(frames=length_of, centre=centre, turn=taken.turned if kind.prepared else turn)
    total = len(columns["name"])
    inputs: Mapping[str, Any] = {f"file {number}": path for number, path in enumerate(paths, 1)}
    log.info("%s: %s clips of %s%s", format, f"{total:,}", dataset, f", for {split} only" if split else "")
    log.info("%d frames; centred: %s; turned: %s", settings.frames, settings.centre, settings.turn)
    tell_threads(log, threads)
    said = {"format": format, "dataset": dataset, "split": split, **asdict(settings)}
    with new_folder(clips, "clips", force=force, inputs=inputs, settings=said) as folder:
        kept = {"dataset": dataset, "layout": LAYOUT.name, "columns": list(columns), "imported": format}
        made = store.create_group(folder, "clips", {**kept, **asdict(settings), **taken.attributes()})
        store.write_columns(made, columns)
        length = _write(made, parts, taken, settings, threads, total, progress)
        check_shown(length > 0, paths[0], "check the files, and whether they are of this format")
        store.write_array(made, "length", length)
    return Imported(total, int((length == 0).sum()), split, tuple(taken.told()))


def _write(
    made: zarr.Group,
    parts: Sequence[Part],
    taken: Taken,
    settings: Settings,
    threads: int | None,
    total: int,
    progress: Progress | None,
) -> npt.NDArray[np.int32]:
    """Prepare and write all clips; returns their lengths."""
    shape = (total, 3, settings.frames, JOINTS, BODIES)
    array = store.create_array(made, "clips", shape, "float32", store.CLIPS_PER_CHUNK)
    length, done = np.zeros(total, np.int32), 0
    for part in parts:
        for block in part.blocks(CLIPS_PER_BLOCK):
            stop = done + len(block)
            array[done:stop], length[done:stop] = _prepared(block, part, taken, settings, threads)
            done = stop
            if progress is not None:
                progress(done, total)
    return length


def _prepared(
    block: Any, part: Part, taken: Taken, settings: Settings, threads: int | None
) -> tuple[Floats, npt.NDArray[np.int32]]:
    if isinstance(block, list):
        ragged = _joined([_as_recordings(clip[None], taken) for clip in block])
    elif part.prepared:
        block = taken.values(block.transpose(0, 2, 4, 3, 1)).transpose(0, 4, 1, 3, 2)
        # How long the recordings were is not told; plots go by it.
        return block, np.where(block.any(axis=(1, 2, 3, 4)), settings.frames, 0).astype(np.int32)
    else:
        ragged = _as_recordings(block, taken)
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


def _columns(dataset: Dataset, parts: Sequence[Part], split: str | None) -> store.Columns:
    """The data set's columns of all clips; without names, ids are 0 and `train_<split>` is there too."""
    rows: list[dict[str, Any]] = []
    for part in parts:
        odd = part.labels[(part.labels < 0) | (part.labels >= dataset.classes)]
        if len(odd):
            what = f"has class {odd[0] + 1}, and {dataset.name} has {dataset.classes}"
            raise BadInput(part.where, what, "correct --dataset")
        for label, name in zip(part.labels.tolist(), part.names or repeat(None, len(part.labels)), strict=True):
            rows.append(
                _unnamed(dataset, label, split, part, len(rows)) if name is None else _ids(dataset, part, name, label)
            )
    columns = {name: column_array(name, [row[name] for row in rows]) for name in dataset.columns}
    if not rows:
        raise BadInput(parts[0].where, "holds no clips", "give other files")
    if len(np.unique(columns["name"])) < len(rows):
        raise BadInput(parts[0].where, "has clips of the same name, here or in the other files", "give every file once")
    if split is not None:
        columns[RECORDED + split] = np.concatenate([np.full(len(part.labels), part.train) for part in parts])
    return columns


def _unnamed(dataset: Dataset, label: int, split: str | None, part: Part, number: int) -> dict[str, Any]:
    ids = {name: "" if name == "video" else 0 for name in dataset.columns}
    return {**ids, "name": f"{split}-{'train' if part.train else 'test'}-{number:06}", "label": label}


def _ids(dataset: Dataset, part: Part, name: str, label: int) -> dict[str, Any]:
    """One clip's columns, from its name."""
    plain = name.removesuffix(SUFFIX)
    plain = plain.upper() if plain.isascii() else plain
    ids = _pku_ids(dataset, plain) if isinstance(dataset, Pku) else parse_name(plain)
    if ids is None:
        raise BadInput(
            part.where, f"calls a clip {shortened(name, 60)!r}, which is no name of {dataset.name}", "correct --dataset"
        )
    if ids["label"] != label:
        what = f"says class {label + 1} of {plain}, whose name says {int(ids['label']) + 1}"
        raise BadInput(part.where, what, "give every array its own labels")
    return {**ids, "name": plain}


def _pku_ids(dataset: Pku, name: str) -> dict[str, Any] | None:
    match = PKU_NAMES[dataset.name].fullmatch(name)
    if match is None:
        return None
    *video, view, action, _ = map(int, match.groups())
    if not 1 <= view <= len(VIEWS):
        return None
    # The frames of the sequence are not in the name.
    return {
        "label": action - 1,
        "video": dataset.video.format(*video, VIEWS[view - 1]),
        "view": view,
        "start": 0,
        "end": 0,
    }
