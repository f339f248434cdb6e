"""A table of labels and columns, joined to recordings by their names."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from skelpipe.errors import BadInput, shortened
from skelpipe.recordings.poses.base import Opened, decoded
from skelpipe.recordings.poses.formats.parquet import MAGIC, read_parquet
from skelpipe.recordings.poses.formats.table import read_csv
from skelpipe.recordings.poses.words import LABELS, NAMES, RESERVED, first_of, word

WHOLE = re.compile(r"-?\d{1,9}\.0+")  # as a table writes whole numbers where others are missing
GIVE = "give a table with a column 'name' and a column 'label' (CSV, TSV, Parquet or JSON)"


@dataclass
class Table:
    """Rows by name.

    Attributes:
        path: the file.
        columns: beside the name, in order; `label` for what is the class.
        rows: name -> values by column; a value that is missing is "".
        used: names that were asked for.
        ends: what a name may end with, a file's name without its folders and suffix -> the names that do.
    """

    path: Path
    columns: tuple[str, ...]
    rows: dict[str, dict[str, str]]
    used: set[str] = field(default_factory=set)
    ends: dict[str, set[str]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name in self.rows:
            parts = name.replace("\\", "/").split("/")
            for start in range(len(parts)):
                end = "/".join(parts[start:])
                for each in (end, _without_suffix(end)):
                    self.ends.setdefault(each, set()).add(name)

    def key(self, names: Sequence[str]) -> str | None:
        """Which row is meant by a recording's names: the first that is there, or else that alone ends so."""
        found = next((name for name in names if name in self.rows), None)
        if found is not None:
            return found
        ends = (self.ends[name] for name in names if name in self.ends)
        return next((next(iter(some)) for some in ends if len(some) == 1), None)

    def row(self, names: Sequence[str]) -> dict[str, str] | None:
        """The values of the row that is meant by a recording's names."""
        found = self.key(names)
        if found is None:
            return None
        self.used.add(found)
        return self.rows[found]

    def unknown(self) -> list[str]:
        """Names that no recording has."""
        return [name for name in self.rows if name not in self.used]


def read_labels(path: Path) -> Table:
    """Read a table; a name may be a path, with or without a suffix.

    Raises:
        BadInput: it cannot be read, has no column of names, one column twice, or one name with different values.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise BadInput(path, f"cannot be read ({error.strerror})", GIVE) from None
    if not data.strip():
        raise BadInput(path, "is empty", GIVE)
    if data.startswith(MAGIC):
        table = read_parquet(data, str(path))
        lines = [
            dict(zip(map(str, table.columns), row, strict=True)) for row in table.itertuples(index=False, name=None)
        ]
    elif data.lstrip()[:1] in (b"{", b"["):
        lines = _json(data, path)
    else:
        lines = _csv(data, path)
    return _by_name(path, lines)


def _csv(data: bytes, path: Path) -> list[dict[str, Any]]:
    table = read_csv(decoded(data, str(path), GIVE), str(path), as_text=True)
    return [dict(zip(map(str, table.columns), row, strict=True)) for row in table.itertuples(index=False, name=None)]


def _json(data: bytes, path: Path) -> list[dict[str, Any]]:
    try:
        content = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise BadInput(path, f"is damaged JSON ({error})", GIVE) from None
    if isinstance(content, dict):
        content = [
            {"name": name, **(each if isinstance(each, dict) else {"label": each})} for name, each in content.items()
        ]
    if not isinstance(content, list) or not all(isinstance(each, dict) for each in content):
        raise BadInput(path, "is no table", GIVE)
    return content


def _by_name(path: Path, lines: list[dict[str, Any]]) -> Table:
    if not lines:
        raise BadInput(path, "has no rows", GIVE)
    words: dict[str, str] = {}
    for name in dict.fromkeys(str(name) for line in lines for name in line):
        if words.setdefault(word(name), name) != name:
            raise BadInput(path, f"has the column {word(name)} twice", "name each column once")
    key = first_of(words, NAMES)
    if key is None:
        shown = shortened(", ".join(words), 120)
        raise BadInput(
            path, f"has no column of names; it has {shown}", "call the column of the recordings' names 'name'"
        )
    label = first_of({name: words[name] for name in words if name != key}, LABELS)
    called = {name: "label" if name == label else name for name in words if name != key}
    for name in called.values():
        if name in RESERVED or not re.fullmatch(r"[^\W\d]\w*", name):
            raise BadInput(path, f"has a column called {shortened(name, 40)!r}", "call it otherwise: a store cannot")
    rows: dict[str, dict[str, str]] = {}
    for line in lines:
        name = _spelt(line.get(words[key]))
        if not name:
            raise BadInput(path, "has a row without a name", "name the recording of each row")
        row = {to: _spelt(line.get(words[each])) for each, to in called.items()}
        if name in rows:
            same = "twice" if rows[name] == row else "twice, with different values"
            raise BadInput(path, f"names {shortened(name, 100)!r} {same}", "leave one row for each recording")
        rows[name] = row
    return Table(path, tuple(called.values()), rows)


def _spelt(value: Any) -> str:
    """A value as text; whole numbers without a point, what is missing empty."""
    if value is None or value != value:
        return ""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    text = str(value).strip()
    return text.partition(".")[0] if WHOLE.fullmatch(text) else text


def column_of(values: Iterable[str | int]) -> tuple[list[int], bool] | tuple[list[str], bool]:
    """A column as int32, if all its values are such numbers or missing (then -1), or else as text; and whether text."""
    some = list(values)
    texts = ["" if each == "" else str(each) for each in some]
    if any(texts) and all(re.fullmatch(r"-?\d{1,9}", each) for each in texts if each):
        return [int(each) if each else -1 for each in texts], False
    return texts, True


def names_of(path: str, entry: str = "") -> list[str]:
    """By which names a table may call a recording, the surest first.

    Args:
        path: of its file below the raw folder.
        entry: its name in the file, where that holds several.
    """
    stem = _without_suffix(path)
    found = [path, stem]
    if entry:
        found = [f"{path}/{entry}", f"{stem}/{entry}", entry, _without_suffix(entry)]
    last = [each.rpartition("/")[2] for each in found]
    return list(dict.fromkeys([*found, *last]))


def _without_suffix(path: str) -> str:
    folder, slash, name = path.rpartition("/")
    stem = name.rpartition(".")[0] if re.search(r"\.[A-Za-z]\w{0,9}$", name) else name
    return folder + slash + (stem or name)


def tell_table(table: Table, unlabelled: int, names: Sequence[str]) -> list[str]:
    """What is told of a table that was joined: names without a recording, and recordings without a name.

    Args:
        table: as it was used.
        unlabelled: how many recordings are not in it.
        names: of all recordings.

    Raises:
        BadInput: it names none of them.
    """
    told, recordings = [], len(names)
    if names and not table.used:
        first = shortened(next(iter(table.rows)), 60)
        what = f"names no recording that is here: recordings are called {shortened(names[0], 60)}, and in it {first}"
        raise BadInput(table.path, what, "name them as their files are called, or by their paths")
    if unknown := table.unknown():
        shown = ", ".join(shortened(name, 60) for name in unknown[:3]) + (", …" if len(unknown) > 3 else "")
        told.append(f"{table.path}: {len(unknown):,} of its {len(table.rows):,} names are of no recording: {shown}")
    if unlabelled:
        told.append(f"{table.path}: {unlabelled:,} of {recordings:,} recordings are not in it: they have no label")
    return told


def looks_like_labels(opened: Opened) -> bool:
    """Whether a file that holds no poses is a table of names and labels."""
    names = {word(name) for name in re.split(r"[,;\t]", opened.begins.partition("\n")[0])}
    return bool(names & set(NAMES)) and bool(names & set(LABELS))
