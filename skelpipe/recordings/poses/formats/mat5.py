"""MATLAB's MAT-files of version 5, 6 and 7: numbers, text, cells and structs.

Source: "MAT-File Format" (The MathWorks), chapter 1. SciPy's reader ends the process on some damaged files.
"""

from __future__ import annotations

import math
import struct
import zlib
from typing import Any

import numpy as np

from skelpipe.errors import BadInput
from skelpipe.recordings.datasets.files import MAX_BYTES
from skelpipe.recordings.poses.base import AGAIN

HEADER = 128
MATRIX, COMPRESSED = 14, 15
TYPES = {1: "i1", 2: "u1", 3: "i2", 4: "u2", 5: "i4", 6: "u4", 7: "f4", 9: "f8", 12: "i8", 13: "u8", 16: "u1", 17: "u2",
         18: "u4"}  # fmt: skip
CELL, STRUCT, TEXT = 1, 2, 4
NUMBERS = {6: "f8", 7: "f4", 8: "i1", 9: "u1", 10: "i2", 11: "u2", 12: "i4", 13: "u4", 14: "i8", 15: "u8"}
COMPLEX = 0x0800
DEEP = 8  # cells and structs in one another


def read_mat5(data: bytes, where: str) -> dict[str, Any]:
    """The variables of a file: arrays, texts, lists of a cell's items, and mappings of a struct's fields.

    What is none of these, such as an object or a sparse matrix, is left out; so are the structs of an array but the
    first.

    Raises:
        BadInput: it is damaged.
    """
    try:
        order = {b"IM": "<", b"MI": ">"}[data[126:HEADER]]
        return dict(each for each in _variables(data[HEADER:], order) if each[1] is not None and each[0])
    except (KeyError, ValueError, IndexError, struct.error, zlib.error, OverflowError, MemoryError) as error:
        raise BadInput(where, f"is damaged ({' '.join(str(error).split())[:200]})", AGAIN) from None


def _variables(data: bytes, order: str) -> list[tuple[str, Any]]:
    found, at = [], 0
    while at + 8 <= len(data):
        kind, start, size, after = _element(data, at, order)
        if kind == COMPRESSED:
            unpack = zlib.decompressobj()
            inner = unpack.decompress(data[start : start + size], MAX_BYTES)
            found += _variables(inner, order)
            after = start + size  # which is not filled up
        elif kind == MATRIX:
            found.append(_matrix(data[start : start + size], order, 0))
        at = after
    return found


def _element(data: bytes, at: int, order: str) -> tuple[int, int, int, int]:
    """The type of an element, where its bytes begin, how many these are, and where the next begins."""
    (first,) = struct.unpack_from(order + "I", data, at)
    if first >> 16:  # a small one
        kind, size, start, after = first & 0xFFFF, first >> 16, at + 4, at + 8
    else:
        (size,) = struct.unpack_from(order + "I", data, at + 4)
        kind, start, after = first, at + 8, at + 8 + size + (-size % 8)
    if start + size > len(data) or (first >> 16 and size > 4):
        raise ValueError(f"an element announces {size:,} bytes")
    return kind, start, size, after


class _Parts:
    """The elements of a matrix, one after the other."""

    def __init__(self, data: bytes, order: str) -> None:
        self.data, self.order, self.at = data, order, 0

    def next(self) -> tuple[int, bytes]:
        """The type of the next element and its bytes."""
        kind, start, size, self.at = _element(self.data, self.at, self.order)
        return kind, self.data[start : start + size]

    def values(self) -> np.ndarray[Any, Any]:
        """The numbers of the next element."""
        kind, raw = self.next()
        dtype = np.dtype(self.order + TYPES[kind])
        return np.frombuffer(raw[: len(raw) // dtype.itemsize * dtype.itemsize], dtype)


def _matrix(data: bytes, order: str, deep: int) -> tuple[str, Any]:
    """The name of a matrix and its value; None for what is not read."""
    if not data:
        return "", None
    if deep > DEEP:
        raise ValueError("cells and structs are nested too deeply")
    parts = _Parts(data, order)
    flags = int(parts.values()[0])
    shape = tuple(int(size) for size in parts.values())
    name = parts.next()[1].split(b"\0")[0].decode("latin1")
    kind = flags & 0xFF
    if len(shape) < 2 or min(shape) < 0:
        raise ValueError(f"a matrix has the shape {shape}")
    count = math.prod(shape)
    if kind in NUMBERS and not flags & COMPLEX:
        values = parts.values()
        if len(values) != count:
            raise ValueError(f"{name} has {len(values):,} values and the shape {shape}")
        return name, values.astype(NUMBERS[kind]).reshape(shape, order="F")
    if kind == TEXT:
        return name, "".join(map(chr, parts.values().astype(np.uint16).tolist()))
    if kind == CELL:
        if count * 8 > len(data):
            raise ValueError(f"{name} announces {count:,} cells")
        items = [_inner(parts, deep) for _ in range(count)]
        return name, items[0] if count == 1 else items
    if kind == STRUCT and count:
        width, names = int(parts.values()[0]), parts.next()[1]
        if width < 1:
            raise ValueError("a struct has fields without names")
        fields = [names[at : at + width].split(b"\0")[0].decode("latin1") for at in range(0, len(names), width)]
        return name, {field: _inner(parts, deep) for field in fields}
    return name, None


def _inner(parts: _Parts, deep: int) -> Any:
    kind, data = parts.next()
    if kind != MATRIX:
        raise ValueError(f"an element of type {kind} in the place of a matrix")
    return _matrix(data, parts.order, deep + 1)[1]
