"""Holds every value of a store against the recordings that it was made from."""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy.typing as npt

from skelpipe.errors import BadInput
from skelpipe.recordings.datasets import Dataset, Dropped, Recording, dataset_of
from skelpipe.recordings.datasets.base import Found
from skelpipe.recordings.ingest import Progress
from skelpipe.recordings.poses.dataset import poses_of
from skelpipe.recordings.reading import read_all
from skelpipe.recordings.store import Rows, open_group, read_array
from skelpipe.recordings.writer import CHUNKS_AT_ONCE

if TYPE_CHECKING:
    import zarr


@dataclass(frozen=True)
class VerifyResult:
    """What a verification compared: clips, rows, left-out entries, sources, raw bytes and wall-clock seconds."""

    dataset: str
    clips: int
    rows: int
    dropped: int
    files: int
    bytes_read: int
    seconds: float


def verify(
    store: str | os.PathLike[str],
    raw: str | os.PathLike[str],
    *,
    workers: int | None = None,
    progress: Progress | None = None,
) -> VerifyResult:
    """Read the raw recordings again and hold every value of the store against them.

    Args:
        store: the store.
        raw: what it was made from.
        workers: as for `ingest`.
        progress: as for `ingest`.

    Raises:
        BadInput: something differs; the first few clips are named. Or the store is damaged.
    """
    started = time.perf_counter()
    group, attributes = open_group(Path(store), "store")
    kind, keep_missing = poses_of(attributes, store) or dataset_of(attributes), bool(attributes["keep_missing"])
    found = kind.find(Path(raw), keep_missing)
    kind = found.dataset or kind
    comparison = _Comparison(Path(store), group, kind, found)
    bytes_read = 0
    with closing(read_all(kind, found.sources, keep_missing, workers)) as parsed:
        for done, (source, results, _) in enumerate(parsed, 1):
            for result in results:
                comparison.add(result)
            bytes_read += source.size
            if progress is not None:
                progress(done, len(found.sources), bytes_read)
    comparison.finish(attributes)
    return VerifyResult(
        dataset=kind.name,
        clips=len(comparison.names),
        rows=comparison.stop,
        dropped=len(comparison.dropped),
        files=len(found.sources),
        bytes_read=bytes_read,
        seconds=time.perf_counter() - started,
    )


class _Comparison:
    """A store read in step with its source; differences are collected and raised at the end."""

    SHOWN = 5

    def __init__(self, path: Path, group: zarr.Group, kind: Dataset, found: Found) -> None:
        self.path, self.kind, self.found = path, kind, found
        self.columns = {name: read_array(group, name) for name in kind.columns}
        self.names: list[str] = self.columns["name"].tolist()
        self.frames, self.offsets = read_array(group, "clip_frames"), read_array(group, "clip_offset")
        self.dropped = list(found.dropped)
        self.report = [read_array(group, f"dropped/{name}").tolist() for name in ("name", "reason")]
        self.rows = {name: Rows(group, name, CHUNKS_AT_ONCE) for name in ("joints", "row_frame", "row_body")}
        self.differences: list[str] = []
        self.moved: list[str] = []  # told only where the same clips are on both sides
        self.count = self.new = 0
        self.place = {name: n for n, name in enumerate(self.names)}
        self.seen: set[int] = set()

    @property
    def stop(self) -> int:
        """How many rows the clips of the store have."""
        return int(self.offsets[-1])

    def add(self, result: Recording | Dropped) -> None:
        """Compare the next clip of the source with the store's."""
        if isinstance(result, Dropped):
            self.dropped.append(result)
            return
        n = self.place.get(result.name)
        if n is None:
            self._differs(f"{result.name} is not in the store")
            self.new += 1
            return
        if n != len(self.seen):
            self.moved.append(f"{result.name} is clip {n} of the store and clip {len(self.seen)} of the source")
        self.seen.add(n)
        wrong = [*self._wrong_columns(n, result), *self._wrong_rows(n, result)]
        if wrong:
            self._differs(f"{result.name} differs in {', '.join(wrong)}")

    def _wrong_columns(self, n: int, result: Recording) -> Iterator[str]:
        if self.frames[n] != result.frames:
            yield "frames"
        for name, value in result.ids.items():
            if self.columns[name][n] != value:
                yield name

    def _wrong_rows(self, n: int, result: Recording) -> Iterator[str]:
        start, stop = int(self.offsets[n]), int(self.offsets[n + 1])
        if stop - start != len(result.joints):
            yield "rows"
            return
        for name, rows in self.rows.items():
            expected: npt.NDArray[Any] = getattr(result, name)
            # As bytes: -0.0 is not 0.0 here.
            if rows.read(start, stop).tobytes() != expected.tobytes():
                yield name

    def _differs(self, what: str) -> None:
        self.count += 1
        if len(self.differences) < self.SHOWN:
            self.differences.append(what)

    def finish(self, attributes: Mapping[str, Any]) -> None:
        """Look for what the source lacks, then raise if anything differed."""
        for n, name in enumerate(self.names):
            if n not in self.seen:
                self._differs(f"{name} is not in the source")
        if not self.new and len(self.seen) == len(self.names):
            for said in self.moved:
                self._differs(said)
        ours = Counter((entry.name, entry.reason) for entry in self.dropped)
        theirs = Counter(zip(*self.report, strict=True))
        for name, reason in sorted((ours - theirs).keys() | (theirs - ours).keys()):
            self._differs(f"the drop report and the source disagree on {name} ({reason})")
        if dict(attributes.get("split_files") or {}) != self.found.split_files:
            self._differs("the split lists")
        if self.stop != attributes["rows"] or len(self.names) != attributes["clips"]:
            self._differs("the counts in the attributes")
        if self.count:
            more = f" and {self.count - len(self.differences)} more" if self.count > len(self.differences) else ""
            what = f"does not hold what the source holds: {'; '.join(self.differences)}{more}"
            raise BadInput(self.path, what, "check that this is its source, or ingest it again")
