"""Which of the things in a file is the state dict, and its tensors under the names of SkeletonCLR's public code."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from skelpipe.errors import BadInput, shortened
from skelpipe.exchange.weights.families import State, beneath, in_reference_names
from skelpipe.exchange.weights.foreign import name_network
from skelpipe.exchange.weights.opening import LeftOut, open_file

ANOTHER = (
    "give weights of an ST-GCN as SkeletonCLR, CrosSCLR, AimCLR, CrosNNCLR, HiCLR, ActCLR, SkeleMixCLR, PSTL, ST-GCN "
    "or PySKL save it"
)
WRAPPERS = {"module", "_orig_mod"}  # what DataParallel and torch.compile put into names, once or several times
FIRST = "st_gcn_networks.0.gcn.conv.weight"
ENCODER = re.compile(r"(?:^|\.)(encoder_[qk](?:_\w+)?)\.$")
DEEP, MOST_PARTS = 4, 16  # levels of mappings in a file, and entries of a list in it, that are looked at
ARRAYS = re.compile(r"(^|\.)(weight|bias)$|^queue(?!_ptr)")  # names of what has axes in every file
FLOATS = (torch.float64, torch.float32, torch.float16, torch.bfloat16)


@dataclass(frozen=True)
class Read:
    """What is read of a file.

    Attributes:
        state: tensors under the names of SkeletonCLR's code.
        named: the family whose names they had; "" if these.
        key: where they lay in the file; "" at its top.
        left_out: the kinds of objects beside tensors that were left out.
        others: the first parts of the names of tensors that lay beside them.
    """

    state: State
    named: str
    key: str = ""
    left_out: tuple[str, ...] = ()
    others: tuple[str, ...] = ()


def read_state(path: Path, key: str | None = None) -> Read:
    """Read the ST-GCN in a file without running anything that the file may hold.

    Args:
        key: which of several; where it lies in the file.

    Raises:
        BadInput: the file cannot be read, is damaged, is something else, or holds several and `key` does not say which.
    """
    opened = open_file(path)
    dicts = state_dicts(opened.value)
    found: dict[str, Read] = {}
    for place, state in dicts.items():
        plain = without_wrappers(state, path)
        renamed, family = in_reference_names(plain)
        for root, one in networks(renamed).items():
            full = ".".join(filter(None, (place, root)))
            beside = dict.fromkeys(
                name.partition(".")[0] for name in renamed if root and not name.startswith(f"{root}.")
            )
            found[full] = Read(one, family, full, opened.left_out, tuple(beside))
    if not found:
        raise no_network(path, opened.value, dicts)
    meant = found if key is None else {place: one for place, one in found.items() if place == key}
    meant = meant or {place: one for place, one in found.items() if place.startswith(f"{key}.")}
    if not meant:
        raise BadInput(f"--key {key}", f"{path} holds {named(found)}", "choose one of them, or leave it out")
    if len(meant) > 1:
        raise BadInput(
            path, f"holds several networks: {named(meant)}", f"choose one, as by --key {max(meant, key=len)}"
        )
    (chosen,) = meant.values()
    check_tensors(chosen.state, path)
    return chosen


def named(found: Mapping[str, Any]) -> str:
    """The places of networks in a file, in words."""
    return ", ".join(shortened(place, 60) if place else "one at the top" for place in found)


def state_dicts(value: Any) -> dict[str, State]:
    """All mappings of dotted names to tensors in a file, by where they lie; what is no tensor in them is left out."""
    found: dict[str, State] = {}
    seen, waiting = set(), [("", value, 0)]
    while waiting:
        place, inner, depth = waiting.pop(0)
        if not isinstance(inner, Mapping | list | tuple) or id(inner) in seen:
            continue
        seen.add(id(inner))
        if not isinstance(inner, Mapping):
            inner = {str(n): each for n, each in enumerate(inner[:MOST_PARTS])}
        tensors = {name: v.detach() for name, v in inner.items() if isinstance(name, str) and isinstance(v, Tensor)}
        if any("." in name for name in tensors):
            found[place] = tensors
        if depth < DEEP:
            further = [(name, v) for name, v in inner.items() if isinstance(name, str)]
            waiting += [(f"{place}.{name}" if place else name, v, depth + 1) for name, v in further]
    return found


def without_wrappers(state: State, path: Path) -> State:
    """The tensors by names without what wrapping a model has put into them.

    Raises:
        BadInput: two names become one.
    """
    plain = {".".join(part for part in name.split(".") if part not in WRAPPERS): v for name, v in state.items()}
    if len(plain) < len(state):
        what = "holds names that differ only in 'module.' or '_orig_mod.'"
        raise BadInput(path, what, "save the state dict of one model")
    return plain


def networks(state: State) -> dict[str, State]:
    """The ST-GCNs in a state dict, by what stands before `encoder_q.`, or before a bare encoder, which is given it."""
    roots = [name.removesuffix(FIRST) for name in state if name.endswith(FIRST)]
    known = {root: found for root in roots if (found := ENCODER.search(root))}
    if known:
        before = dict.fromkeys(root[: found.start(1)] for root, found in known.items())
        return {root.rstrip("."): beneath(state, root) for root in before}
    return {
        root.rstrip("."): {f"encoder_q.{name}": value for name, value in beneath(state, root).items()} for root in roots
    }


def no_network(path: Path, value: Any, dicts: Mapping[str, State]) -> BadInput:
    """What to say of a file without an ST-GCN."""
    for place, state in dicts.items():
        if network := name_network(state):
            where = f" (under {shortened(place, 60)})" if place else ""
            what = f"is a checkpoint of {network}{where}, and import-weights reads ST-GCN only"
            return BadInput(path, what, ANOTHER)
    if dicts:
        place, state = next(iter(dicts.items()))
        where = f" under {shortened(place, 60)}" if place else ""
        some = ", ".join(shortened(name, 60) for name in list(state)[:3])
        return BadInput(path, f"holds no ST-GCN (st_gcn_networks.*), but{where} {some}", ANOTHER)
    if isinstance(value, Mapping):
        inside = [f"{shortened(str(name), 40)} ({kind_of(v)})" for name, v in list(value.items())[:4]]
        what = f"holds no state dict (tensors by name), but {', '.join(inside) or 'nothing'}"
    else:
        what = f"holds no state dict (tensors by name), but a {kind_of(value)}"
    return BadInput(path, what, "save the model's state_dict()")


def kind_of(value: Any) -> str:
    """The kind of a value, in a word."""
    return shortened(value.NAMED, 60) if isinstance(value, LeftOut) else type(value).__name__


def check_tensors(state: State, path: Path) -> None:
    """Raise BadInput unless all weights are dense and finite numbers of a type that we compute with."""
    for name, value in state.items():
        if value.is_meta or value.layout != torch.strided or value.is_complex():
            raise BadInput(path, f"{shortened(name, 80)} is no dense tensor of real numbers", ANOTHER)
        if value.dim() == 0 and ARRAYS.search(name):
            raise BadInput(path, f"{shortened(name, 80)} is a single number, not an array", ANOTHER)
        if value.is_floating_point() and value.dtype not in FLOATS:
            raise BadInput(path, f"{shortened(name, 80)} is of type {value.dtype}", "save it in half precision or more")
        if not value.is_floating_point() and name.endswith((".weight", ".bias", "running_mean", "running_var")):
            raise BadInput(path, f"{shortened(name, 80)} is of type {value.dtype}, not a fraction", ANOTHER)
        if value.is_floating_point() and not bool(torch.isfinite(value).all()):
            what = f"{shortened(name, 80)} holds numbers that are not finite"
            raise BadInput(path, what, "fetch it again; if it stays so, that training diverged")
