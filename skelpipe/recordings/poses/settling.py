"""Recordings get their names, labels and columns: of a table, of their names, of their files, or of their folders."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import takewhile

from skelpipe.errors import BadInput, shortened
from skelpipe.recordings.datasets.own import UNLABELLED
from skelpipe.recordings.poses.classes import Classes, Label, classes_of
from skelpipe.recordings.poses.labels import Table, column_of, names_of, tell_table
from skelpipe.recordings.poses.naming import FORM, Naming, differing, suggested

PARTS = {"train": "train", "training": "train", "val": "val", "valid": "val", "validation": "val", "test": "test",
         "testing": "test", "eval": "test"}  # fmt: skip
GROUPS = ("subject", "subject_id", "person", "person_id", "actor", "performer", "participant", "user")
NO_LABEL = "recordings have no label: they can be pretrained on, not evaluated"  # as it is told


@dataclass
class Entry:
    """A clip that was found.

    Attributes:
        place: path of its source below the raw folder.
        inside: its name in a source of several; "" in a source of one.
        label: that its file says.
        columns: that its file says.
        name: of the recording.
        ids: all columns but the name, once they are settled.
    """

    place: str
    inside: str = ""
    label: Label | None = None
    columns: dict[str, int | str] = field(default_factory=dict)
    name: str = ""
    ids: dict[str, int | str] = field(default_factory=dict)

    @property
    def stem(self) -> str:
        """Its name without folders and suffix."""
        return self.inside or names_of(self.place)[-1]

    @property
    def path(self) -> str:
        """Its path below the raw folder, without suffix."""
        return names_of(self.place)[1 if "." in self.place.rpartition("/")[2] else 0] + (
            f"/{self.inside}" if self.inside else ""
        )

    @property
    def called(self) -> list[str]:
        """By which names a table may call it."""
        return names_of(self.place, self.inside)


@dataclass(frozen=True)
class Settled:
    """What was settled for all clips together.

    Attributes:
        classes: of the labels.
        columns: beside name and label, in order.
        text: those that hold text, `name` with them.
        group: the column by which people are held out.
        unlabelled: how many clips have no label.
        told: how this was done, in words.
    """

    classes: Classes
    columns: tuple[str, ...]
    text: tuple[str, ...]
    group: str
    unlabelled: int
    told: tuple[str, ...]


def settle(entries: Sequence[Entry], table: Table | None, naming: Naming | None, class_names: Sequence[str]) -> Settled:
    """Name the clips, and give them labels and columns.

    Labels come from the table or the names of files if these have any, else from the files, else from the folders.

    Raises:
        BadInput: a label that is none of the named classes.
    """
    told: list[str] = []
    _name(entries, told)
    _check_table(entries, table)
    rows = [table.row(entry.called) if table is not None else None for entry in entries]
    fields = [naming.columns(entry.path, entry.stem) if naming is not None else None for entry in entries]
    if naming is not None and (odd := [e.name for e, found in zip(entries, fields, strict=True) if found is None]):
        if len(odd) == len(entries):
            what = f"is the form of no name here, such as {shortened(odd[0], 60)}"
            raise BadInput(f"names {naming.pattern!r}", what, FORM)
        told.append(differing(odd, naming.pattern))
    folders, parts = folders_of(entries)
    labels = _labels(entries, table, rows, naming, fields, folders, told)
    if table is not None:
        told += tell_table(table, sum(row is None for row in rows), [entry.name for entry in entries])
        if "label" in table.columns:
            told += _empty(table, rows)
    where = str(table.path) if table is not None and "label" in table.columns else "labels"
    classes = classes_of([each for each in labels if each is not None], class_names, where)
    values: dict[str, list[str | int]] = {}
    for n, entry in enumerate(entries):
        own: dict[str, int | str] = {
            **entry.columns,
            **({"part": parts[n]} if any(parts) else {}),
            **(fields[n] or {}),
            **(rows[n] or {}),
        }
        own.pop("label", None)
        for name, value in own.items():  # in their order, which decides that of the columns
            if name not in values:
                values[name] = [""] * len(entries)
            values[name][n] = value
    if not any(values.get("file", ())) and len({e.place for e in entries if e.inside}) > 1:
        values["file"] = [names_of(entry.place)[-1] for entry in entries]
    made = {name: column_of(each) for name, each in values.items() if any(value != "" for value in each)}
    order = sorted(made, key=lambda name: (name not in GROUPS, list(values).index(name) if table is None else 0, name))
    for n, (entry, label) in enumerate(zip(entries, labels, strict=True)):
        entry.ids = {"label": UNLABELLED if label is None else classes.number[label]}
        entry.ids |= {name: made[name][0][n] for name in order}
    unlabelled = sum(label is None for label in labels)
    _tell_unlabelled(entries, unlabelled, table, naming, told)
    return Settled(
        classes, tuple(order), ("name", *(name for name in order if made[name][1])),
        next((name for name in GROUPS if name in made), "name"), unlabelled, (*told, *classes.told),
    )  # fmt: skip


def _name(entries: Sequence[Entry], told: list[str]) -> None:
    """Recordings are called by their stems; if two share one, all by their paths."""
    counts = Counter(entry.stem for entry in entries)
    by_path = any(count > 1 for count in counts.values())
    for entry in entries:
        entry.name = entry.path if by_path else entry.stem
    if by_path:
        stem, count = max(counts.items(), key=lambda item: item[1])
        if len({entry.name for entry in entries}) > len(counts):
            told.append(f"{count:,} recordings are called {shortened(stem, 60)}: all are named by their paths")


def _check_table(entries: Sequence[Entry], table: Table | None) -> None:
    """Raise BadInput if a name of the table may be of two recordings."""
    if table is None:
        return
    counts: dict[str, set[str]] = {}
    for entry in entries:
        found = table.key(entry.called)
        if found is not None:
            counts.setdefault(found, set()).add(entry.path)
    for name, paths in counts.items():
        if len(paths) > 1:
            what = f"{shortened(name, 60)!r} may be {' or '.join(sorted(paths)[:2])}"
            raise BadInput(table.path, what, "name recordings by their paths below the raw folder")


def folders_of(entries: Sequence[Entry]) -> tuple[list[str], list[str]]:
    """Of each recording the folder that is its class, and whether it is of training or test; "" for none."""
    paths = [entry.place.split("/")[:-1] for entry in entries]
    levels = zip(*paths, strict=False)
    common = len(list(takewhile(lambda level: len(set(level)) == 1, levels)))
    below = [[_unzipped(folder) for folder in path[common:]] for path in paths]
    parts = [""] * len(entries)
    first = {path[0].lower() for path in below if path}
    if first and first <= set(PARTS) and all(below):
        parts = [PARTS[path[0].lower()] for path in below]
        below = [path[1:] for path in below]
    return [path[0] if path else "" for path in below], parts


def _unzipped(folder: str) -> str:
    return folder[:-4] if folder.lower().endswith(".zip") else folder


def _labels(
    entries: Sequence[Entry],
    table: Table | None,
    rows: Sequence[dict[str, str] | None],
    naming: Naming | None,
    fields: Sequence[dict[str, str] | None],
    folders: Sequence[str],
    told: list[str],
) -> list[Label | None]:
    """The label of each recording as it is given, None where there is none."""
    if table is not None and "label" in table.columns:
        found: list[Label | None] = [(row or {}).get("label") or None for row in rows]
    elif naming is not None and "label" in naming.fields:
        found = [(each or {}).get("label") for each in fields]
    elif any(entry.label is not None for entry in entries):
        found = [entry.label for entry in entries]
    else:
        found = [folder or None for folder in folders]
        if any(found):
            names = sorted({folder for folder in folders if folder})
            shown = ", ".join(shortened(name, 40) for name in names[:6]) + (", …" if len(names) > 6 else "")
            told.append(f"the classes are {len(names):,} sub-folders: {shown}")
    return [None if each in (UNLABELLED, str(UNLABELLED)) else each for each in found]


def _empty(table: Table, rows: Sequence[dict[str, str] | None]) -> list[str]:
    """What is told of rows of recordings that say no label, or that it is -1."""
    told = []
    for value, said in (("", "an empty label"), (str(UNLABELLED), f"the label {UNLABELLED}")):
        if count := sum(row is not None and row["label"] == value for row in rows):
            told.append(f"{table.path}: {count:,} of {len(rows):,} recordings have {said} in it: they have no label")
    return told


def _tell_unlabelled(
    entries: Sequence[Entry], unlabelled: int, table: Table | None, naming: Naming | None, told: list[str]
) -> None:
    if not unlabelled or (table is not None and "label" in table.columns and unlabelled < len(entries)):
        return
    said = f"{unlabelled:,} of {len(entries):,} {NO_LABEL}"
    if unlabelled == len(entries):
        said += "; labels come by --labels TABLE or from sub-folders"
        if naming is None and (pattern := suggested([entry.stem for entry in entries])) is not None:
            said += f", or of such names by --names '{pattern}'"
    told.append(said)
