"""Names and class numbers as the files of other projects write them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import numpy.typing as npt

from skelpipe.errors import BadInput, shortened
from skelpipe.recordings.pickles import plain

MAX_CLASS = 1 << 31
MAX_FRAMES = 100_000  # a clip of more frames than an hour has is none
OWN_LABELS = "give every array its own labels"

Whole = npt.NDArray[np.int64]


def read_names(where: Path, names: Sequence[Any]) -> list[str]:
    """The names as text; bytes are taken as UTF-8.

    Raises:
        BadInput: one is neither; it is shown.
    """
    return [_text(where, place, name) for place, name in enumerate(names)]


def _text(where: Path, place: int, name: Any) -> str:
    name = plain(name)
    if isinstance(name, np.ndarray) and name.size == 1:
        name = name.reshape(-1)[0]
    if isinstance(name, bytes):
        name = name.decode("utf-8", "replace")
    if not isinstance(name, str):
        what = f"has the name {shown(name)} at place {place}, which is no text"
        raise BadInput(where, what, "give the labels of the array")
    return str(name)


def class_numbers(where: Path, values: Sequence[Any], names: Sequence[str] | None = None) -> Whole:
    """(n,) whole numbers from 0, whatever type they are written as.

    Raises:
        BadInput: one is something else; the value is shown, with the clip's name where there are names.
    """
    numbers = np.fromiter((_number(value) for value in values), np.int64, len(values))
    if (numbers < 0).any():
        place = int(np.argmin(numbers))
        of = f"clip {place}" + (f" ({shortened(names[place], 60)})" if names else "")
        what = f"has the label {shown(values[place])} for {of}, which is no class number"
        raise BadInput(where, what, "give the labels of the array")
    return numbers


def _number(value: Any) -> int:
    """The class number that a value is, or -1."""
    value = plain(value)
    if isinstance(value, np.ndarray) and value.size == 1:
        value = value.reshape(-1)[0]
    whole = isinstance(value, (int, np.integer)) and not isinstance(value, (bool, np.bool_))
    if isinstance(value, (float, np.floating)):
        whole = math.isfinite(value) and value == int(value)
    return int(value) if whole and 0 <= value < MAX_CLASS else -1


def check_rows(where: Path, key: str, shape: tuple[int, ...], clips: int) -> None:
    """Raise BadInput unless an array has a row for each clip, and not absurdly long ones."""
    rows = shape[0] if shape else 0
    if rows != clips or math.prod(shape[1:]) > MAX_FRAMES:
        raise BadInput(where, f"{key} has {rows:,} rows for {clips:,} clips", "give a whole file")


def one_hot(where: Path, key: str, values: npt.NDArray[Any], clips: int) -> tuple[Whole, int | None]:
    """(n, classes) of 0 and 1, or (n,) or (n, 1) class numbers -> (n,) class numbers, and how many columns there were.

    Raises:
        BadInput: it is neither; the first value or row that does not fit is shown.
    """
    check_rows(where, key, values.shape, clips)
    if (values.ndim == 1 or (values.ndim == 2 and values.shape[1] == 1)) and values.dtype.kind in "iuf":
        flat = values.reshape(-1)
        odd = ~((flat == np.floor(flat)) & (np.abs(flat) < MAX_CLASS))
        if not odd.any():
            return flat.astype(np.int64), None
        _refuse(where, key, f"{flat[odd][0].item()!r} in row {int(np.argmax(odd))}")
    if values.ndim != 2 or values.dtype.kind not in "biuf":
        _refuse(where, key, f"{' x '.join(map(str, values.shape))} {values.dtype}")
    odd = (np.count_nonzero(values, axis=1) != 1) | (values.max(axis=1, initial=0) <= 0)
    if odd.any():
        row = int(np.argmax(odd))
        _refuse(where, key, f"{np.count_nonzero(values[row])} values that are not 0 in row {row}")
    return np.argmax(values, axis=1).astype(np.int64), values.shape[1]


def _refuse(where: Path, key: str, found: str) -> NoReturn:
    raise BadInput(where, f"{key} has {found}: neither class numbers nor one 1 per row", "give a file of this format")


def kind_of(value: Any) -> str:
    """What a value of a pickle is, in a few words; never all that it holds, which may be nested without end."""
    value = plain(value)
    if isinstance(value, np.ndarray):
        return f"an array of {' x '.join(map(str, value.shape)) or 'no axes'}"
    if isinstance(value, dict):
        keys = ", ".join(shown(key) for key in list(value)[:6])
        return f"a dict of {shortened(keys, 100)}" if keys else "an empty dict"
    if isinstance(value, (list, tuple, set)):
        return f"a {type(value).__name__} of {len(value):,}"
    return type(value).__name__


def shown(value: Any) -> str:
    """A plain value as Python writes it, cut; of others what they are."""
    value = plain(value)
    value = (
        value.item() if isinstance(value, np.generic) or (isinstance(value, np.ndarray) and value.size == 1) else value
    )
    if isinstance(value, (str, bytes)):
        return shortened(repr(value[:60]), 60)
    if isinstance(value, int) and value.bit_length() > 99:
        return f"a whole number of {value.bit_length():,} bits"
    return repr(value) if value is None or isinstance(value, (int, float)) else kind_of(value)
