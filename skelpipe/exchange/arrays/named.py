"""Arrays with a label pickle beside them: AimCLR's, ST-GCN's and 2s-AGCN's."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from skelpipe.clips.bodies import BODIES
from skelpipe.clips.presets import LONGEST
from skelpipe.errors import BadInput
from skelpipe.exchange.arrays.base import (
    JOINTS,
    Floats,
    Format,
    Part,
    check_shape,
    fitting_step,
    write_npy,
)
from skelpipe.exchange.arrays.divisions import divided_by_name
from skelpipe.exchange.arrays.foreign import what_is
from skelpipe.exchange.arrays.given import paired
from skelpipe.exchange.arrays.labels import OWN_LABELS, Whole, class_numbers, kind_of, read_names
from skelpipe.exchange.arrays.source import Source
from skelpipe.recordings.pickles import plain, read_pickle, reading

LABELS = "give the label pickle of the array"
NUM_FRAME = "_num_frame.npy"  # ISC's and CMD's feeders read from it how many frames there are before repetition


def read_named(files: Sequence[Path], prepared: bool = False) -> list[Part]:
    """Arrays with their label pickles; of aimclr-npy they are prepared."""
    return [_named(array, label, prepared) for array, label in paired(files)]


def _named(path: Path, label_path: Path, prepared: bool) -> Part:
    part = _opened(path, prepared)
    called, labels = labels_in(label_path, read_pickle(label_path))
    if not len(called) == len(labels) == len(part.labels):
        what = f"has {len(called):,} names and {len(labels):,} labels for {len(part.labels):,} clips of {path}"
        raise BadInput(label_path, what, OWN_LABELS)
    return replace(part, labels=labels, names=called, divisions=divided_by_name(path, len(called)))


def array_alone(path: Path) -> Part:
    """An array without its labels, all of which are 0 then; BadInput if it is none of clips."""
    return _opened(path, prepared=False)


def _opened(path: Path, prepared: bool) -> Part:
    if "NumPy array" not in (kind := what_is(path)):
        raise BadInput(path, f"is {kind}, not a NumPy array", "fetch or make it anew")
    with reading(path):
        array = np.load(path, mmap_mode="r", allow_pickle=False)
    check_shape(path, array.dtype, array.shape, (None, 3, None, JOINTS, BODIES))

    def blocks(step: int) -> Iterator[Any]:
        step = fitting_step(step, array.shape, array.dtype)
        for start in range(0, len(array), step):
            block = np.ascontiguousarray(array[start : start + step], np.float32)
            yield block.transpose(0, 2, 4, 3, 1)

    def some(rows: Whole) -> Iterator[Any]:
        step = fitting_step(len(rows), array.shape, array.dtype)
        for start in range(0, len(rows), step):
            block = np.asarray(array[rows[start : start + step]], np.float32)
            yield block.transpose(0, 2, 4, 3, 1)

    labels = np.zeros(len(array), np.int64)
    return Part(path, labels, None, False, blocks, some, array.shape[2], prepared)


def labels_in(path: Path, content: Any) -> tuple[list[str], Whole]:
    """Names and class numbers of what a label pickle holds, which may have more lists behind these.

    Raises:
        BadInput: it holds something else.
    """
    if not isinstance(content, (tuple, list)) or len(content) < 2:
        raise BadInput(path, f"holds {kind_of(content)}, not a pair of names and labels", LABELS)
    if isinstance(content[0], dict):
        raise BadInput(path, "holds annotations, not names and labels", "import it as pyskl-pkl, without the array")
    names, values = (plain(each) for each in content[:2])
    if not all(isinstance(each, (tuple, list, np.ndarray)) for each in (names, values)):
        found = f"{kind_of(names)} and {kind_of(values)}"
        raise BadInput(path, f"holds {found}, not a pair of lists, names and labels", LABELS)
    called = read_names(path, names)
    return called, class_numbers(path, values, called if len(called) == len(values) else None)


def _write_aimclr(to: Path, source: Source, tell: Callable[[int], None]) -> None:
    for part, rows in source.rows.items():
        shape = (len(rows), 3, int(source.attributes["frames"]), JOINTS, BODIES)
        with open(to / f"{part}_position.npy", "wb") as file:
            write_npy(file, shape, source.clips(part), tell)
        source.write_labels(to, part)


def _write_agcn(to: Path, source: Source, tell: Callable[[int], None]) -> None:
    for part in source.rows:
        kept = _write_prepared(to / f"{part}_data_joint.npy", source, part, "isc", tell)
        np.save(to / f"{part}{NUM_FRAME}", kept)
        source.write_labels(to, part)


def _write_stgcn(to: Path, source: Source, tell: Callable[[int], None]) -> None:
    for part in source.rows:
        _write_prepared(to / f"{part}_data.npy", source, part, "raw", tell)
        source.write_labels(to, part)


def _write_prepared(path: Path, source: Source, part: str, preset: str, tell: Callable[[int], None]) -> Whole:
    """Write an array; returns how many frames the rule for bodies left of each clip."""
    kept = [np.zeros(0, np.int64)]

    def blocks() -> Iterator[Floats]:
        for _, made in source.prepared(part, preset):
            kept.append(made.kept.astype(np.int64))
            yield made.values

    with open(path, "wb") as file:
        write_npy(file, (len(source.rows[part]), 3, LONGEST, JOINTS, BODIES), blocks(), tell)
    return np.concatenate(kept)


AIMCLR = Format(lambda files: read_named(files, prepared=True), _write_aimclr, "first", named=True, prepared=True)
AGCN = Format(read_named, _write_agcn, "energy", named=True)
STGCN = Format(read_named, _write_stgcn, "first", named=True)
