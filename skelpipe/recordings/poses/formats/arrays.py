"""NumPy's .npy and .npz, read without running anything that they hold."""

from __future__ import annotations

import io
import warnings
import zipfile
from typing import IO, Any, NamedTuple

import numpy as np
import numpy.typing as npt

from skelpipe.errors import BadInput
from skelpipe.layouts.base import Layout
from skelpipe.recordings.datasets.files import DAMAGE, MAX_BYTES
from skelpipe.recordings.pickles import RAISED, read_pickled
from skelpipe.recordings.poses.base import AGAIN, Format, Opened, Poses
from skelpipe.recordings.poses.plain import clips_in

MAGIC = b"\x93NUMPY"
PLAIN = "biufSU"
LAST = 0x10FFFF  # code point of Unicode


def _is_npy(opened: Opened) -> bool:
    return opened.head.startswith(MAGIC)


def _is_npz(opened: Opened) -> bool:
    return opened.head.startswith(b"PK\3\4") and (b".npy" in opened.head[:300] or opened.suffix == ".npz")


class Header(NamedTuple):
    """What the heading of a .npy says of the array that follows."""

    shape: tuple[int, ...]
    fortran: bool
    dtype: np.dtype[Any]

    def array(self, data: memoryview, where: str) -> npt.NDArray[Any]:
        """The array in the bytes behind the heading, not copied.

        Raises:
            BadInput: it is not of plain values, or there are more or fewer bytes.
        """
        shape, dtype = self.shape, self.dtype
        if dtype.kind not in PLAIN or dtype.names:
            raise BadInput(where, f"holds an array of {dtype}", "give an array of numbers")
        count = int(np.prod([int(size) for size in shape], dtype=object)) if shape else 1
        if min(shape, default=0) < 0 or count * dtype.itemsize != len(data):
            raise BadInput(where, f"has {len(data):,} bytes for an array of {shape}", AGAIN)
        return np.frombuffer(data, dtype).reshape(shape, order="F" if self.fortran else "C")


def read_header(file: IO[bytes], where: str) -> Header:
    """Read the heading of a .npy; the file is then at its array.

    Raises:
        BadInput: it is damaged.
    """
    try:
        version = np.lib.format.read_magic(file)
        header = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # a header of Python 2
            return Header(*header(file))
    except RAISED as error:
        raise BadInput(where, f"is damaged ({' '.join(str(error).split())[:200]})", AGAIN) from None


def read_array(data: bytes, where: str) -> Any:
    """The array in the bytes of a .npy; of one of objects the plain values in it.

    Raises:
        BadInput: it is damaged, holds more than it has bytes, or objects that could run code.
    """
    file = io.BytesIO(data)
    header = read_header(file, where)
    rest, dtype = memoryview(data)[file.tell() :], header.dtype
    if dtype.kind == "O":
        content = read_pickled(bytes(rest), where)
        return content[0] if isinstance(content, list) and len(content) == 1 and header.shape == () else content
    values = header.array(rest, where)
    if dtype.kind == "U" and len(rest):
        codes = np.frombuffer(rest, np.dtype("u4").newbyteorder(dtype.byteorder))
        if len(codes) and codes.max() > LAST:
            raise BadInput(where, "holds text of characters that there are not", AGAIN)
    return values.astype(dtype.newbyteorder("="), copy=False)


def _read_npy(opened: Opened, layout: Layout) -> list[Poses]:
    return clips_in(read_array(opened.data, opened.where), layout, opened.where)


def _read_npz(opened: Opened, layout: Layout) -> list[Poses]:
    found = {}
    try:
        with zipfile.ZipFile(io.BytesIO(opened.data)) as archive:
            members = archive.infolist()
            if sum(member.file_size for member in members) > MAX_BYTES:
                raise BadInput(opened.where, "unpacks to more than any recording has", "divide it")
            for member in members:
                with archive.open(member) as file:
                    data = file.read(member.file_size)
                name = member.filename.removesuffix(".npy")
                found[name] = read_array(data, f"{opened.where}, {name}")
    except (NotImplementedError, *DAMAGE) as error:
        raise BadInput(opened.where, f"is damaged ({error})", AGAIN) from None
    if not found:
        raise BadInput(opened.where, "holds no array", AGAIN)
    return clips_in(found, layout, opened.where)


NPY = Format("NumPy array (.npy)", _is_npy, _read_npy, (".npy",), labelled=True)
NPZ = Format("NumPy arrays (.npz)", _is_npz, _read_npz, (".npz",), labelled=True)
