"""Weights in the form that SkeletonCLR, CrosSCLR, AimCLR and the released CrosNNCLR save, read and written.

Their files are bare state dicts: `encoder_q.*`, `encoder_k.*`, `queue` (D, K) and `queue_ptr` (1,), in CrosSCLR again
with the suffixes `_motion` and `_bone`; what a linear evaluation leaves is `encoder_q.*` alone, with a classifier. A
CrosSCLR file gives one run of all three streams, or one of any of them.
"""

from __future__ import annotations

import hashlib
import io
import json
import logging
import re
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn

from skelpipe import __version__
from skelpipe import settings as checking
from skelpipe.datasets import find_split, split_masks
from skelpipe.disk import unwritable, write_bytes, write_json
from skelpipe.encoders.graph import spatial_partitions
from skelpipe.errors import BadInput
from skelpipe.methods.crossclr import CrosSCLR
from skelpipe.methods.moco import MoCo, Network
from skelpipe.methods.skeletonclr import SkeletonCLR
from skelpipe.outputs import clock, command, new_folder, read_digest, require, write_beside
from skelpipe.pretrain import (
    ALL_STREAMS,
    CHECKPOINT,
    RECIPE,
    SETTINGS,
    WEIGHTS,
    Position,
    build_sgd,
    check_recipe_stream,
    run_settings,
    save_checkpoint,
    save_weights,
    set_determinism,
)
from skelpipe.recipe import Recipe
from skelpipe.saved import read_saved
from skelpipe.skeleton import LAYOUTS, Layout
from skelpipe.store import Clips
from skelpipe.sums import check_files

State = dict[str, Tensor]
log = logging.getLogger(__name__)

IMPORTED = "imported.json"
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


@dataclass(frozen=True)
class Imported:
    """What `import_weights` found and made of it: in words, whether it evaluates now, and whether it can go on."""

    family: str
    shape: str
    epoch: int
    epochs: int
    finished: bool
    resumable: bool


def import_weights(
    file: str | Path,
    run: str | Path,
    recipe: Recipe,
    *,
    stream: str,
    split: str,
    dataset: str | None = None,
    clips: str | Path | None = None,
    epoch: int = 300,
    epochs: int | None = None,
    frames: int = 50,
    seed: int = 0,
    force: bool = False,
) -> Imported:
    """Make a RUN of a reference file; the recipe's sizes are replaced by those of the file.

    With `clips`, RUN is what `pretrain` would have left after `epoch` epochs of the recipe on them, so that the same
    pretraining goes on from there. The files hold no optimiser: its momentum starts anew.

    Args:
        file: a state dict, saved by torch.
        stream: what the encoder was trained on; chooses the encoder in a file of several. "3s" takes all, for a recipe
            that trains them together.
        split: key of `datasets.SPLITS`, whose training clips it was trained on.
        dataset: key of `datasets.DATASETS`; by default that of the clips, or the split's own.
        epoch: how many epochs the weights have seen.
        epochs: how many pretraining shall have in all; by default the recipe's own with clips, else `epoch`.
        frames: T of the clips that the encoder is for, where `clips` does not say it.

    Raises:
        BadInput: the file is not of this form, or does not fit what was said of it.
    """
    check_method(recipe, stream)
    path = Path(file)
    found = choose_contents(read_state(path), recipe.streams or (stream,), path)
    layout, *_ = [find_layout(part, path) for part in found.parts.values()]
    recipe = fit_recipe(recipe, found, path)
    total = epoch if clips is None else recipe.epochs if epochs is None else epochs
    if clips is None and epochs not in (None, epoch):
        raise BadInput("--epochs", "training goes on only on clips", "give them with --clips")
    if total < epoch:
        raise BadInput(f"--epoch {epoch}", f"is past the end of {total} epochs", f"pass --epochs {epoch} or more")
    if clips is not None and not found.resumable:
        what = "holds no key encoder, queue and head of ours, so it cannot be trained on"
        raise BadInput(path, f"({found.family}) {what}", "leave out --clips to evaluate it")
    recipe = recipe.model_copy(update={"epochs": total})
    settings = imported_settings(recipe, stream, split, dataset, clips, layout, frames, seed)
    set_determinism(seed)
    method = recipe.build_method(layout, find_split(split).classes)
    fill(method, found, path)
    done = Imported(found.family, in_words(recipe, found, layout), epoch, total, total == epoch, found.resumable)
    inputs = {"weights": path} if clips is None else {"weights": path, "clips": Path(clips)}
    origin = {"file": path.name, "sha256": hashlib.sha256(path.read_bytes()).hexdigest(), "epoch": epoch}
    log.info("%s: %s; %s", path, done.family, done.shape)
    session = {
        "command": command(),
        "skelpipe": __version__,
        "ended": clock(),
        "state": "imported",
        "epochs_done": epoch,
    }
    # One that is not finished is sealed by the pretraining that goes on from here.
    with new_folder(
        run, "run", force=force, inputs=inputs, settings=settings, more={"sessions": [session]}, sealed=done.finished
    ) as folder:
        write_bytes(folder / RECIPE, recipe.dump().encode())
        write_json(folder / SETTINGS, settings)
        write_json(folder / IMPORTED, {**origin, "family": done.family, "shape": done.shape})
        if found.resumable:
            write_checkpoint(folder / CHECKPOINT, recipe, method, epoch)
        if done.finished:
            save_weights(folder / WEIGHTS, method)
    return done


def export_weights(run: str | Path, file: str | Path, *, encoder_only: bool = False, force: bool = False) -> int:
    """Write a RUN in the reference's form; returns the number of tensors.

    Args:
        encoder_only: only the query encoder without its head, as linear evaluation needs it; else all of the last
            checkpoint but the optimiser.

    Raises:
        BadInput: RUN has no such weights, or `file` exists and `force` is not set.
    """
    run, file = Path(run), Path(file)
    if file.is_dir() or (file.exists() and not force):
        raise BadInput(file, "already exists", "choose another path, or pass --force to replace it")
    wanted = (RECIPE, SETTINGS, WEIGHTS if encoder_only else CHECKPOINT)
    check_files(run, lambda name: name in wanted, "train this run again")
    recipe = checking.check(Recipe, checking.load_yaml(run / RECIPE), run / RECIPE)
    check_encoder(recipe.model_dump(mode="json"), run / RECIPE)
    try:
        layout = LAYOUTS[json.loads((run / SETTINGS).read_text())["layout"]]
    except (OSError, ValueError, KeyError) as error:
        raise BadInput(run / SETTINGS, f"cannot be read ({error})", "train this run again") from None
    state = (query_encoder if encoder_only else whole_state)(run, layout, recipe.streams)
    buffer = io.BytesIO()
    torch.save(state, buffer)
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        # The public code takes every name in the file for a tensor.
        write_beside(file, buffer.getvalue(), "weights", {"run": run}, {"encoder_only": encoder_only})
    except OSError as error:
        raise unwritable(file, error) from None
    return len(state)


# Their names ------------------------------------------------------------------------------------------------------


def reference_name(name: str) -> str:
    """The reference's name of a tensor of our `Network`: `encoder.blocks.4.temporal.bias` -> ….4.tcn.2.bias."""
    name = name.removeprefix("encoder.")
    if block := re.fullmatch(r"blocks\.(\d+)\.(\w+)\.(.+)", name):
        number, part, rest = block.groups()
        return f"st_gcn_networks.{number}.{BLOCK_PARTS[part]}.{rest}"
    return re.sub(r"^input_norm\.", "data_bn.", re.sub(r"^projector\.", "fc.", name))


def in_reference_form(state: Mapping[str, Tensor], prefix: str, layout: Layout) -> State:
    """A `Network`'s state under the reference's names, and the graph that they keep with it."""
    named = {f"{prefix}.{GRAPH}": torch.from_numpy(spatial_partitions(layout))}
    return named | {f"{prefix}.{reference_name(name)}": value.contiguous() for name, value in state.items()}


def beneath(state: Mapping[str, Tensor], prefix: str) -> State:
    """The tensors whose names begin with `prefix`, without it."""
    return {name.removeprefix(prefix): value for name, value in state.items() if name.startswith(prefix)}


# Reading ----------------------------------------------------------------------------------------------------------


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
        if re.search("unsupported (global|class)", str(error), re.IGNORECASE):
            raise BadInput(path, "holds more than tensors, and reading it would run code", ANOTHER) from None
        raise BadInput(path, "is damaged, or was not saved by torch", "fetch it again") from None
    if not isinstance(state, Mapping) or not all(isinstance(value, Tensor) for value in state.values()):
        raise BadInput(path, "is not a bare state dict (names and tensors)", ANOTHER)
    # A model saved from within DataParallel has this before its names.
    state = {str(name).removeprefix("module."): value for name, value in state.items()}
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


def find_family(part: Part, several: bool) -> str:
    """What kind of file a part is from, in words."""
    if part.key:
        return "pretraining by CrosSCLR" if several else "pretraining by SkeletonCLR, AimCLR or CrosNNCLR"
    if "fc.weight" in part.encoder:
        return f"linear evaluation, {len(part.encoder['fc.weight'])} classes"
    return "an encoder alone"


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


def check_method(recipe: Recipe, stream: str) -> None:
    """Raise BadInput unless the recipe's method has the networks that these files hold, for this stream."""
    if recipe.supervised:
        what = f"{recipe.name} has no key network and no queue, and these files come from methods that do"
        raise BadInput("--recipe", what, "choose skeletonclr, crosnnclr, aimclr, crosnnclr_star or crossclr")
    if stream == ALL_STREAMS and not recipe.streams:
        what = f"is all three, and {recipe.name} trains one stream a run"
        raise BadInput(f"--stream {stream}", what, "pass --recipe crossclr, or choose joint, motion or bone")
    check_recipe_stream(recipe, stream)


def check_encoder(data: Mapping[str, Any], where: str | Path) -> None:
    """Raise BadInput unless the recipe's encoder is the one that these files hold."""
    if data["encoder"]["name"] != "stgcn":
        raise BadInput(
            where, f"its encoder is {data['encoder']['name']}, these files hold stgcn", "choose another recipe"
        )


def fit_recipe(recipe: Recipe, found: Contents, path: Path) -> Recipe:
    """The recipe with the sizes that the file's tensors have.

    Raises:
        BadInput: the tensors that tell the sizes are missing or have another rank.
    """
    data = recipe.model_dump(mode="json")
    check_encoder(data, f"recipe {recipe.name}")
    encoder = found.first.encoder
    first = sized(encoder, "st_gcn_networks.0.tcn.2.weight", 4, path)
    last = sized(encoder, "st_gcn_networks.9.tcn.2.weight", 4, path)
    data["encoder"] |= {"width": first[0], "features": last[0], "time_kernel": first[2]}
    if found.heads:
        hidden = sized(encoder, "fc.0.weight", 2, path)[0]
        if hidden != (data["projector"]["hidden"] or last[0]):
            data["projector"]["hidden"] = hidden
        data["projector"]["size"] = sized(encoder, "fc.2.weight", 2, path)[0]
        if recipe.streams:
            data["method"]["heads"] = found.heads
    if found.resumable:
        data["method"]["queue_size"] = sized({"queue": found.first.queue}, "queue", 2, path)[1]
    return checking.check(Recipe, data, path)


def sized(state: Mapping[str, Tensor | None], name: str, rank: int, path: Path) -> tuple[int, ...]:
    """The shape of a tensor that must be there with so many axes."""
    value = state.get(name)
    if value is None or value.dim() != rank or value.numel() == 0:
        what = "is missing" if value is None else f"has the shape {tuple(value.shape)}"
        raise BadInput(path, f"{name} {what}", ANOTHER)
    return tuple(value.shape)


def mocos(method: nn.Module, stream: str) -> dict[str, MoCo]:
    """The networks and the queue of each stream that a method trains; `stream` names that of a method of one."""
    if isinstance(method, CrosSCLR):
        return {each: method.moco(each) for each in method.STREAMS}
    assert isinstance(method, SkeletonCLR)
    return {stream: method.moco}


def fill(method: nn.Module, found: Contents, path: Path) -> None:
    """Put the file's tensors into a method of the fitting recipe.

    What the file lacks stays as initialised, in `evaluated` a head and in `moco` all that only training uses.

    Raises:
        BadInput: a tensor is missing, too many or of another shape.
    """
    for stream, moco in mocos(method, next(iter(found.parts))).items():
        part = found.parts[stream]
        fill_network(moco.query, part.encoder, bool(found.heads), f"{path}, encoder_q{part.suffix}")
        if not found.resumable:
            continue
        fill_network(moco.key, part.key, True, f"{path}, encoder_k{part.suffix}")
        assert part.queue is not None
        if part.queue.shape != moco.queue.shape or not 0 <= part.pointer < moco.options.queue_size:
            what = f"queue{part.suffix} {tuple(part.queue.shape)} or its pointer {part.pointer} does not fit"
            raise BadInput(path, f"{what} embeddings and queue {tuple(moco.queue.shape)}", ANOTHER)
        moco.queue.copy_(part.queue)
        moco.pointer.fill_(part.pointer)


def fill_network(network: Network, theirs: State, pretext: bool, where: str) -> None:
    """Put an encoder of the reference, and its head if it is ours, into a network."""
    ours = network.state_dict()
    wanted = {reference_name(name): name for name in ours if pretext or not name.startswith("projector.")}
    left_over = {GRAPH} | {name for name in theirs if name.startswith("fc.") and not pretext}
    wrong = [f"{name} is missing" for name in wanted if name not in theirs and not name.endswith(COUNTER)]
    wrong += [f"{name} has no place" for name in theirs if name not in wanted and name not in left_over]
    for name in wanted.keys() & theirs.keys():
        given, place = theirs[name], ours[wanted[name]]
        if given.shape != place.shape:
            wrong.append(f"{name} has the shape {tuple(given.shape)}, not {tuple(place.shape)}")
    if wrong:
        more = f" and {len(wrong) - 3} more" if len(wrong) > 3 else ""
        raise BadInput(where, f"does not fit: {'; '.join(sorted(wrong)[:3])}{more}", ANOTHER)
    network.load_state_dict(ours | {wanted[name]: theirs[name] for name in wanted if name in theirs})


def in_words(recipe: Recipe, found: Contents, layout: Layout) -> str:
    """The sizes of what a file holds, and what it lacks."""
    parts = [f"width {recipe.encoder.width}", f"{recipe.encoder.features} features", f"{len(layout.joints)} joints"]
    parts += [f"embeddings of {recipe.projector.size}" if found.heads else "no pretext head of ours"]
    if found.first.queue is not None:
        parts.append(f"queue of {found.first.queue.shape[-1]:,}")
    return ", ".join(parts)


# A RUN ------------------------------------------------------------------------------------------------------------


def imported_settings(
    recipe: Recipe,
    stream: str,
    split: str,
    dataset: str | None,
    clips: str | Path | None,
    layout: Layout,
    frames: int,
    seed: int,
) -> dict[str, Any]:
    """The settings.json of an imported run; with clips the one that `pretrain` would write, which it compares.

    Raises:
        BadInput: data set, split, clips and layout do not fit each other.
    """
    digest, count, served = None, None, [known.name for known in find_split(split).datasets]
    if clips is not None:
        source = Clips(clips)
        if dataset not in (None, source.dataset):
            raise BadInput(source.path, f"is of data set {source.dataset}, not {dataset}", "leave out --dataset")
        if source.layout.name != layout.name:
            raise BadInput(source.path, f"has layout {source.layout.name}, the weights {layout.name}", "take others")
        train, _ = split_masks(split, source.dataset, source.columns, source.attributes.get("split_files"))
        dataset, frames = source.dataset, source.frames
        digest, count = read_digest(source.path), int(train.sum())
    dataset = dataset or served[0]
    if dataset not in served:
        raise BadInput(f"--dataset {dataset}", f"has no split {split}", f"{split} is of {', '.join(served)}")
    return run_settings(
        recipe,
        stream=stream,
        split=split,
        seed=seed,
        dataset=dataset,
        layout=layout.name,
        frames=frames,
        clips=count,
        clips_digest=digest,
    )


def write_checkpoint(path: Path, recipe: Recipe, method: nn.Module, epoch: int) -> None:
    """Write the state from which pretraining goes on after `epoch` epochs, with an optimiser that has no past."""
    at = Position()
    at.epoch = epoch + 1
    save_checkpoint(path, method, build_sgd(recipe.optimizer, method), at, torch.device("cpu"))


def query_encoder(run: Path, layout: Layout, streams: tuple[str, ...]) -> State:
    """A finished run's encoder, or those of all its streams, in the reference's form."""
    from safetensors.torch import load_file

    path = require(run, "run", "finish it with 'skelpipe pretrain'") / WEIGHTS
    try:
        state = load_file(path)
    except Exception as error:
        raise BadInput(path, f"cannot be loaded ({error})", "train this run again") from None
    named: State = {}
    for prefix, suffix in [(f"{each}.", STREAM_ENCODERS[each]) for each in streams] or [("", "")]:
        encoder = {name: value for name, value in beneath(state, prefix).items() if name.startswith("encoder.")}
        named |= in_reference_form(encoder, f"encoder_q{suffix}", layout)
    return named


def whole_state(run: Path, layout: Layout, streams: tuple[str, ...]) -> State:
    """Both networks, the queue and its pointer, of every stream, in the reference's form."""
    path = run / CHECKPOINT
    if not path.exists():
        raise BadInput(path, "does not exist", "pass --encoder-only to write the encoder alone")
    try:
        state: State = read_saved(path)["method"]
    except Exception as error:
        raise BadInput(path, f"cannot be loaded ({type(error).__name__})", "train this run again") from None
    named: State = {}
    for prefix, suffix in [(f"streams.{each}.", STREAM_ENCODERS[each]) for each in streams] or [("moco.", "")]:
        part = beneath(state, prefix)
        query, key = beneath(part, "query."), beneath(part, "key.")
        if not query or not key or "queue" not in part:
            raise BadInput(path, "does not hold one query and one key network", "pass --encoder-only")
        named |= in_reference_form(query, f"encoder_q{suffix}", layout)
        named |= in_reference_form(key, f"encoder_k{suffix}", layout)
        named |= {f"queue{suffix}": part["queue"], f"queue_ptr{suffix}": part["pointer"].reshape(1)}
    return named
