"""Small tables that come with the package: the clips with missing skeletons and the names of the classes."""

from __future__ import annotations

from functools import cache
from importlib import resources


@cache
def lines(name: str) -> tuple[str, ...]:
    """The lines of a text file that lies beside this module."""
    return tuple(
        resources.files("skelpipe.recordings.datasets").joinpath(name).read_text(encoding="utf-8").split("\n")[:-1]
    )


@cache
def missing_skeletons() -> frozenset[str]:
    """Names of the 535 NTU RGB+D 120 clips that the publisher lists as missing or incomplete.

    The 302 of them with an action up to 60 are the list of NTU RGB+D.
    Source: github.com/shahroudy/NTURGB-D, Matlab/NTU_RGBD120_samples_with_missing_skeletons.txt.
    """
    return frozenset(lines("ntu_missing.txt"))
