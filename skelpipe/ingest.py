"""Raw recordings -> store: many parsers, one writer, and a report of everything that was left out.

Workers return their recordings in the order of the clips' names and only this process writes, whole chunks at a time.
So the store does not depend on the number of workers, no chunk has two writers, and the memory needed is a few chunks
and a few batches of files.
"""

from __future__ import annotations

import hashlib
import json
import logging
import multiprocessing
import os
import signal
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Generator, Iterator, Mapping
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from skelpipe.allocator import keep_memory
from skelpipe.datasets import DATASETS, Dataset, Dropped, Recording, find_dataset
from skelpipe.datasets.base import FAULTS, UNREADABLE, Found, Seen, Source, Vanished, column_array, watched
from skelpipe.errors import BadInput
from skelpipe.outputs import new_folder
from skelpipe.parallel import cores, cpu_count
from skelpipe.parts import Part, kind_of
from skelpipe.skeleton import KINECT_V2
from skelpipe.store import (
    FORMAT_VERSION,
    ROWS_PER_CHUNK,
    create_array,
    create_group,
    open_group,
    read_array,
    write_array,
)

if TYPE_CHECKING:
    import zarr

Progress = Callable[[int, int, int], object]
Outcome = tuple[Source, list[Recording | Dropped], Seen]

log = logging.getLogger(__name__)

CHUNKS_AT_ONCE = 8  # written together: Zarr compresses the chunks of one write in parallel
BATCH_BYTES, BATCH_SOURCES = 4 << 20, 256  # raw text and sources per task, at most
SMALL = 512 << 20  # raw text that is parsed before a pool has started
JOINTS = len(KINECT_V2.joints)


@dataclass(frozen=True)
class Summary:
    """What an ingest did.

    Attributes:
        dataset: key of `DATASETS`.
        clips: clips in the store.
        rows: bodies in frames in the store.
        dropped: reason -> how many clips and files were left out.
        faults: those left out because of a mistake in a file.
        files: sources read.
        bytes_read: raw bytes.
        store_bytes: size of the store on the disk.
        seconds: wall-clock time.
        expected: how many usable clips the publication has.
    """

    dataset: str
    clips: int
    rows: int
    dropped: dict[str, int]
    faults: tuple[Dropped, ...]
    files: int
    bytes_read: int
    store_bytes: int
    seconds: float
    expected: int


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


def ingest(
    dataset: str,
    raw: str | os.PathLike[str],
    store: str | os.PathLike[str],
    *,
    workers: int | None = None,
    keep_missing: bool = False,
    strict: bool = False,
    part: Part | None = None,
    force: bool = False,
    progress: Progress | None = None,
) -> Summary:
    """Read all raw recordings below a folder, or in zip archives, into a new store.

    Args:
        dataset: key of `DATASETS`.
        raw: the folder or .zip file.
        store: the folder to make.
        workers: parser processes; 0 parses in this process, None takes one per core if there is enough to read.
        keep_missing: keep the clips on the publisher's list of missing skeletons, and those without any body.
        strict: let the first faulty file stop the ingest.
        part: read this part only, to be joined with the others (`parts.join`).
        force: replace a store that is there.
        progress: called with (sources done, sources, raw bytes done).

    Raises:
        BadInput: nothing to read or to keep, a damaged archive, a faulty file if `strict`, or `store` is taken.
    """
    started, kind, raw = time.perf_counter(), find_dataset(dataset), Path(raw)
    keep_memory()  # a file's bytes and its arrays would be mapped, faulted in and unmapped anew each time
    settings = {"dataset": dataset, "keep_missing": keep_missing, **({"part": str(part)} if part else {})}
    facts: dict[str, Any] = {}
    with new_folder(
        store, kind_of("store", part), force=force, inputs={"raw": raw}, settings=settings, more=facts
    ) as folder:
        with watched() as seen:
            found = kind.find(raw, keep_missing)
        _tell_found(kind, raw, found, keep_missing)
        if not found.sources and not found.dropped:
            raise BadInput(raw, f"holds no {kind.title} recordings", "give the folder or the .zip files that hold them")
        for entry in found.dropped:
            _check_fault(entry, strict)
        if part is not None:
            found, mark = _take(found, part)
            seen = seen if part.number == 1 else Seen()  # the lists that the search read count once
            log.info("part %s: %s of the files that can be read", part, f"{len(found.sources):,}")
        else:
            mark = {}
        listed = count_files(found, seen)
        writer = _Writer(folder, kind, found.dropped)
        bytes_read = 0
        for done, (source, results, read) in enumerate(_parsed(kind, found.sources, keep_missing, workers), 1):
            seen.more(read)
            for result in results:
                writer.add(result)
                if log.isEnabledFor(logging.DEBUG):
                    _tell_result(source, result)
                _check_fault(result, strict)
            bytes_read += source.size
            if progress is not None:
                progress(done, len(found.sources), bytes_read)
        counts = Counter(dropped.reason for dropped in writer.dropped)
        facts["raw"] = {**listed, "digest": seen.digest}
        log.info("read %s raw files, %s bytes, digest %.12s", f"{seen.files:,}", f"{seen.bytes:,}", seen.digest)
        told = f"left out: {_reasons(counts)}; each is named in the store's drop report" if counts else "left out: none"
        log.info("%s", told)
        if not writer.columns["name"] and part is None:
            raise BadInput(raw, f"no clip can be kept ({_reasons(counts)})", _remedy(kind, writer.dropped))
        writer.finish(
            {
                "keep_missing": keep_missing,
                **({"split_files": found.split_files} if found.split_files else {}),
                **mark,
            }
        )
    return Summary(
        dataset=dataset,
        clips=len(writer.columns["name"]),
        rows=writer.rows,
        dropped=dict(sorted(counts.items())),
        faults=tuple(dropped for dropped in writer.dropped if dropped.reason in FAULTS),
        files=len(found.sources),
        bytes_read=bytes_read,
        store_bytes=sum(p.stat().st_size for p in Path(store).rglob("*") if p.is_file()),
        seconds=time.perf_counter() - started,
        expected=kind.clips,
    )


def count_files(found: Found, lists: Seen) -> dict[str, int]:
    """How many files a search found to read, and their bytes, with the `lists` that it has read itself."""
    return {
        "files": lists.files + sum(len(source.files) for source in found.sources),
        "bytes": lists.bytes + sum(source.size for source in found.sources),
    }


def search(dataset: str, raw: Path, keep_missing: bool, part: Part | None) -> dict[str, int]:
    """How many files an ingest with these settings would find now, and their bytes.

    Raises:
        BadInput: `raw` cannot be searched.
    """
    with watched() as lists:
        found = find_dataset(dataset).find(raw, keep_missing)
    if part is None:
        return count_files(found, lists)
    return count_files(_take(found, part)[0], lists if part.number == 1 else Seen())


def _tell_found(kind: Dataset, raw: Path, found: Found, keep_missing: bool) -> None:
    log.info("%s: %s recordings of %s to read", raw, f"{len(found.sources):,}", kind.title)
    asked = "kept, by --keep-missing" if keep_missing else "left out, without --keep-missing"
    log.info("clips on the publisher's list of missing skeletons, and clips without any body, are %s", asked)
    if found.split_files:
        log.info(
            "split lists found among the files: %s; they go before the built-in ones", ", ".join(found.split_files)
        )


def _tell_result(source: Source, result: Recording | Dropped) -> None:
    if isinstance(result, Dropped):
        log.debug("%s: left out: %s (%s)", result.name, result.reason, result.detail)
    else:
        log.debug("%s: %d frames, %d bodies in them", result.name, result.frames, len(result.joints))


def _take(found: Found, part: Part) -> tuple[Found, dict[str, Any]]:
    """What one part reads, and the attributes that tell it; what the search left out goes to the first part."""
    seen = [(source.name, [(file.shown, file.size) for file in source.files]) for source in found.sources]
    left_out = [(entry.name, entry.reason, entry.detail) for entry in found.dropped]
    digest = hashlib.sha256(json.dumps([seen, left_out]).encode()).hexdigest()
    sources = found.sources[part.share([source.size for source in found.sources])]
    dropped = found.dropped if part.number == 1 else []
    return Found(sources, dropped, found.split_files), {"kind": kind_of("store", part), "part": part.mark(digest)}


def _check_fault(result: Recording | Dropped, strict: bool) -> None:
    if strict and isinstance(result, Dropped) and result.reason in FAULTS:
        raise BadInput(
            f"clip {result.name}", f"{result.reason} ({result.detail})", "leave out --strict to go on without it"
        )


def _reasons(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{count} {reason}" for reason, count in sorted(counts.items())) or "the label files are empty"


def _remedy(kind: Dataset, dropped: list[Dropped]) -> str:
    """What to do when nothing was kept: the first fault, or else the first thing left out, says it best."""
    for entry in (*(d for d in dropped if d.reason in FAULTS), *dropped):
        return f"the first: {entry.name}: {entry.detail or entry.reason}"
    return f"check that this is {kind.title}"


class _Writer:
    """The one writer of a store; rows are kept back until they fill whole chunks."""

    def __init__(self, folder: Path, kind: Dataset, dropped: list[Dropped]) -> None:
        self.kind, self.dropped, self.rows = kind, list(dropped), 0
        self.columns: dict[str, list[Any]] = {name: [] for name in kind.columns}
        self._frames: list[int] = []
        self._offsets: list[int] = [0]
        self._group = create_group(folder, "store", {})
        shapes = {"joints": ((JOINTS, 3), np.float32), "row_frame": ((), np.int32), "row_body": ((), np.int64)}
        self._arrays = {
            name: create_array(self._group, name, (ROWS_PER_CHUNK, *tail), np.dtype(dtype), ROWS_PER_CHUNK)
            for name, (tail, dtype) in shapes.items()
        }
        nothing = {name: np.empty((0, *tail), dtype) for name, (tail, dtype) in shapes.items()}
        self._pending = [Recording("", {}, 0, **nothing)]
        self._waiting = self._written = 0

    def add(self, result: Recording | Dropped) -> None:
        """Take the next clip, or note what was left out."""
        if isinstance(result, Dropped):
            self.dropped.append(result)
            return
        for name, values in self.columns.items():
            values.append(result.name if name == "name" else result.ids[name])
        self._frames.append(result.frames)
        self.rows += len(result.joints)
        self._offsets.append(self.rows)
        self._pending.append(result)
        self._waiting += len(result.joints)
        if self._waiting >= CHUNKS_AT_ONCE * ROWS_PER_CHUNK:
            self._write(self._waiting // ROWS_PER_CHUNK * ROWS_PER_CHUNK)

    def _write(self, count: int) -> None:
        """Append the first `count` waiting rows to the arrays; only the last call may end inside a chunk."""
        start, stop = self._written, self._written + count
        rest = {}
        for name, array in self._arrays.items():
            values = np.concatenate([getattr(recording, name) for recording in self._pending])
            array.resize((stop, *array.shape[1:]))
            if count:
                array[start:stop] = values[:count]
            rest[name] = values[count:].copy()
        self._pending = [Recording("", {}, 0, **rest)]
        self._written, self._waiting = stop, self._waiting - count

    def finish(self, attributes: Mapping[str, Any]) -> None:
        """Write what is left, the per-clip arrays, the drop report and the attributes."""
        self._write(self._waiting)
        write_array(self._group, "clip_offset", np.array(self._offsets, np.int64))
        write_array(self._group, "clip_frames", np.array(self._frames, np.int32))
        for name, values in self.columns.items():
            write_array(self._group, name, column_array(name, values))
        report = self._group.create_group("dropped")
        for name in ("name", "reason", "detail"):
            write_array(report, name, np.array([getattr(entry, name) for entry in self.dropped], dtype=str))
        about = {
            "kind": "store",
            "format_version": FORMAT_VERSION,
            "dataset": self.kind.name,
            "layout": KINECT_V2.name,
            "columns": list(self.kind.columns),
            "clips": len(self._frames),
            "rows": self.rows,
            "units": "metres",
            **attributes,
        }
        self._group.attrs["skelpipe"] = about


# ------------------------------------------------------------------------------------------------- parsing in parallel


def _parsed(
    kind: Dataset, sources: list[Source], keep_missing: bool, workers: int | None
) -> Generator[Outcome, None, None]:
    """What each source gives, in the order of the sources."""
    if workers is None:
        size = sum(source.size for source in sources)
        workers = cpu_count() if size > SMALL else 0
        why = f"there are {size / 1e6:,.1f} MB to read, and processes pay from {SMALL / 1e6:,.0f} MB on; {cores()}"
    else:
        why = "as asked"
    log.info("parser processes: %s (%s)", workers if workers > 0 else "none, but this one", why)
    batches = list(_batches(sources))
    if workers <= 0:
        for source in sources:
            yield from _read_batch(kind.name, [source], keep_missing)
        return
    waiting: deque[Future[list[Outcome]]] = deque()
    with _pool(min(workers, max(1, len(batches)))) as pool:
        for batch in batches:
            with _no_interrupt():
                waiting.append(pool.submit(_read_batch, kind.name, batch, keep_missing))
            if len(waiting) > 2 * workers:
                yield from waiting.popleft().result()
        while waiting:
            yield from waiting.popleft().result()


def _batches(sources: list[Source]) -> Iterator[list[Source]]:
    """Runs of sources worth one task."""
    batch: list[Source] = []
    size = 0
    for source in sources:
        batch.append(source)
        size += source.size
        if size >= BATCH_BYTES or len(batch) >= BATCH_SOURCES:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


def _read_batch(dataset: str, sources: list[Source], keep_missing: bool) -> list[Outcome]:
    """Read some sources; an unreadable one becomes an entry of the drop report."""
    outcomes: list[Outcome] = []
    for source in sources:
        with watched() as seen:
            try:
                results = DATASETS[dataset].read(source, keep_missing)
            except Vanished:
                raise
            except BadInput as error:
                results = [Dropped(source.name, UNREADABLE, str(error))]
        outcomes.append((source, results, seen))
    return outcomes


@contextmanager
def _pool(workers: int) -> Iterator[ProcessPoolExecutor]:
    """Worker processes that are gone when the block ends, however it ends."""
    # Spawned, not forked: a fork would copy the locks of Zarr's threads in whatever state they are.
    pool = ProcessPoolExecutor(workers, multiprocessing.get_context("spawn"), initializer=_follow_parent)
    try:
        yield pool
    except BrokenProcessPool:
        what = "one ended unexpectedly, perhaps for want of memory"
        raise BadInput(
            "worker processes", what, "use fewer --workers, or --workers 0 to parse in one process"
        ) from None
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _follow_parent() -> None:
    """In a worker: end when the parent does, which a worker waiting for work would not notice."""
    keep_memory()
    parent = multiprocessing.parent_process()
    if parent is not None:
        threading.Thread(target=_end_with, args=(parent,), daemon=True).start()


def _end_with(parent: multiprocessing.process.BaseProcess) -> None:
    parent.join()
    os._exit(1)


@contextmanager
def _no_interrupt() -> Iterator[None]:
    """Start processes that Ctrl-C does not reach: the parent decides what becomes of them."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})  # children inherit the mask
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


# -------------------------------------------------------------------------------------------------------- verification


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
    kind, keep_missing = find_dataset(attributes["dataset"]), bool(attributes["keep_missing"])
    found = kind.find(Path(raw), keep_missing)
    comparison = _Comparison(Path(store), group, kind, found)
    bytes_read = 0
    with closing(_parsed(kind, found.sources, keep_missing, workers)) as parsed:
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
        self.rows = {name: _Rows(group, name) for name in ("joints", "row_frame", "row_body")}
        self.differences: list[str] = []
        self.count = 0
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
            return
        if n != len(self.seen):
            self._differs(f"{result.name} is clip {n} of the store and clip {len(self.seen)} of the source")
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


@dataclass
class _Rows:
    """A store's array read front to back, a few chunks at a time."""

    group: Any
    name: str
    start: int = 0
    block: npt.NDArray[Any] = field(default_factory=lambda: np.empty(0))

    def read(self, start: int, stop: int) -> npt.NDArray[Any]:
        """Rows start to stop."""
        if start < self.start or stop > self.start + len(self.block):
            self.start = start // ROWS_PER_CHUNK * ROWS_PER_CHUNK
            end = max(stop, self.start + CHUNKS_AT_ONCE * ROWS_PER_CHUNK)
            self.block = read_array(self.group, self.name, slice(self.start, end))
        return self.block[start - self.start : stop - self.start]
