"""CSV with a header, comma, semicolon, tab or blank between columns."""

from __future__ import annotations

import csv
import io
import re
import warnings
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from skelpipe.errors import BadInput
from skelpipe.layouts.base import Layout
from skelpipe.recordings.poses.base import AGAIN, Format, Opened, Poses
from skelpipe.recordings.poses.columns import clips_of, header_of

if TYPE_CHECKING:
    import pandas as pd

COMMA, POINT = (
    re.compile(rf"(?:^|[;\t])[ \r]*+-?\d++{mark}\d++(?:[eE][-+]?\d++)?+[ \r]*+(?:[;\t]|$)", re.MULTILINE)
    for mark in (",", r"\.")
)

COMMAS = "commas in numbers were taken for decimal points"


def separator_of(line: str) -> str | None:
    """What stands between the columns of a header; None where there is but one."""
    counts = {mark: line.count(mark) for mark in ",;\t"}
    best = max(counts, key=counts.__getitem__)
    return best if counts[best] else None


def with_commas(text: str) -> bool:
    """Whether the numbers of a text have decimal commas, as of Excel in most of Europe, and none has a point."""
    return COMMA.search(text) is not None and POINT.search(text) is None


def _is_table(opened: Opened) -> bool:
    return is_heading(_header(opened))


def _header(opened: Opened) -> list[str]:
    begins = opened.begins
    line = begins.partition("\n")[0].strip()
    if "\n" not in begins and len(opened.head) == 4096:  # a header longer than what is looked at
        try:
            line = opened.text.partition("\n")[0].strip()
        except BadInput:
            return []
    mark = separator_of(line)
    return [] if mark is None or line[:1] in "[{<" else cells_of(line, mark)


def cells_of(line: str, mark: str) -> list[str]:
    """The cells of a line; none if it is none of a table."""
    try:
        return next(csv.reader([line], delimiter=mark), [])
    except csv.Error:
        return []


def is_heading(names: list[str]) -> bool:
    """Whether a table with such columns holds poses."""
    return bool(names) and (names[0] == "scorer" or header_of(names).has_poses)


def read_csv(text: str, where: str, as_text: bool = False) -> pd.DataFrame:
    """A table of text as it is written; `as_text` leaves values as they are spelt, so that 01 stays 01.

    Raises:
        BadInput: it is none.
    """
    import pandas as pd

    line = next((line for line in text.split("\n") if line.strip()), "")
    mark = separator_of(line) or ","
    options: dict[str, Any] = {"dtype": str, "keep_default_na": False} if as_text else {"low_memory": False}
    if not as_text and mark != "," and with_commas(text):
        options["decimal"] = ","
    options |= {"sep": mark, "skipinitialspace": True, "index_col": False}
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", pd.errors.ParserWarning)  # a line with more cells than the header
            table: pd.DataFrame = pd.read_csv(io.StringIO(text), **options)
    except (ValueError, OverflowError, pd.errors.ParserError, pd.errors.ParserWarning) as error:
        raise BadInput(where, f"is no table ({' '.join(str(error).split())[:200]})", AGAIN) from None
    return table


def one_header(text: str, where: str) -> str:
    """DeepLabCut's table with its header of several lines in one: joints and axes under one another."""
    lines = text.split("\n", 3)
    if not text.startswith("scorer,") or len(lines) < 4:
        return text
    joints, axes = (line.strip().split(",") for line in lines[1:3])
    if joints[0] != "bodyparts" or axes[0] != "coords" or len(joints) != len(axes):
        raise BadInput(where, "has a header of DeepLabCut's for several animals", "write a table for each")
    return (
        ",".join(["frame", *(f"{joint}_{axis}" for joint, axis in zip(joints[1:], axes[1:], strict=True))])
        + "\n"
        + lines[3]
    )


def _read(opened: Opened, layout: Layout) -> list[Poses]:
    text = one_header(opened.text, opened.where)
    clips = clips_of(read_csv(text, opened.where), layout, opened.where)
    if not with_commas(text):
        return clips
    return [replace(clip, told=(*clip.told, COMMAS)) for clip in clips]


TABLE = Format("table of text (CSV)", _is_table, _read, (".csv", ".tsv"), labelled=True)
