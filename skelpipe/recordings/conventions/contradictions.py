"""Where the clips of one file contradict each other, and where they are no bodies in space, in words."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np

from skelpipe.recordings.conventions.facts import AXES, POSITIONS, TRUNK, UNITS, Facts

FLAT_CLIPS = 0.05  # of the clips, and more make a file flat
TIMES = 6  # a trunk is not so many times as long as another: the longest of known people is 2.3 shortest ones
SIDES = 0.2  # of the clips that tell; 5 of 956 genuine ones of NTU RGB+D, PKU-MMD and UTD-MHAD cannot, and none errs
FEWEST = 2  # clips, of which one may have been tracked badly


def unit_of(trunk: float) -> str | None:
    """The unit in which a trunk is that of a person: key of `UNITS`, or None."""
    return next((unit for unit, size in UNITS.items() if TRUNK[0] <= trunk * size <= TRUNK[1]), None)


def mixed_units(facts: Sequence[Facts], who: Sequence[str]) -> str | None:
    """That some clips are in another unit than most, as their trunks tell; of a clip too large for any unit, so much.

    Args:
        facts, who: of each clip, and what it is called.
    """
    told = [(f.trunk, called) for f, called in zip(facts, who, strict=True) if f.content == POSITIONS and f.trunk]
    units = Counter(unit for trunk, _ in told if (unit := unit_of(trunk)) is not None)
    if not units:
        return None
    usual = units.most_common(1)[0][0]
    size = float(np.median([trunk for trunk, _ in told if unit_of(trunk) == usual]))
    like = next(called for trunk, called in told if unit_of(trunk) == usual)
    others = [(trunk, called) for trunk, called in told if _other(trunk, usual, size)]
    if not others:
        return None
    trunk, called = others[0]
    unit = unit_of(trunk) or f"another unit (the trunk is {trunk:.3g} long)"
    return (
        f"clips are in several units: {called} in {unit}, {like} in {usual} ({len(others):,} of {len(told):,} differ)"
    )


def _other(trunk: float, usual: str, size: float) -> bool:
    unit = unit_of(trunk)
    return unit != usual and (trunk >= TIMES * size or (unit is not None and trunk * TIMES <= size))


def mixed_sides(facts: Sequence[Facts], who: Sequence[str]) -> str | None:
    """That left and right are exchanged in some clips, and not in others; arguments as of `mixed_units`."""
    told = [(f.sided, called) for f, called in zip(facts, who, strict=True) if f.sided is not None]
    mirrored, right = ([called for sided, called in told if sided == side] for side in (-1, 1))
    if min(len(mirrored), len(right)) < max(FEWEST, SIDES * len(told)):
        return None
    exchanged = f"left and right are exchanged in {len(mirrored):,} of {len(told):,} clips"
    return f"{exchanged}, as in {mirrored[0]}, and not in others, as in {right[0]}"


def flat_said(facts: Sequence[Facts], who: Sequence[str]) -> str | None:
    """That clips are flat, where more than a few are; arguments as of `mixed_units`."""
    told = [(f.flat, called) for f, called in zip(facts, who, strict=True) if f.flat is not None]
    if not told or len(told) <= FLAT_CLIPS * len(facts):
        return None
    (axis, _), *_ = Counter(axis for axis, _ in told).most_common(1)
    called = next(called for flat, called in told if flat == axis)
    many = f"in {len(told):,} of {len(facts):,} clips, as in {called}"
    return f"poses are flat: all joints of a frame have nearly the same {AXES[axis]} {many} (a picture's, of no depth)"
