"""CTR-GCN's .npz."""

from __future__ import annotations

import math
import zipfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import numpy as np

from skelpipe.clips.presets import LONGEST
from skelpipe.exchange.arrays.base import (
    BLOCK_BYTES,
    FLAT,
    Format,
    Part,
    Source,
    check_rows,
    check_shape,
    one_file,
    one_hot,
    stems,
    unflat,
    write_npy,
)
from skelpipe.exchange.pickles import reading


def read_npz(files: Sequence[Path]) -> list[Part]:
    path = one_file(files, (".npz",))
    return [_npz_part(path, "train"), _npz_part(path, "test")]


def _npz_part(path: Path, part: str) -> Part:
    with reading(path), zipfile.ZipFile(path) as archive:
        with _npy_member(archive, f"x_{part}.npy") as (_, shape, dtype):
            pass
        check_shape(path, dtype, shape, (None, None, FLAT))
        with _npy_member(archive, f"y_{part}.npy") as (file, label_shape, label_dtype):
            check_rows(path, f"y_{part}", label_shape, shape[0])
            labels = np.frombuffer(file.read(), label_dtype).reshape(label_shape)

    def blocks(step: int) -> Iterator[Any]:
        step = max(1, min(step, BLOCK_BYTES // (math.prod(shape[1:]) * dtype.itemsize)))
        with reading(path), zipfile.ZipFile(path) as archive, _npy_member(archive, f"x_{part}.npy") as (file, *_):
            for start in range(0, shape[0], step):
                size = (min(step, shape[0] - start), *shape[1:])
                flat = np.frombuffer(file.read(math.prod(size) * dtype.itemsize), dtype).reshape(size)
                yield unflat(path, flat, start)

    return Part(path, one_hot(path, f"y_{part}", labels, shape[0]), None, part == "train", blocks, shape[1])


@contextmanager
def _npy_member(archive: zipfile.ZipFile, name: str) -> Iterator[tuple[Any, tuple[int, ...], np.dtype[Any]]]:
    """A member of an .npz, at its first value, with its shape and dtype. np.load would read it as a whole."""
    about = archive.getinfo(name)
    if about.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise ValueError(f"{name} is packed by another method than deflate")
    with archive.open(about) as file:
        shape, dtype = _npy_header(file)
        room = about.file_size - file.tell()
        if dtype.hasobject or min(shape, default=0) < 0 or math.prod(shape) * dtype.itemsize != room:
            raise ValueError(f"{name} says that it holds {' x '.join(map(str, shape))} {dtype}, in {room:,} bytes")
        yield _Exactly(file, room), shape, dtype


class _Exactly:
    """A member that is never unpacked beyond what it says it holds."""

    def __init__(self, file: IO[bytes], room: int) -> None:
        self.file, self.room = file, room

    def read(self, count: int | None = None) -> bytes:
        return self.file.read(self.room if count is None else count)


def _npy_header(file: Any) -> tuple[tuple[int, ...], np.dtype[Any]]:
    """Shape and dtype; the file then stands at the first value."""
    version = np.lib.format.read_magic(file)
    read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, fortran, dtype = read(file)
    if fortran:
        raise ValueError("its first axis varies fastest; save it in C order")
    return shape, dtype


def _write_ctrgcn(to: Path, source: Source, tell: Callable[[int], None]) -> None:
    with zipfile.ZipFile(to / f"{stems(source.split)[0]}.npz", "w") as archive:
        for part, name in (("train", "train"), ("val", "test")):
            with archive.open(f"x_{name}.npy", "w", force_zip64=True) as file:
                write_npy(file, (len(source.rows[part]), LONGEST, FLAT), source.padded(part), tell)
            with archive.open(f"y_{name}.npy", "w") as file:
                np.lib.format.write_array(file, source.one_hot(part), allow_pickle=False)


CTRGCN = Format(read_npz, _write_ctrgcn)
