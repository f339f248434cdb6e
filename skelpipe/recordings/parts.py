"""Parts of a store or of clips: made by as many processes or machines as there are, and joined to the whole.

A part is a run of the sources (or clips) in their order, so joining is putting one behind the other. A part's folder
is of a kind of its own ("store part", "clips part"): no stage takes it for the whole.
"""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from skelpipe.errors import BadInput
from skelpipe.outputs.ancestry import PROVENANCE, read_json
from skelpipe.outputs.digests import read_kind
from skelpipe.outputs.folders import new_folder
from skelpipe.recordings import NATIVE
from skelpipe.recordings.conventions.folders import ask_whole
from skelpipe.recordings.datasets import dataset_of
from skelpipe.recordings.datasets.files import Seen
from skelpipe.recordings.divisions import tell_divisions
from skelpipe.recordings.store import (
    CLIPS_PER_CHUNK,
    REPORT,
    ROWS_PER_CHUNK,
    create_array,
    create_group,
    open_array,
    open_group,
    read_array,
    write_array,
    write_columns,
)

MOST = 10_000
OF_PART = " part"  # what the kind of a part's folder has behind that of the whole
CHUNKS_AT_ONCE = 8
PER_ROW = ("joints", "row_frame", "row_body")
NOBODY = "check what the parts were made from"
COUNTS = ("clips", "rows")  # attributes, of a store
OWN = ("part", *COUNTS)  # the attributes in which parts of one whole differ

log = logging.getLogger(__name__)

Progress = Callable[[int, int], object]


@dataclass(frozen=True)
class Part:
    """The part `number`, from 1, of `of`."""

    number: int
    of: int

    def __post_init__(self) -> None:
        if not 1 <= self.number <= self.of <= MOST:
            raise BadInput(f"--part {self}", "there is no such part", f"use 1/N to N/N, with N up to {MOST:,}")

    def __str__(self) -> str:
        return f"{self.number}/{self.of}"

    @classmethod
    def parse(cls, text: str) -> Part:
        """Read "3/8".

        Raises:
            BadInput: it is not of that form, or there is no such part.
        """
        match = re.fullmatch(r"([0-9]{1,9})/([0-9]{1,9})", text)
        if match is None:
            raise BadInput(f"--part {text}", "is not a part", "write the third of eight parts as 3/8")
        return cls(int(match[1]), int(match[2]))

    def share(self, weights: npt.ArrayLike) -> slice:
        """The run of items that belongs to this part; together the parts take each item once.

        Args:
            weights: (n,) how much work each item is; every part gets about as much as the others.
        """
        work = np.maximum(np.asarray(weights, np.int64), 1)
        part = (np.cumsum(work) - work) * self.of // max(1, int(work.sum()))
        start, stop = np.searchsorted(part, [self.number - 1, self.number])
        return slice(int(start), int(stop))

    def mark(self, source: str | None) -> dict[str, Any]:
        """The attribute `part` of its folder; `source` is a digest of what was divided."""
        return {"number": self.number, "of": self.of, "source": source}


def kind_of(kind: str, part: Part | None) -> str:
    """The kind of a folder that holds the whole, or a part of it."""
    return kind if part is None else kind + OF_PART


def takes_rest(part: Part | None) -> bool:
    """Whether this part, or the whole, also takes what is no recording: lists, and what a search has left out."""
    return part is None or part.number == 1


@dataclass(frozen=True)
class Summary:
    """What `join` did: the kind of the whole, how many parts and clips, and as of `ingest.Summary` what is told."""

    kind: str
    parts: int
    clips: int
    told: tuple[str, ...] = ()
    divided: tuple[str, ...] = ()


def join(
    parts: Sequence[str | os.PathLike[str]],
    whole: str | os.PathLike[str],
    *,
    force: bool = False,
    progress: Progress | None = None,
) -> Summary:
    """Make one store, or one clips folder, of all its parts; its bytes are those that a single process would write.

    Args:
        parts: the folders of all parts, in any order.
        whole: the folder to make.
        force: replace a folder that is there.
        progress: called with (rows done, rows) now and then.

    Raises:
        BadInput: not all parts of one division of one source with the same settings, or a part is damaged, or none has
            a clip, or `whole` is taken.
    """
    paths = [Path(part) for part in parts]
    if os.path.realpath(whole) in map(os.path.realpath, paths):
        raise BadInput(whole, "is one of the parts", "choose another path for the whole")
    kind = _kind(paths[0]) if paths else "store"
    opened = _in_order([_Opened(path, *open_group(path, kind + OF_PART)) for path in paths])
    about = {key: value for key, value in opened[0].attributes.items() if key != "part"} | {"kind": kind}
    about |= {key: sum(part.attributes[key] for part in opened) for key in COUNTS if key in about}
    total = sum(part.clips for part in opened)
    if not total:
        raise BadInput(opened[0].path, "has no clip, nor has another of the parts", "check what they were made from")
    inputs = {f"part {n}": part.path for n, part in enumerate(opened, 1)}
    settings = {key: value for key, value in about.items() if key not in ("kind", "columns", "split_files")}
    for role, part in inputs.items():
        log.info("%s of %d: %s", role, len(opened), part)
    more = _raw(opened) if kind == "store" else {}
    with new_folder(whole, kind, force=force, inputs=inputs, settings=settings, more=more) as folder:
        group = create_group(folder, kind, about)
        columns = _columns(opened)
        write_columns(group, columns)
        (_join_store if kind == "store" else _join_clips)(group, opened, progress)
        told = ask_whole(group, paths[0], about["keep_missing"], NOBODY) if kind == "store" else []
    divided = tell_divisions(dataset_of(about), columns, about.get("split_files")) if kind == "store" else []
    return Summary(kind, len(opened), total, tuple(told), tuple(divided))


def _raw(parts: list[_Opened]) -> dict[str, Any]:
    """What the provenance of a whole store says of the raw files, if those of all parts do."""
    seen = Seen()
    for part in parts:
        told = read_json(part.path / PROVENANCE).get("raw")
        try:
            seen.more(Seen(int(told["files"]), int(told["bytes"]), int(told["digest"], 16)))  # type: ignore[index]
        except (TypeError, KeyError, ValueError):  # made by an older version
            return {}
    return {"raw": {"files": seen.files, "bytes": seen.bytes, "digest": seen.digest}}


def _kind(path: Path) -> str:
    """The kind of whole that a folder is a part of."""
    found = read_kind(path)
    if found is not None and found not in ("store" + OF_PART, "clips" + OF_PART):
        raise BadInput(path, f"is a folder of kind {found!r}, not a part of a store or of clips", "give parts only")
    return (found or "store").removesuffix(OF_PART)  # without a kind, it is refused when it is opened


@dataclass(frozen=True)
class _Opened:
    """A part, opened for reading."""

    path: Path
    group: Any
    attributes: dict[str, Any]

    @property
    def part(self) -> Part:
        return Part(self.attributes["part"]["number"], self.attributes["part"]["of"])

    @cached_property
    def clips(self) -> int:
        return int(open_array(self.group, "name").shape[0])


def _in_order(parts: list[_Opened]) -> list[_Opened]:
    """The parts by their number, once it is certain that they are one whole."""
    if not parts:
        raise BadInput("join", "there are no parts", "give the folders of all parts")
    found: dict[int, _Opened] = {}
    for part in parts:
        _check_same(parts[0], part)
        twin = found.setdefault(part.part.number, part)
        if twin is not part:
            raise BadInput(part.path, f"is part {part.part}, and so is {twin.path}", "give each part once")
    of = parts[0].part.of
    missing = [str(Part(number, of)) for number in range(1, of + 1) if number not in found]
    if missing:
        more = f" and {len(missing) - 5} more" if len(missing) > 5 else ""
        what = f"of its whole, {len(missing)} of {of} parts are missing: {', '.join(missing[:5])}{more}"
        raise BadInput(parts[0].path, what, "make these by --part, and give all")
    return [found[number] for number in sorted(found)]


def _check_same(first: _Opened, other: _Opened) -> None:
    """Raise BadInput unless two parts are of one division of one source by one set of settings."""
    if first.part.of != other.part.of:
        what = f"is part {other.part}, and {first.path} is part {first.part}"
        raise BadInput(other.path, what, "give the parts of one division")
    mine, its = first.attributes, other.attributes
    for key in sorted((mine.keys() | its.keys()) - {*OWN, "raw_files"}):
        if mine.get(key) != its.get(key):
            what = f"has another {key} than {first.path}"
            if not isinstance(its.get(key), (dict, list)):
                what = f"has {key} {its.get(key)}, and {first.path} has {mine.get(key)}"
            raise BadInput(other.path, what, "make all parts with the same settings")
    if mine["part"]["source"] != its["part"]["source"]:
        what = f"was made from something else than {first.path}"
        raise BadInput(other.path, what, "make all parts from the same files")


def _join_store(group: Any, parts: list[_Opened], progress: Progress | None) -> None:
    offsets = [read_array(part.group, "clip_offset") for part in parts]
    starts = np.cumsum([0, *(offset[-1] for offset in offsets)])
    rows = int(starts[-1])
    for name in PER_ROW:
        like = open_array(parts[0].group, name)
        # An array of a whole chunk that is resized: with fewer rows than that, its chunks would be smaller.
        array = create_array(group, name, (ROWS_PER_CHUNK, *like.shape[1:]), like.dtype, ROWS_PER_CHUNK)
        array.resize((rows, *like.shape[1:]))
        _stream(array, name, parts, starts, CHUNKS_AT_ONCE * ROWS_PER_CHUNK, progress if name == "joints" else None)
    write_array(group, "clip_offset", _moved(offsets, starts))
    write_array(group, "clip_frames", _all(parts, "clip_frames"))
    report = group.create_group("dropped")
    for name in (*REPORT, *(("count",) if "dropped/count" in parts[0].group else ())):  # older parts have none
        write_array(report, name, _all(parts, f"dropped/{name}"))


def _moved(offsets: list[npt.NDArray[Any]], starts: npt.NDArray[Any]) -> npt.NDArray[np.int64]:
    """The offsets of the whole, of those of its parts and the rows at which the parts begin in it."""
    moved = [offset[1:] + start for offset, start in zip(offsets, starts[:-1], strict=True)]
    return np.concatenate([[0], *moved]).astype(np.int64)


def _join_clips(group: Any, parts: list[_Opened], progress: Progress | None) -> None:
    starts = np.cumsum([0, *(part.clips for part in parts)])
    like = open_array(parts[0].group, "clips")
    if parts[0].attributes["frames"] == NATIVE:
        offsets = [read_array(part.group, "clip_offset") for part in parts]
        frames = np.cumsum([0, *(offset[-1] for offset in offsets)])
        array = create_array(group, "clips", (ROWS_PER_CHUNK, *like.shape[1:]), like.dtype, ROWS_PER_CHUNK)
        array.resize((int(frames[-1]), *like.shape[1:]))
        _stream(array, "clips", parts, frames, CHUNKS_AT_ONCE * ROWS_PER_CHUNK, progress)
        write_array(group, "length", _all(parts, "length"))
        write_array(group, "clip_offset", _moved(offsets, frames))
        return
    array = create_array(group, "clips", (int(starts[-1]), *like.shape[1:]), like.dtype, CLIPS_PER_CHUNK)
    _stream(array, "clips", parts, starts, CHUNKS_AT_ONCE * CLIPS_PER_CHUNK, progress)
    write_array(group, "length", _all(parts, "length"))
    if "valid" in parts[0].group:
        write_array(group, "valid", _all(parts, "valid"))


def _stream(
    array: Any, name: str, parts: list[_Opened], starts: npt.NDArray[Any], step: int, progress: Progress | None
) -> None:
    """Copy one array of all parts, whose first rows are `starts`, into that of the whole, `step` rows at a time."""
    total = int(starts[-1])
    for start in range(0, total, step):
        stop = min(start + step, total)
        array[start:stop] = np.concatenate(list(_rows(name, parts, starts, start, stop)))
        if progress is not None:
            progress(stop, total)


def _rows(
    name: str, parts: list[_Opened], starts: npt.NDArray[Any], start: int, stop: int
) -> Iterator[npt.NDArray[Any]]:
    """Rows start to stop of the whole, from the parts that have them."""
    for part, (first, end) in zip(parts, pairwise(starts.tolist()), strict=True):
        low, high = max(start, first), min(stop, end)
        if low < high:
            yield read_array(part.group, name, slice(low - first, high - first))


def _columns(parts: list[_Opened]) -> Mapping[str, npt.NDArray[Any]]:
    return {name: _all(parts, name) for name in parts[0].attributes["columns"]}


def _all(parts: list[_Opened], name: str) -> npt.NDArray[Any]:
    return np.concatenate([read_array(part.group, name) for part in parts])
