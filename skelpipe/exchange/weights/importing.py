"""A checkpoint from elsewhere becomes a run."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from skelpipe import __version__
from skelpipe import settings as checking
from skelpipe.errors import BadInput
from skelpipe.exchange.weights.contents import (
    ANOTHER,
    COUNTER,
    GRAPH,
    Contents,
    check_encoder,
    choose_contents,
    find_layout,
    read_state,
    reference_name,
)
from skelpipe.exchange.weights.families import State
from skelpipe.layouts.base import Layout
from skelpipe.methods.crossclr import CrosSCLR
from skelpipe.methods.moco import MoCo
from skelpipe.methods.network import Network
from skelpipe.methods.skeletonclr import SkeletonCLR
from skelpipe.outputs.digests import read_digest
from skelpipe.outputs.files import write_bytes, write_json
from skelpipe.outputs.folders import new_folder
from skelpipe.outputs.provenance import clock, command
from skelpipe.recordings.datasets import divided, find_split
from skelpipe.recordings.store import Clips
from skelpipe.training.checkpoint import Position, save_checkpoint, save_weights
from skelpipe.training.device import set_determinism
from skelpipe.training.folder import CHECKPOINT, RECIPE, SETTINGS, WEIGHTS
from skelpipe.training.held_out import split_rows
from skelpipe.training.preparation import preparation_of, usual_preparation
from skelpipe.training.recipe import Recipe
from skelpipe.training.run_settings import ALL_STREAMS, check_recipe_stream, run_settings
from skelpipe.training.trained_on import keep_trained_on

log = logging.getLogger(__name__)

IMPORTED = "imported.json"


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
        split: key of `datasets.SPLITS` or a rule as `datasets.stated` describes it, whose training clips it was
            trained on.
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
    total = total_epochs(recipe, found, path, clips, epoch, epochs)
    recipe = recipe.model_copy(update={"epochs": total, "iterations": None})
    settings = imported_settings(recipe, stream, split, dataset, clips, layout, frames, seed)
    set_determinism(seed)
    method = recipe.build_method(layout, find_split(settings["split"]).classes)
    fill(method, found, path)
    shape = in_words(recipe, found, layout)
    done = Imported(found.family, shape, epoch, total, total == epoch, found.resumable)
    log.info("%s: %s; %s", path, done.family, done.shape)
    inputs = {"weights": path} if clips is None else {"weights": path, "clips": Path(clips)}
    session = {"command": command(), "skelpipe": __version__, "ended": clock(), "state": "imported"}
    more = {"sessions": [{**session, "epochs_done": epoch}]}
    # One that is not finished is sealed by the pretraining that goes on from here.
    sealed = done.finished
    with new_folder(run, "run", force=force, inputs=inputs, settings=settings, more=more, sealed=sealed) as folder:
        write_json(folder / SETTINGS, settings)
        write_run(folder, recipe, method, path, done)
        if done.finished and clips is not None:  # else the training that goes on writes it
            keep_trained_on(folder, source := Clips(clips), [], training_rows(source, settings["split"]))
    return done


def write_run(folder: Path, recipe: Recipe, method: nn.Module, file: Path, done: Imported) -> None:
    """Write what `pretrain` would have left, as far as the file holds it, and where it is from."""
    origin = {"file": file.name, "sha256": hashlib.sha256(file.read_bytes()).hexdigest(), "epoch": done.epoch}
    write_bytes(folder / RECIPE, recipe.dump().encode())
    write_json(folder / IMPORTED, {**origin, "family": done.family, "shape": done.shape})
    if done.resumable:
        write_checkpoint(folder / CHECKPOINT, recipe, method, done.epoch)
    if done.finished:
        save_weights(folder / WEIGHTS, method)


def total_epochs(
    recipe: Recipe, found: Contents, path: Path, clips: str | Path | None, epoch: int, epochs: int | None
) -> int:
    """How many epochs the run is to have in all, or BadInput if the file cannot be trained on for so long."""
    total = epoch if clips is None else recipe.epochs if epochs is None else epochs
    if clips is None and epochs not in (None, epoch):
        raise BadInput("--epochs", "training goes on only on clips", "give them with --clips")
    if total < epoch:
        raise BadInput(f"--epoch {epoch}", f"is past the end of {total} epochs", f"pass --epochs {epoch} or more")
    if clips is not None and not found.resumable:
        what = "holds no key encoder, queue and head of ours, so it cannot be trained on"
        raise BadInput(path, f"({found.family}) {what}", "leave out --clips to evaluate it")
    return total


def check_method(recipe: Recipe, stream: str) -> None:
    """Raise BadInput unless the recipe's method has the networks that these files hold, for this stream."""
    if recipe.supervised:
        what = f"{recipe.name} has no key network and no queue, and these files come from methods that do"
        raise BadInput("--recipe", what, "choose skeletonclr, crosnnclr, aimclr, crosnnclr_star or crossclr")
    if stream == ALL_STREAMS and not recipe.streams:
        what = f"is all three, and {recipe.name} trains one stream a run"
        raise BadInput(f"--stream {stream}", what, "pass --recipe crossclr, or choose joint, motion or bone")
    check_recipe_stream(recipe, stream)


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
    frames: int | str,
    seed: int,
) -> dict[str, Any]:
    """The settings.json of an imported run; with clips the one that `pretrain` would write, which it compares.

    Raises:
        BadInput: data set, split, clips and layout do not fit each other.
    """
    digest, count, source = None, None, None if clips is None else Clips(clips)
    prepared = usual_preparation(frames)  # that of the code which all these files are from
    rule = find_split(split, dataset or (source.dataset if source else None))
    split, served = rule.name, [known.name for known in rule.datasets]
    if source is not None:
        if dataset not in (None, source.dataset):
            raise BadInput(source.path, f"is of data set {source.dataset}, not {dataset}", "leave out --dataset")
        if source.layout.name != layout.name:
            raise BadInput(source.path, f"has layout {source.layout.name}, the weights {layout.name}", "take others")
        dataset, frames, prepared = source.dataset, source.frames, preparation_of(source)
        digest, count = read_digest(source.path), len(split_rows(recipe, source, training_rows(source, split), seed)[0])
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
        prepared=prepared,
        assumed=clips is None,
    )


def training_rows(clips: Clips, split: str) -> npt.NDArray[np.int64]:
    """The rows of a split's training clips, of which there are some."""
    train, _ = divided(split, clips.dataset, clips.columns, clips.attributes.get("split_files"))
    return np.flatnonzero(train)


def write_checkpoint(path: Path, recipe: Recipe, method: nn.Module, epoch: int) -> None:
    """Write the state from which pretraining goes on after `epoch` epochs, with an optimiser that has no past."""
    at = Position()
    at.epoch = epoch + 1
    save_checkpoint(path, method, recipe.build_optimizer(method), at, torch.device("cpu"))
