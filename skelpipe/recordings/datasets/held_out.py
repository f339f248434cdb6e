"""What is held out of a training part, so that something can be chosen without the test part."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt


def hold_out(group: npt.NDArray[Any], share: float, seed: int) -> npt.NDArray[np.bool_]:
    """Which clips are held out: whole groups, drawn by seed, until their share of the clips is reached: (N,) bool.

    With fewer than two groups single clips are drawn instead.

    Args:
        group: (N,) the person or video of each clip.
    """
    if len(np.unique(group)) < 2:
        group = np.arange(len(group))
    names, counts = np.unique(group, return_counts=True)
    order = np.random.default_rng(seed).permutation(len(names))
    enough = int(np.searchsorted(np.cumsum(counts[order]), share * len(group))) + 1
    held: npt.NDArray[np.bool_] = np.isin(group, names[order[: min(enough, len(names) - 1)]])
    return held
