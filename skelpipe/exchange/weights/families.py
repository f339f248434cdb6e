"""Kinds of files that hold the networks of the reference family. To add one: a `Family` here, and a line in FAMILIES.

A file is brought to the names of SkeletonCLR's public code first (`encoder_q.*`, `encoder_k.*`, `queue`,
`queue_ptr`); what it then holds of one stream is a `Part`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from torch import Tensor

State = dict[str, Tensor]


@dataclass(frozen=True)
class Part:
    """One stream's part of a reference file.

    Attributes:
        encoder: the query encoder under the reference's names, without prefix.
        key: the key encoder in the same way, empty if the file has none.
        queue: (D, K), or None.
        pointer: where the next keys go.
        suffix: what the names of this stream end in.
    """

    encoder: State
    key: State
    queue: Tensor | None
    pointer: int
    suffix: str


@dataclass(frozen=True)
class Family:
    """A kind of file.

    Attributes:
        owns: (a part of the file, whether the file holds several streams) -> whether it is of this kind.
        title: the part -> what kind of file it is from, in words.
        rename: the names of its tensors -> those of SkeletonCLR's code, where they are others; None if the file is of
            another family.
    """

    owns: Callable[[Part, bool], bool]
    title: Callable[[Part], str]
    rename: Callable[[State], State | None] | None = None


# The first that owns a part gives it its name.
FAMILIES: dict[str, Family] = {
    "crossclr": Family(lambda part, several: bool(part.key) and several, lambda part: "pretraining by CrosSCLR"),
    "skeletonclr": Family(
        lambda part, several: bool(part.key), lambda part: "pretraining by SkeletonCLR, AimCLR or CrosNNCLR"
    ),
    "linear": Family(
        lambda part, several: "fc.weight" in part.encoder,
        lambda part: f"linear evaluation, {len(part.encoder['fc.weight'])} classes",
    ),
    "encoder": Family(lambda part, several: True, lambda part: "an encoder alone"),
}


def find_family(part: Part, several: bool) -> str:
    """What kind of file a part is from, in words."""
    return next(family.title(part) for family in FAMILIES.values() if family.owns(part, several))


def in_reference_names(state: State) -> State:
    """The tensors of a file under the names of SkeletonCLR's code, if a family knows its names; else as they are."""
    for family in FAMILIES.values():
        renamed = None if family.rename is None else family.rename(state)
        if renamed is not None:
            return renamed
    return state


def beneath(state: Mapping[str, Tensor], prefix: str) -> State:
    """The tensors whose names begin with `prefix`, without it."""
    return {name.removeprefix(prefix): value for name, value in state.items() if name.startswith(prefix)}
