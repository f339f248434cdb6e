"""Which clips of arrays can be used: what an import leaves out or refuses, as `inspect` tells it without importing."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from skelpipe.clips.prepare import CLIPS_PER_BLOCK
from skelpipe.errors import BadInput
from skelpipe.exchange.arrays.asking import Taken
from skelpipe.exchange.arrays.base import Part, finite, only
from skelpipe.recordings.conventions.shown import check_shown
from skelpipe.recordings.datasets import Dropped
from skelpipe.recordings.datasets.recording import UNREADABLE

NOT_NUMBERS = "coordinates that are not numbers"
REMEDY = "check the files, and whether they are of this format"
WHOLE = 1 << 28  # bytes of files of which every clip is looked at before an import


def not_numbers(where: Path, names: Sequence[str], whole: npt.NDArray[np.bool_]) -> list[Dropped]:
    """The clips of which `whole` (n,) says that a coordinate is no number; BadInput if these are most of them."""
    odd = [name for name, fine in zip(names, whole.tolist(), strict=True) if not fine]
    if 2 * len(odd) > len(whole):
        what = f"{len(odd):,} of {len(whole):,} clips have {NOT_NUMBERS}, the first {odd[0]}"
        raise BadInput(where, what, "mend it")
    return [Dropped(name, UNREADABLE, f"has {NOT_NUMBERS}") for name in odd]


def look_through(parts: Sequence[Part], names: Sequence[str], taken: Taken) -> list[Dropped]:
    """The clips that an import would leave out, of files small enough to be read as a whole; none of larger ones.

    Args:
        names: what the clips of all parts together are called.

    Raises:
        BadInput: it would refuse them all.
    """
    if sum(part.where.stat().st_size for part in parts) > WHOLE:
        return []
    whole, shown = list[bool](), list[bool]()
    for part in parts:
        for block in part.blocks(CLIPS_PER_BLOCK):
            fine = finite(block)
            whole += fine.tolist()
            shown += [bool(taken.values(clip[None]).any()) for clip in only(block, fine)]
    where = parts[0].where
    left_out = not_numbers(where, names, np.array(whole, bool))
    check_shown(np.array(shown, bool), where, REMEDY)
    return left_out
