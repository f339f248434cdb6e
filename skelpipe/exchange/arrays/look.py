"""What lies in files of other projects, and the command that imports them, without importing."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from skelpipe.errors import BadInput, printable
from skelpipe.exchange.arrays import FORMATS
from skelpipe.exchange.arrays.asking import Taken, ask_parts
from skelpipe.exchange.arrays.base import LAYOUT, Part, held_datasets
from skelpipe.exchange.arrays.columns import ColumnsOf, plain_name, says
from skelpipe.exchange.arrays.divisions import COUNTS
from skelpipe.exchange.arrays.file_names import of_path
from skelpipe.exchange.arrays.foreign import NTU_FILE, Facts, what_is
from skelpipe.exchange.arrays.given import PICKLES
from skelpipe.exchange.arrays.named import array_alone, labels_in
from skelpipe.exchange.arrays.pyskl import annotations_in, has_annotations
from skelpipe.exchange.arrays.raw import ingest_together, look_at_list, look_at_raw, nothing_known
from skelpipe.exchange.arrays.recorded import look_at_text
from skelpipe.exchange.arrays.usable import look_through
from skelpipe.recordings.beginnings import refuse_stand_in
from skelpipe.recordings.conventions import Findings, lines
from skelpipe.recordings.conventions.facts import POSITIONS
from skelpipe.recordings.datasets import find_dataset, find_split
from skelpipe.recordings.pickles import read_pickle

ONE_FILE = {".npz": "ctrgcn-npz", ".h5": "sgn-h5", ".hdf5": "sgn-h5"}


@dataclass(frozen=True)
class Seen:
    """What was seen, as tables with titles, and the command that comes next."""

    tables: list[tuple[str, Facts]]
    command: str = ""


def look(paths: Sequence[Path]) -> Seen:
    """Say what files hold: arrays with their label pickles, or one file of another format.

    Reads the labels and names as a whole, of the coordinates a sample (of a pickle all, since it can be read no other
    way), and runs nothing that a file may hold.

    Raises:
        BadInput: a file cannot be read, or is nothing that skelpipe knows; what it is then is told.
    """
    for path in paths:
        if path.is_dir() or not path.exists():
            what = "is a folder" if path.is_dir() else "does not exist"
            raise BadInput(path, what, "name files of one import together, or one folder that skelpipe made")
        if path.stat().st_size == 0:
            raise BadInput(path, "is empty", "fetch or make it anew")
        refuse_stand_in(path)
    kinds = {path: what_is(path) for path in paths}
    seen = _seen(paths, kinds)
    return replace(seen, tables=[("files", [(path.name, kinds[path]) for path in paths]), *seen.tables])


def _seen(paths: Sequence[Path], kinds: Mapping[Path, str]) -> Seen:
    suffixes, (path, *more) = {path.suffix.lower() for path in paths}, paths
    if ".npy" in suffixes and suffixes <= {".npy", *PICKLES}:
        return _named(paths)
    if more and all(kind.startswith(NTU_FILE) for kind in kinds.values()):
        for each in paths:
            look_at_text(each, kinds[each])  # which refuses what is damaged
        return Seen([], ingest_together(paths))
    if more and not suffixes <= set(PICKLES):
        raise BadInput(path, "belongs to no import together with the others", "inspect each by itself")
    if suffixes <= set(PICKLES):
        if not more and not has_annotations(content := read_pickle(path)):
            return _label_pickle(path, content)
        if not more:
            return _parts("pyskl-pkl", paths, [annotations_in(path, content)])
        return _parts("pyskl-pkl", paths, FORMATS["pyskl-pkl"].read(paths))
    if path.suffix.lower() in ONE_FILE:
        format = ONE_FILE[path.suffix.lower()]
        return _parts(format, paths, FORMATS[format].read(paths))
    if (facts := look_at_text(path, kinds[path])) is not None:
        return Seen([("recording", facts)])
    if kinds[path] == "a text file" and (facts := look_at_list(path)) is not None:
        return Seen([("list", facts)])
    if path.suffix.lower() == ".zip":
        return look_at_folder(path, kinds[path])
    raise BadInput(path, f"is {kinds[path]}", f"skelpipe imports {', '.join(FORMATS)}, and reads no such file")


def look_at_folder(path: Path, kind: str = "a folder") -> Seen:
    """Say which raw recordings a folder or a zip archive holds.

    Raises:
        BadInput: it holds none, or cannot be searched.
    """
    found = look_at_raw(path)
    if found is None:
        raise nothing_known(path, kind)
    return Seen([("raw recordings", found[0])], found[1])


# Arrays with labels ------------------------------------------------------------------------------------------------
def _named(paths: Sequence[Path]) -> Seen:
    try:
        parts = FORMATS["agcn-npy"].read(paths)
    except BadInput as error:
        arrays = [path for path in paths if path.suffix.lower() == ".npy"]
        alone = [array_alone(path) for path in arrays]
        return Seen([("clips", _shapes(alone)), _values(ask_parts(alone)), ("import", [("none", str(error))])])
    found = ask_parts(parts)
    return _parts("aimclr-npy" if found.centred(LAYOUT) else "agcn-npy", paths, parts, found)


def _label_pickle(path: Path, content: Any) -> Seen:
    names, labels = labels_in(path, content)
    part = Part(path, labels, names, False, lambda step: iter(()), lambda rows: iter(()), 0)
    return Seen([("labels", [*_label_facts([part]), ("array", "not given")])])


# Any ---------------------------------------------------------------------------------------------------------------
def _parts(format: str, paths: Sequence[Path], parts: list[Part], found: Findings | None = None) -> Seen:
    found = ask_parts(parts) if found is None else found
    named = parts[0].names is not None
    splits = [] if named else _splits(parts)
    tables = [(f"clips, as {format}", _shapes(parts)), ("labels", _label_facts(parts)), _values(found)]
    dataset, columns, refused = _dataset(parts, splits[0] if splits else None)
    facts: Facts = [("data set", dataset or f"none fits: {refused[0]}")]
    facts += [("may divide", " or ".join(splits) or "any split: neither name nor counts tell")] if not named else []
    if columns is not None:
        facts += [(name, _division(about)) for name, about in columns.attributes.get("divisions", {}).items()]
        facts += [("to be told", sentence) for sentence in columns.told]
    left_out, refused_by = [each for part in parts for each in part.left_out], ""
    if found.content not in (POSITIONS, None):
        refused_by = f"clips are made of positions, and this is {found.content}"
    elif dataset is not None and columns is not None:
        try:
            taken = Taken.of(format, FORMATS[format], parts, dataset, found)
            left_out += look_through(parts, columns.values["name"].tolist(), taken)
        except BadInput as error:
            refused_by = f"an import would refuse them: {error.what}; {error.remedy}"
    facts += [("left out", f"{each.name}: {each.said}") for each in left_out[:5]]
    facts += [("", f"and {len(left_out) - 5:,} more")] if len(left_out) > 5 else []
    if refused_by:
        return Seen([*tables, ("import", [*facts, ("command", f"none: {refused_by}")])])
    files = " ".join(shlex.quote(str(path)) for path in paths)
    split = "" if named else f" --split {splits[0] if splits else 'SPLIT'}"
    command = f"skelpipe import {format} {files} CLIPS --dataset {dataset or 'DATASET'}{split}"
    return Seen([*tables, ("import", facts)], command)


def _shapes(parts: Sequence[Part]) -> Facts:
    facts: Facts = []
    for part in parts:
        side = of_path(part.where).part or ("train" if part.train else "test" if len(parts) > 1 else "")
        frames = f"{part.frames:,} frames" if part.frames else "their own lengths"
        facts.append((f"{part.where.name} {side}".strip(), f"{len(part.labels):,} clips of {frames}"))
    return facts


def _label_facts(parts: Sequence[Part]) -> Facts:
    labels = np.concatenate([part.labels for part in parts])
    facts: Facts = []
    names = [name for part in parts for name in part.names or ()]
    if names:
        facts.append(("names", printable(f"{len(names):,}, from {names[0]} to {names[-1]}")))
        facts.append(("named as", ", ".join(_named_as(names)) or "clips of no data set that skelpipe knows"))
    else:
        facts.append(("names", "none"))
    widths = sorted({part.width for part in parts if part.width is not None})
    facts.append(("written as", f"one-hot of {' and '.join(map(str, widths))}" if widths else "class numbers"))
    if len(labels):
        distinct = len(np.unique(labels))
        facts.append(("classes", f"{distinct:,} of them, from {labels.min()} to {labels.max()}"))
        facts.append(("counted from", _counted_from(parts, labels.min())))
    return facts


def _counted_from(parts: Sequence[Part], lowest: int) -> str:
    if lowest == 0 or any(part.width is not None for part in parts):
        return "0"
    for name in _named_as([name for part in parts for name in part.names or ()]):
        try:
            told = ColumnsOf.parts(find_dataset(name), parts, None).conventions.get("labels")
        except BadInput:
            continue
        said = (
            "as their clips' names say"
            if name.startswith("ntu") or not _by_row(parts)
            else "as who names clips so does"
        )
        return str(told or f"0, {said}")
    return "0 or 1: class 0 does not occur"


def _named_as(names: Sequence[str]) -> list[str]:
    """The data sets whose clips are called like the first and the last."""
    ends = list(dict.fromkeys([*names[:1], *names[-1:]]))
    return [
        name for name, dataset in held_datasets().items() if ends and all(_is_name(dataset.name, end) for end in ends)
    ]


def _is_name(dataset: str, name: str) -> bool:
    said = says(find_dataset(dataset), plain_name(name))
    return said is not None and said < find_dataset(dataset).classes


def _by_row(parts: Sequence[Part]) -> bool:
    """Whether clips are called after rows of label files, which say no class."""
    return any(name[-1:].isdigit() and "_" in name for part in parts for name in (part.names or ())[:1])


def _values(found: Findings) -> tuple[str, Facts]:
    return "conventions, asked of a sample", list(lines(found, LAYOUT))


def _counts(parts: Sequence[Part]) -> tuple[int, int]:
    train = sum(len(part.labels) for part in parts if part.train)
    return train, sum(len(part.labels) for part in parts) - train


def _splits(parts: Sequence[Part]) -> list[str]:
    """The benchmarks that a file without names may divide: by its counts, else by its name, as far as labels fit."""
    said, counts = of_path(parts[0].where), _counts(parts)
    by_counts = [name for name, known in COUNTS.items() if counts in known]
    widths = {part.width for part in parts if part.width is not None}
    highest = max((int(part.labels.max()) for part in parts if len(part.labels)), default=0)

    def fits(name: str) -> bool:
        classes = find_split(name).classes
        return widths <= {classes, classes + 1} and highest <= classes

    return [name for name in by_counts or said.splits if fits(name)]


def _dataset(parts: Sequence[Part], split: str | None) -> tuple[str | None, ColumnsOf | None, list[str]]:
    """The data set that the clips fit, its columns, and why others were refused."""
    said, refused = of_path(parts[0].where).datasets, list[str]()
    wanted = (
        [find_split(split).datasets[0].name] if split else sorted(held_datasets(), key=lambda name: name not in said)
    )
    for name in wanted:
        try:
            return name, _columns(name, parts, split), refused
        except BadInput as error:
            refused.append(str(error))
    return None, None, refused


def _columns(dataset: str, parts: Sequence[Part], split: str | None) -> ColumnsOf:
    if split is None and parts[0].names is None:
        widths = {part.width for part in parts if part.width is not None}
        if find_dataset(dataset).classes not in widths and widths:
            raise BadInput(parts[0].where, f"has labels of {max(widths)} columns", "correct the data set")
        split = next(name for name in COUNTS if find_split(name).datasets[0].name == dataset)
    return ColumnsOf.parts(find_dataset(dataset), parts, split)


def _division(about: Mapping[str, Any]) -> str:
    sides = ", ".join(f"{about[side]:,} {side}" for side in ("train", "test", "neither") if about[side])
    return f"{sides}; as {', '.join(about['as']) or 'no benchmark'}"
