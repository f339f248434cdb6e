"""Parquet tables."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

import numpy as np

from skelpipe.errors import BadInput
from skelpipe.layouts.base import Layout
from skelpipe.recordings.poses.base import AGAIN, Format, Opened, Poses
from skelpipe.recordings.poses.columns import clips_of, header_of
from skelpipe.recordings.poses.formats.frames import are_clips, clips_of_rows
from skelpipe.recordings.poses.people import People
from skelpipe.recordings.poses.words import POINTS, first_of, word

if TYPE_CHECKING:
    import pandas as pd

MAGIC = b"PAR1"
MOST_VALUES = 1 << 28


def _is_parquet(opened: Opened) -> bool:
    return opened.head.startswith(MAGIC)


def read_parquet(data: bytes, where: str) -> pd.DataFrame:
    """The table in the bytes of a Parquet file.

    Raises:
        BadInput: they are damaged, or announce more than any recording has.
    """
    import pyarrow.parquet as pq

    try:
        file = pq.ParquetFile(io.BytesIO(data))
        if file.metadata.num_rows * max(1, file.metadata.num_columns) > MOST_VALUES:
            raise BadInput(where, f"announces {file.metadata.num_rows:,} rows", "divide it")
        content = file.read()
        content.validate(full=True)  # of its texts, too
        table: pd.DataFrame = content.to_pandas()
    except BadInput:
        raise
    except Exception as error:  # Arrow raises what its codecs do
        raise BadInput(where, f"is damaged ({' '.join(str(error).split())[:200]})", AGAIN) from None
    return table.reset_index() if table.index.name else table


def _read(opened: Opened, layout: Layout) -> list[Poses]:
    table = read_parquet(opened.data, opened.where)
    nested = first_of({word(name): name for name in table.columns}, POINTS)
    if nested is None or header_of(list(map(str, table.columns))).has_poses or not len(table):
        return clips_of(table, layout, opened.where)
    rows = [{str(name): _plain(value) for name, value in row.items()} for row in table.to_dict("records")]
    if are_clips(rows):
        return clips_of_rows(rows, layout, opened.where)
    people = People(layout, opened.where)
    for n, row in enumerate(rows):
        people.add(row, n)
    return [people.made()]


def _plain(value: Any) -> Any:
    """Arrays in a cell as lists."""
    if isinstance(value, (np.ndarray, list, tuple)):
        return [_plain(each) for each in value]
    return value.item() if isinstance(value, np.generic) else value


PARQUET = Format("Parquet table", _is_parquet, _read, (".parquet",), labelled=True)
