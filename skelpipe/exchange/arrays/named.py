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
    Source,
    Whole,
    as_floats,
    check_shape,
    fitting_step,
    read_names,
    whole,
    write_labels,
    write_npy,
)
from skelpipe.exchange.pickles import plain, read_pickle, reading


def read_named(files: Sequence[Path], looped: bool) -> list[Part]:
    """aimclr-npy (not looped) and agcn-npy: arrays with their label pickles, in the same order."""
    arrays, labels = ([file for file in files if file.suffix == suffix] for suffix in (".npy", ".pkl"))
    if not arrays or len(arrays) != len(labels) or len(arrays) + len(labels) != len(files):
        what = f"{len(arrays)} .npy and {len(labels)} .pkl of {len(files)} files"
        raise BadInput("files", what, "give every .npy together with its label .pkl")
    return [_named(array, label, looped) for array, label in zip(arrays, labels, strict=True)]


def _named(path: Path, label_path: Path, looped: bool) -> Part:
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
            yield block.transpose(0, 2, 4, 3, 1) if looped else block

    def some(rows: Whole) -> Iterator[Any]:
        step = fitting_step(len(rows), array)
        for start in range(0, len(rows), step):
            block = np.asarray(array[rows[start : start + step]], np.float32)
            yield block.transpose(0, 2, 4, 3, 1) if looped else block

    return Part(path, labels, called, False, blocks, array.shape[2], looped, not looped, some)


def _write_aimclr(to: Path, source: Source, tell: Callable[[int], None]) -> None:
    for part, rows in source.rows.items():
        shape = (len(rows), 3, int(source.attributes["frames"]), JOINTS, BODIES)
        with open(to / f"{part}_position.npy", "wb") as file:
            write_npy(file, shape, source.clips(part), tell)
        write_labels(to, source, part)


def _write_agcn(to: Path, source: Source, tell: Callable[[int], None]) -> None:
    for part, rows in source.rows.items():
        with open(to / f"{part}_data_joint.npy", "wb") as file:
            blocks = (block.transpose(0, 4, 1, 3, 2) for block in source.padded(part))
            write_npy(file, (len(rows), 3, LONGEST, JOINTS, BODIES), blocks, tell)
        write_labels(to, source, part)


AIMCLR = Format(lambda files: read_named(files, False), _write_aimclr, named=True, prepared=True)
AGCN = Format(lambda files: read_named(files, True), _write_agcn, named=True)
