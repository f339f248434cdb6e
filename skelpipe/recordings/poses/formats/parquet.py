"""Parquet tables."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

from skelpipe.errors import BadInput
from skelpipe.layouts.base import Layout
from skelpipe.recordings.poses.base import AGAIN, Format, Opened, Poses
from skelpipe.recordings.poses.columns import clips_of

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
    return clips_of(read_parquet(opened.data, opened.where), layout, opened.where)


PARQUET = Format("Parquet table", _is_parquet, _read, (".parquet",), labelled=True)
