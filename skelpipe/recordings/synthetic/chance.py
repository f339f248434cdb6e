"""Chance: random numbers that follow from a seed and from what they are for, whatever else is drawn."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from numpy.random import PCG64, Generator

Array = npt.NDArray[np.float64]
# Streams of randomness; they keep, say, subject 3 apart from clip 3.
SUBJECT, ACT, SENSOR, VIDEO = range(4)


def generator(seed: int, *identity: int) -> Generator:
    """The random numbers of one thing; `identity` is one of the streams above and the numbers that name the thing."""
    return Generator(PCG64([seed, *identity]))


def smooth(rng: Generator, frames: int, every: int, width: tuple[int, ...]) -> Array:
    """Unit normal numbers every `every` frames with straight lines between: (frames, *width)."""
    knots = rng.standard_normal((frames // every + 2, *width))
    at = np.arange(frames) / every
    left = at.astype(np.int64)
    share = (at - left).reshape(-1, *(1 for _ in width))
    result: Array = knots[left] * (1 - share) + knots[left + 1] * share
    return result
