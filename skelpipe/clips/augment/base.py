"""What an augmentation is: a pair (draw, apply), its options, and how it may join the gathering of clips."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from skelpipe.errors import BadInput
from skelpipe.kernels import compiled, inlined
from skelpipe.layouts.base import Layout

Batch = npt.NDArray[np.float32]
Numbers = npt.NDArray[np.float64]
Lengths = npt.NDArray[np.int64]
Options = Mapping[str, Any]
Targets = Mapping[str, npt.NDArray[Any]]
Shape = tuple[int, ...]
Brought = Mapping[str, tuple[Shape, str]]
# The gather reads a piece of a clip three times, once for each coordinate it writes: it has to stay in the L1 cache.
FRAMES_AT_A_TIME = 16
POINTS_AT_A_TIME = 800


@dataclass(frozen=True)
class Option:
    """One setting of an augmentation: its default, whose type it has, and the range or choices it must lie in."""

    default: bool | int | float | str
    low: float = 0
    high: float = math.inf
    choices: tuple[str, ...] = ()

    def check(self, where: str, value: Any) -> bool | int | float | str:
        """Return the value as the default's type, or raise BadInput."""
        if isinstance(self.default, str):
            if value not in self.choices:
                raise BadInput(where, f"{value!r} is none of its values", f"use {' or '.join(self.choices)}")
            return str(value)
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


class Extent(NamedTuple):
    """What a step finds: B clips of T frames.

    Attributes:
        frames: T; of clips that still keep their own lengths the longest.
        lengths: (B,) int64; so many frames from the start are the clip's own, the rest is filled up with zeros.
        padded: whether there may be any that are filled up; it hangs on the source and the view, never on the batch.
        bodies: M.
        layout: of the joints.
        kept: whether frames behind the clips' own are let be, and not set to zero after every step.
    """

    frames: int
    lengths: Lengths
    padded: bool
    bodies: int
    layout: Layout
    kept: bool = False

    def of(self, some: slice | npt.NDArray[Any]) -> Extent:
        """The same for some of the clips."""
        return self._replace(lengths=self.lengths[some])

    @property
    def shape(self) -> Shape:
        """(C, T, V, M)."""
        return self.layout.channels, self.frames, len(self.layout.joints), self.bodies

    @property
    def own(self) -> npt.NDArray[np.bool_]:
        """(B, T), which frames are the clips' own."""
        return np.arange(self.frames) < self.lengths[:, None]

    @property
    def cleared(self) -> bool:
        """Whether there may be frames behind the clips' own, and they are zero."""
        return self.padded and not self.kept


class Sampling(NamedTuple):
    """How a step makes T' frames of a clip.

    Attributes:
        positions: (parameters (B, P), extent, options) -> (B, T') float64, the places in the clip's own count of
            frames, linear between two of them; a negative one gives zeros.
        fills: whether there can be zeros behind the last frame; without, all T' frames count as the clip's own.
    """

    positions: Callable[[Numbers, Extent, Options], Numbers]
    fills: bool = False


class OnDevice(NamedTuple):
    """The torch form of a step: what `apply` and `bring` do, within rounding, to clips that lie on a device.

    Attributes:
        send: (parameters (B, P), extent, options) -> what it needs of every clip, by name, each (B, ...) with few
            numbers; made on the host.
        apply: (x (B, C, T, V, M), what was sent, extent of no clips, options) -> the changed clips; x stays. Torch's
            functions alone, without a branch on numbers, so that `torch.compile` makes one graph of them.
        bring: (x, what was sent, extent of no clips, options) -> the targets, before x is changed.
    """

    send: Callable[[Numbers, Extent, Options], dict[str, npt.NDArray[Any]]]
    apply: Callable[[Tensor, Mapping[str, Tensor], Extent, Options], Tensor]
    bring: Callable[[Tensor, Mapping[str, Tensor], Extent, Options], dict[str, Tensor]] | None = None


def brings_nothing(shape: Shape, options: Options) -> Brought:
    """No targets."""
    return {}


@dataclass(frozen=True)
class Augmentation:
    """One way to change a clip.

    Attributes:
        uniforms: how many uniform numbers one draw takes, or how to find that from the options.
        draw: (u (B, uniforms), extent, options) -> parameters (B, P), both float64.
        apply: (x (B, C, T, V, M) float32, parameters (B, P), extent, options) -> None; changes x in place.
        options: its settings.
        move: adds it to the moves that the gather makes, for those that only move frames, joints or points.
        sampling: makes clips of `options["frames"]` frames, instead of `apply`.
        lengths: (parameters, extent, options) -> (B,) how many frames are the clip's own afterwards; None: as many.
        targets: ((C, T, V, M), options) -> the name, shape without B, and type of all that it brings.
        bring: (x, parameters, extent, options, targets) -> None; fills the targets, before x is changed. One called
            `clip` is a clip, and gets the stream that the view gets.
        fills: whether it puts something behind the clip's own frames, which is let be from then on.
        device: its torch form, which one with `sampling` does not need; without, clips stay in the host's memory.

    Example:
        >>> def shrink(x, params, extent, options):
        ...     x *= params[:, 0, None, None, None, None].astype("float32")
        >>> def draw(u, extent, options):
        ...     return 1 - u / 2
        >>> _ = sk.register("augmentation", "shrink", sk.Augmentation(1, draw, shrink, {}))
        >>> bool(abs(sk.augment("shrink")(np.ones((3, 4, 25, 2), "float32"), seed=0)).max() <= 1)
        True
    """

    uniforms: int | Callable[[Options], int]
    draw: Callable[[Numbers, Extent, Options], Numbers]
    apply: Callable[[Batch, Numbers, Extent, Options], None]
    options: Mapping[str, Option]
    move: Callable[[Moves, Numbers, Extent, Options], Moves] | None = None
    sampling: Sampling | None = None
    lengths: Callable[[Numbers, Extent, Options], Lengths] | None = None
    targets: Callable[[Shape, Options], Brought] = brings_nothing
    bring: Callable[[Batch, Numbers, Extent, Options, Targets], None] | None = None
    fills: bool = False
    device: OnDevice | None = None


def count_uniforms(augmentation: Augmentation, options: Options) -> int:
    """How many uniform numbers one draw takes."""
    wanted = augmentation.uniforms
    return wanted if isinstance(wanted, int) else wanted(options)


class Moves(NamedTuple):
    """What the first steps of a view do to each of B clips, as one crop, one flip and one matrix in any order.

    A clip that several steps go through is read and written once, and the product of their matrices is rounded once.

    Attributes:
        shifts: (B,) int64, of the crop; None without one.
        flips: (B,) bool, whether left and right joints change places; None if no step asks.
        matrices: (B, D, D) float64, what the D coordinates of every point are multiplied by; None where points stay.
    """

    shifts: npt.NDArray[np.int64] | None = None
    flips: npt.NDArray[np.bool_] | None = None
    matrices: Numbers | None = None

    def turned(self, matrices: Numbers) -> Moves:
        """These moves and then a product with `matrices`."""
        return self._replace(matrices=matrices if self.matrices is None else products(matrices, self.matrices))


# a, b (B, D, D) -> a b; plain loops, because the last bit of NumPy's product may hang on the batch
@compiled
def products(a, b):  # type: ignore[no-untyped-def]
    out = np.empty_like(b)
    for n in range(len(out)):
        if b.shape[1] == 2:
            for i in range(2):
                for j in range(2):
                    out[n, i, j] = a[n, i, 0] * b[n, 0, j] + a[n, i, 1] * b[n, 1, j]
            continue
        for i in range(3):
            for j in range(3):
                out[n, i, j] = a[n, i, 0] * b[n, 0, j] + a[n, i, 1] * b[n, 1, j] + a[n, i, 2] * b[n, 2, j]
    return out


# a slice assignment does the same at three times the cost
@inlined
def copy_row(row, to):  # type: ignore[no-untyped-def]
    for i in range(row.size):
        to[i] = row[i]


def whole(u: Numbers, n: int | Lengths) -> Numbers:
    """Uniform whole numbers 0..n-1 from uniform numbers in [0, 1)."""
    return np.asarray(np.floor(u * n))


def draw_whether(u: Numbers, extent: Extent, options: Options) -> Numbers:
    """Whether it is done at all, 0 or 1, with probability p."""
    return np.asarray(u < options["p"], np.float64)


def draw_nothing(u: Numbers, extent: Extent, options: Options) -> Numbers:
    """No parameters, of a step without randomness."""
    return u


def leave(x: Batch, params: Numbers, extent: Extent, options: Options) -> None:
    """Change nothing, of a step that only brings targets or makes other frames."""


def frames_taken(x: Tensor, index: Tensor) -> Tensor:
    """Of x (B, C, T, V, M) frame index[b, t] of clip b as its frame t; index (B, T') int64."""
    shape = (*x.shape[:2], index.shape[1], *x.shape[3:])
    return x.gather(2, index[:, None, :, None, None].expand(shape))


def send_matrices(matrices: Numbers) -> dict[str, npt.NDArray[Any]]:
    """What `turned` takes."""
    return {"matrix": matrices.astype(np.float32)}


def turned(x: Tensor, matrices: Tensor) -> Tensor:
    """The D coordinates of every point of x (B, C, T, V, M) multiplied by its clip's matrix, of (B, D, D)."""
    # Sums of products instead of a matrix product, which a GPU may round to fewer bits.
    size = matrices.shape[1]
    matrix, points = matrices[..., None, None, None], x[:, :size].unbind(1)
    rows = [
        sum((matrix[:, i, j] * points[j] for j in range(1, size)), matrix[:, i, 0] * points[0]) for i in range(size)
    ]
    return with_confidence(torch.stack(rows, 1), x)


def with_confidence(xyz: Tensor, x: Tensor) -> Tensor:
    """New coordinates with what x (B, C, T, V, M) has behind them."""
    return xyz if xyz.shape[1] == x.shape[1] else torch.cat([xyz, x[:, xyz.shape[1] :]], 1)


# u (B, k); k of the numbers 0..n-1 without replacement, in the order that they are drawn (Fisher and Yates)
@compiled
def draw_without_replacement(u, n):  # type: ignore[no-untyped-def]
    batch, count = u.shape
    out = np.empty((batch, count))
    left = np.empty(n, np.int64)
    for b in range(batch):
        for i in range(n):
            left[i] = i
        for k in range(count):
            i = k + int(u[b, k] * (n - k))
            out[b, k] = left[i]
            left[i] = left[k]
    return out


def coordinates(x: Batch, layout: Layout) -> Batch:
    """The channels of x (B, C, ...) that are coordinates: a confidence behind them is left out."""
    return x[:, : layout.coordinates]


P = Option(0.5, 0, 1)  # with which probability
ALWAYS = Option(1.0, 0, 1)
