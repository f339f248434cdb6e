"""Numbers in lines without a header: a joint a line, as MSR-Action3D has them, or a frame a line."""

from __future__ import annotations

import io
import re
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from skelpipe.errors import BadInput
from skelpipe.layouts.base import Layout
from skelpipe.recordings.poses.base import AGAIN, Format, Opened, Poses, from_bodies, from_rows, misfit
from skelpipe.recordings.poses.formats.table import with_commas
from skelpipe.recordings.poses.shapes import bodies_of

# Nothing is given back (++): a long line that ends in a word would be tried in all ways.
NUMBER = r"[-+]?+(?:\d++\.?+\d*+|\.\d++)(?:[eE][-+]?+\d++)?+|[-+]?+(?:nan|inf(?:inity)?+)"
LINE = re.compile(rf"^\s*+(?:{NUMBER})(?=[^\S \t]*+[,;\t ])(?:[,;\s]++(?:{NUMBER}))*+[,;\s]*+$", re.IGNORECASE)
JOINT = (2, 3, 4)  # numbers of a line that is a joint


def _is_text(opened: Opened) -> bool:
    lines = [line for line in opened.begins.split("\n") if not line.startswith("#")]
    whole = [line for line in (lines if len(opened.head) < 4096 else lines[:-1] or lines)[:5] if line.strip()]
    return bool(whole) and all(LINE.match(line) for line in whole)


class Style(NamedTuple):
    """How numbers are written: what stands between them, None for blanks; and whether commas are decimal points."""

    apart: str | None
    commas: bool


def style_of(first: str, text: str) -> Style:
    """How the numbers of a text are written, of which `first` is the first line of numbers."""
    commas = any(mark in first for mark in ";\t") and with_commas(text)
    return Style(next((mark for mark in (";\t" if commas else ",;\t") if mark in first), None), commas)


def matrix(text: str, style: Style, where: str) -> npt.NDArray[np.float64]:
    """The numbers (lines, numbers of a line).

    Raises:
        BadInput: a line has another count, or something else than numbers.
    """
    import pandas as pd

    options: dict[str, Any] = {"sep": style.apart, "skipinitialspace": True} if style.apart else {"sep": r"\s+"}
    options |= {"decimal": ","} if style.commas else {}
    try:
        frame = pd.read_csv(io.StringIO(text), header=None, comment="#", dtype=np.float64, **options)
    except (ValueError, OverflowError, pd.errors.ParserError) as error:
        what = f"is no table of numbers ({' '.join(str(error).split())[:200]})"
        raise BadInput(where, what, AGAIN) from None
    found: npt.NDArray[np.float64] = frame.to_numpy(np.float64)
    return found


def _read(opened: Opened, layout: Layout) -> list[Poses]:
    text = opened.text
    first = next((line for line in text.split("\n") if line.strip() and not line.startswith("#")), "")
    found, joints = matrix(text, style_of(first, text), opened.where), len(layout.joints)
    if found.shape[1] > 1 and np.isnan(found[:, -1]).all():  # a comma at the end of each line
        found = found[:, :-1]
    lines, width = found.shape
    if width in JOINT:
        if lines % joints:
            what = f"has {lines:,} lines of a joint each, no multiple of {joints}"
            raise misfit(opened.where, what, layout, None)
        x, told = bodies_of(found.reshape(-1, joints, width), layout, opened.where)
        return [from_bodies(x, told=told)]
    if may_be_numbered(width, layout) and are_frames(found[:, 0]):
        points = found[:, 1:].reshape(lines, joints, -1)
        return [from_rows(opened.where, found[:, 0].astype(np.int64), np.zeros(lines, np.int64), points)]
    x, told = bodies_of(found, layout, opened.where)
    return [from_bodies(x, told=told)]


def may_be_numbered(width: int, layout: Layout) -> bool:
    """Whether lines of so many numbers may begin with that of their frame."""
    counts = [len(layout.joints) * channels for channels in (layout.coordinates, layout.coordinates + 1)]
    return width - 1 in counts and width not in counts


def are_frames(values: npt.NDArray[np.float64]) -> bool:
    """Whether a column holds frame numbers."""
    return bool(np.isfinite(values).all() and (values == np.round(values)).all() and (np.abs(values) < 2**53).all())


TEXT = Format("numbers in lines", _is_text, _read, (".txt",))
