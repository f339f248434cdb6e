"""Raw recordings -> store: many parsers, one writer, and a report of everything that was left out.

Workers return their recordings in the order of the clips' names and only this process writes, whole chunks at a time.
So the store does not depend on the number of workers, no chunk has two writers, and the memory needed is a few chunks
and a few batches of files.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from skelpipe.allocator import keep_memory
from skelpipe.errors import BadInput, suggest
from skelpipe.layouts import SUFFIXES
from skelpipe.outputs.folders import new_folder
from skelpipe.recordings.conventions.folders import ask_whole
from skelpipe.recordings.datasets import DATASETS, Dataset, Dropped, Recording, find_dataset
from skelpipe.recordings.datasets.base import Found, Source
from skelpipe.recordings.datasets.files import Seen, watched
from skelpipe.recordings.datasets.known import named_as
from skelpipe.recordings.datasets.recording import ARCHIVE, FAULTS, HIDDEN, OTHER, QUIET, UNFINISHED
from skelpipe.recordings.datasets.unread import how_to_unpack
from skelpipe.recordings.divisions import tell_divisions
from skelpipe.recordings.parts import Part, kind_of, takes_rest
from skelpipe.recordings.reading import Outcome, read_all
from skelpipe.recordings.writer import Writer

log = logging.getLogger(__name__)

Progress = Callable[[int, int, int], object]
POSES = "poses"  # recordings of one's own
NOBODY = "check what recorded them; --keep-missing keeps clips without a body"
NOT_RECORDINGS = (ARCHIVE, UNFINISHED, OTHER, HIDDEN, *QUIET)


@dataclass(frozen=True)
class Summary:
    """What an ingest did.

    Attributes:
        dataset: key of `DATASETS`.
        clips: clips in the store.
        rows: bodies in frames in the store.
        dropped: reason -> how many clips and files were left out; those in `QUIET` are not among them.
        faults: those left out because of a mistake in a file, archives that are not read first.
        files: sources read.
        bytes_read: raw bytes.
        store_bytes: size of the store on the disk.
        seconds: wall-clock time.
        expected: how many usable clips the publication has.
        told: the conventions in which the recordings differ from ours, and what cannot be told of them, in words.
        divided: how the splits divide the clips where that should be told, in lines.
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
    told: tuple[str, ...] = ()
    divided: tuple[str, ...] = ()


def ingest(
    dataset: str | Dataset,
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
        dataset: key of `DATASETS`, or a data set.
        raw: the folder or .zip file.
        store: the folder to make.
        workers: threads or processes that parse; 0 parses in this thread, None takes one per core if that pays.
        keep_missing: keep the clips on the publisher's list of missing skeletons, and those without any body.
        strict: let the first faulty file stop the ingest.
        part: read this part only, to be joined with the others (`parts.join`).
        force: replace a store that is there.
        progress: called with (sources done, sources, raw bytes done).

    Raises:
        BadInput: nothing to read or to keep, most clips show nobody, a damaged archive, a faulty file if `strict`, or
            `store` is taken.
    """
    started, kind, raw = time.perf_counter(), find_dataset(dataset), Path(raw)
    keep_memory()  # a file's bytes and its arrays would be mapped, faulted in and unmapped anew each time
    asked = {"part": str(part)} if part else {}
    settings = {"dataset": kind.name, "keep_missing": keep_missing, **kind.noted(), **asked}
    facts: dict[str, Any] = {}
    options: dict[str, Any] = {"inputs": {"raw": raw, **kind.beside()}, "settings": settings, "more": facts}
    with new_folder(store, kind_of("store", part), force=force, **options) as folder:
        with watched() as seen:
            found = _find(kind, raw, keep_missing, strict)
        kind = found.dataset or kind
        whole, lists_told = raw_files(found), found.told if takes_rest(part) else []
        found, mark = (found, dict[str, Any]()) if part is None else _take(found, part)
        seen = seen if takes_rest(part) else Seen()  # the lists that the search read count once
        listed = count_files(found, seen)
        writer = Writer(folder, kind, found.dropped)
        outcomes = read_all(kind, found.sources, keep_missing, workers)
        bytes_read = _write_all(writer, outcomes, found, seen, strict, progress)
        counts = count_reasons(writer.dropped)
        facts["raw"] = {**listed, "digest": seen.digest}
        _tell_read(seen, counts)
        if not writer.columns["name"] and part is None:
            raise BadInput(raw, f"no clip can be kept ({_reasons(counts)})", _remedy(kind, writer.dropped))
        lists = {"split_files": found.split_files} if found.split_files else {}
        writer.finish({"keep_missing": keep_missing, "raw_files": whole, **lists, **mark})
        told = _of_reading(writer) + ([] if part else ask_whole(writer.group, raw, keep_missing, NOBODY))
    took = time.perf_counter() - started
    made = _summary(kind, writer, files=len(found.sources), bytes_read=bytes_read, store=Path(store), seconds=took)
    if part is not None:
        return replace(made, told=(*lists_told, *told))
    columns = {name: kind.column(name, values) for name, values in writer.columns.items()}
    return replace(made, told=(*lists_told, *told), divided=tuple(tell_divisions(kind, columns, found.split_files)))


def find_recordings(dataset: str, said: Mapping[str, Any]) -> str | Dataset:
    """The key of a data set, or the data set that is described by options or by a YAML.

    Args:
        dataset: key of `DATASETS`; "poses", with what is `said` of them; or the path of a YAML.
        said: options of `own_poses`.

    Raises:
        BadInput: there is none of that name, or what is said does not fit.
    """
    if dataset in DATASETS:
        if said:
            option = next(iter(said)).replace("_", "-")
            raise BadInput(f"--{option}", f"is said of recordings of your own, and {dataset} is known", "leave it out")
        return dataset
    if dataset == POSES:
        from skelpipe.recordings.poses.dataset import own_poses

        if "layout" not in said:
            remedy = "add --layout NAME or FILE.yaml; 'skelpipe inspect RAW' says which fit"
            raise BadInput("ingest poses", "needs the layout of the joints", remedy)
        return own_poses(**said)
    if not dataset.lower().endswith(SUFFIXES):
        remedy = f"{suggest(dataset, [*DATASETS, POSES])} (or give the YAML of your own)"
        raise BadInput(f"data set {dataset!r}", "is not known", remedy)
    from skelpipe.recordings.poses.described import read_description

    return read_description(dataset, **said).dataset


def _of_reading(writer: Writer) -> list[str]:
    """How recordings were understood, a line for each way, with how many."""
    every = len(writer.columns["name"])
    return [f"{'all' if count == every else f'{count:,} of'} {every:,} recordings: {said}; {name} is the first"
            for said, (count, name) in writer.told.items()]  # fmt: skip


def count_reasons(dropped: Iterable[Dropped]) -> Counter[str]:
    """How many clips and files were left out for each reason, but those that nobody misses."""
    counts: Counter[str] = Counter()
    for entry in dropped:
        if entry.reason not in QUIET:
            counts[entry.reason] += entry.count
    return counts


def raw_files(found: Found) -> dict[str, int]:
    """How many files a search has seen: those to read, the split lists, and those that it left out.

    A zip archive that is read counts by its members, a hidden folder as one file.
    """
    return {
        "read": sum(len(source.files) for source in found.sources),
        "split_lists": found.lists,
        "left_out": sum(entry.count for entry in found.dropped),
    }


def _summary(kind: Dataset, writer: Writer, *, files: int, bytes_read: int, store: Path, seconds: float) -> Summary:
    counts = count_reasons(writer.dropped)
    faults = [dropped for dropped in writer.dropped if dropped.reason in FAULTS]
    return Summary(
        dataset=kind.name,
        clips=len(writer.columns["name"]),
        rows=writer.rows,
        dropped=dict(sorted(counts.items())),
        faults=tuple(sorted(faults, key=lambda entry: entry.reason not in (ARCHIVE, UNFINISHED))),
        files=files,
        bytes_read=bytes_read,
        store_bytes=sum(p.stat().st_size for p in store.rglob("*") if p.is_file()),
        seconds=seconds,
        expected=kind.clips,
    )


def _find(kind: Dataset, raw: Path, keep_missing: bool, strict: bool) -> Found:
    """What there is to read, or BadInput if there is nothing, or a fault if `strict`."""
    found = kind.find(raw, keep_missing)
    _tell_found(kind, raw, found, keep_missing)
    if not found.sources and all(entry.reason in NOT_RECORDINGS for entry in found.dropped):
        what, remedy = f"holds no {kind.title} recordings", "give the folder or the .zip files that hold them"
        if packed := _packed(found.dropped):
            names = ", ".join(entry.name for entry in packed[:4]) + (", …" if len(packed) > 4 else "")
            what, remedy = f"{what} that can be read, and {names}, packed or unfinished", _unpack(packed)
        raise BadInput(raw, what, _other(kind, found.dropped) or remedy)
    for entry in found.dropped:
        _check_fault(entry, strict)
    return found


def _write_all(
    writer: Writer, outcomes: Iterable[Outcome], found: Found, seen: Seen, strict: bool, progress: Progress | None
) -> int:
    """Hand what was read to the writer, and note in `seen` what that was; returns the bytes of raw text."""
    bytes_read = 0
    for done, (source, results, read) in enumerate(outcomes, 1):
        seen.more(read)
        for result in results:
            writer.add(result)
            if log.isEnabledFor(logging.DEBUG):
                _tell_result(source, result)
            _check_fault(result, strict)
        bytes_read += source.size
        if progress is not None:
            progress(done, len(found.sources), bytes_read)
    return bytes_read


def _tell_read(seen: Seen, counts: Mapping[str, int]) -> None:
    log.info("read %s raw files, %s bytes, digest %.12s", f"{seen.files:,}", f"{seen.bytes:,}", seen.digest)
    told = f"left out: {_reasons(counts)}; each is named in the store's drop report" if counts else "left out: none"
    log.info("%s", told)


def count_files(found: Found, lists: Seen) -> dict[str, int]:
    """How many files a search found to read, and their bytes, with the `lists` that it has read itself."""
    return {
        "files": lists.files + sum(len(source.files) for source in found.sources),
        "bytes": lists.bytes + sum(source.size for source in found.sources),
    }


def search(dataset: str | Dataset, raw: Path, keep_missing: bool, part: Part | None) -> dict[str, int]:
    """How many files an ingest with these settings would find now, and their bytes.

    Raises:
        BadInput: `raw` cannot be searched.
    """
    with watched() as lists:
        found = find_dataset(dataset).find(raw, keep_missing)
    if part is None:
        return count_files(found, lists)
    return count_files(_take(found, part)[0], lists if takes_rest(part) else Seen())


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
    dropped = found.dropped if takes_rest(part) else []
    log.info("part %s: %s of the files that can be read", part, f"{len(sources):,}")
    return Found(sources, dropped, found.split_files), {"kind": kind_of("store", part), "part": part.mark(digest)}


def _check_fault(result: Recording | Dropped, strict: bool) -> None:
    if strict and isinstance(result, Dropped) and result.reason in FAULTS:
        raise BadInput(
            f"clip {result.name}", f"{result.reason} ({result.detail})", "leave out --strict to go on without it"
        )


def _reasons(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{count} {reason}" for reason, count in sorted(counts.items()))


def _packed(dropped: Iterable[Dropped]) -> list[Dropped]:
    return [entry for entry in dropped if entry.reason in (ARCHIVE, UNFINISHED)]


def _unpack(packed: list[Dropped]) -> str:
    """What to do about archives that are not read, and unfinished downloads."""
    commands = [how_to_unpack(entry.first) for entry in packed if entry.reason == ARCHIVE]
    told = "; ".join(dict.fromkeys(commands[:4])) + ("; …" if len(commands) > 4 else "")
    return f"unpack there what is packed: {told}" if told else "finish the download, or download it again"


def _other(kind: Dataset, dropped: Iterable[Dropped]) -> str:
    """What to do about files that are named after another data set; "" if they are not."""
    if (named := named_as(kind, dropped)) is None:
        return ""
    other, name = named
    return f"files such as {name} are named as those of {other.title} are: give them to 'skelpipe ingest {other.name}'"


def _remedy(kind: Dataset, dropped: list[Dropped]) -> str:
    """What to do when nothing was kept: names of another data set, what is packed, the first fault or file says it."""
    if other := _other(kind, dropped):
        return other
    if packed := _packed(dropped):
        return _unpack(packed)
    for entry in (*(d for d in dropped if d.reason in FAULTS), *dropped):
        return f"the first: {entry.name}: {entry.detail or entry.reason}"
    return f"check that this is {kind.title}"
