"""Stores and clips are asked for their conventions, and a store notes what differs from ours."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from skelpipe.errors import BadInput
from skelpipe.layouts import layout_of
from skelpipe.recordings import NATIVE
from skelpipe.recordings.conventions.conversion import Conversion
from skelpipe.recordings.conventions.facts import BONES, MOTION, POSITIONS, SAMPLE, TRUNK, chosen
from skelpipe.recordings.conventions.findings import SENSOR, Findings, ask, doubts, origin_said
from skelpipe.recordings.conventions.shown import check_shown
from skelpipe.recordings.datasets.recording import NO_BODY, READING
from skelpipe.recordings.store import Rows, open_array, read_array

if TYPE_CHECKING:
    import zarr

BODIES = 2  # of a clip, that are looked at
CHUNKS_AT_ONCE = 16  # of small arrays: one read after another takes longer than what it reads
FEWER = 64  # clips of a clips folder, whose chunks are large
NOTED = "conventions"  # the attribute
LENGTHS = ("m", "cm", "mm", "inch", "foot")  # units that are stated
WRITTEN = {"cm": "centimetres", "mm": "millimetres"}  # in the attribute `units`


def ask_store(group: zarr.Group, attributes: Mapping[str, Any]) -> Findings:
    """Ask some recordings of a store, evenly chosen, as they are kept."""
    return ask(([clip] for clip in _recordings(group)), layout_of(attributes), _called(group))


def ask_clips(group: zarr.Group, attributes: Mapping[str, Any]) -> Findings:
    """Ask some clips of a clips folder, evenly chosen."""
    layout = layout_of(attributes)
    rows, called = chosen(open_array(group, "name").shape[0], FEWER), _called(group, FEWER)
    if attributes["frames"] == NATIVE:
        offset = read_array(group, "clip_offset").astype(np.int64)
        frames = Rows(group, "clips")
        # (L, C, V, M) -> (L, M, V, C)
        return ask(
            ([frames.read(int(offset[n]), int(offset[n + 1])).transpose(0, 3, 2, 1)] for n in rows), layout, called
        )
    clips = Rows(group, "clips")
    return ask((clips.read(n, n + 1).transpose(0, 2, 4, 3, 1) for n in rows.tolist()), layout, called)


def _called(group: zarr.Group, most: int = SAMPLE) -> Callable[[int], str]:
    """What the n-th clip that is asked is called."""
    names = read_array(group, "name")
    rows = chosen(len(names), most)
    return lambda n: str(names[rows[n]])


def note(group: zarr.Group, where: str | os.PathLike[str]) -> tuple[Findings, list[str]]:
    """Ask a store that was just written; what differs from ours becomes an attribute of it, the last.

    Args:
        where: what it was made of, for messages.

    Returns:
        what was found, and what is told of it, in words.

    Raises:
        BadInput: these are no positions, which of one's own recordings is told instead, or clips contradict each other.
    """
    attributes: dict[str, Any] = dict(group.attrs["skelpipe"])  # type: ignore[arg-type]
    asked = ask_store(group, attributes)
    found, against = _as_stated(asked, attributes), contradicted(asked, attributes)
    # Detectors make bones that change their lengths as those of motion do: of one's own recordings this is told.
    if found.content in (MOTION, BONES) and READING not in attributes:
        what = f"holds {found.content} of joints, not positions"
        raise BadInput(where, what, "give recordings of positions; streams are made of these")
    if found.mixed is not None:
        raise BadInput(where, found.mixed, "give recordings that were made in the same way")
    said = differing(found)
    if said:
        units = {"units": WRITTEN[found.unit]} if found.unit in WRITTEN else {}
        group.attrs["skelpipe"] = {**attributes, **units, NOTED: found.as_json()}
    return found, [*said, *against, *(doubts(found, layout_of(attributes)) if found.content else [])]


def _as_stated(found: Findings, attributes: Mapping[str, Any]) -> Findings:
    """What was found, but for what somebody has stated of the recordings, which were converted when they were read."""
    stated = attributes.get(READING) or {}
    if not found.told:
        return found
    unit = "m" if stated.get("unit") not in (None, "normalised", "pixel") else found.unit
    return replace(found, unit=unit, up="y" if "up" in stated else found.up)


def contradicted(found: Findings, attributes: Mapping[str, Any]) -> list[str]:
    """Where recordings are not as they were stated to be, in words.

    Args:
        found: of a store, whose recordings were converted as it was stated.
        attributes: of the store.
    """
    stated, said = attributes.get(READING) or {}, []
    if stated.get("unit") in LENGTHS and found.trunk is not None and not TRUNK[0] <= found.trunk <= TRUNK[1]:
        long = f"{TRUNK[0]:g} to {TRUNK[1]:g} m"
        said.append(
            f"the unit is stated as {stated['unit']}, and a trunk is then {found.trunk:.3g} m long, where people's are "
            f"{long}: check --unit"
        )
    if "up" in stated and found.up not in (None, "y"):
        said.append(f"{stated['up']} is stated to be up, and people then stand along {found.up}, not y: check --up")
    return said


def ask_whole(group: zarr.Group, where: str | os.PathLike[str], keep_missing: bool, remedy: str) -> list[str]:
    """`note` of a store that is whole; what is told of it.

    Raises:
        BadInput: as `note`, or most clips show nobody, those counted that were left out for it.
    """
    found, told = note(group, where)
    if not keep_missing:
        nobody = int(np.count_nonzero(read_array(group, "dropped/reason") == NO_BODY))
        clips = int(open_array(group, "name").shape[0])
        shown = np.arange(clips + nobody) < clips * found.shown / max(1, found.clips)
        check_shown(shown, where, remedy)
    return told


def differing(found: Findings) -> list[str]:
    """In which conventions recordings differ from those of a Kinect, in words."""
    if not found.told or found.content != POSITIONS:
        return []
    done = Conversion.of(found)
    said = (
        [f"found: {'; '.join(done.said)}: the store keeps the recorded values, and what reads it converts"]
        if done
        else []
    )
    if found.origin != SENSOR:
        said.append(f"found: the origin is {origin_said(found)}, not the sensor")
    return said


def is_relative(attributes: Mapping[str, Any]) -> bool:
    """Whether a store notes that a joint of its bodies is their origin: there, a joint of zeros is not a lost one."""
    return attributes.get(NOTED, {}).get("origin") not in (None, SENSOR)


def noted_for_clips(attributes: Mapping[str, Any]) -> dict[str, Any]:
    """What clips of a store note of its conventions: nothing where these are ours."""
    if NOTED not in attributes:
        return {}
    return {NOTED: {**attributes[NOTED], "converted": Conversion.of(attributes[NOTED]).said}}


def _recordings(group: zarr.Group) -> Iterator[npt.NDArray[np.float32]]:
    """(F, 2, V, C) one after the other: the first bodies of a clip, each in its own place."""
    offset = read_array(group, "clip_offset").astype(np.int64)
    frames = read_array(group, "clip_frames").astype(np.int64)
    joints = Rows(group, "joints")
    row_frame, row_body = (Rows(group, name, CHUNKS_AT_ONCE) for name in ("row_frame", "row_body"))
    for n in chosen(len(frames)).tolist():
        start, stop = int(offset[n]), int(offset[n + 1])
        points, frame = joints.read(start, stop), row_frame.read(start, stop)
        _, first, body = np.unique(row_body.read(start, stop), return_index=True, return_inverse=True)
        slot = np.argsort(np.argsort(first))[body]  # in the order in which they come
        used = slot < BODIES
        clip = np.zeros((int(frames[n]), BODIES, *points.shape[1:]), np.float32)
        clip[frame[used], slot[used]] = points[used]
        yield clip
