"""Kinds of files that hold the networks of the reference family. To add one: a `Family` here, and a line in FAMILIES.

A file is brought to the names of SkeletonCLR's public code first (`encoder_q.*`, `encoder_k.*`, `queue`,
`queue_ptr`); what it then holds of one stream is a `Part`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from skelpipe.exchange.weights.graphs import FoundGraph

State = dict[str, Tensor]
PYSKL_PARTS = {  # theirs -> the reference's, within a block
    "gcn.conv": "gcn.conv",
    "gcn.bn": "tcn.0",
    "tcn.conv": "tcn.2",
    "tcn.bn": "tcn.3",
    "residual.conv": "residual.0",
    "residual.bn": "residual.1",
}


@dataclass(frozen=True)
class Part:
    """One stream's part of a reference file.

    Attributes:
        encoder: the query encoder under the reference's names, without prefix.
        key: the key encoder in the same way, empty if the file has none.
        queue: (D, K), or None.
        pointer: where the next keys go.
        suffix: what the names of this stream end in.
        graph: of the query encoder.
        named: the family whose names its tensors had, where they are not SkeletonCLR's.
        streams: all that the file holds.
        convolved: whether the layers of its heads were 1×1 convolutions, which are matrices here.
        alike: whether both encoders work on the same graph.
        unread: the first parts of the names of tensors that belong to no stream.
    """

    encoder: State
    key: State
    queue: Tensor | None
    pointer: int
    suffix: str
    graph: FoundGraph
    named: str = ""
    streams: tuple[str, ...] = ("joint",)
    convolved: bool = False
    alike: bool = True
    unread: tuple[str, ...] = ()

    @property
    def classifier(self) -> State:
        """`weight` (classes, H) and `bias` (classes,) of a linear classifier; empty if there is none."""
        found = {name: self.encoder.get(f"fc.{name}") for name in ("weight", "bias")}
        there = {name: value for name, value in found.items() if value is not None}
        return there if len(there) == len(found) else {}


@dataclass(frozen=True)
class Family:
    """A kind of file.

    Attributes:
        owns: a part of the file -> whether it is of this kind.
        title: the part -> what kind of file it is from, in words.
        rename: the names of its tensors -> those of SkeletonCLR's code, where they are others; None if the file is of
            another family. What stands before the names of a network stays.
        labelled: whether its encoder was trained with labels.
        clips: the preparation of its clips in space, where it is not today's usual one: what a recipe says of `clips`.
    """

    owns: Callable[[Part], bool]
    title: Callable[[Part], str]
    rename: Callable[[State], State | None] | None = None
    labelled: bool = False
    clips: Mapping[str, Any] = field(default_factory=dict)


def hiclr_names(state: State) -> State | None:
    """HiCLR's GCN numbers its edge importances without a list: edge_importance1 to 10."""
    pattern = re.compile(r"(^|\.)edge_importance(\d+)$")
    if not any(pattern.search(name) for name in state):
        return None
    return {pattern.sub(lambda m: f"{m[1]}edge_importance.{int(m[2]) - 1}", name): v for name, v in state.items()}


def stgcn_names(state: State) -> State | None:
    """ST-GCN's own classifier is the 1×1 convolution `fcn`."""
    pattern = re.compile(r"(^|\.)fcn\.(weight|bias)$")
    if not any(pattern.search(name) for name in state):
        return None
    return {pattern.sub(r"\1fc.\2", name): value for name, value in state.items()}


def pyskl_names(state: State) -> State | None:
    """PySKL's and MMAction2's STGCN in its plain form, where each block has the graph and its importance of its own.

    The others (a graph that is learnt, offsets, ST-GCN++'s branches and residuals) are other networks.
    """
    roots = [name.removesuffix("gcn.0.gcn.conv.weight") for name in state if name.endswith("gcn.0.gcn.conv.weight")]
    if len(roots) != 1 or f"{roots[0]}gcn.0.gcn.A" not in state:
        return None
    if not all(map(has_numbers, (v for name, v in state.items() if name.endswith(("gcn.A", "gcn.PA", ".weight"))))):
        return None
    (root,) = roots
    graph = state[f"{root}gcn.0.gcn.A"]
    named = {f"{root}A": graph}
    for name, value in state.items():
        block = re.fullmatch(r"gcn\.(\d+)\.(\w+\.\w+)(\..+)?", name.removeprefix(root))
        if block is None:
            head = re.fullmatch(r"cls_head\.(?:fc_cls|fc)\.(weight|bias)", name)
            named[f"{root}fc.{head[1]}" if head else name] = value
        elif block[2] == "gcn.A":
            if not torch.equal(value, graph):
                return None
        elif block[2] == "gcn.PA":
            if value.shape != graph.shape or not multiplied(value, graph):
                return None
            named[f"{root}edge_importance.{block[1]}"] = value
        elif block[2] in PYSKL_PARTS:
            named[f"{root}st_gcn_networks.{block[1]}.{PYSKL_PARTS[block[2]]}{block[3]}"] = value
        else:
            return None
    weight, norm = (named.get(f"{root}st_gcn_networks.0.{name}.weight") for name in ("gcn.conv", "tcn.0"))
    before = weight is not None and norm is not None and len(weight) == len(graph) * len(norm)
    return named if before else None  # else the convolution stands behind the graph


def has_numbers(value: Tensor) -> bool:
    """Whether a tensor has an axis, and numbers that can be looked at."""
    return value.dim() > 0 and not value.is_meta and value.layout == torch.strided


def multiplied(importance: Tensor, graph: Tensor) -> bool:
    """Whether PA multiplies a graph, rather than being added: where there is no edge, it then never learns anything."""
    idle = importance[graph == 0]
    return bool((idle == idle[0]).all()) if len(idle) else True


def pretext(part: Part) -> bool:
    return bool(part.key)


# The first that owns a part gives it its name.
FAMILIES: dict[str, Family] = {
    "pyskl": Family(
        lambda part: part.named == "pyskl" and bool(part.classifier),
        lambda part: f"ST-GCN of PySKL or MMAction2, trained with labels, {len(part.encoder['fc.weight'])} classes",
        rename=pyskl_names,
        labelled=True,
        # PreNormalize3D and PadTo
        clips={"preset": "isc", "steps": {"bodies": "denoise", "centre": "clip", "time": "pad"}},
    ),
    "stgcn": Family(
        lambda part: part.named == "stgcn" and bool(part.classifier),
        lambda part: f"ST-GCN, trained with labels, {len(part.encoder['fc.weight'])} classes",
        rename=stgcn_names,
        labelled=True,
        clips={"preset": "raw"},
    ),
    "crossclr": Family(lambda part: pretext(part) and "bone" in part.streams, lambda part: "pretraining by CrosSCLR"),
    "crosview": Family(  # whose key encoders work on graphs that lack some bones
        lambda part: pretext(part) and len(part.streams) > 1 and not part.alike,
        lambda part: "pretraining by CrosView_SGCLR",
    ),
    "two_streams": Family(
        lambda part: pretext(part) and len(part.streams) > 1,
        lambda part: "pretraining by CrosView_SGCLR, or by CrosSCLR on two streams",
    ),
    "crosscale": Family(
        lambda part: pretext(part) and "encoder_q_scale" in part.unread,
        lambda part: "pretraining by CrosScale_SGCLR, the encoder of all joints",
    ),
    "hiclr": Family(
        lambda part: pretext(part) and part.named == "hiclr",
        lambda part: "pretraining by HiCLR, or by SkeletonCLR in its repository",
        rename=hiclr_names,
    ),
    "actclr": Family(lambda part: pretext(part) and part.convolved, lambda part: "pretraining by ActCLR"),
    "skelemixclr": Family(
        lambda part: pretext(part) and part.graph.partition == "inward_outward",
        lambda part: "pretraining by SkeleMixCLR, or by SkeletonCLR in its repository",
    ),
    "skeletonclr": Family(pretext, lambda part: "pretraining by SkeletonCLR, AimCLR or CrosNNCLR"),
    "linear": Family(
        lambda part: "fc.weight" in part.encoder,
        lambda part: f"linear evaluation, {len(part.encoder['fc.weight'])} classes",
    ),
    "encoder": Family(lambda part: True, lambda part: "an encoder alone"),
}


def find_family(part: Part) -> Family:
    """What kind of file a part is from."""
    return next(family for family in FAMILIES.values() if family.owns(part))


def in_reference_names(state: State) -> tuple[State, str]:
    """The tensors of a file under the names of SkeletonCLR's code, and the family that knows its names.

    They stay as they are, and the family is "", if none does.
    """
    for name, family in FAMILIES.items():
        renamed = None if family.rename is None else family.rename(state)
        if renamed is not None:
            return renamed, name
    return state, ""


def beneath(state: Mapping[str, Tensor], prefix: str) -> State:
    """The tensors whose names begin with `prefix`, without it."""
    return {name.removeprefix(prefix): value for name, value in state.items() if name.startswith(prefix)}
