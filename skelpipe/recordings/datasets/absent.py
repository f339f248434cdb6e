"""What to say of a part of a split that has no clips here: which there are, and whose it asks for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from skelpipe.errors import BadInput
from skelpipe.recordings.datasets.base import Dataset
from skelpipe.recordings.datasets.known import find_dataset
from skelpipe.recordings.datasets.rules import MARK, Columns, Mask, Value, dividing, spans, values_of
from skelpipe.recordings.datasets.splits import RECORDED, Split, find_split, split_masks
from skelpipe.recordings.datasets.stated import ALL

PARTS = {"training": "trains on", "test": "tests"}


def divided(
    split: str | Split,
    dataset: str | Dataset,
    columns: Columns,
    split_files: Mapping[str, Any] | None = None,
    needed: Sequence[str] = ("training",),
) -> tuple[Mask, Mask]:
    """The masks of `split_masks`, where the parts that are needed, "training" or "test", have clips.

    Raises:
        BadInput: one has none; it says which clips there are.
    """
    masks = split_masks(split, dataset, columns, split_files)
    for part, mask in zip(PARTS, masks, strict=True):
        if part in needed and not mask.any():
            raise no_clips(part, split, dataset, columns, split_files)
    return masks


def no_clips(
    part: str,
    split: str | Split,
    dataset: str | Dataset,
    columns: Columns,
    split_files: Mapping[str, Any] | None = None,
) -> BadInput:
    """The error of a part, "training" or "test", that has no clips among these."""
    rule = find_split(split, dataset)
    where, what = f"split {rule.name}", f"has no {part} clips here"
    if not len(columns["name"]):
        return BadInput(where, f"{what}: there are none at all", "take other clips")
    own = find_dataset(dataset)
    if rule.name.endswith(f"{MARK}{ALL}"):
        return BadInput(where, what, "choose a split of two parts, such as subject:1-20")
    if rule.column is None or RECORDED + rule.name in columns:
        return BadInput(where, what, "ingest the recordings of the other part too, or import their file")
    here = values_of(own, rule.column, columns)
    if not rule.among(columns).any():
        what = f"is not about any of the {len(here):,} clips here, which are of other setups or classes than its own"
        return BadInput(where, what, f"state a split of your own, such as {rule.column}:{here.min()}")
    if rule.name in (split_files or {}):
        return BadInput(where, f"{what}: no video here is on that side of its list", "ingest those videos too")
    there = f"only {_named(rule.column, here.tolist())}"
    wanted = _asked(part, rule, dividing(own)[rule.column])
    asked = f"it {PARTS[part]} {_named(rule.column, wanted)}: " if wanted else ""
    return BadInput(where, f"{what}: {there}", f"{asked}ingest those recordings too, or choose another split")


def _named(column: str, values: Sequence[Value]) -> str:
    """ "camera 1", "subjects 1-3, 7"."""
    return f"{column}{'s' if len({*values}) > 1 else ''} {spans(values, ', ')}"


def _asked(part: str, rule: Split, known: Any) -> list[Value]:
    """Which of the values that a data set has make that part."""
    import numpy as np

    if rule.column in ("video", "performer", "scene"):  # numbers in names, which the rule takes apart itself
        return []
    column = {str(rule.column): np.array([*known], np.int64)}
    train = rule.train(column)
    mask = train if part == "training" else ~train if rule.test is None else rule.test(column)
    return [int(value) for value in column[str(rule.column)][mask]]
