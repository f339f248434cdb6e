"""Which classes and which of their clips a figure shows."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from skelpipe.errors import BadInput

TEN = 10
CLIPS_PER_CLASS = 40


def ten_classes(labels: npt.NDArray[np.int64], titles: Sequence[str], asked: Sequence[int | str] | None) -> list[int]:
    """The classes to draw: those asked for, or the ten with the most clips (the lower number first among equals)."""
    if asked:
        return [_find_class(c, titles) for c in asked]
    count = np.bincount(labels, minlength=len(titles))
    largest = np.argsort(-count, kind="stable")[:TEN]
    return sorted(int(c) for c in largest if count[c])


def _find_class(asked: int | str, titles: Sequence[str]) -> int:
    if isinstance(asked, int) or asked.isdecimal():
        if 0 <= int(asked) < len(titles):
            return int(asked)
        raise BadInput(f"class {asked}", "does not exist", f"give a number from 0 to {len(titles) - 1}, or a name")
    lower = [t.lower() for t in titles]
    if asked.lower() in lower:
        return lower.index(asked.lower())
    near = difflib.get_close_matches(asked.lower(), lower, n=1, cutoff=0.3)
    raise BadInput(f"class {asked!r}", "does not exist", f"did you mean {near[0]!r}?" if near else "give its number")


def some_of_each(names: npt.NDArray[Any], labels: npt.NDArray[Any], classes: Sequence[int]) -> npt.NDArray[np.int64]:
    """Rows of up to CLIPS_PER_CLASS clips per class, drawn with a fixed seed from the clips in order of name."""
    draw = np.random.default_rng(0)
    chosen = []
    for c in classes:
        rows = np.flatnonzero(labels == c)
        rows = rows[np.argsort(names[rows], kind="stable")]
        chosen.append(np.sort(draw.permutation(rows)[:CLIPS_PER_CLASS]))
    return np.concatenate(chosen) if chosen else np.zeros(0, np.int64)
