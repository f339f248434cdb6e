"""Splits that a user states by the values of one column, or by a list, where a benchmark's do not serve.

subject:1-20           these train, all others test; subjects:1-20 says the same
camera:2,3/1           these train, those after the stroke test, the others do neither
subject:/5             this one tests, all others train
subject:2of5           the values of the column in their order, dealt to five folds in turn; the second one tests
ntu60:subject:1-20     the same of a named data set: its classes, also in a store of NTU RGB+D 120
all                    all train, none tests
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from skelpipe.errors import BadInput, nearest, shortened
from skelpipe.recordings.datasets.base import Dataset
from skelpipe.recordings.datasets.known import DATASETS, find_dataset
from skelpipe.recordings.datasets.pku import VIEWS, Pku
from skelpipe.recordings.datasets.rules import MARK, Rule, Value, dividing, has_words, spans

EXAMPLE = "write for example subject:1-20 (these train, the others test) or camera:2,3/1 (2 and 3 train, 1 tests)"
SPAN = re.compile(r"(\d{1,9})(?:-(\d{1,9}))?", re.ASCII)
FOLD = re.compile(r"(\d{1,4})of(\d{1,4})", re.ASCII | re.IGNORECASE)
MOST_VALUES = 10_000  # that a range stands for
ALL = "all"
ONE_OUT = "leave-one-out"
FOLDS = re.compile(r"(\d{1,4})-fold", re.ASCII)


def is_stated(split: str) -> bool:
    """Whether this names no benchmark, but states a rule."""
    return MARK in split or split == ALL


def is_family(split: str) -> bool:
    """Whether this stands for several splits: each value of a column tests once, or each fold of them."""
    values = split.replace(" ", "").rpartition(MARK)[2]
    return MARK in split and (values == ONE_OUT or FOLDS.fullmatch(values) is not None)


def parse(text: str, dataset: str | Dataset | None = None) -> Rule:
    """The rule that a text states; not that of "all".

    Args:
        dataset: whose clips are divided, where the text names no data set.

    Raises:
        BadInput: it states none, or the data set has no such column, or no data set is named and several have it.
    """
    *named, column, values = (word.strip() for word in text.split(MARK))
    if len(named) > 1 or not column or not values:
        raise BadInput(f"split {shortened(text, 60)!r}", "is no column and its values", EXAMPLE)
    whose = named[0].lower() if named else dataset
    if isinstance(dataset, Dataset) and whose == dataset.name:
        whose = dataset
    about, column = _dataset(text, column.lower(), whose)
    if is_family(text):
        what = f"stands for several splits, and {values!r} for none of them"
        raise BadInput(
            f"split {text!r}", what, f"write {column}{MARK}1of5 or {column}{MARK}/3; 'skelpipe run' takes all"
        )
    if fold := FOLD.fullmatch(values):
        number, of = int(fold[1]), int(fold[2])
        if not (1 <= number <= of and of > 1):
            raise BadInput(f"split {text!r}", f"has no fold {values}", "write 1of5 to 5of5, say")
        return Rule(about, column, fold=(number, of))
    train, stroke, test = values.partition("/")
    rule = Rule(
        about,
        column,
        _values(text, about, column, train) if train or not stroke else None,
        _values(text, about, column, test) if stroke else None,
    )
    if both := sorted({*(rule.train or ())} & {*(rule.test or ())}):
        raise BadInput(f"split {text!r}", f"has {column} {spans(both)} on both sides of the stroke", "keep it on one")
    return rule


def check_stated(text: str) -> None:
    """As `parse`, as far as it can be told without the clips: whose column it is, they say, and what it holds."""
    words = [word.strip().lower() for word in text.split(MARK)]
    if len(words) > 3 or not all(words):
        raise BadInput(f"split {shortened(text, 60)!r}", "is no column and its values", EXAMPLE)
    if len(words) > 2 and words[0] in DATASETS:
        parse(text)


def _dataset(text: str, column: str, named: str | Dataset | None) -> tuple[Dataset, str]:
    """The data set that is meant, and what its column is called."""
    if named is not None:
        about = find_dataset(named)
        if (found := _column(column, about)) is None:
            raise _no_column(text, f"{about.name} has no column {shortened(column, 40)!r}", column, dividing(about))
        return about, found
    having = _having(column)
    if not having:
        known = dict.fromkeys(each for dataset in DATASETS.values() for each in dividing(dataset))
        raise _no_column(text, f"no data set has a column {shortened(column, 40)!r}", column, known)
    if len(having) > 1:
        names = [each.name for each in having]
        what = f"does not say whose {column} is meant: that of {', '.join(names[:-1])} or {names[-1]}"
        raise BadInput(f"split {text!r}", what, f"write {names[0]}{MARK}{text}")
    return having[0], str(_column(column, having[0]))


def _column(word: str, dataset: Dataset) -> str | None:
    """The column that a word means, in the plural too, however it is written."""
    known = {each.lower(): each for each in dividing(dataset)}
    return known.get(word) or known.get(word.removesuffix("s"))


def _having(column: str) -> list[Dataset]:
    """The data sets whose clips have that column."""
    return [each for each in DATASETS.values() if _column(column, each)]


def _no_column(text: str, what: str, column: str, known: Iterable[str]) -> BadInput:
    near = nearest(column, known)
    there = [*known]
    listed = f"use one of {', '.join(there)}, or a benchmark's split" if there else "list the clips' names in a file"
    remedy = f"did you mean {near!r}? Its columns are {', '.join(there)}" if near else listed
    return BadInput(f"split {shortened(text, 60)!r}", f"cannot be made: {what}", remedy)


def _values(text: str, dataset: Dataset, column: str, listed: str) -> tuple[Value, ...]:
    """The numbers that "1,2,4-8" lists, in order; of a view of PKU-MMD also letters; of a column of text its words."""
    if has_words(dataset, column):
        words = tuple(sorted({*filter(None, map(str.strip, listed.split(",")))}))
        if not words:
            raise BadInput(f"split {shortened(text, 60)!r}", f"names no {column} where one belongs", EXAMPLE)
        return words
    found = set[int]()
    for word in listed.replace(" ", "").split(","):
        if column == "view" and isinstance(dataset, Pku) and word.upper() in (*VIEWS,):
            found.add(VIEWS.index(word.upper()) + 1)
            continue
        match = SPAN.fullmatch(word)
        if match is None:
            what = f"has {shortened(word, 40)!r} where a number or a range of {column}s such as 1-20 belongs"
            raise BadInput(f"split {shortened(text, 60)!r}", what, EXAMPLE)
        first, last = int(match[1]), int(match[2] or match[1])
        if first > last:
            raise BadInput(f"split {text!r}", f"has the range {word}, which ends before it begins", "turn it round")
        if last - first >= MOST_VALUES:
            raise BadInput(f"split {text!r}", f"has the range {word}, of more than {MOST_VALUES:,}", "name fewer")
        found |= {*range(first, last + 1)}
    return tuple(sorted(found))


def whose_column(text: str, dataset: Dataset) -> tuple[Dataset, str, str]:
    """The data set and the column that a text is about, and what it says of its values.

    Raises:
        BadInput: the data set has no such column.
    """
    *named, column, how = (word.strip() for word in text.split(MARK))
    whose = find_dataset(named[0].lower()) if named and named[0].lower() != dataset.name else dataset
    about, column = _dataset(text, column.lower(), whose)
    return about, column, how.replace(" ", "")


def from_mapping(text: str, told: Mapping[str, Any], dataset: Dataset) -> Rule:
    """The rule of a mapping {column: values}, or {column: {train: values, test: values}}.

    Args:
        text: what the split is called, for messages.

    Raises:
        BadInput: it is none, or the data set has no such column.
    """
    (column, values), *more = told.items() if told else [("", None)]
    sides = values if isinstance(values, dict) else {"train": values}
    if more or not isinstance(column, str) or not {*sides} <= {"train", "test"} or not sides:
        what = "is no column and the values of it that train and test"
        raise BadInput(f"split {text!r}", what, "write for example {subject: {train: [1, 2], test: [3]}}")
    about, column = _dataset(f"{column}{MARK}", column.lower(), dataset)
    found: dict[str, tuple[Value, ...] | None] = {}
    for side, some in sides.items():
        listed = some if isinstance(some, list | tuple) else [some]
        texts = has_words(about, column)
        if not listed or not all(isinstance(each, str if texts else int) for each in listed):
            what = f"has {shortened(repr(some), 40)} where {'words' if texts else 'numbers'} of {column} belong"
            raise BadInput(f"split {text!r}", what, "write for example {subject: {train: [1, 2], test: [3]}}")
        found[side] = tuple(sorted({*listed}))
    if both := sorted({*(found.get("train") or ())} & {*(found.get("test") or ())}):
        raise BadInput(f"split {text!r}", f"has {column} {spans(both)} on both sides", "keep it in train or in test")
    return Rule(about, column, found.get("train"), found.get("test"))
