"""How the splits divide the clips of a store: for training, for testing, and in neither part."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy.typing as npt

from skelpipe.errors import shortened
from skelpipe.recordings.datasets import fitting_splits, split_masks
from skelpipe.recordings.datasets.absent import divided
from skelpipe.recordings.datasets.base import Dataset
from skelpipe.recordings.datasets.rules import Mask
from skelpipe.recordings.datasets.splits import Split, find_split
from skelpipe.recordings.store import Clips

log = logging.getLogger(__name__)
LONGEST_NAME = 60


def divide(split: str | Split, clips: Clips, needed: Sequence[str] = ()) -> tuple[Mask, Mask]:
    """Masks of the training and the test clips of a folder, by the publisher's lists where it has them.

    Raises:
        BadInput: the split cannot divide these clips, or a part that is `needed`, "training" or "test", has none.
    """
    return divided(split, clips.about, clips.columns, clips.attributes.get("split_files"), needed)


def tell_list(split: Split, clips: Clips) -> None:
    """Say what is to be said of a split that goes by a list."""
    for line in split.listed.tell(clips.columns) if split.listed is not None else ():
        log.warning("%s", line)


def tell_divisions(
    dataset: Dataset, columns: Mapping[str, npt.NDArray[Any]], split_files: Mapping[str, Any] | None
) -> Iterator[str]:
    """A line for each split of the data set's own of which a part is empty, or that places not every clip.

    Args:
        dataset: whose clips they are.
        columns: the per-clip columns.
        split_files: as for `split_masks`.
    """
    names = columns["name"]
    for split in fitting_splits(dataset, columns):
        if (
            find_split(split, dataset).datasets[0].name != dataset.name
        ):  # of a smaller data set, which has not all clips anyway
            continue
        train, test = split_masks(split, dataset, columns, split_files)
        left = names[~(train | test)]
        listed = (split_files or {}).get(split)
        counts = f"{train.sum():,} train, {test.sum():,} test"
        told = f"{split}{'' if listed is None else ' (by the list)'}: {counts}"
        if len(left):
            told += f", {len(left):,} in neither part, as {shortened(str(left[0]), LONGEST_NAME)}"
        here = set(columns["video"].tolist()) if listed else set()
        absent = [video for side in ("train", "test") for video in (listed or {}).get(side, ()) if video not in here]
        if absent:
            many = "1 listed video has" if len(absent) == 1 else f"{len(absent):,} listed videos have"
            told += f"; {many} no clip here, as {absent[0]}"
        log.info("%s", told)
        if len(left) or absent or not train.any() or not test.any():
            yield told
