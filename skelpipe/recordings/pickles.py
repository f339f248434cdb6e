"""Pickles from strangers, read without the power to run anything, and pickles that any NumPy reads."""

from __future__ import annotations

import copyreg
import io
import os
import pickle
import re
import struct
import tokenize
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, ClassVar

import numpy as np
import numpy.typing as npt

from skelpipe.errors import BadInput, shortened
from skelpipe.recordings.beginnings import AGAIN, UNFINISHED, cut_off
from skelpipe.recordings.datasets.files import DAMAGE

CODE = re.compile(r"[<>=|]?([biufSU][0-9]{1,9}|[?])")
LAST = 0x10FFFF  # code point of Unicode
PICKLE_PROTOCOL = 4  # read by every Python that still runs the projects that these files are for

# What reading a damaged pickle or array may raise.
RAISED = (TypeError, AttributeError, SyntaxError, RecursionError, pickle.UnpicklingError, tokenize.TokenError, *DAMAGE)


@contextmanager
def reading(path: Path) -> Iterator[None]:
    """Turn what reading a foreign file may raise into BadInput."""
    try:
        yield
    except FileNotFoundError:
        raise BadInput(path, "does not exist", "correct the path") from None
    except RAISED as error:
        if cut_off(path, error):
            raise BadInput(path, UNFINISHED, AGAIN) from None
        what = f"cannot be read ({shortened(str(error), 200)})"
        raise BadInput(path, what, "make it anew, and check the format's name") from None


class _Dtype:
    """What a pickled NumPy dtype says of itself."""

    def __init__(self, code: str, align: object = False, copy: object = True) -> None:
        self.code, self.order = str(code), "<"

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        self.order = ">" if state[1] == ">" else "<"

    def numpy(self) -> np.dtype[Any]:
        if not CODE.fullmatch(self.code):  # others are read as if they were Python
            raise ValueError(f"an array of dtype {self.code}")
        return np.dtype(self.code).newbyteorder(">" if self.order == ">" else "<")


def _values(raw: Any, dtype: np.dtype[Any]) -> npt.NDArray[Any]:
    """The values in the bytes; ValueError for text of code points that there are not, at which NumPy breaks down."""
    values = np.frombuffer(raw, dtype)
    if dtype.kind == "U" and len(raw) and np.frombuffer(raw, np.dtype("u4").newbyteorder(dtype.byteorder)).max() > LAST:
        raise ValueError("text of characters that there are not")
    return values


class _Array:
    """A pickled NumPy array; it is put together here, so that no pickle calls into NumPy."""

    def __init__(self, shape: Any = (0,), dtype: Any = "b1", buffer: Any = b"", *more: object) -> None:
        self.value: Any = np.empty(0)
        if isinstance(dtype, str) and isinstance(buffer, bytes) and buffer:
            self.value = _values(buffer, _Dtype(dtype).numpy()).reshape(shape)

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        _, shape, dtype, fortran, raw = state
        if isinstance(raw, list):  # an array of objects: its flat list
            self.value = raw
            return
        raw = raw.encode("latin1") if isinstance(raw, str) else raw  # a pickle of Python 2
        self.value = _values(raw, dtype.numpy()).reshape(shape, order="F" if fortran else "C")


def _from_buffer(raw: Any, dtype: _Dtype, shape: Any, order: str) -> _Array:
    made = _Array()
    made.value = _values(raw, dtype.numpy()).reshape(shape, order="F" if order == "F" else "C")
    return made


def _scalar(dtype: _Dtype, raw: Any) -> Any:
    raw = raw.encode("latin1") if isinstance(raw, str) else raw
    return _values(raw, dtype.numpy())[0].item()


class _Call:
    """A function that a pickle may call. It has no attributes that a pickle could set."""

    __slots__ = ("run",)

    def __init__(self, run: Callable[..., Any]) -> None:
        self.run = run


def _latin1(text: str, encoding: object = "latin1") -> bytes:
    return text.encode("latin1")


def _bytes(value: Any = b"") -> bytes:
    if not isinstance(value, bytes):  # bytes(10**12) would take the memory
        raise ValueError("bytes made of something else")
    return value


def _keys(values: Iterable[Any]) -> Iterable[Any]:
    """The values, if they are such as are quickly hashed: that of nested tuples can take for ever."""
    for value in values:
        if type(value) not in (str, bytes, int, float, bool, type(None)):
            raise ValueError(f"a key that is a {type(value).__name__}")
    return values


def _set(values: Any = ()) -> set[Any]:
    return set(_keys(list(values)))


def _dict(pairs: Any = ()) -> dict[Any, Any]:
    pairs = [(key, value) for key, value in pairs]
    return dict(zip(_keys([key for key, _ in pairs]), [value for _, value in pairs], strict=True))


KNOWN: dict[tuple[str, str], Any] = {
    ("numpy", "ndarray"): _Array, ("numpy", "dtype"): _Dtype, ("_codecs", "encode"): _Call(_latin1),
    **{(python, "set"): _Call(_set) for python in ("builtins", "__builtin__")},
    **{(python, "bytearray"): _Call(_bytes) for python in ("builtins", "__builtin__")},
    ("collections", "OrderedDict"): _Call(_dict),
    **{(f"numpy.{core}.multiarray", "_reconstruct"): _Array for core in ("core", "_core")},
    **{(f"numpy.{core}.multiarray", "scalar"): _Call(_scalar) for core in ("core", "_core")},
    **{(f"numpy.{core}.numeric", "_frombuffer"): _Call(_from_buffer) for core in ("core", "_core")},
}  # fmt: skip
# What plain values and arrays are written with. The others make objects, or call on what a program has registered.
OPCODES = (
    "PROTO", "FRAME", "STOP", "MARK", "POP", "POP_MARK", "DUP", "NONE", "NEWTRUE", "NEWFALSE", "INT", "BININT",
    "BININT1", "BININT2", "LONG", "LONG1", "LONG4", "FLOAT", "BINFLOAT", "STRING", "BINSTRING", "SHORT_BINSTRING",
    "BINBYTES", "SHORT_BINBYTES", "BINBYTES8", "UNICODE", "BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8", "TUPLE",
    "EMPTY_TUPLE", "TUPLE1", "TUPLE2", "TUPLE3", "EMPTY_LIST", "LIST", "EMPTY_DICT", "EMPTY_SET", "GET", "BINGET",
    "LONG_BINGET", "PUT", "BINPUT", "LONG_BINPUT", "MEMOIZE", "GLOBAL", "STACK_GLOBAL",
)  # fmt: skip


class _Bounded:
    """A file that is never asked for more than is left of it: a pickle may announce any length."""

    def __init__(self, file: IO[bytes], size: int) -> None:
        self.file, self.left = file, size
        self.readline = file.readline

    def read(self, count: int) -> bytes:
        if count > self.left:
            raise EOFError(f"it announces {count:,} bytes and has {self.left:,} in all")
        return self.file.read(count)


_Python: Any = pickle._Unpickler  # whose parts are not in its published type


class _Unpickler(_Python):  # type: ignore[misc]
    """Builds plain values and arrays; everything else that a pickle may name is refused before it is imported.

    It is Python's own in Python: the compiled one cannot be kept from setting attributes of what a pickle names, from
    hashing nested tuples, or from making room for a memo of four billion entries.
    """

    dispatch: ClassVar[dict[int, Any]] = {
        getattr(pickle, name)[0]: _Python.dispatch[getattr(pickle, name)[0]] for name in OPCODES
    }

    def __init__(self, file: IO[bytes], where: str | os.PathLike[str], size: int) -> None:
        bounded = _Bounded(file, size)
        super().__init__(bounded, encoding="latin1")
        self.where, self.room = where, bounded.left

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in KNOWN:
            named = shortened(f"{module}.{name}", 60)
            what = f"names {named}, which is neither a plain value nor an array and could run code"
            raise BadInput(self.where, what, "nothing was run; get the file from somebody you trust")
        return KNOWN[module, name]

    def _take(self, *kinds: type) -> Any:
        """The last value, which must be of these types."""
        if type(self.stack[-1]) not in kinds:
            raise ValueError(f"it changes a {type(self.stack[-1]).__name__}")
        return self.stack[-1]

    def load_bytearray8(self) -> None:
        (count,) = struct.unpack("<Q", self.read(8))
        self.append(bytearray(self.read(count)))  # Python's own makes room for all that is announced

    def load_reduce(self) -> None:
        values = self.stack.pop()
        called: Any = self.stack[-1]
        if called is not _Array and called is not _Dtype and type(called) is not _Call:
            raise ValueError(f"it calls a {type(called).__name__}")
        function: Any = getattr(called, "run", called)
        made = function(*values)
        if type(made) in (bytes, set, dict):
            self.room -= len(made)  # what is made of one value again and again is more than the file holds
            if self.room < 0:
                raise ValueError("it makes more values than it has bytes")
        self.stack[-1] = made

    def load_build(self) -> None:
        state = self.stack.pop()
        self._take(_Array, _Dtype).__setstate__(state)

    def load_append(self) -> None:
        value = self.stack.pop()
        self._take(list).append(value)

    def load_appends(self) -> None:
        values = self.pop_mark()
        self._take(list).extend(values)

    def load_additems(self) -> None:
        values = self.pop_mark()
        self._take(set).update(_keys(values))

    def load_setitem(self) -> None:
        value, key = self.stack.pop(), self.stack.pop()
        self._take(dict).update(_dict([(key, value)]))

    def load_setitems(self) -> None:
        values = self.pop_mark()
        self._take(dict).update(zip(_keys(values[::2]), values[1::2], strict=True))

    def load_dict(self) -> None:
        values = self.pop_mark()
        self.append(dict(zip(_keys(values[::2]), values[1::2], strict=True)))

    dispatch |= {
        pickle.BYTEARRAY8[0]: load_bytearray8,
        pickle.REDUCE[0]: load_reduce,
        pickle.BUILD[0]: load_build,
        pickle.APPEND[0]: load_append,
        pickle.APPENDS[0]: load_appends,
        pickle.ADDITEMS[0]: load_additems,
        pickle.SETITEM[0]: load_setitem,
        pickle.SETITEMS[0]: load_setitems,
        pickle.DICT[0]: load_dict,
    }


def read_pickle(path: Path) -> Any:
    """Read a pickle of plain values and NumPy arrays (which come as `_Array`) without running anything in it.

    Raises:
        BadInput: the file cannot be read, or names anything that could run code.
    """
    with reading(path), open(path, "rb") as file:
        return _Unpickler(file, path, os.fstat(file.fileno()).st_size).load()


def read_pickled(data: bytes, where: str) -> Any:
    """The plain values and arrays in the bytes of a pickle, without running anything in it.

    Raises:
        BadInput: they are damaged, or name anything that could run code.
    """
    try:
        return _opened(_Unpickler(io.BytesIO(data), where, len(data)).load())
    except RAISED as error:
        raise BadInput(where, f"is no whole pickle of arrays ({shortened(str(error), 200)})", AGAIN) from None


def _opened(value: Any) -> Any:
    """`plain` of a value and of all that lies in it; what holds itself is a RecursionError."""
    value = plain(value)
    if isinstance(value, (list, tuple)):
        return [_opened(each) for each in value]
    return {key: _opened(each) for key, each in value.items()} if isinstance(value, dict) else value


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
