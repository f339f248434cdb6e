"""What an augmentation is: a pair (draw, apply), its options, and how it may join the gathering of clips."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from numba import njit

from skelpipe.errors import BadInput
from skelpipe.layouts.base import Layout

Batch = npt.NDArray[np.float32]
Numbers = npt.NDArray[np.float64]
Options = Mapping[str, Any]
# The gather reads a piece of a clip three times, once for each coordinate it writes: it has to stay in the L1 cache.
FRAMES_AT_A_TIME = 16
POINTS_AT_A_TIME = 800


@dataclass(frozen=True)
class Option:
    """One setting of an augmentation: its default, whose type it has, and the range it must lie in."""

    default: bool | int | float
    low: float = 0
    high: float = math.inf

    def check(self, where: str, value: Any) -> bool | int | float:
        """Return the value as the default's type, or raise BadInput."""
        kind = type(self.default)
        fits = (
            isinstance(value, bool) if kind is bool else isinstance(value, int | float) and not isinstance(value, bool)
        )
        if not fits or kind(value) != value:
            names = {bool: "true or false", int: "a whole number", float: "a number"}
            raise BadInput(where, f"{value!r} is not {names[kind]}", f"the default is {self.default}")
        if kind is not bool and not self.low <= value <= self.high:
            raise BadInput(where, f"{value} is out of range", f"use a number from {self.low:g} to {self.high:g}")
        return kind(value)


@dataclass(frozen=True)
class Augmentation:
    """One way to change a clip.

    Attributes:
        uniforms: how many uniform numbers one draw takes.
        draw: (u (B, uniforms), frames, options) -> parameters (B, P), both float64.
        apply: (x (B, C, T, V, M) float32, parameters (B, P), layout, options) -> None; changes x in place.
        options: its settings.
        move: adds it to the moves that the gather makes, for those that only move frames, joints or points.
    """

    uniforms: int
    draw: Callable[[Numbers, int, Options], Numbers]
    apply: Callable[[Batch, Numbers, Layout, Options], None]
    options: Mapping[str, Option]
    move: Callable[[Moves, Numbers, Options], Moves] | None = None


class Moves(NamedTuple):
    """What the first steps of a view do to each of B clips, as one crop, one flip and one matrix in any order.

    A clip that several steps go through is read and written once, and the product of their matrices is rounded once.

    Attributes:
        shifts: (B,) int64, of the crop; None without one.
        flips: (B,) bool, whether left and right joints change places; None if no step asks.
        matrices: (B, 3, 3) float64, what every point is multiplied by; None where points stay.
    """

    shifts: npt.NDArray[np.int64] | None = None
    flips: npt.NDArray[np.bool_] | None = None
    matrices: Numbers | None = None

    def turned(self, matrices: Numbers) -> Moves:
        """These moves and then a product with `matrices`."""
        return self._replace(matrices=matrices if self.matrices is None else products(matrices, self.matrices))


# a, b (B, 3, 3) -> a b; plain loops, because the last bit of NumPy's product may hang on the batch
@njit(cache=True, nogil=True)
def products(a, b):  # type: ignore[no-untyped-def]
    out = np.empty_like(b)
    for n in range(len(out)):
        for i in range(3):
            for j in range(3):
                out[n, i, j] = a[n, i, 0] * b[n, 0, j] + a[n, i, 1] * b[n, 1, j] + a[n, i, 2] * b[n, 2, j]
    return out


# a slice assignment does the same at three times the cost
@njit(cache=True, nogil=True, inline="always")
def copy_row(row, to):  # type: ignore[no-untyped-def]
    for i in range(row.size):
        to[i] = row[i]


def whole(u: Numbers, n: int) -> Numbers:
    """Uniform whole numbers 0..n-1 from uniform numbers in [0, 1)."""
    return np.asarray(np.floor(u * n))


def draw_whether(u: Numbers, frames: int, options: Options) -> Numbers:
    """Whether it is done at all, 0 or 1, with probability p."""
    return np.asarray(u < options["p"], np.float64)


P = Option(0.5, 0, 1)  # with which probability
