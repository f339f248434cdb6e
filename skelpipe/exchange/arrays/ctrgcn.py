"""CTR-GCN's .npz."""

from __future__ import annotations

import math
import struct
import zipfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import numpy as np

from skelpipe.clips.bodies import tracks_left
from skelpipe.clips.presets import LONGEST
from skelpipe.clips.ragged import Ragged
from skelpipe.exchange.arrays.base import (
    FLAT,
    Floats,
    Format,
    Part,
    check_shape,
    fitting_step,
    flat,
    stems,
    unflat,
    write_npy,
)
from skelpipe.exchange.arrays.foreign import KEYS_NPZ, npy_header, without_keys
from skelpipe.exchange.arrays.given import one_file
from skelpipe.exchange.arrays.labels import Whole, check_rows, one_hot
from skelpipe.exchange.arrays.source import Source
from skelpipe.recordings.pickles import reading

PIECE = 1 << 20  # bytes of a member that are read over at once


def read_npz(files: Sequence[Path]) -> list[Part]:
    path = one_file(files, (".npz",))
    with reading(path), zipfile.ZipFile(path) as archive:
        without_keys(path, KEYS_NPZ, [name.removesuffix(".npy") for name in archive.namelist()])
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
        step = fitting_step(step, shape, dtype)
        with reading(path), zipfile.ZipFile(path) as archive, _npy_member(archive, f"x_{part}.npy") as (file, *_):
            for start in range(0, shape[0], step):
                size = (min(step, shape[0] - start), *shape[1:])
                yield unflat(np.frombuffer(file.read(math.prod(size) * dtype.itemsize), dtype).reshape(size))

    def some(rows: Whole) -> Iterator[Any]:
        size = math.prod(shape[1:]) * dtype.itemsize
        with reading(path), zipfile.ZipFile(path) as archive, open(path, "rb") as raw:
            start, at = _start(archive, raw, f"x_{part}.npy"), 0
            with _npy_member(archive, f"x_{part}.npy") as (file, *_):
                for n in rows.tolist():
                    if start is None:
                        file.skip((n - at) * size)
                        at, values = n + 1, file.read(size)
                    else:
                        raw.seek(start + n * size)
                        values = raw.read(size)
                    yield unflat(np.frombuffer(values, dtype).reshape(1, *shape[1:]))

    classes, width = one_hot(path, f"y_{part}", labels, shape[0])
    return Part(path, classes, None, part == "train", blocks, some, shape[1], width=width)


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


def _start(archive: zipfile.ZipFile, raw: IO[bytes], name: str) -> int | None:
    """Where the values of a member begin in the file, if they are not packed."""
    about = archive.getinfo(name)
    if about.compress_type != zipfile.ZIP_STORED:
        return None
    raw.seek(about.header_offset + 26)  # in the member's own header, 30 bytes and what these two lengths say
    lengths = struct.unpack("<HH", raw.read(4))
    with archive.open(about) as file:
        _npy_header(file)
        begin: int = about.header_offset + 30 + sum(lengths) + file.tell()
        return begin


class _Exactly:
    """A member that is never unpacked beyond what it says it holds."""

    def __init__(self, file: IO[bytes], room: int) -> None:
        self.file, self.room = file, room

    def read(self, count: int | None = None) -> bytes:
        return self.file.read(self.room if count is None else count)

    def skip(self, count: int) -> None:
        """Go on by so many bytes, in pieces that need little memory."""
        while count > 0:
            count -= len(self.file.read(min(count, PIECE))) or count


def _npy_header(file: Any) -> tuple[tuple[int, ...], np.dtype[Any]]:
    """Shape and dtype; the file then stands at the first value."""
    shape, fortran, dtype = npy_header(file)
    if fortran:
        raise ValueError("its first axis varies fastest; save it in C order")
    return shape, dtype


def _write_ctrgcn(to: Path, source: Source, tell: Callable[[int], None]) -> None:
    """As CTR-GCN's scripts, whose NTU-120 one repeats a body that is alone; PKU-MMD as MAMP's, which moves nothing."""
    with zipfile.ZipFile(to / f"{stems(source.split)[0]}.npz", "w") as archive:
        for part, name in (("train", "train"), ("val", "test")):
            with archive.open(f"x_{name}.npy", "w", force_zip64=True) as file:
                write_npy(file, (len(source.rows[part]), LONGEST, FLAT), _flat(source, part), tell)
            with archive.open(f"y_{name}.npy", "w") as file:
                np.lib.format.write_array(file, source.one_hot(part), allow_pickle=False)


def _tracks(block: Ragged, n: int) -> int:
    own = block.rows(n)
    return int(tracks_left(block.joints[own], block.row_frame[own], block.row_body[own], (0, 1, 2)))


def _flat(source: Source, part: str) -> Iterator[Floats]:
    centre = "none" if source.dataset in ("pku1", "pku2") else "clip"
    for block, made in source.prepared(part, "ctr", f"centre={centre}"):
        values = made.values
        if source.dataset == "ntu120":
            alone = [n for n, clip in enumerate(values) if not clip[..., 1].any()]
            if source.bodies == "denoise":
                alone = [n for n in alone if _tracks(block, n) == 1]
            values[alone, ..., 1] = values[alone, ..., 0]
        yield flat(values)


CTRGCN = Format(read_npz, _write_ctrgcn, "denoise")
