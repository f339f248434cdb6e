"""A part of a data set's classes, to which an evaluation is limited."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from skelpipe.errors import BadInput, shortened, suggest
from skelpipe.evaluation.features import Features
from skelpipe.recordings.datasets import Dataset
from skelpipe.recordings.datasets.rules import spans

SPAN = re.compile(r"([AC]?)(\d{1,4})(?:-[AC]?(\d{1,4}))?", re.ASCII | re.IGNORECASE)
MOST_BYTES, LONGEST_NAME = 1 << 20, 255  # of a list's file
SUFFIXES = (".txt", ".csv", ".list")  # nothing else is called so


def read_classes(text: str, dataset: Dataset) -> tuple[int, ...] | None:
    """The labels, from 0 and in order, of the classes that a text lists; None for all that there are.

    Args:
        text: "1-10,23": numbers from 1, in the order of the classes, or behind A as clips are called (A001), and ranges
            of them; or names of classes; or a file with such on each line.

    Raises:
        BadInput: it lists no class of the data set, or only one, or a class that the data set has not.
    """
    where = f"--classes {shortened(text, 60)}"
    found = {label for entry in _entries(text, where) for label in _labels(entry, dataset, where)}
    if len(found) < 2:
        what = "lists one class, between which and others nothing can be told" if found else "lists no class"
        raise BadInput(where, what, "give two or more, for example 1-10,23")
    return None if len(found) == dataset.classes else tuple(sorted(found))


def _entries(text: str, where: str) -> list[str]:
    """What a text lists, or each line of the file that it names."""
    path = Path(text)
    try:
        if not (len(path.name) < LONGEST_NAME and path.is_file()):
            if path.suffix in SUFFIXES:
                raise BadInput(
                    where, "does not exist", "give a file with a class on each line, or numbers such as 1-10,23"
                )
            return [text]
        if path.stat().st_size > MOST_BYTES:
            raise BadInput(path, "is larger than any list of classes", "give a file with a class on each line")
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, ValueError) as error:
        raise BadInput(where, f"cannot be read ({error})", "give a text file with a class on each line") from None
    return [line for line in map(str.strip, lines) if line and not line.startswith("#")]


def _labels(entry: str, dataset: Dataset, where: str) -> Iterable[int]:
    """The labels of a name, which may have commas, or of numbers, ranges and names between commas."""
    names = {name.lower(): label for label, name in enumerate(dataset.class_names)}
    if entry.strip().lower() in names:
        return [names[entry.strip().lower()]]
    found: list[int] = []
    for word in map(str.strip, entry.split(",")):
        if word.lower() in names:
            found.append(names[word.lower()])
            continue
        match = SPAN.fullmatch(word.replace(" ", ""))
        if match is None:
            remedy = suggest(word.lower(), names) if word and dataset.class_names else ""
            near = remedy if remedy.startswith("did you mean") else f"give numbers from 1 to {dataset.classes}"
            raise BadInput(where, f"has {shortened(word, 40)!r}, which is no class of {dataset.name}", near)
        found += _numbered(word, match, dataset, where)
    return found


def _numbered(word: str, match: re.Match[str], dataset: Dataset, where: str) -> list[int]:
    """The labels of a number or a range of numbers: from 1 in the order of the classes, or as clips are called."""
    first, last = int(match[2]), int(match[3] or match[2])
    if match[1] and [*dataset.actions] != [*range(1, dataset.classes + 1)]:
        labels = [label for label, action in enumerate(dataset.actions) if first <= action <= last]
        if not {first, last} <= {*dataset.actions}:
            there = ", ".join(f"{match[1]}{action:02}" for action in dataset.actions)
            what = (
                f"has {word}, and the clips of {dataset.name} are {'of ' + there if there else 'called by no numbers'}"
            )
            raise BadInput(where, what, f"correct it, or count the classes from 1 to {dataset.classes}")
        return labels
    if not 1 <= first <= last <= dataset.classes:
        what = f"has {word}, and the classes of {dataset.name} are 1 to {dataset.classes}"
        raise BadInput(where, what, "correct it; 'skelpipe inspect' of the store shows how many there are")
    return [*range(first - 1, last)]


def without_clips(only: Sequence[int], features: Features) -> list[str]:
    """What to warn of: classes that no clip here has.

    Args:
        features: of their clips, by the data set's labels.

    Raises:
        BadInput: there are clips of fewer than two of them.
    """
    here = set(features.label.tolist())
    if len(here) < 2:
        what = f"has clips here of class {in_words([*here])} alone" if here else "has no clips here"
        raise BadInput(f"--classes {in_words(only)}", what, "name classes that these clips have, two or more")
    lacking = [label for label in only if label not in here]
    return [f"of the classes asked for, no clip here has {in_words(lacking)}"] if lacking else []


def numbers(only: Sequence[int]) -> list[int]:
    """Labels as classes are numbered in the names of clips: from 1."""
    return [label + 1 for label in only]


def in_words(only: Sequence[int]) -> str:
    """Labels in short, numbered from 1: 1-10,23."""
    return spans(numbers(only))


def among(features: Features, only: Sequence[int]) -> Features:
    """Features of clips of these classes alone, whose labels are then places in `only`."""
    return replace(features, label=np.searchsorted(np.asarray(only), features.label).astype(np.int64))
