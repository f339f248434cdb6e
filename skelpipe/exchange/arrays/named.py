"""Arrays with a label pickle beside them: AimCLR's, ST-GCN's and 2s-AGCN's."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from skelpipe.clips.bodies import BODIES
from skelpipe.clips.presets import LONGEST
from skelpipe.errors import BadInput
from skelpipe.exchange.arrays.base import (
    JOINTS,
    Format,
    Part,
    Whole,
    as_floats,
    check_shape,
    fitting_step,
    read_names,
    whole,
    write_npy,
)
from skelpipe.exchange.arrays.source import Source
from skelpipe.exchange.pickles import plain, read_pickle, reading

NUM_FRAME = "_num_frame.npy"  # ISC's and CMD's feeders read from it how many frames were recorded
SAMPLE = 64  # clips that are looked at
CENTRED = 1e-4  # metres


def read_named(files: Sequence[Path], looped: bool = False, prepared: bool = False) -> list[Part]:
    """Arrays with their label pickles, in the same order; a *_num_frame.npy beside them is passed over."""
    files = [file for file in files if not file.name.endswith(NUM_FRAME)]
    arrays, labels = ([file for file in files if file.suffix == suffix] for suffix in (".npy", ".pkl"))
    if not arrays or len(arrays) != len(labels) or len(arrays) + len(labels) != len(files):
        what = f"{len(arrays)} .npy and {len(labels)} .pkl of {len(files)} files"
        raise BadInput("files", what, "give every .npy together with its label .pkl")
    return [_named(array, label, looped, prepared) for array, label in zip(arrays, labels, strict=True)]


def _named(path: Path, label_path: Path, looped: bool, prepared: bool) -> Part:
    with reading(path):
        array = np.load(path, mmap_mode="r", allow_pickle=False)
    check_shape(path, array.dtype, array.shape, (None, 3, None, JOINTS, BODIES))
    content = read_pickle(label_path)
    if not isinstance(content, (tuple, list)) or len(content) < 2:
        raise BadInput(label_path, "is not a pair of names and labels", "give the label pickle of the array")
    names, values = (plain(each) for each in content[:2])
    if not all(isinstance(each, (tuple, list, np.ndarray)) for each in (names, values)):
        raise BadInput(label_path, "is not a pair of lists, names and labels", "give the label pickle of the array")
    if not len(names) == len(values) == len(array):
        what = f"has {len(names):,} names and {len(values):,} labels for {len(array):,} clips of {path}"
        raise BadInput(label_path, what, "give every array its own labels")
    labels = whole(label_path, values)
    called = read_names(label_path, names)

    def blocks(step: int) -> Iterator[Any]:
        step = fitting_step(step, array)
        for start in range(0, len(array), step):
            block = as_floats(path, array[start : start + step], start)
            yield block if prepared else block.transpose(0, 2, 4, 3, 1)

    def some(rows: Whole) -> Iterator[Any]:
        step = fitting_step(len(rows), array)
        for start in range(0, len(rows), step):
            block = np.asarray(array[rows[start : start + step]], np.float32)
            yield block if prepared else block.transpose(0, 2, 4, 3, 1)

    return Part(path, labels, called, False, blocks, array.shape[2], looped, prepared, some)


def _write_aimclr(to: Path, source: Source, tell: Callable[[int], None]) -> None:
    for part, rows in source.rows.items():
        shape = (len(rows), 3, int(source.attributes["frames"]), JOINTS, BODIES)
        with open(to / f"{part}_position.npy", "wb") as file:
            write_npy(file, shape, source.clips(part), tell)
        source.write_labels(to, part)


def _write_agcn(to: Path, source: Source, tell: Callable[[int], None]) -> None:
    for part, rows in source.rows.items():
        _write_prepared(to / f"{part}_data_joint.npy", source, part, "isc", tell)
        np.save(to / f"{part}{NUM_FRAME}", source.clip_frames[rows])
        source.write_labels(to, part)


def _write_stgcn(to: Path, source: Source, tell: Callable[[int], None]) -> None:
    for part in source.rows:
        _write_prepared(to / f"{part}_data.npy", source, part, "raw", tell)
        source.write_labels(to, part)


def _write_prepared(path: Path, source: Source, part: str, preset: str, tell: Callable[[int], None]) -> None:
    with open(path, "wb") as file:
        blocks = (values for _, values in source.prepared(part, preset))
        write_npy(file, (len(source.rows[part]), 3, LONGEST, JOINTS, BODIES), blocks, tell)


AIMCLR = Format(lambda files: read_named(files, prepared=True), _write_aimclr, "first", named=True, prepared=True)
AGCN = Format(lambda files: read_named(files, looped=True), _write_agcn, "energy", named=True)
STGCN = Format(read_named, _write_stgcn, "first", named=True)
