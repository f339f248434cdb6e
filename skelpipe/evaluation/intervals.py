"""How sure an accuracy is: an interval by resampling whole persons or videos, of whom clips are more alike than others.

Source: Efron and Tibshirani, An Introduction to the Bootstrap (1993), the percentile interval of chapter 13; resampled
are whole clusters (Davison and Hinkley, Bootstrap Methods and their Application, 1997, section 3.8).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

LEVEL = 0.95
RESAMPLES = 10_000
SEED = 0  # the same clips and hits always have the same interval
CLIP = "clip"
FEWEST = 5  # groups: over fewer there are too few different samples, 3 of 2 persons, for an interval to mean anything
AT_ONCE = 1 << 22  # numbers drawn


def top1_interval(
    hits: npt.NDArray[np.floating[Any]], group: npt.NDArray[Any] | None, by: str = CLIP
) -> dict[str, Any]:
    """The 95 % bootstrap interval of the mean of `hits`, by groups drawn with replacement, each with all of its clips.

    Args:
        hits: (n,) 0 or 1 for each test clip, or its mean over repeated draws of training clips.
        group: (n,) the person or video of each clip. Where it is None, has one value or one for each clip, single clips
            are drawn.
        by: what a group is called.

    Returns:
        `level`, `by` ("clip" where single clips were drawn), `groups` (how many there are), `low`, `high`: fractions,
        None of fewer than FEWEST groups.

    Raises:
        ValueError: there are no clips.
    """
    if not len(hits):
        raise ValueError("no clips, no interval")
    own, by = drawn_whole(group, len(hits), by)
    size = np.bincount(own)
    if len(size) < FEWEST:
        return {"level": LEVEL, "by": by, "groups": len(size), "low": None, "high": None}
    means = resampled_means(size, np.bincount(own, weights=hits).astype(np.float64))
    low, high = ends(means)
    return {"level": LEVEL, "by": by, "groups": len(size), "low": low, "high": high}


def drawn_whole(group: npt.NDArray[Any] | None, clips: int, by: str) -> tuple[npt.NDArray[np.int64], str]:
    """(n,) which of the groups that are drawn each clip is in, and what they are called.

    Single clips where there are no groups, one, or one for each clip.
    """
    own = np.arange(clips) if group is None else np.unique(group, return_inverse=True)[1].reshape(-1)
    return (np.arange(clips), CLIP) if own.max() in (0, clips - 1) else (own, by)


def ends(means: npt.NDArray[np.float64]) -> tuple[float, float]:
    """The percentile interval of resampled means."""
    tail = (1 - LEVEL) / 2
    low, high = np.quantile(means, (tail, 1 - tail))
    return float(low), float(high)


def stored_interval(of: Any) -> dict[str, Any] | None:
    """What a metrics.json says of an interval; None if it says nothing.

    Older ones have ends over few groups, too, as 50.0 to 50.0 over 2 persons: these are left out here.
    """
    if not isinstance(of, Mapping):
        return None
    found = {key: of.get(key) for key in ("level", "by", "groups", "low", "high")}
    few = isinstance(of.get("groups"), int) and of["groups"] < FEWEST
    if few:
        return {**found, "low": None, "high": None}
    return found if all(isinstance(found[key], int | float) for key in ("level", "low", "high")) else None


def too_few(groups: int, by: str) -> str:
    """Why there is no interval: "too few subjects for an interval: 2"."""
    return f"too few {by}s for an interval: {groups}"


def resampled_means(
    size: npt.NDArray[np.int64], hits: npt.NDArray[np.floating[Any]], resamples: int = RESAMPLES
) -> npt.NDArray[np.float64]:
    """Hits per clip in as many groups as there are, drawn with replacement: (groups,), (groups,) -> (resamples,).

    Groups of equal size and hits are one kind. How often each kind comes is multinomial, so that neither clips nor
    groups are drawn one by one, and single clips, of two kinds, cost no more than a few persons.
    """
    kinds, count = np.unique(np.column_stack([size, hits]), axis=0, return_counts=True)
    generator, share = np.random.default_rng(SEED), count / count.sum()
    means = []
    step = max(1, AT_ONCE // len(kinds))
    for start in range(0, resamples, step):
        drawn = generator.multinomial(len(size), share, size=min(step, resamples - start)) @ kinds
        means.append(drawn[:, 1] / drawn[:, 0])
    return np.concatenate(means)
