"""CSV with a header, comma, semicolon, tab or blank between columns."""

from __future__ import annotations

import csv
import io
from typing import TYPE_CHECKING

from skelpipe.errors import BadInput
from skelpipe.layouts.base import Layout
from skelpipe.recordings.poses.base import AGAIN, Format, Opened, Poses
from skelpipe.recordings.poses.columns import clips_of, header_of

if TYPE_CHECKING:
    import pandas as pd


def separator_of(line: str) -> str | None:
    """What stands between the columns of a header; None where there is but one."""
    counts = {mark: line.count(mark) for mark in ",;\t"}
    best = max(counts, key=counts.__getitem__)
    return best if counts[best] else None


def _is_table(opened: Opened) -> bool:
    return bool(names := _header(opened)) and header_of(names).has_poses


def _header(opened: Opened) -> list[str]:
    begins = opened.begins
    line = begins.partition("\n")[0].strip()
    if "\n" not in begins and len(opened.head) == 4096:  # a header longer than what is looked at
        try:
            line = opened.text.partition("\n")[0].strip()
        except BadInput:
            return []
    mark = separator_of(line)
    if mark is None or line[:1] in "[{<":
        return []
    return next(csv.reader([line], delimiter=mark), [])


def read_csv(text: str, where: str) -> pd.DataFrame:
    """A table of text as it is written.

    Raises:
        BadInput: it is none.
    """
    import pandas as pd

    line = next((line for line in text.split("\n") if line.strip()), "")
    mark = separator_of(line) or ","
    try:
        return pd.read_csv(io.StringIO(text), sep=mark, skipinitialspace=True, index_col=False, low_memory=False)
    except (ValueError, OverflowError, pd.errors.ParserError) as error:
        raise BadInput(where, f"is no table ({' '.join(str(error).split())[:200]})", AGAIN) from None


def _read(opened: Opened, layout: Layout) -> list[Poses]:
    table = read_csv(opened.text, opened.where)
    return clips_of(table, layout, opened.where)


TABLE = Format("table of text (CSV)", _is_table, _read, (".csv", ".tsv"), labelled=True)
