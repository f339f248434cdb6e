"""What pose files hold: format, frames, bodies, joints, the layouts that these may be of, and the command."""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from skelpipe.errors import BadInput, shortened
from skelpipe.layouts import LAYOUTS
from skelpipe.layouts.base import Layout
from skelpipe.layouts.table import CONFIDENCE
from skelpipe.recordings.conventions.facts import chosen
from skelpipe.recordings.datasets.recording import UNREADABLE
from skelpipe.recordings.poses.base import Poses
from skelpipe.recordings.poses.classes import classes_of
from skelpipe.recordings.poses.fitting import are_scores, fitted
from skelpipe.recordings.poses.formats import FRAME_FILES, POSE_FORMATS, read_source
from skelpipe.recordings.poses.naming import suggested
from skelpipe.recordings.poses.searching import Piece, Searched, search
from skelpipe.recordings.poses.settling import Entry, folders_of
from skelpipe.recordings.poses.stated import SHARES, Stated

Facts = list[tuple[str, object]]
CONFIDENCES = "confidences"  # of which the layouts that fit say enough
IN_ORDER = {"skeleton", "openpose", "yolo"}  # formats that have one order of joints
PIXELS = 20.0  # nobody is so many metres away
SAMPLE, TRIED = 50, 8  # sources that are looked at, and by which layouts are tried
OTHER_JOINTS = ", and layout "  # in what is said of a source of another number of joints
Read = list[tuple[Piece, list[Poses]]]


def fitting_layouts(path: Path, first: Layout) -> list[Layout]:
    """The layouts of which most pose files below a path may be, `first` before the shipped ones; none of no files.

    Damaged files are of no layout, and files that show nobody count where there are no others.

    Raises:
        BadInput: it cannot be searched, all is damaged, or most is of no layout that is known; says what there is.
    """
    pieces = _sampled(search(path, ()).pieces)
    if not pieces:
        return []
    tried = [pieces[n] for n in chosen(len(pieces), TRIED).tolist()]
    every = (first, *(each for each in LAYOUTS.values() if each.joints != first.joints))
    faults = {n: fault for n, piece in enumerate(tried) if (fault := _fault(piece, every)) is not None}
    whole = [piece for n, piece in enumerate(tried) if n not in faults]
    if not whole:
        raise faults[0]
    reads = {each: read for each in every if (read := list(_some(whole, each)))}
    most = [each for each, read in reads.items() if 2 * len(read) > len(whole)]
    fit = [each for each in most if _shows(reads[each])] or most
    if not fit and len(reads) > 1:
        shown = ", ".join(f"{each.name} of {len(read)}" for each, read in reads.items())
        what = f"holds recordings of several layouts: {shown}, of {len(whole)} sources that were tried"
        raise BadInput(path, what, "give those of each from a folder of their own, or say which by --layout")
    if not fit:
        joints, near = _refused(whole)
        what = f"{joints or 'holds no poses that can be read'}{f'; {near}' if near else ''}"
        raise BadInput(path, what, "give the layout of its joints by --layout FILE.yaml, or other files")
    return fit


def _fault(piece: Piece, layouts: Sequence[Layout]) -> BadInput | None:
    """What is wrong with a source that is of none of the layouts, where that is not the number of its joints."""
    found = None
    for layout in layouts:
        try:
            _read(piece, layout)
            return None
        except BadInput as error:
            found = found or (error if OTHER_JOINTS not in error.what else None)
    return found


def _sampled(pieces: list[Piece]) -> list[Piece]:
    """Some of many sources."""
    return [pieces[n] for n in chosen(len(pieces), SAMPLE).tolist()]


def look_at_poses(path: Path) -> tuple[Facts, str] | None:
    """What a file, a folder or an archive of pose files holds, and the command that ingests it; None if there are none.

    Raises:
        BadInput: it cannot be searched.
    """
    searched = search(path, ())
    if not searched.pieces:
        return None
    pieces = _sampled(searched.pieces)
    tried = [pieces[n] for n in chosen(len(pieces), TRIED).tolist()]
    some = {layout.name: read for layout in LAYOUTS.values() if _shows(read := list(_some(tried, layout)))}
    fit = {name: read for name, read in some.items() if 2 * len(read) > len(tried)}
    fit = dict(sorted(fit.items(), key=lambda item: LAYOUTS[item[0]].coordinates == 3 and _in_pixels(item[1])))
    facts = [*_files(searched)]
    if not fit and len(some) > 1:
        shown = ", ".join(f"{name} of {len(read)}" for name, read in some.items())
        mixed = f"none of most: {shown}, of {len(tried)} sources that were tried; ingest each from a folder of its own"
        return [*facts, ("layouts that fit", mixed)], _command(path, next(iter(some)), None)
    if not fit:
        joints, near = _refused(pieces)
        told = [*facts, ("joints", joints), ("layouts that fit", near or "none that ships")]
        return (told, _command(path, "FILE.yaml", None)) if joints else None
    layout = LAYOUTS[next(iter(fit))]
    read = list(_some(pieces, layout))
    scored = any(_scored(clip, layout) for _, clips in read for clip in clips)
    facts += _clips(read, len(searched.pieces), scored)
    named = [name + (CONFIDENCE if any(_scored(clip, LAYOUTS[name]) for _, clips in some for clip in clips) else "")
             for name, some in fit.items()]  # fmt: skip
    facts.append(("layouts that fit", ", ".join(named)))
    if not any(name == "named" for name, _ in facts) and not {piece.format for piece in pieces} <= IN_ORDER:
        facts.append(("order of joints", "no file tells it: draw some by 'skelpipe plot', or give a YAML of yours"))
    stems = [Entry(piece.place).stem for piece in searched.pieces]
    labels = [clip.label for _, clips in read for clip in clips if clip.label is not None]
    pattern = None if labels else suggested(stems)
    facts.append(("labels", _labels(searched, labels, pattern)))
    shares = 2 * sum(SHARES in clip.told for _, clips in read for clip in clips) > sum(len(clips) for _, clips in read)
    return facts, _command(path, named[0], pattern) + (" --unit normalised --image WxH" if shares else "")


def _files(searched: Searched) -> Iterator[tuple[str, object]]:
    counts = Counter(piece.format for piece in searched.pieces)
    for name, count in counts.most_common():
        first = next(piece for piece in searched.pieces if piece.format == name)
        frames = sum(len(piece.files) for piece in searched.pieces if piece.format == name)
        of = f" of {frames:,} frame files" if name in FRAME_FILES else ""
        yield POSE_FORMATS[name].title, f"{count:,} {'source' if count == 1 else 'sources'}{of}, such as {first.place}"
    faults = [entry for entry in searched.dropped if entry.reason == UNREADABLE]
    if faults:
        yield "unreadable", f"{len(faults):,}, such as {faults[0].detail}"
    for said in searched.told:
        yield "told", said


def _read(piece: Piece, layout: Layout) -> list[Poses]:
    """The clips of a source, if their joints are those of the layout."""
    clips = read_source(piece.format, piece.files, piece.numbers, layout, piece.place)
    return [replace(clip, told=fitted(clip, layout, Stated(), piece.place).told) for clip in clips]


def _shows(read: Read) -> bool:
    return any(len(clip.points) for _, clips in read for clip in clips)


def _some(pieces: list[Piece], layout: Layout) -> Iterator[tuple[Piece, list[Poses]]]:
    for piece in pieces:
        try:
            yield piece, _read(piece, layout)
        except BadInput:
            continue


def _refused(pieces: list[Piece]) -> tuple[str, str]:
    """What joints there are in files that are of no layout, "" if they are no poses that can be read; and the layout
    that has these joints with another number of coordinates, in words.
    """
    for piece in pieces:
        found: list[tuple[bool, str, Layout]] = []
        for layout in LAYOUTS.values():
            try:
                _read(piece, layout)
            except BadInput as error:
                said, other, _ = error.what.partition(OTHER_JOINTS)
                if other:
                    found.append((f"holds {len(layout.joints)} joints " not in said, said, layout))
        if found:
            others, said, layout = min(found, key=lambda each: (each[0], each[1].startswith("has no joint called")))
            fewer = "leave the third out" if layout.coordinates == 2 else "add the third"
            near = f"{layout.name} has these joints, of {layout.coordinates} numbers: {fewer}, or give a YAML of yours"
            return said, "" if others else near
    return "", ""


def _scored(clip: Poses, layout: Layout) -> bool:
    return clip.scores is not None or clip.points.shape[2] == layout.coordinates + 1


def _in_pixels(read: Read) -> bool:
    """Whether three numbers of a joint are rather pixels and a confidence than metres."""
    points = np.concatenate([clip.points.reshape(-1, clip.points.shape[-1]) for _, clips in read for clip in clips])
    there = points[np.isfinite(points).all(axis=1)]
    return len(there) > 0 and are_scores(there[:, -1]) and float(np.abs(there[:, :2]).max()) > PIXELS


def _clips(read: Read, sources: int, scored: bool) -> Facts:
    clips = [clip for _, some in read for clip in some]
    frames = np.array([clip.frames for clip in clips])
    bodies = [int(np.bincount(clip.row_frame).max()) if len(clip.row_frame) else 0 for clip in clips]
    shapes = Counter(clip.points.shape[1:] for clip in clips)
    (joints, channels), _ = shapes.most_common(1)[0]
    asked = f" (of {len(read):,} of {sources:,} sources)" if len(read) < sources else ""
    spread = f"{frames.min()} to {frames.max()}, median {np.median(frames):g}" if len(frames) else "none"
    facts: Facts = [
        ("clips", f"{len(clips):,}{asked}"),
        ("frames", f"{spread} a clip"),
        ("bodies", f"up to {max(bodies, default=0)} in a frame"),
        ("joints", f"{joints}, of {channels} numbers each" + (", with a confidence" if scored else "")),
    ]
    told = Counter(said for clip in clips for said in clip.told if CONFIDENCES not in said)
    names = next((clip.joints for clip in clips if clip.joints and not clip.joints[0].isdecimal()), None)
    facts += [("named", shortened(", ".join(names), 200))] if names else []
    return [*facts, *(("told", f"{said} ({count:,} clips)") for said, count in told.most_common(3))]


def _labels(searched: Searched, labels: list[int | str], pattern: str | None) -> str:
    if labels:
        shown = ", ".join(classes_of(labels).names[:6])
        return f"in the files: {shortened(shown, 100)}"
    folders, _ = folders_of([Entry(piece.place) for piece in searched.pieces])
    classes = set(filter(None, folders))
    by_folder = f"the {len(classes):,} sub-folders, if they are classes" if len(classes) > 1 else ""
    by_name = f"in the names, by --names '{pattern}'" if pattern else ""
    return ", or ".join(filter(None, (by_name, by_folder))) or "none: give a table by --labels"


def _command(path: Path, layout: str, pattern: str | None) -> str:
    names = f" --names {shlex.quote(pattern)}" if pattern else ""
    return f"skelpipe ingest poses {shlex.quote(str(path))} STORE --layout {layout}{names}"
