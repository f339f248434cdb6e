"""What every array format has: clips in parts, and checks of shapes, numbers and labels."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from skelpipe.clips.bodies import BODIES
from skelpipe.errors import BadInput
from skelpipe.exchange.arrays.foreign import skeleton_of
from skelpipe.exchange.arrays.labels import MAX_FRAMES, Whole
from skelpipe.layouts.base import Layout
from skelpipe.layouts.kinect_v2 import KINECT_V2
from skelpipe.recordings.datasets import DATASETS, Dataset, Dropped, find_dataset
from skelpipe.recordings.datasets.pku import Pku
from skelpipe.recordings.datasets.rules import folder_word

if TYPE_CHECKING:
    from skelpipe.exchange.arrays.source import Source


LAYOUT = KINECT_V2
JOINTS = len(LAYOUT.joints)
FLAT = BODIES * JOINTS * 3


def has_layout(dataset: Dataset) -> bool:
    """Whether recordings of a data set have the joints that these formats have."""
    return dataset.layout == LAYOUT.name


def held_datasets() -> dict[str, Dataset]:
    """The data sets whose recordings these formats can hold, by name."""
    return {name: dataset for name, dataset in DATASETS.items() if has_layout(dataset)}


def check_layout(where: str | os.PathLike[str], layout: Layout) -> None:
    """Raise BadInput unless these formats have those joints."""
    if layout is not LAYOUT:
        raise BadInput(where, f"has joints in layout {layout.name!r}", f"these formats have {LAYOUT.name!r}")


SUFFIX = ".skeleton"  # label pickles call a clip by its file
# What the files of one benchmark are called; (ctrgcn-npz, sgn-h5), and the benchmark's key in pyskl-pkl.
STEMS = {
    "xsub60": ("NTU60_CS", "NTU_CS", "xsub"), "xview60": ("NTU60_CV", "NTU_CV", "xview"),
    "xsub120": ("NTU120_CSub", "NTU120_CSub", "xsub"), "xset120": ("NTU120_CSet", "NTU120_CSet", "xset"),
    "pku1-xsub": ("PKUv1_XSub", "PKUv1_XSub", "xsub"), "pku1-xview": ("PKUv1_XView", "PKUv1_XView", "xview"),
    "pku2-xsub": ("PKUv2_XSub", "PKUv2_XSub", "xsub"), "pku2-xview": ("PKUv2_XView", "PKUv2_XView", "xview"),
}  # fmt: skip
STEMS |= {f"{name}-listed": (f"{name}_listed",) * 2 + ("listed",) for name in ("ntu60", "ntu120", "pku1", "pku2")}


def stems(split: str) -> tuple[str, str, str]:
    """What the files of a split are called, as in STEMS; those of a stated one by what it says."""
    return STEMS.get(split) or (folder_word(split),) * 3


BLOCK_BYTES = 1 << 28  # a block of clips is not to take more memory than this
UNKNOWN = "unknown"  # which rule chose the bodies

Floats = npt.NDArray[np.float32]
Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Part:
    """The clips of one array.

    Attributes:
        where: the file, for messages.
        labels: (n,) classes, from 0.
        names: what the clips are called, or None.
        train: whether the file says these are for training; asked for where there are no names.
        blocks: step -> blocks of at most so many clips, (b, T, M, V, 3) float32, or from pyskl-pkl a list of
            (T, M, V, 3). A clip with a coordinate that is no number comes as it is, and is left out by who reads them.
        some: rows, which rise -> blocks of these clips alone.
        frames: T.
        prepared: whether the blocks are clips already.
        width: columns of one-hot labels, None for class numbers.
        divisions: by name, (n,) int8: 1 for training, 0 for testing, -1 not said; where there are names.
        left_out: what the file holds and is no clip.
        bodies: key of `BODY_POLICIES` by which the file's writer chose bodies of NTU recordings, UNKNOWN where the file
            does not tell, or None where it is its format's.
        told: sentences about what contradicts itself in the file.
    """

    where: Path
    labels: Whole
    names: list[str] | None
    train: bool
    blocks: Callable[[int], Iterator[Any]]
    some: Callable[[Whole], Iterator[Any]]
    frames: int
    prepared: bool = False
    width: int | None = None
    divisions: Mapping[str, npt.NDArray[np.int8]] = field(default_factory=dict)
    left_out: tuple[Dropped, ...] = ()
    bodies: str | None = None
    told: tuple[str, ...] = ()


# Reading -----------------------------------------------------------------------------------------------------------
def check_shape(where: Path, dtype: np.dtype[Any], shape: Sequence[int], wanted: Sequence[int | None]) -> None:
    """Raise BadInput unless an array is of floats and of that shape (None: any); says whose skeletons it may be."""
    fits = len(shape) == len(wanted) and all(w in (None, s) for s, w in zip(shape, wanted, strict=True))
    if fits and 0 not in shape[1:] and dtype.kind == "f" and max(shape[1:]) <= MAX_FRAMES:
        return
    asked = " x ".join("any" if w is None else str(w) for w in wanted)
    what = f"holds {' x '.join(map(str, shape))} {dtype}, not floats of {asked}"
    if (other := skeleton_of(shape)) is not None:
        what += f": {other}"
        raise BadInput(where, what, "give 25 joints of Kinect v2 in three dimensions, in room for two bodies")
    raise BadInput(where, what, "give the array that this format has, and its name")


def fitting_step(step: int, shape: Sequence[int], dtype: np.dtype[Any]) -> int:
    """How many clips of an array are read at once."""
    size = int(math.prod(shape[1:]) * dtype.itemsize)
    return max(1, min(step, BLOCK_BYTES // max(1, size)))


def finite(block: Any) -> npt.NDArray[np.bool_]:
    """(b,) whether all coordinates of a clip of a block are numbers."""
    return np.array([bool(np.isfinite(clip).all()) for clip in block], bool)


def only(block: Any, wanted: npt.NDArray[np.bool_]) -> Any:
    """The clips of a block, a list or an array, of which `wanted` (b,) says so."""
    return (
        [clip for clip, kept in zip(block, wanted, strict=True) if kept] if isinstance(block, list) else block[wanted]
    )


def unflat(flat: npt.NDArray[Any]) -> Floats:
    """(b, T, 150) -> (b, T, 2, V, 3) float32."""
    return np.ascontiguousarray(flat, np.float32).reshape(len(flat), -1, BODIES, JOINTS, 3)


def flat(clips: Floats) -> Floats:
    """Clips (n, 3, T, V, 2) as (n, T, 2 * V * 3)."""
    return clips.transpose(0, 2, 4, 3, 1).reshape(len(clips), -1, FLAT)


# Formats -----------------------------------------------------------------------------------------------------------
@dataclass(frozen=True)
class Format:
    """A convention of another project.

    Attributes:
        read: its files -> their parts.
        write: (folder, what is exported, tell how many clips are done) -> None.
        bodies: the project's rule, key of `BODY_POLICIES`, by which it chooses the two of NTU recordings.
        named: whether clips have names there.
        prepared: whether it holds clips of final length, which are exported from clips; the others from a store.
    """

    read: Callable[[Sequence[Path]], list[Part]]
    write: Callable[[Path, Source, Callable[[int], None]], None]
    bodies: str
    named: bool = False
    prepared: bool = False

    def rule(self, dataset: str | Dataset, told: str | None = None) -> str:
        """How bodies are chosen there: as the file tells, or as the project does it.

        PKU-MMD's recordings hold two, and no project's script asks which.
        """
        return "first" if isinstance(find_dataset(dataset), Pku) else told or self.bodies


def write_npy(file: Any, shape: tuple[int, ...], blocks: Iterable[Floats], tell: Callable[[int], None]) -> None:
    """One float32 array of that shape, block by block."""
    np.lib.format.write_array_header_1_0(file, {"descr": "<f4", "fortran_order": False, "shape": shape})
    for block in blocks:
        file.write(np.ascontiguousarray(block, "<f4").data)
        tell(len(block))
