"""SGN's .h5."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from skelpipe.clips.prepare import CLIPS_PER_BLOCK
from skelpipe.clips.presets import LONGEST
from skelpipe.exchange.arrays.base import (
    FLAT,
    Format,
    Part,
    check_shape,
    fitting_step,
    flat,
    stems,
    unflat,
)
from skelpipe.exchange.arrays.foreign import KEYS_H5, without_keys
from skelpipe.exchange.arrays.given import one_file
from skelpipe.exchange.arrays.labels import Whole, check_rows, one_hot
from skelpipe.exchange.arrays.source import Source
from skelpipe.recordings.pickles import reading

HELD_OUT = 20  # sgn-h5: one training clip in so many is written to its validation part, as many as SGN draws


def read_h5(files: Sequence[Path]) -> list[Part]:
    """x and valid_x are both for training: SGN draws the one from the other, and joins them again."""
    import h5py

    path = one_file(files, (".h5", ".hdf5"))
    with reading(path), h5py.File(path, "r") as file:
        without_keys(path, KEYS_H5, list(file))
        pairs = [("x", "y", True), ("valid_x", "valid_y", True), ("test_x", "test_y", False)]
        for name in ("x", "y", "valid_x", "valid_y", "test_x", "test_y"):
            _check_own(file, name)
        return [_h5_part(path, file, *pair) for pair in pairs if pair[0] != "valid_x" or "valid_x" in file]


def _check_own(file: Any, name: str) -> None:
    """Raise ValueError if what is called so lies in another file, which an HDF5 file can name at will."""
    import h5py

    link = file.get(name, getlink=True)
    if isinstance(link, (h5py.ExternalLink, h5py.SoftLink)):
        raise ValueError(f"{name} is a link to elsewhere")
    data = file.get(name)
    if data is not None and (not isinstance(data, h5py.Dataset) or data.external or data.is_virtual):
        raise ValueError(f"{name} is not an array of this file")


def _h5_part(path: Path, file: Any, x: str, y: str, train: bool) -> Part:
    import h5py

    shape, dtype = file[x].shape, file[x].dtype
    check_shape(path, dtype, shape, (None, None, FLAT))
    check_rows(path, y, file[y].shape, shape[0])
    labels, width = one_hot(path, y, file[y][...], shape[0])
    per_block = fitting_step(CLIPS_PER_BLOCK, shape, dtype)

    def blocks(step: int) -> Iterator[Any]:
        step = min(step, per_block)
        with reading(path), h5py.File(path, "r") as again:
            for start in range(0, shape[0], step):
                yield unflat(again[x][start : start + step])

    def some(rows: Whole) -> Iterator[Any]:
        with reading(path), h5py.File(path, "r") as again:
            for start in range(0, len(rows), per_block):
                yield unflat(again[x][rows[start : start + per_block]])

    return Part(path, labels, None, train, blocks, some, shape[1], width=width)


def _write_sgn(to: Path, source: Source, tell: Callable[[int], None]) -> None:
    import h5py

    train = source.rows["train"]
    held = np.arange(len(train)) % HELD_OUT == HELD_OUT - 1
    rows = {"train": train[~held], "valid": train[held], "val": source.rows["val"]}
    divided = replace(source, rows=rows)
    with h5py.File(to / f"{stems(source.split)[1]}.h5", "w") as file:
        for part, x, y in (("train", "x", "y"), ("valid", "valid_x", "valid_y"), ("val", "test_x", "test_y")):
            array = file.create_dataset(x, (len(rows[part]), LONGEST, FLAT), "f4")
            start = 0
            for _, made in divided.prepared(part, "ctr"):
                count = len(made.values)
                array[start : start + count] = flat(made.values)
                start += count
                tell(count)
            file.create_dataset(y, data=divided.one_hot(part))


SGN = Format(read_h5, _write_sgn, "denoise")
