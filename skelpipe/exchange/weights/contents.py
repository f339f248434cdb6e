"""Weights in the form that SkeletonCLR, CrosSCLR, AimCLR and the released CrosNNCLR save, read and written.

Their files are bare state dicts: `encoder_q.*`, `encoder_k.*`, `queue` (D, K) and `queue_ptr` (1,), in CrosSCLR again
with the suffixes `_motion` and `_bone`; what a linear evaluation leaves is `encoder_q.*` alone, with a classifier. A
CrosSCLR file gives one run of all three streams, or one of any of them.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch

from skelpipe.errors import BadInput
from skelpipe.exchange.weights.families import Family, Part, State, beneath, find_family
from skelpipe.exchange.weights.graphs import FoundGraph, find_graph, same_graph
from skelpipe.exchange.weights.reading import ANOTHER, Read
from skelpipe.training.run_settings import ALL_STREAMS

GRAPH, COUNTER, IMPORTANCE = "A", "num_batches_tracked", "edge_importance."
STREAM_ENCODERS = {"joint": "", "motion": "_motion", "bone": "_bone"}
OWN_HEAD = {"0.weight", "0.bias", "2.weight", "2.bias"}  # beneath `fc.`
SHARED_HEAD = {"0.weight", "0.bias", *(f"2.{name}" for name in OWN_HEAD)}
BLOCK_PARTS = {  # ours -> theirs, within a block
    "spatial": "gcn",
    "spatial_norm": "tcn.0",
    "temporal": "tcn.2",
    "temporal_norm": "tcn.3",
    "residual": "residual",
}


@dataclass(frozen=True)
class Contents:
    """What is taken of a reference file.

    Attributes:
        family: what kind of file it is.
        title: the same in words.
        parts: by stream; one, or all that the recipe trains together.
        heads: "own" if every encoder ends in our projector's Linear, ReLU, Linear; "shared" if those of motion and bone
            end in a Linear, a ReLU and the joint one's; "" if they end in something else.
    """

    family: Family
    title: str
    parts: dict[str, Part]
    heads: Literal["own", "shared", ""]

    @property
    def first(self) -> Part:
        """The part that tells the sizes; the others must have the same."""
        return next(iter(self.parts.values()))

    @property
    def resumable(self) -> bool:
        """Whether all is there that pretraining goes on from."""
        whole = all(part.key and part.alike and part.queue is not None for part in self.parts.values())
        return bool(self.heads) and whole

    @property
    def classifiers(self) -> dict[str, State]:
        """The linear classifiers by stream, where all of them are there; else none."""
        found = {stream: part.classifier for stream, part in self.parts.items()}
        return found if all(found.values()) else {}

    @property
    def classes(self) -> int | None:
        """How many classes the classifiers know; None where there are none."""
        return len(self.first.classifier["weight"]) if self.classifiers else None


def reference_name(name: str) -> str:
    """The reference's name of a tensor of our `Network`: `encoder.blocks.4.temporal.bias` -> ….4.tcn.2.bias."""
    name = name.removeprefix("encoder.")
    if block := re.fullmatch(r"blocks\.(\d+)\.(\w+)\.(.+)", name):
        number, part, rest = block.groups()
        return f"st_gcn_networks.{number}.{BLOCK_PARTS[part]}.{rest}"
    return re.sub(r"^input_norm\.", "data_bn.", re.sub(r"^projector\.", "fc.", name))


def choose_contents(read: Read, wanted: tuple[str, ...], path: Path) -> Contents:
    """The parts of a file that belong to the wanted streams, and what kind of file it is.

    Raises:
        BadInput: it holds no query encoder, or not all of those streams, or their graphs differ.
    """
    state = read.state
    there = tuple(name for name, suffix in STREAM_ENCODERS.items() if beneath(state, f"encoder_q{suffix}."))
    if not there:
        some = ", ".join(list(state)[:3])
        raise BadInput(path, f"holds no encoder_q.*, but {some}", ANOTHER)
    several = there != ("joint",)
    if len(wanted) > 1 and (missing := [name for name in wanted if name not in there]):
        what = f"{path} holds {', '.join(there) if several else 'one encoder'} and lacks {', '.join(missing)}"
        raise BadInput(f"--stream {ALL_STREAMS}", what, "import one stream, with a recipe that trains one")
    if several and not set(wanted) <= set(there):
        raise BadInput(f"--stream {wanted[0]}", f"{path} holds {', '.join(there)}", "choose one of them")
    parts = {name: take_part(read, STREAM_ENCODERS[name] if several else "", there, path) for name in wanted}
    first = next(iter(parts.values()))
    if others := [part.suffix for part in parts.values() if part.graph != first.graph]:
        what = f"holds another graph for encoder_q{others[0]} than for encoder_q{first.suffix}"
        raise BadInput(path, what, "import one stream, with a recipe that trains one")
    heads, family = find_heads(parts), find_family(first)
    title = family.title(first)
    if several:
        title += f", {', '.join(there)}" if len(wanted) > 1 else f", {wanted[0]} of {', '.join(there)}"
    if len(wanted) > 1 and heads:
        title += f", heads {'shared' if heads == 'shared' else 'of their own'}"
    return Contents(family, title, parts, heads)


def find_unread(state: State) -> tuple[str, ...]:
    """The first parts of the names of tensors that belong to no stream."""
    suffixes = STREAM_ENCODERS.values()
    known = {f"{name}{suffix}" for suffix in suffixes for name in ("encoder_q", "encoder_k", "queue", "queue_ptr")}
    return tuple(dict.fromkeys(first for name in state if (first := name.partition(".")[0]) not in known))


def take_part(read: Read, suffix: str, there: tuple[str, ...], path: Path) -> Part:
    """The tensors of the stream whose names have this suffix; heads of 1×1 convolutions as matrices.

    Args:
        there: the streams of the file.

    Raises:
        BadInput: its pointer is not one number, or its graph is none of ours.
    """
    state = read.state
    pointer = state.get(f"queue_ptr{suffix}", torch.zeros(1))
    if pointer.numel() != 1:
        raise BadInput(path, f"queue_ptr{suffix} is not one number", ANOTHER)
    encoder, key = (beneath(state, f"encoder_{which}{suffix}.") for which in "qk")
    graph = graph_of(encoder, f"encoder_q{suffix}", path)
    alike = GRAPH not in key or same_graph(key[GRAPH], encoder[GRAPH])
    convolved = any(name.startswith("fc.") and is_pointwise(value) for name, value in encoder.items())
    return Part(
        prepared(encoder), prepared(key), state.get(f"queue{suffix}"), int(pointer), suffix,
        graph=graph, named=read.named, streams=there, convolved=convolved, alike=alike, unread=find_unread(state),
    )  # fmt: skip


def graph_of(encoder: State, name: str, path: Path) -> FoundGraph:
    """The graph of an encoder that is called `name` in the file."""
    norm = encoder.get("data_bn.weight")
    if norm is None:
        raise BadInput(path, f"{name}.data_bn.weight is missing", ANOTHER)
    return find_graph(encoder.get(GRAPH), norm.numel(), f"{name}.{GRAPH}", path)


def prepared(encoder: State) -> State:
    """An encoder with heads that are matrices, and with the edge importance 1 where it has learnt none."""
    flat = {n: v.flatten(1) if n.startswith("fc.") and is_pointwise(v) else v for n, v in encoder.items()}
    if GRAPH in encoder and not any(name.startswith(IMPORTANCE) for name in encoder):
        blocks = {name.split(".")[1] for name in encoder if name.startswith("st_gcn_networks.")}
        flat |= {f"{IMPORTANCE}{block}": torch.ones_like(encoder[GRAPH]) for block in blocks}
    return flat


def is_pointwise(weight: torch.Tensor) -> bool:
    """Whether these are the weights of a 1×1 convolution, (out, in, 1, 1)."""
    return weight.dim() == 4 and weight.shape[2:] == (1, 1)


def find_heads(parts: Mapping[str, Part]) -> Literal["own", "shared", ""]:
    """Which of the heads that we know the encoders end in; see `Contents`. Of several parts the first is the joint."""
    if all(beneath(part.encoder, "fc.").keys() == OWN_HEAD for part in parts.values()):
        return "own"
    joint, *others = parts.values()
    shared = [shares_head(other.encoder, joint.encoder) and shares_head(other.key, joint.key) for other in others]
    return "shared" if shared and all(shared) else ""


def shares_head(encoder: State, joint: State) -> bool:
    """Whether a head is a Linear, a ReLU and the joint head itself; the lack of both encoders is no objection."""
    head, whole = beneath(encoder, "fc."), beneath(joint, "fc.")
    if not encoder and not joint:
        return True
    # A head of the same form whose end is another one's is none that our method has.
    known = head.keys() == SHARED_HEAD and whole.keys() == OWN_HEAD
    return known and all(torch.equal(head[f"2.{name}"], value) for name, value in whole.items())


def check_encoder(data: Mapping[str, Any], where: str | Path) -> None:
    """Raise BadInput unless the recipe's encoder is the one that these files hold."""
    if data["encoder"]["name"] != "stgcn":
        raise BadInput(
            where, f"its encoder is {data['encoder']['name']}, these files hold stgcn", "choose another recipe"
        )
    if data.get("partner"):
        raise BadInput(where, "it trains two encoders, these files hold one", "choose another recipe")
