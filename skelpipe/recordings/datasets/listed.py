"""Splits as lists of clips' names in files: text, CSV, JSON or YAML."""

from __future__ import annotations

import csv
import hashlib
import io
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from skelpipe.errors import BadInput, shortened
from skelpipe.recordings.datasets.rules import MARK, Listed

SUFFIXES = (".txt", ".csv", ".tsv", ".json", ".yaml", ".yml")
MOST_BYTES = 1 << 26
SIDES = {
    **dict.fromkeys(("train", "training"), "train"), **dict.fromkeys(("test", "testing", "eval"), "test"),
    **dict.fromkeys(("val", "valid", "validation"), "val"),
    **dict.fromkeys(("", "none", "neither"), ""),
}  # fmt: skip
FORMS = (
    "give a .txt with the name of a training clip on each line, a .csv with the columns name and split (train or "
    "test), or a .json or .yaml {train: [names], test: [names]}"
)


def is_list(text: str) -> bool:
    """Whether this is called like the file of a list, and no split of any name is."""
    return text.lower().endswith(SUFFIXES) and MARK not in text


def read_list(path: str | Path, called: str | None = None) -> Listed:
    """Read which clips a file lists for training, and which for testing; if it says nothing of these, all others.

    Where a file has a validation part beside the test part, its clips do neither; where it has no other, they test.

    Args:
        path: .txt: a name on each line, all of them training clips; .csv and .tsv: columns `name` and `split`, which
            is train or test; .json and .yaml: {train: [...], test: [...]}. Lines that begin with # are passed over.
        called: the split's name; by default the file's, and a digest of what it lists.

    Raises:
        BadInput: it cannot be read, lists nothing for training, or a name twice.
    """
    path = Path(path)
    try:
        if path.stat().st_size > MOST_BYTES:
            raise BadInput(path, "is larger than any list of clips", FORMS)
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        remedy = "give the file that lists the clips of a split, or a split's name"
        raise BadInput(path, "does not exist", remedy) from None
    except (OSError, ValueError) as error:
        raise BadInput(path, f"cannot be read ({error})", FORMS) from None
    suffix = path.suffix.lower()
    sides: dict[str, list[str]]
    if suffix == ".txt":
        sides = {"train": _lines(text)}
    elif suffix in (".csv", ".tsv"):
        sides = _table(text, "\t" if suffix == ".tsv" else None, path)
    else:
        sides = _mapping(_loaded(text, suffix, path), path)
    train, test, told = _two(sides)
    seen: set[str] = set()
    for name in (*train, *(test or ())):
        if name in seen:
            raise BadInput(path, f"lists {shortened(name, 60)} twice", "list each clip once")
        seen.add(name)
    if not train and not test:
        raise BadInput(path, "lists no clips", FORMS)
    digest = hashlib.sha256(json.dumps([train, test]).encode()).hexdigest()[:8]
    name = called or f"list{MARK}{path.stem}-{digest}"
    return Listed(name, tuple(train), None if test is None else tuple(test), str(path), told)


def _two(sides: Mapping[str, list[str]]) -> tuple[list[str], list[str] | None, tuple[str, ...]]:
    """The names that train and those that test, and what is to be told of a validation part."""
    train, test, held = sides.get("train", []), sides.get("test"), sides.get("val")
    if not held:
        return train, test, ()
    if test:
        return train, test, (f"its {len(held):,} clips for validation are in neither part",)
    return train, held, (f"its {len(held):,} clips for validation are the test part: it has no other",)


def _lines(text: str) -> list[str]:
    return [line for line in map(str.strip, text.splitlines()) if line and not line.startswith("#")]


def _table(text: str, separator: str | None, path: Path) -> dict[str, list[str]]:
    rows = csv.reader(io.StringIO("\n".join(_lines(text))), delimiter=separator or _separator(text))
    head, *body = [[cell.strip() for cell in row] for row in rows] or [[]]
    columns = [cell.lower() for cell in head]
    if not {"name", "split"} <= {*columns}:
        raise BadInput(path, f"has the columns {shortened(', '.join(head), 60)}", FORMS)
    at, which = columns.index("name"), columns.index("split")
    found: dict[str, list[str]] = {}
    for row in body:
        side = SIDES.get(row[which].lower()) if len(row) == len(columns) else None
        if side is None:
            raise BadInput(path, f"says {shortened(' '.join(row), 60)!r}, neither train nor test", FORMS)
        if side:
            found.setdefault(side, []).append(row[at])
    return {"test": [], **found}


def _separator(text: str) -> str:
    first = text.partition("\n")[0]
    return max(",;\t", key=first.count)


def _loaded(text: str, suffix: str, path: Path) -> Any:
    if suffix == ".json":
        try:
            return json.loads(text)
        except (ValueError, RecursionError) as error:
            raise BadInput(path, f"is no JSON ({error})", FORMS) from None
    from skelpipe.settings import load_yaml

    return load_yaml(path)


def _mapping(told: object, path: Path) -> dict[str, list[str]]:
    if isinstance(told, list):
        return {"train": _names(told, path)}
    sides = {SIDES.get(str(key).lower()): value for key, value in told.items()} if isinstance(told, Mapping) else {}
    if not sides or None in sides or len(sides) < len(told):  # type: ignore[arg-type]
        raise BadInput(path, "is no list of clips for training and for testing", FORMS)
    return {str(side): _names(names, path) for side, names in sides.items() if side}


def _names(some: object, path: Path) -> list[str]:
    if not isinstance(some, Iterable) or isinstance(some, str | Mapping) or not all(isinstance(n, str) for n in some):
        raise BadInput(path, f"has {shortened(repr(some), 60)} where names of clips belong", FORMS)
    return [*some]
