"""Data sets and their splits, by name; `known` lists the data sets, `splits` the benchmarks.

What is slow to load is imported inside functions, NumPy too: every command asks here for the names it can be given.
"""

from __future__ import annotations

from skelpipe.recordings.datasets.absent import divided
from skelpipe.recordings.datasets.base import Dataset
from skelpipe.recordings.datasets.known import DATASETS, dataset_attributes, dataset_of, find_dataset
from skelpipe.recordings.datasets.recording import Dropped, Recording
from skelpipe.recordings.datasets.splits import (
    SPLITS,
    Split,
    check_split,
    find_split,
    fitting_splits,
    has_names,
    pretrained_on,
    serves,
    share_names,
    split_attributes,
    split_masks,
    split_of,
)

__all__ = [
    "DATASETS",
    "SPLITS",
    "Dataset",
    "Dropped",
    "Recording",
    "Split",
    "check_split",
    "dataset_attributes",
    "dataset_of",
    "divided",
    "find_dataset",
    "find_split",
    "fitting_splits",
    "has_names",
    "pretrained_on",
    "serves",
    "share_names",
    "split_attributes",
    "split_masks",
    "split_of",
]
