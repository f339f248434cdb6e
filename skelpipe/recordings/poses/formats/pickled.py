"""Pickles of arrays and plain values: PySKL's and MMAction2's, DD-Net's, lists and mappings of clips."""

from __future__ import annotations

from skelpipe.layouts.base import Layout
from skelpipe.recordings.pickles import read_pickled
from skelpipe.recordings.poses.base import Format, Opened, Poses
from skelpipe.recordings.poses.plain import clips_in


def _is_pickle(opened: Opened) -> bool:
    if opened.head[:1] == b"\x80" and opened.head[1:2] in (b"\2", b"\3", b"\4", b"\5"):
        return True
    return opened.suffix in (".pkl", ".pickle", ".p") and opened.head[:2] in (b"(d", b"(l", b"cn", b"(c", b"]p", b"}p")


def _read(opened: Opened, layout: Layout) -> list[Poses]:
    return clips_in(read_pickled(opened.data, opened.where), layout, opened.where)


PICKLE = Format("pickle of clips", _is_pickle, _read, (".pkl", ".pickle"), labelled=True)
