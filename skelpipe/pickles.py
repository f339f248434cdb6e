"""Pickles from strangers, read without the power to run anything, and pickles that any NumPy reads."""

from __future__ import annotations

import copyreg
import io
import pickle
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from skelpipe.errors import BadInput

PICKLE_PROTOCOL = 4  # read by every Python that still runs the projects that these files are for


@contextmanager
def reading(path: Path) -> Iterator[None]:
    """Turn what reading a foreign file may raise into BadInput."""
    try:
        yield
    except FileNotFoundError:
        raise BadInput(path, "does not exist", "correct the path") from None
    except (
        OSError,
        ValueError,
        EOFError,
        LookupError,
        AttributeError,
        RuntimeError,
        zipfile.BadZipFile,
        zlib.error,
    ) as error:
        raise BadInput(path, f"cannot be read ({error})", "make it anew, and check the format's name") from None


class _Dtype:
    """What a pickled NumPy dtype says of itself."""

    def __init__(self, code: str, align: object = False, copy: object = True) -> None:
        self.code, self.order = str(code), "<"

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        self.order = ">" if state[1] == ">" else "<"

    def numpy(self) -> np.dtype[Any]:
        dtype = np.dtype(self.code).newbyteorder(">" if self.order == ">" else "<")
        if dtype.kind not in "biufSU":
            raise ValueError(f"an array of dtype {self.code}")
        return dtype


class _Array:
    """A pickled NumPy array; it is put together here, so that no pickle calls into NumPy."""

    def __init__(self, shape: Any = (0,), dtype: Any = "b1", buffer: Any = b"", *more: object) -> None:
        self.value: Any = np.empty(0)
        if isinstance(dtype, str) and isinstance(buffer, bytes) and buffer:
            self.value = np.frombuffer(buffer, _Dtype(dtype).numpy()).reshape(shape)

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        _, shape, dtype, fortran, raw = state
        if isinstance(raw, list):  # an array of objects: its flat list
            self.value = raw
            return
        raw = raw.encode("latin1") if isinstance(raw, str) else raw  # a pickle of Python 2
        self.value = np.frombuffer(raw, dtype.numpy()).reshape(shape, order="F" if fortran else "C")


def _from_buffer(raw: Any, dtype: _Dtype, shape: Any, order: str) -> _Array:
    made = _Array()
    made.value = np.frombuffer(raw, dtype.numpy()).reshape(shape, order="F" if order == "F" else "C")
    return made


def _scalar(dtype: _Dtype, raw: Any) -> Any:
    raw = raw.encode("latin1") if isinstance(raw, str) else raw
    return np.frombuffer(raw, dtype.numpy())[0].item()


def _latin1(text: str, encoding: object = "latin1") -> bytes:
    return text.encode("latin1")


def _bytes(value: Any = b"") -> bytes:
    if not isinstance(value, bytes):  # bytes(10**12) would take the memory
        raise ValueError("bytes made of something else")
    return value


KNOWN: dict[tuple[str, str], Any] = {
    ("numpy", "ndarray"): _Array, ("numpy", "dtype"): _Dtype, ("_codecs", "encode"): _latin1,
    **{(python, "set"): set for python in ("builtins", "__builtin__")},
    **{(python, "bytearray"): _bytes for python in ("builtins", "__builtin__")},
    ("collections", "OrderedDict"): dict,
    **{(f"numpy.{core}.multiarray", "_reconstruct"): _Array for core in ("core", "_core")},
    **{(f"numpy.{core}.multiarray", "scalar"): _scalar for core in ("core", "_core")},
    **{(f"numpy.{core}.numeric", "_frombuffer"): _from_buffer for core in ("core", "_core")},
}  # fmt: skip


class _Unpickler(pickle.Unpickler):
    """Builds plain values and arrays; everything else that a pickle may name is refused before it is imported."""

    def __init__(self, file: io.BufferedReader, where: Path) -> None:
        super().__init__(file, encoding="latin1")
        self.where = where

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in KNOWN:
            what = f"names {module}.{name}, which is neither a plain value nor an array and could run code"
            raise BadInput(self.where, what, "nothing was run; get the file from somebody you trust")
        return KNOWN[module, name]


def read_pickle(path: Path) -> Any:
    """Read a pickle of plain values and NumPy arrays (which come as `_Array`) without running anything in it.

    Raises:
        BadInput: the file cannot be read, or names anything that could run code.
    """
    damage = (pickle.UnpicklingError, AttributeError, IndexError, TypeError, OverflowError, MemoryError, RecursionError)
    try:
        with reading(path), open(path, "rb") as file:
            return _Unpickler(file, path).load()
    except damage as error:
        raise BadInput(path, f"is not a pickle that can be read ({error})", "make it anew") from None


def write_pickle(path: Path, value: Any) -> None:
    """Write a pickle of plain values and arrays.

    Arrays are written by public names of NumPy only, so that its versions 1 and 2 both read them, as writable.
    """

    def reduced(array: npt.NDArray[Any]) -> tuple[Any, ...]:
        return np.ndarray, (array.shape, array.dtype.str, bytearray(np.ascontiguousarray(array).data.cast("B")))

    with open(path, "wb") as file:
        pickler = pickle.Pickler(file, protocol=PICKLE_PROTOCOL)
        pickler.dispatch_table = copyreg.dispatch_table | {np.ndarray: reduced}
        pickler.dump(value)


def plain(value: Any) -> Any:
    """The NumPy array in a value that `read_pickle` gave, or the value itself."""
    return value.value if isinstance(value, _Array) else value
