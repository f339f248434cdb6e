"""The data sets, by name. To add one: a subclass of `base.Dataset`, and a line in `DATASETS`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

from skelpipe.errors import BadInput, shortened, suggest
from skelpipe.recordings.datasets.base import Dataset
from skelpipe.recordings.datasets.ntu import NTU60, NTU120
from skelpipe.recordings.datasets.own import TABLE, Own, read_table
from skelpipe.recordings.datasets.pku import PKU1, PKU2
from skelpipe.recordings.datasets.recording import LONGEST_DETAIL, OTHER, Dropped
from skelpipe.recordings.datasets.ucla import UCLA
from skelpipe.resources import Registry

SHIPPED: tuple[Dataset, ...] = (NTU60, NTU120, PKU1, PKU2, UCLA)
DATASETS: Registry[Dataset] = Registry("datasets", {dataset.name: dataset for dataset in SHIPPED})

STRAYS = 0.9  # the least part of the files that must be named after a data set to be called its


def find_dataset(name: str | Dataset) -> Dataset:
    """The data set of that name, or itself; BadInput names the nearest one."""
    if isinstance(name, Dataset):
        return name
    if name in DATASETS:
        return DATASETS[name]
    raise BadInput(f"data set {name!r}", "is unknown", suggest(name, DATASETS))


def dataset_of(attributes: Mapping[str, Any], where: str = TABLE) -> Dataset:
    """The data set of a store, of clips, of a run or an evaluation: what `dataset_attributes` has noted.

    Raises:
        BadInput: it is unknown, or its description is damaged.
    """
    if TABLE not in attributes:
        return find_dataset(attributes["dataset"])
    return read_table(attributes["dataset"], attributes[TABLE], str(attributes.get("layout", "")), where)


def dataset_attributes(dataset: Dataset) -> dict[str, Any]:
    """What a folder notes of a data set: its name, and of one that does not ship its description."""
    return {"dataset": dataset.name, **({TABLE: dataset.as_table()} if isinstance(dataset, Own) else {})}


def named_as(kind: Dataset, dropped: Iterable[Dropped]) -> tuple[Dataset, str] | None:
    """Which other data set most of the files that were left out are named after, and one of them; None if none is."""
    if kind.names("") is None:
        return None
    others = [other for other in DATASETS.values() if other is not kind]
    counts: Counter[str] = Counter()
    first: dict[str, str] = {}
    for entry in dropped:
        word = entry.first if entry.reason == OTHER else entry.name
        stem = word.rpartition("/")[2].partition(".")[0]
        for name in (each.name for each in (kind, *others) if each.names(stem)):
            counts[name] += entry.count
            first.setdefault(name, shortened(word, LONGEST_DETAIL // 2))
    # Of two that hold each other's names the smaller one, unless it lacks more than a few strays.
    enough = STRAYS * max(counts.values(), default=0)
    named = next(each for each in (kind, *others) if counts[each.name] >= enough)
    return None if named is kind else (named, first[named.name])
