"""The label files of PKU-MMD: rows of class, start, end and confidence, however they were written."""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterator
from typing import NamedTuple

from skelpipe.errors import shortened

NEWLINE = re.compile(r"\r\n?|\n")
# What Python's int() and float() take beside these (1_0, nan, other alphabets' digits) is a slip.
WHOLE = re.compile(r"[+-]?[0-9]{1,18}")
NUMBER = re.compile(r"[+-]?(?:[0-9]{1,40}(?:\.[0-9]{0,40})?|\.[0-9]{1,40})(?:[eE][+-]?[0-9]{1,4})?")
EXACT = 2**53  # above it a double no longer tells whole numbers from one another
# A row of labels has three to five numbers, a frame of a sequence has 150.
MOST_IN_A_ROW, HEAD_BYTES = 20, 4096
SHOWN, WORD = 60, 30  # characters of a line and of a word that a message quotes
# What a heading calls the columns, if there is one.
CLASS, START, END = {"class", "label", "action"}, {"start", "begin", "onset"}, {"end", "stop", "offset"}
NOTHING = (0, 0, 0)


class Row(NamedTuple):
    """A line that says something: its number, from 1, its text, and class, start and end or what is wrong with them."""

    line: int
    text: str
    values: tuple[int, int, int]
    wrong: str = ""


def decoded(data: bytes) -> str:
    """Text of a list or label file: UTF-8, or UTF-16 where a mark or its zero bytes say so; bad bytes become U+FFFD."""
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return data.decode("utf-16", "replace")
    for first, name in ((1, "utf-16-le"), (0, "utf-16-be")):
        half = data[first:HEAD_BYTES:2]
        if half and not any(half) and any(data[1 - first : HEAD_BYTES : 2]):
            return data.decode(name, "replace")
    return data.decode("utf-8-sig", "replace")


def is_label(head: bytes) -> bool | None:
    """Whether the first bytes of a file are those of a label file, by their few numbers a line; None if it is empty."""
    lines = [line for line in NEWLINE.split(decoded(head)) if line.strip()]
    return max(len(re.split(r"[\s,;]+", line.strip())) for line in lines) <= MOST_IN_A_ROW if lines else None


def rows(text: str) -> Iterator[Row]:
    """The rows of a label file.

    A line's numbers are separated by semicolons, else by commas, else by blanks and tabs; a line may end in a
    separator, and whole numbers may be written as 1.0 or 1.0e+00. A first line that names class, start and end is a
    heading, and tells their order.
    """
    order: tuple[int, ...] = (0, 1, 2)
    first = True
    for number, line in enumerate(NEWLINE.split(text), 1):
        if not line.strip():
            continue
        named = _order(line) if first else None
        first, order = False, named or order
        if named is None:
            yield _row(number, line, order)


def class_zero(text: str) -> Row | None:
    """The first row of a label file whose class is 0, which files whose classes count from 1 cannot have."""
    return next((row for row in rows(text) if not row.wrong and row.values[0] == 0), None)


def _row(number: int, line: str, order: tuple[int, ...]) -> Row:
    told = repr(shortened(line.strip(), SHOWN))
    words = _words(line)
    for word in words:
        if NUMBER.fullmatch(word) is None:
            return Row(number, told, NOTHING, f"{shortened(repr(word), WORD)} is no number")
    if len(words) <= max(order):
        return Row(number, told, NOTHING, "has too few numbers")
    action, start, end = (_whole(words[place]) for place in order)
    if action is None or start is None or end is None:
        odd = next(words[place] for place in order if _whole(words[place]) is None)
        return Row(number, told, NOTHING, f"{shortened(odd, WORD)} is no whole number, or too large")
    return Row(number, told, (action, start, end))


def _words(line: str) -> list[str]:
    """What the separators of a line leave between them, however it ends; commas beside semicolons are decimal."""
    line = line.strip().rstrip(",; \t")
    mark = ";" if ";" in line else "," if "," in line else None
    words = [word.strip() for word in line.split(mark)]
    return [word.replace(",", ".", 1) for word in words] if mark == ";" else words


def _whole(word: str) -> int | None:
    if WHOLE.fullmatch(word):
        return int(word)
    value = float(word)
    return int(value) if abs(value) < EXACT and value.is_integer() else None


def _order(line: str) -> tuple[int, ...] | None:
    """Where class, start and end stand, by a heading; None if the line is none."""
    words = [re.sub(r"[^a-z]+", " ", word.lower()).split() for word in _words(line.lstrip("#% "))]
    places = [[n for n, word in enumerate(words) if set(word) & names] for names in (CLASS, START, END)]
    order = tuple(place for found in places for place in found)
    return order if all(len(found) == 1 for found in places) and len(set(order)) == len(order) else None
