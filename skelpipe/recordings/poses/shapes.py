"""Arrays without names of their axes: which is time, which bodies, joints and coordinates, told by the layout."""

from __future__ import annotations

from itertools import permutations
from typing import Any

import numpy as np
import numpy.typing as npt

from skelpipe.errors import BadInput
from skelpipe.layouts.base import Layout
from skelpipe.recordings.poses.base import misfit

Array = npt.NDArray[Any]
MOST_BODIES = 8  # of a flat array, and in front of time
NAMES = "FMVC"  # frames, bodies, joints, coordinates
ROWS, COLUMNS = ("FVC", "FCV", "VFC", "CFV", "VCF", "CVF"), ("VCF", "CVF", "FVC", "FCV", "VFC", "CFV")
WITH_BODIES = ("FMVC", "MFVC", "CFVM", "FVCM", "MFCV", "FCVM", "FMCV", "VCFM", "VCMF", "CVFM")


def bodies_of(x: Array, layout: Layout, where: str, *, columns_first: bool = False) -> tuple[Array, tuple[str, ...]]:
    """An array in the order (F, M, V, C), and in words how it was understood where that was not its own order.

    Args:
        x: 2 to 4 axes, numbers. Two are (F, V·C), or (F, M·V·C) of up to 8 bodies, or one frame (V, C).
        layout: has V joints and, with the confidence, C channels.
        where: the file, for messages.
        columns_first: three axes are (V, C, F) before (F, V, C), as MATLAB users keep them.

    Raises:
        BadInput: its axes are not those of the layout; the layouts that they may be of are named.
    """
    if x.dtype.kind not in "fiu":
        raise BadInput(where, f"holds an array of {x.dtype.name}, no numbers", "give coordinates")
    channels = (layout.coordinates, layout.coordinates + 1)
    joints = len(layout.joints)
    if x.ndim == 2:
        return _flat(x, layout, where, channels), ()
    if x.ndim not in (3, 4):
        what = f"holds an array of {x.ndim} axes ({_shape(x)})"
        raise BadInput(where, what, "give one clip, (F, V, C) or (F, M, V, C); 'skelpipe import' reads prepared arrays")
    orders = WITH_BODIES if x.ndim == 4 else COLUMNS if columns_first else ROWS
    # A channel more than the layout's coordinates is a confidence; which of two orders fits is asked in this order.
    fitting = [order for order in orders if x.shape[order.index("V")] == joints
               and x.shape[order.index("C")] in channels]  # fmt: skip
    if x.ndim == 4 and fitting[:2] == ["FMVC", "MFVC"] and x.shape[0] <= MOST_BODIES < x.shape[1]:
        fitting = fitting[1:]
    if not fitting:
        raise _misfit(x, layout, where)
    order = fitting[0]
    wanted = [each for each in NAMES if each in order]
    made = x.transpose([order.index(each) for each in wanted])
    made = made if x.ndim == 4 else made[:, None]
    usual = order == orders[0]
    return made, () if usual else (f"axes are taken for {', '.join(order)}",)


def _flat(x: Array, layout: Layout, where: str, channels: tuple[int, int]) -> Array:
    joints = len(layout.joints)
    if x.shape[0] == joints and x.shape[1] in channels:
        return x[None, None]
    for count in channels:
        if x.shape[1] == joints * count:
            return x.reshape(len(x), 1, joints, count)
    bodies, rest = divmod(x.shape[1], joints * layout.coordinates)
    if not rest and 1 < bodies <= MOST_BODIES:
        return x.reshape(len(x), bodies, joints, layout.coordinates)
    raise misfit(where, f"holds rows of {x.shape[1]:,} numbers", layout, _joints_of_row(x.shape[1], layout))


def _joints_of_row(width: int, layout: Layout) -> int | None:
    joints, rest = divmod(width, layout.coordinates)
    return None if rest else joints


def _misfit(x: Array, layout: Layout, where: str) -> BadInput:
    joints = len(layout.joints)
    if joints in x.shape:
        others = sorted({size for size in x.shape if size in (2, 3, 4)})
        counts = " or ".join(map(str, others)) or "other"
        return misfit(
            where, f"holds {_shape(x)}: {joints} joints of {counts} coordinates", layout, joints, _low(others)
        )
    likely = likely_joints(x.shape)
    told = f"{likely} joints" if likely else "which joints cannot be told"
    return misfit(where, f"holds {_shape(x)}: {told}", layout, likely)


def _low(some: list[int]) -> int | None:
    return some[0] if some else None


def likely_joints(shape: tuple[int, ...]) -> int | None:
    """V of an array that fits no layout that was asked: beside its axis of 2 to 4 coordinates."""
    for left, right in ((-2, -1), *permutations(range(len(shape)), 2)):
        if shape[right] in (2, 3, 4) and 4 < shape[left] <= 543:
            return int(shape[left])
    return None


def _shape(x: Array) -> str:
    return " x ".join(f"{size:,}" for size in x.shape)


def numbers(value: Any) -> Array | None:
    """Nested lists of numbers as an array of float64, None for what is none; a null is a number that is missing."""
    try:
        array = np.asarray(value)
    except (ValueError, OverflowError, RecursionError):  # lists of unequal lengths
        return None
    if array.dtype == object:
        try:
            array = array.astype(np.float64)  # None becomes nan
        except (TypeError, ValueError, OverflowError):
            return None
    return array.astype(np.float64, copy=False) if array.dtype.kind in "fiu" else None
