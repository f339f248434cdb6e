"""Which clips a run was trained on: their names, and a fingerprint of what each holds, in a file of the run.

The file is a table, compressed: a line for each clip, its name and 16 hexadecimal digits, sorted. Clips that were held
out of training to choose the rate, the end or the weights by are among them: they were chosen by. Of clips without
names only the fingerprints are there; clips that show nobody have none.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import logging
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from skelpipe.clips.gather import Source
from skelpipe.clips.loading import load_bodies
from skelpipe.errors import BadInput
from skelpipe.outputs.files import write_bytes
from skelpipe.recordings.datasets import has_names
from skelpipe.recordings.native import Native
from skelpipe.recordings.store import CLIPS_PER_CHUNK, Clips

log = logging.getLogger(__name__)
TRAINED_ON = "trained_on.tsv.gz"
LARGEST = 1 << 26  # bytes of its text: a million clips
LOOKED_AT = 4  # frames
AT_ONCE = CLIPS_PER_CHUNK * 8

Prints = npt.NDArray[np.uint64]
Rows = npt.NDArray[np.int64]


@dataclass(frozen=True)
class TrainedOn:
    """What a run keeps of its clips.

    Attributes:
        names: of those that have one.
        prints: the fingerprints of those that show somebody.
    """

    names: npt.NDArray[np.str_]
    prints: Prints


def fingerprints(data: Source) -> Prints:
    """(n,) 64 bits of what each clip holds: its first body in four frames, rounded to half precision; 0 for nobody.

    They are the same however many bodies were read, and whether they are kept in single or half precision.
    """
    found = np.zeros(len(data), np.uint64)
    for start in range(0, len(data), AT_ONCE):
        stop = min(start + AT_ONCE, len(data))
        some: Iterable[npt.NDArray[np.float16]]
        if isinstance(data, Native):
            some = (_looked_at(data.clip(n)[None])[0] for n in range(start, stop))
        else:
            some = _looked_at(data[start:stop])
        for n, values in enumerate(some, start):
            if values.any():
                found[n] = int.from_bytes(hashlib.blake2b(values.tobytes(), digest_size=8).digest(), "big")
    return found


def _looked_at(clips: npt.NDArray[np.floating]) -> npt.NDArray[np.float16]:
    """(n, C, T, V, M) -> (n, C, up to 4, V), evenly from the first frame to the last."""
    frames = np.unique(np.linspace(0, clips.shape[2] - 1, LOOKED_AT).round().astype(np.int64))
    with np.errstate(over="ignore"):
        return clips[..., 0][:, :, frames].astype(np.float16) + np.float16(0)  # no zero has a sign


def read_fingerprints(clips: Clips, rows: Rows) -> Prints:
    """`fingerprints` of clips in a folder, read some at a time."""
    some = (load_bodies(clips, rows[start : start + AT_ONCE], 1) for start in range(0, len(rows), AT_ONCE))
    return np.concatenate([np.zeros(0, np.uint64), *map(fingerprints, some)])


def keep_trained_on(folder: Path, clips: Clips, shares: Iterable[tuple[Rows, Source]], others: Rows) -> None:
    """Write which clips a run in `folder` is trained on, unless that is there.

    Args:
        shares: (rows, the same clips in memory).
        others: rows of further ones, which are read only where they have no names.
    """
    named, prints = has_names(clips.columns), dict[int, int]()
    for rows, data in shares:
        prints |= zip(rows.tolist(), fingerprints(data).tolist(), strict=True)
    others = np.array([row for row in others.tolist() if row not in prints], np.int64)
    unread = np.zeros(len(others), np.uint64) if named else read_fingerprints(clips, others)
    prints |= zip(others.tolist(), unread.tolist(), strict=True)
    names = clips.columns["name"] if named else np.full(len(clips), "")
    table = sorted((str(names[row]), f"{each:016x}" if each else "") for row, each in prints.items())
    made = gzip.compress("".join(f"{name}\t{each}\n" for name, each in table).encode(), mtime=0)
    path = folder / TRAINED_ON
    if not path.is_file() or path.read_bytes() != made:
        write_bytes(path, made)
        log.debug("%s: the names and fingerprints of %d clips", path, len(table))


def read_trained_on(run: Path) -> TrainedOn | None:
    """Which clips a run was trained on; None where it does not keep them, as runs made elsewhere or earlier.

    Raises:
        BadInput: the file cannot be read.
    """
    path = run / TRAINED_ON
    if not path.is_file():
        return None
    try:
        with gzip.open(io.BytesIO(path.read_bytes())) as file:
            text = file.read(LARGEST + 1)
        if len(text) > LARGEST:
            raise ValueError(f"it holds more than {LARGEST:,} bytes")
        pairs = [line.split("\t") for line in text.decode().split("\n") if line]  # names may have other line breaks
        names = np.array([name for name, _ in pairs if name], str)
        prints = np.array([int(each, 16) for _, each in pairs if each], np.uint64)
    except (OSError, EOFError, ValueError, OverflowError) as error:
        raise BadInput(path, f"cannot be read ({error})", "train this run again") from None
    return TrainedOn(names, prints)
