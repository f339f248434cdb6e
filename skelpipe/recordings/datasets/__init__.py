"""Data sets and their splits, by name. To add a data set: a subclass of `base.Dataset`, and a line in `DATASETS`.

What is slow to load is imported inside functions, NumPy too: every command asks here for the names it can be given.
"""

from __future__ import annotations

from skelpipe.errors import BadInput, suggest
from skelpipe.recordings.datasets.base import Dataset
from skelpipe.recordings.datasets.ntu import NTU60, NTU120
from skelpipe.recordings.datasets.pku import PKU1, PKU2
from skelpipe.recordings.datasets.recording import Dropped, Recording
from skelpipe.recordings.datasets.splits import (
    SPLITS,
    Split,
    find_split,
    fitting_splits,
    has_names,
    pretrained_on,
    share_names,
    split_masks,
)
from skelpipe.resources import Registry

DATASETS: Registry[Dataset] = Registry("datasets", {dataset.name: dataset for dataset in (NTU60, NTU120, PKU1, PKU2)})


def find_dataset(name: str) -> Dataset:
    """The data set of that name; BadInput names the nearest one."""
    if name in DATASETS:
        return DATASETS[name]
    raise BadInput(f"data set {name!r}", "is unknown", suggest(name, DATASETS))


def group_column(dataset: str) -> str:
    """The column that names the person or video of a clip, by which a validation part is held out."""
    return find_dataset(dataset).group


__all__ = [
    "DATASETS",
    "SPLITS",
    "Dataset",
    "Dropped",
    "Recording",
    "Split",
    "find_dataset",
    "find_split",
    "fitting_splits",
    "group_column",
    "has_names",
    "pretrained_on",
    "share_names",
    "split_masks",
]
