"""Splits that belong together: each value of a column tests once, or each fold of its values."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from skelpipe.errors import BadInput
from skelpipe.recordings.datasets.base import Dataset
from skelpipe.recordings.datasets.rules import MARK, Rule, Value
from skelpipe.recordings.datasets.stated import FOLDS, ONE_OUT, whose_column

FOLD = re.compile(r"(.+):(\d+)of(\d+)", re.ASCII)
ONE = re.compile(r"(.+):/([^/,]+)")


def family(text: str, dataset: Dataset, values: Iterable[Value] | None = None) -> list[str]:
    """The splits that "subject:leave-one-out" or "subject:5-fold" stands for, by their names.

    Args:
        values: what clips of the data set have in that column; None where that is not known.

    Raises:
        BadInput: the data set has no such column, or it has too few values, or who there is must be known and is not.
    """
    about, column, how = whose_column(text, dataset)
    there = None if values is None else sorted({*values}, key=lambda value: (isinstance(value, str), value))
    folds = FOLDS.fullmatch(how)
    if there is None and not folds:
        what = f"needs to know which {column}s there are, and that is not known before the recordings are ingested"
        raise BadInput(f"split {text!r}", what, f"make the store first, or write {column}{MARK}5-fold")
    most = 10_000 if there is None else len(there)
    of = int(folds[1]) if folds else most
    if not 2 <= of <= most:
        what = f"needs two {column}s at least, and no more folds than {column}s; there are {most:,}"
        raise BadInput(f"split {text!r}", what, "choose another column, or another number")
    if folds:
        return [Rule(about, column, fold=(number, of)).name for number in range(1, of + 1)]
    return [Rule(about, column, test=(value,)).name for value in there or ()]


def fold_of(split: str) -> tuple[str, str] | None:
    """Of which family a split is a fold, and which one; None if it is none."""
    if found := FOLD.fullmatch(split):
        return f"{found[1]}{MARK}{found[3]}-fold", found[2]
    if found := ONE.fullmatch(split):
        return f"{found[1]}{MARK}{ONE_OUT}", found[2]
    return None


def folded(splits: Iterable[str]) -> Mapping[str, tuple[str, str]]:
    """Of those splits that stand together with others of their family: split -> (family, fold)."""
    found = {split: of for split in {*splits} if (of := fold_of(split)) is not None}
    families = [of for of, _ in found.values()]
    return {split: of for split, of in found.items() if families.count(of[0]) > 1}
