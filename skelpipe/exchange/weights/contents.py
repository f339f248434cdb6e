"""Weights in the form that SkeletonCLR, CrosSCLR, AimCLR and the released CrosNNCLR save, read and written.

Their files are bare state dicts: `encoder_q.*`, `encoder_k.*`, `queue` (D, K) and `queue_ptr` (1,), in CrosSCLR again
with the suffixes `_motion` and `_bone`; what a linear evaluation leaves is `encoder_q.*` alone, with a classifier. A
CrosSCLR file gives one run of all three streams, or one of any of them.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from skelpipe.encoders.graph import spatial_partitions
from skelpipe.errors import BadInput, shortage
from skelpipe.exchange.weights.families import Part, State, beneath, find_family, in_reference_names
from skelpipe.layouts import LAYOUTS
from skelpipe.layouts.base import Layout
from skelpipe.training.run_settings import ALL_STREAMS
from skelpipe.training.torch_files import read_saved

GRAPH, COUNTER = "A", "num_batches_tracked"
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
ANOTHER = "give a state dict as SkeletonCLR, CrosSCLR, AimCLR or CrosNNCLR save it"


@dataclass(frozen=True)
class Contents:
    """What is taken of a reference file.

    Attributes:
        family: what kind of file it is, in words.
        parts: by stream; one, or all that the recipe trains together.
        heads: "own" if every encoder ends in our projector's Linear, ReLU, Linear; "shared" if those of motion and bone
            end in a Linear, a ReLU and the joint one's; "" if they end in something else.
    """

    family: str
    parts: dict[str, Part]
    heads: Literal["own", "shared", ""]

    @property
    def first(self) -> Part:
        """The part that tells the sizes; the others must have the same."""
        return next(iter(self.parts.values()))

    @property
    def resumable(self) -> bool:
        """Whether all is there that pretraining goes on from."""
        return bool(self.heads) and all(part.key and part.queue is not None for part in self.parts.values())


def reference_name(name: str) -> str:
    """The reference's name of a tensor of our `Network`: `encoder.blocks.4.temporal.bias` -> ….4.tcn.2.bias."""
    name = name.removeprefix("encoder.")
    if block := re.fullmatch(r"blocks\.(\d+)\.(\w+)\.(.+)", name):
        number, part, rest = block.groups()
        return f"st_gcn_networks.{number}.{BLOCK_PARTS[part]}.{rest}"
    return re.sub(r"^input_norm\.", "data_bn.", re.sub(r"^projector\.", "fc.", name))


def read_state(path: Path) -> State:
    """Read a state dict without running anything that the file may hold.

    Raises:
        BadInput: the file cannot be read, is damaged, or is something else.
    """
    try:
        with warnings.catch_warnings():  # about pickles that torch did not write, which are refused below anyway
            warnings.simplefilter("ignore")
            state = read_saved(path)
    except OSError as error:
        raise BadInput(path, f"cannot be read ({error.strerror or error})", "check the path") from None
    except Exception as error:  # torch tells of a damaged file in a dozen ways
        if shortage(error):
            raise
        if re.search("unsupported (global|class)", str(error), re.IGNORECASE):
            raise BadInput(path, "holds more than tensors, and reading it would run code", ANOTHER) from None
        raise BadInput(path, "is damaged, or was not saved by torch", "fetch it again") from None
    if not isinstance(state, Mapping) or not all(isinstance(value, Tensor) for value in state.values()):
        raise BadInput(path, "is not a bare state dict (names and tensors)", ANOTHER)
    # A model saved from within DataParallel has this before its names.
    state = in_reference_names({str(name).removeprefix("module."): value for name, value in state.items()})
    for name, value in state.items():
        if value.is_floating_point() and not bool(torch.isfinite(value).all()):
            raise BadInput(path, f"{name} holds numbers that are not finite", "fetch it again")
    return state


def choose_contents(state: State, wanted: tuple[str, ...], path: Path) -> Contents:
    """The parts of a file that belong to the wanted streams, and what kind of file it is.

    Raises:
        BadInput: it holds no query encoder, or not all of those streams.
    """
    there = tuple(name for name, suffix in STREAM_ENCODERS.items() if beneath(state, f"encoder_q{suffix}."))
    if not there:
        some = ", ".join(list(state)[:3]) or "nothing"
        raise BadInput(path, f"holds no encoder_q.*, but {some}", ANOTHER)
    several = there != ("joint",)
    if len(wanted) > 1 and (missing := [name for name in wanted if name not in there]):
        what = f"{path} holds {', '.join(there) if several else 'one encoder'} and lacks {', '.join(missing)}"
        raise BadInput(f"--stream {ALL_STREAMS}", what, "import one stream, with a recipe that trains one")
    if several and not set(wanted) <= set(there):
        raise BadInput(f"--stream {wanted[0]}", f"{path} holds {', '.join(there)}", "choose one of them")
    parts = {name: take_part(state, STREAM_ENCODERS[name] if several else "", path) for name in wanted}
    heads = find_heads(parts)
    family = find_family(next(iter(parts.values())), several)
    if several:
        family += f", {', '.join(there)}" if len(wanted) > 1 else f", {wanted[0]} of {', '.join(there)}"
    if len(wanted) > 1 and heads:
        family += f", heads {'shared' if heads == 'shared' else 'of their own'}"
    return Contents(family, parts, heads)


def take_part(state: State, suffix: str, path: Path) -> Part:
    """The tensors of the stream whose names have this suffix.

    Raises:
        BadInput: its pointer is not one number.
    """
    pointer = state.get(f"queue_ptr{suffix}", torch.zeros(1))
    if pointer.numel() != 1:
        raise BadInput(path, f"queue_ptr{suffix} is not one number", ANOTHER)
    encoder, key = beneath(state, f"encoder_q{suffix}."), beneath(state, f"encoder_k{suffix}.")
    return Part(encoder, key, state.get(f"queue{suffix}"), int(pointer), suffix)


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


def find_layout(part: Part, path: Path) -> Layout:
    """The joint layout whose graph an encoder carries.

    Raises:
        BadInput: it carries none, or one of another skeleton or partition.
    """
    name = f"encoder_q{part.suffix}.{GRAPH}"
    graph = part.encoder.get(GRAPH)
    if graph is None:
        raise BadInput(path, f"has no graph ({name})", ANOTHER)
    for layout in LAYOUTS.values():
        ours = spatial_partitions(layout)
        if tuple(graph.shape) == ours.shape and np.allclose(graph.double().numpy(), ours, rtol=0, atol=1e-6):
            return layout
    what = f"its graph ({name}, {'×'.join(map(str, graph.shape))}) is none that skelpipe knows"
    raise BadInput(path, what, f"use one of {', '.join(LAYOUTS)}")


def check_encoder(data: Mapping[str, Any], where: str | Path) -> None:
    """Raise BadInput unless the recipe's encoder is the one that these files hold."""
    if data["encoder"]["name"] != "stgcn":
        raise BadInput(
            where, f"its encoder is {data['encoder']['name']}, these files hold stgcn", "choose another recipe"
        )
