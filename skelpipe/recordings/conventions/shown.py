"""Clips of which most show nobody are a mistake in what they were made of."""

from __future__ import annotations

import os
from typing import Any

import numpy as np
import numpy.typing as npt

from skelpipe.errors import BadInput

EMPTY = 0.5  # more of the clips than that must not show nobody


def check_shown(shown: npt.NDArray[Any], where: str | os.PathLike[str], remedy: str) -> None:
    """Raise BadInput if most clips show nobody.

    Args:
        shown: (n,) whether a clip shows somebody.
        where, remedy: what is said.
    """
    empty = int(np.count_nonzero(~np.asarray(shown, bool)))
    if empty > EMPTY * len(shown):
        raise BadInput(where, f"{empty:,} of {len(shown):,} clips show nobody", remedy)
