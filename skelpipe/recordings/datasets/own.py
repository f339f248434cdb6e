"""A data set that its user describes: what is told of it travels in its outputs, since no name stands for it here."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from skelpipe.errors import BadInput, shortened
from skelpipe.recordings.datasets.base import Dataset, Found, Source
from skelpipe.recordings.datasets.recording import Dropped, Recording

TABLE = "dataset_table"  # the attribute beside `dataset`, of data sets that do not ship
NAME = re.compile(r"[a-z0-9][a-z0-9_.+-]{0,39}")
COLUMN = re.compile(r"[^\W\d]\w{0,39}")
UNLABELLED = -1  # the label of a clip whose class nobody has told
KEYS = ("title", "classes", "class_names", "columns", "text", "group", "splits")


@dataclass(frozen=True)
class Own(Dataset):
    """A data set that its user describes.

    Attributes:
        splits: name -> rule, in plain values as `rules.read_rule` makes them.
    """

    splits: Mapping[str, Mapping[str, Any]] = field(default_factory=dict, kw_only=True, hash=False)

    @property
    def actions(self) -> Sequence[int]:
        """See `Dataset.actions`."""
        return ()

    def find(self, raw: Path, keep_missing: bool = False) -> Found:
        """Raise BadInput: how its files are read is not told by what it holds."""
        raise BadInput(raw, f"cannot be read as {self.name}, of which only clips are known", "ingest it as it was then")

    def read(self, source: Source, keep_missing: bool = False) -> list[Recording | Dropped]:
        """As `find`."""
        raise BadInput(source.name, f"cannot be read as {self.name}", "ingest it as it was then")

    def as_table(self) -> dict[str, Any]:
        """The description in plain values, but for its name and layout; `read_table` makes the same of it."""
        table: dict[str, Any] = {
            "title": self.title, "classes": self.classes, "class_names": list(self.class_names),
            "columns": list(self.columns), "text": list(self.text), "group": self.group,
            "splits": {name: dict(rule) for name, rule in self.splits.items()},
        }  # fmt: skip
        return table


def check_name(name: str, where: str) -> str:
    """The name, if a data set may be called so: it stands in names of folders and of splits."""
    if NAME.fullmatch(name):
        return name
    what = f"{shortened(repr(name), 60)} is no name for a data set"
    raise BadInput(where, what, "use small letters, digits, '_', '-', '+' and '.', at most 40")


def read_table(name: str, table: object, layout: str, where: str = TABLE) -> Own:
    """Make a data set of its name and what `Own.as_table` gave.

    Args:
        layout: the name of its layout.
        where: what a damaged table is reported of.

    Raises:
        BadInput: the table is damaged.
    """
    try:
        told = {key: table[key] for key in KEYS}  # type: ignore[index]
        texts = [name, told["title"], told["group"], *told["class_names"], *told["columns"], *told["text"]]
        fine = all(isinstance(each, str) for each in texts) and isinstance(told["classes"], int)
        if not (fine and all(isinstance(rule, dict) for rule in told["splits"].values())):
            raise TypeError("a value is of another kind")
    except (KeyError, TypeError, AttributeError) as error:
        raise BadInput(where, f"is damaged ({error})", "make anew what holds it") from None
    return Own(
        name=check_name(name, where),
        title=told["title"],
        classes=told["classes"],
        clips=0,
        columns=tuple(told["columns"]),
        group=told["group"],
        class_names=tuple(told["class_names"]),
        layout=layout,
        text=tuple(told["text"]),
        splits=told["splits"],
    )
