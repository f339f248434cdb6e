"""MATLAB's .mat with an array of joints: UTD-MHAD's d_skel (V, 3, F), and others."""

from __future__ import annotations

import io
import struct
from typing import Any

import numpy as np

from skelpipe.errors import BadInput
from skelpipe.layouts.base import Layout
from skelpipe.recordings.datasets.files import DAMAGE
from skelpipe.recordings.poses.base import AGAIN, Format, Opened, Poses
from skelpipe.recordings.poses.formats.mat5 import read_mat5
from skelpipe.recordings.poses.plain import clips_in

HDF5 = b"\x89HDF\r\n"


def _is_mat(opened: Opened) -> bool:
    head = opened.head
    return head.startswith((b"MATLAB 5.0", b"MATLAB 7.3", HDF5)) or (head[:128].strip().startswith(b"MATLAB"))


def is_mat4(opened: Opened) -> bool:
    """Whether a file is of version 4, which begins with the type of its first matrix, rows, columns, 0 or 1, and the
    length of its name.
    """
    if len(opened.head) < 20:
        return False
    for order in "<>":
        kind, rows, columns, imaginary, name = struct.unpack(order + "5i", opened.head[:20])
        if 0 <= kind < 5000 and min(rows, columns) >= 0 and imaginary in (0, 1) and 1 < name <= 64:
            return True
    return False


def _read(opened: Opened, layout: Layout) -> list[Poses]:
    later = opened.head.startswith(b"MATLAB 7.3") or opened.head.startswith(HDF5)
    found = _hdf5(opened) if later else read_mat5(opened.data, opened.where)
    if not found:
        raise BadInput(opened.where, "holds no array", AGAIN)
    return clips_in(found, layout, opened.where, columns_first=True)


def _hdf5(opened: Opened) -> dict[str, Any]:
    import h5py

    found: dict[str, Any] = {}

    def keep(name: str, item: Any) -> None:
        if isinstance(item, h5py.Dataset) and item.dtype.kind in "fiu" and item.ndim and not name.startswith("#"):
            if item.nbytes > 64 * len(opened.data) + (1 << 20):
                raise ValueError(f"{name} announces {item.nbytes:,} bytes")
            value = np.asarray(item[()])
            found[name] = value.T if opened.head.startswith(b"MATLAB") else value  # which keeps axes the other way

    try:
        with h5py.File(io.BytesIO(opened.data), "r") as file:
            file.visititems(keep)
    except (*DAMAGE, TypeError, AttributeError, RecursionError) as error:
        raise BadInput(opened.where, f"is damaged ({str(error)[:200]})", AGAIN) from None
    return found


MATLAB = Format("MATLAB or HDF5 arrays (.mat, .h5)", _is_mat, _read, (".mat", ".h5", ".hdf5"), labelled=True)
