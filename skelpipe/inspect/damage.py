"""Whether outputs are as they were made: every file, every chunk, and what one says of the other.

`sums.check_files` is what readers ask about the few files that they use; here everything is read.
"""

from __future__ import annotations

import os
import zipfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from skelpipe.errors import BadInput
from skelpipe.outputs import ancestry, checksums, digests
from skelpipe.recordings import NATIVE
from skelpipe.recordings.store import (
    CLIPS_PER_CHUNK,
    REMADE,
    ROWS_PER_CHUNK,
    check_offset,
    find_shapes,
    open_array,
    open_group,
    read_array,
)

REMEDIES = {
    **{kind: f"remake it with {command!r}" for kind, command in REMADE.items()},
    "raw": "remake it with 'skelpipe synth'",
    "run": "train this run again",
    "evaluation": "run 'skelpipe evaluate' again",
    "fusion": "run 'skelpipe fuse' again",
    "report": "run 'skelpipe report' again",
    "arrays": "run 'skelpipe export' again",
}


@dataclass(frozen=True)
class Damage:
    """One thing that is wrong: the file, what it is, and what to do about it."""

    where: Path
    what: str
    remedy: str


@dataclass(frozen=True)
class Checked:
    """What a check has read: how many outputs, files and bytes, and all that is damaged."""

    outputs: int
    files: int
    bytes: int
    damaged: tuple[Damage, ...]


def check(path: str | os.PathLike[str], progress: Callable[[int, int], object] | None = None) -> Checked:
    """Read every output in a folder, to its depth, and find all that is not as it was made.

    The sha256 of every file is compared with the one noted when the output was finished. Stores, clips and streams are
    then decoded too: chunks that are missing, their checksums, shapes, and rows, frames and offsets that contradict
    each other.

    Args:
        path: an output, or a folder that holds some.
        progress: called with (outputs read, outputs in all).

    Raises:
        BadInput: there is no output.
    """
    path = Path(path)
    if not path.exists():
        raise BadInput(path, "does not exist", "give a folder that skelpipe made, or one that holds such folders")
    folders = list(_outputs(path))
    if not folders:
        raise BadInput(path, "holds no output of skelpipe", "give a folder that skelpipe made")
    damaged: list[Damage] = []
    files = size = 0
    for done, folder in enumerate(folders, 1):
        damaged += check_output(folder)
        sizes = [file.stat().st_size for file in folder.rglob("*") if file.is_file()]
        files, size = files + len(sizes), size + sum(sizes)
        if progress is not None:
            progress(done, len(folders))
    return Checked(len(folders), files, size, tuple(damaged))


def check_output(folder: Path) -> list[Damage]:
    """All that is wrong with one output."""
    kind = digests.read_kind(folder)
    remedy = REMEDIES.get(kind or "", checksums.REMAKE)
    found = [Damage(where, what, remedy) for where, what in checksums.find_damage(folder)]
    if kind is not None and kind not in REMEDIES:
        found.append(Damage(folder / ancestry.DONE, f"tells of a kind of output that is not known: {kind!r}", remedy))
    if found:  # what lies in damaged files says nothing more
        return found
    try:
        if kind in REMADE:
            _check_group(folder, str(kind))
        for file in folder.glob("*.npz"):
            _check_npz(file, remedy)
    except BadInput as error:
        found.append(Damage(Path(error.where), error.what, error.remedy))
    return found


def _outputs(path: Path) -> Iterator[Path]:
    """The outputs in a folder; those inside a run, too."""
    for folder, below, _ in os.walk(path):
        below[:] = sorted(each for each in below if not each.startswith("."))
        if checksums.is_output(Path(folder)):
            yield Path(folder)
            if digests.read_kind(folder) in REMADE:
                below.clear()


def _check_group(folder: Path, kind: str) -> None:
    group, attributes = open_group(folder, kind)
    for name in find_shapes(group, attributes, folder, REMEDIES[kind]):
        array = open_array(group, name)
        step = 8 * (CLIPS_PER_CHUNK if array.ndim == 5 else ROWS_PER_CHUNK)
        for start in range(0, array.shape[0], step):
            values = read_array(group, name, slice(start, start + step))
            if array.ndim > 1 and not np.isfinite(values).all():
                raise BadInput(folder / name, "holds numbers that are not finite", REMEDIES[kind])
    if "rows" in attributes:
        _check_offsets(group, attributes, folder, REMEDIES[kind])
    elif attributes.get("frames") == NATIVE:
        check_offset(read_array(group, "clip_offset"), open_array(group, "clips").shape[0], folder, REMEDIES[kind])


def _check_offsets(group: Any, attributes: dict[str, Any], folder: Path, remedy: str) -> None:
    offset, frames = read_array(group, "clip_offset"), read_array(group, "clip_frames")
    row_frame = read_array(group, "row_frame")
    whole = offset[0] == 0 and offset[-1] == attributes["rows"] and bool((np.diff(offset) >= 0).all())
    if not whole or not ((row_frame >= 0) & (row_frame < np.repeat(frames, np.diff(offset)))).all():
        raise BadInput(folder, "its rows, frames and clip offsets contradict each other", remedy)


def _check_npz(path: Path, remedy: str) -> None:
    try:
        with np.load(path, allow_pickle=False) as arrays:
            for name in arrays.files:
                arrays[name]
    except (OSError, ValueError, EOFError, zipfile.BadZipFile, zlib.error, NotImplementedError) as error:
        raise BadInput(path, f"cannot be read ({error})", remedy) from None
