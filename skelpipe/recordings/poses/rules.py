"""Splits that the user of a data set has named, in plain values."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from skelpipe.errors import BadInput, shortened
from skelpipe.recordings.datasets.base import Dataset
from skelpipe.recordings.datasets.listed import is_list, read_list
from skelpipe.recordings.datasets.own import Own
from skelpipe.recordings.datasets.rules import Rule
from skelpipe.recordings.datasets.stated import ALL, from_mapping, parse

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
            raise BadInput(f"splits of {dataset.name}", what, "use letters, digits, '_', '-', '+' and '.'")
    return {name: _rule(name, each, dataset) for name, each in told.items()}


def _rule(name: str, told: Any, dataset: Dataset) -> dict[str, Any]:
    if isinstance(told, str) and is_list(told):
        return read_list(told, name).as_rule()
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
