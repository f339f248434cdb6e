"""Splits that the user of a data set has named, in plain values."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from skelpipe.errors import BadInput, shortened
from skelpipe.recordings.datasets.base import Dataset
from skelpipe.recordings.datasets.listed import is_list, read_list
from skelpipe.recordings.datasets.own import Own
from skelpipe.recordings.datasets.rules import Listed, Rule
from skelpipe.recordings.datasets.splits import find_split
from skelpipe.recordings.datasets.stated import ALL, from_mapping, is_family, parse

NAME = re.compile(r"[\w+-][\w.+-]{0,59}", re.ASCII)


def rules_of(told: Mapping[str, Any], dataset: Own) -> dict[str, dict[str, Any]]:
    """The rules of splits, in plain values as `Own.splits` holds them.

    Args:
        told: of each split a rule as --split takes it, the path of a list, {column: values}, or
            {column: {train: values, test: values}}, or lists of names {train: [...], test: [...]}.
        dataset: whose columns are known.

    Raises:
        BadInput: one is none of these, or names a column that there is not, or is called as no split can be.
    """
    for name in told:
        if not (isinstance(name, str) and NAME.fullmatch(name)) or name == ALL or is_list(name):
            what = f"{shortened(repr(name), 60)} is no name for a split"
            remedy = "it is that of all clips" if name == ALL else "use letters, digits, '_', '-', '+' and '.'"
            raise BadInput(f"splits of {dataset.name}", what, remedy)
    return {name: _rule(name, each, dataset) for name, each in told.items()}


def check_rules(dataset: Own, clips: Sequence[tuple[str, Mapping[str, Any]]]) -> list[str]:
    """Hold the splits of a data set against the names and the columns of its clips; what is to be told of lists.

    Raises:
        BadInput: one names a value or clips that there are not.
    """
    if not clips or not dataset.splits:
        return []
    columns = {"name": dataset.column("name", [name for name, _ in clips])}
    columns |= {each: dataset.column(each, [ids[each] for _, ids in clips]) for each in dataset.columns[1:]}
    told: list[str] = []
    for name, rule in dataset.splits.items():
        try:
            find_split(name, dataset).check(columns)
        except BadInput as error:
            raise BadInput(f"split {name!r} of {dataset.name}", error.what, error.remedy) from None
        if "column" not in rule:
            test = rule["test"]
            listed = Listed(f"split {name!r}", tuple(rule["train"]), None if test is None else tuple(test))
            told += listed.tell(columns)
    return told


def _rule(name: str, told: Any, dataset: Dataset) -> dict[str, Any]:
    if isinstance(told, str) and is_list(told):
        return read_list(told, name).as_rule()
    if isinstance(told, str) and is_family(told):
        what = f"is {told}, which stands for several splits"
        raise BadInput(
            f"split {name!r}", what, f"write it under pipeline: {{splits: [{name}, '{told}']}} without a name"
        )
    if isinstance(told, str):
        return _plain(parse(told, dataset))
    if isinstance(told, Mapping) and "train" in told:
        train, test = told["train"], told.get("test")
        if not all(
            isinstance(side, list) and all(isinstance(each, str) for each in side) for side in (train, test or [])
        ):
            raise BadInput(f"split {name!r}", "has no lists of names", "write {train: [names], test: [names]}")
        return {"train": train, "test": test}
    if isinstance(told, Mapping):
        return _plain(from_mapping(name, told, dataset))
    raise BadInput(f"split {name!r}", "is no rule", "write for example {subject: {train: [1, 2], test: [3]}}")


def _plain(rule: Rule) -> dict[str, Any]:
    sides = {"train": rule.train, "test": rule.test, "fold": rule.fold}
    return {"column": rule.column, **{side: None if some is None else list(some) for side, some in sides.items()}}
