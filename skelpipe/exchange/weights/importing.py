"""A checkpoint from elsewhere becomes a run."""

from __future__ import annotations

import hashlib
import logging
import shlex
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from skelpipe import __version__
from skelpipe.errors import BadInput, shortened
from skelpipe.exchange.weights.contents import (
    COUNTER,
    GRAPH,
    STREAM_ENCODERS,
    Contents,
    choose_contents,
    reference_name,
)
from skelpipe.exchange.weights.families import State
from skelpipe.exchange.weights.fitting import (
    check_classes,
    check_stream,
    choose_frames,
    choose_recipe,
    fit_recipe,
    goes_on,
    total_epochs,
)
from skelpipe.exchange.weights.reading import ANOTHER, Read, read_state
from skelpipe.layouts.base import Layout
from skelpipe.methods.crossclr import CrosSCLR
from skelpipe.methods.moco import MoCo
from skelpipe.methods.network import Network
from skelpipe.methods.skeletonclr import SkeletonCLR
from skelpipe.methods.supervised import Supervised
from skelpipe.outputs.digests import read_digest
from skelpipe.outputs.files import write_bytes, write_json
from skelpipe.outputs.folders import new_folder
from skelpipe.outputs.provenance import clock, command
from skelpipe.recordings.datasets import Split, dataset_attributes, find_split, split_attributes, split_of
from skelpipe.recordings.divisions import divide
from skelpipe.recordings.store import Clips
from skelpipe.training.checkpoint import Position, save_checkpoint, save_weights
from skelpipe.training.classifier import write_classifiers
from skelpipe.training.clips_needed import find, stated
from skelpipe.training.device import set_determinism
from skelpipe.training.folder import CHECKPOINT, RECIPE, SETTINGS, WEIGHTS
from skelpipe.training.held_out import split_rows
from skelpipe.training.preparation import PREPARED, preparation_of, prepare_options, usual_preparation
from skelpipe.training.recipe import Recipe
from skelpipe.training.run_settings import ALL_STREAMS, run_settings
from skelpipe.training.trained_on import keep_trained_on

log = logging.getLogger(__name__)

IMPORTED = "imported.json"
Looked = tuple[Read, Contents, Recipe]


@dataclass(frozen=True)
class Imported:
    """What `import_weights` found and made of it.

    Attributes:
        family: what kind of file it is, in words.
        shape: the sizes of its networks, and what it lacks, in words.
        epoch, epochs: how many it has seen, and is to have in all.
        finished: whether the run can be evaluated now.
        resumable: whether training can go on from it.
        key: where in the file its networks lay; "" at the top.
        notes: what was left out, each in words.
        assumed: the options of `skelpipe prepare` that make clips as it was trained on, where that is not known but
            concluded from the kind of file.
    """

    family: str
    shape: str
    epoch: int
    epochs: int
    finished: bool
    resumable: bool
    key: str = ""
    notes: tuple[str, ...] = ()
    assumed: str = ""


def import_weights(
    file: str | Path,
    run: str | Path,
    recipe: Recipe | None = None,
    *,
    stream: str,
    split: str,
    dataset: str | None = None,
    clips: str | Path | None = None,
    epoch: int = 300,
    epochs: int | None = None,
    frames: int | None = None,
    key: str | None = None,
    seed: int = 0,
    force: bool = False,
    looked: Looked | None = None,
) -> Imported:
    """Make a RUN of a reference file; the recipe's sizes and graph are replaced by those of the file.

    With `clips`, RUN is what `pretrain` would have left after `epoch` epochs of the recipe on them, so that the same
    pretraining goes on from there, with fresh momentum. A classifier is kept, for the protocol supervised.

    Args:
        file: what torch or safetensors has saved, with a state dict in it.
        recipe: how it was trained; by default SkeletonCLR's, or that of ST-GCN with labels if the file was trained so.
        stream: what the encoder was trained on; chooses the encoder in a file of several. "3s" takes all, for a recipe
            that trains them together.
        split: as for `datasets.find_split`, whose training clips it was trained on.
        dataset: key of `datasets.DATASETS`; by default that of the clips, or the split's own.
        epoch: how many epochs the weights have seen.
        epochs: how many pretraining shall have in all; by default the recipe's own with clips, else `epoch`.
        frames: T of the encoder's clips, where `clips` does not say it; without labels by default the recipe's, or 50.
        key: which of several networks in the file; where it lies.
        looked: what `look_into` has given for these; the file is not read again.

    Raises:
        BadInput: the file is not of this form, or does not fit what was said of it.
    """
    path = Path(file)
    read, found, recipe = looked or look_into(path, recipe, stream, key, frames)
    frames = choose_frames(frames, recipe, found, clips)
    layout = found.first.graph.layout
    recipe = fit_recipe(recipe, found, path)
    total = total_epochs(recipe, found, path, clips, epoch, epochs)
    recipe = recipe.model_copy(update={"epochs": total, "iterations": None})
    settings = imported_settings(recipe, stream, split, dataset, clips, layout, frames, seed)
    classes = split_of(settings).classes
    check_classes(recipe, found, split, classes, path)
    set_determinism(seed)
    method = recipe.build_method(layout, classes)
    fill(method, found, path)
    shape, notes = in_words(recipe, found, classes), left_out(read, found, classes)
    how = "" if clips is not None else shlex.join(prepare_options({**settings[PREPARED], "frames": frames}))
    done = Imported(found.title, shape, epoch, total, total == epoch, goes_on(recipe, found), read.key, notes, how)
    log.info("%s: %s; %s", path, done.family, done.shape)
    classifiers = as_saved(found) if keeps_classifier(recipe, found, classes) else {}
    with run_folder(run, path, clips, settings, done, force) as folder:
        write_run(folder, recipe, method, path, done)
        write_classifiers(folder, classifiers)
    return done


def look_into(path: Path, recipe: Recipe | None, stream: str, key: str | None, frames: int | None) -> Looked:
    """What a file holds, what of it is meant, and the recipe that it is of."""
    if recipe is not None:
        check_stream(recipe, stream)
    read = read_state(path, key)
    wanted = recipe.streams if recipe else tuple(STREAM_ENCODERS) if stream == ALL_STREAMS else ()
    found = choose_contents(read, wanted or (stream,), path)
    return read, found, choose_recipe(recipe, found, stream, path, frames)


def keeps_classifier(recipe: Recipe, found: Contents, classes: int) -> bool:
    """Whether a run of a recipe that learns without labels takes a file's classifier along."""
    return not recipe.supervised and found.classes == classes


@contextmanager
def run_folder(
    run: str | Path, file: Path, clips: str | Path | None, settings: dict[str, Any], done: Imported, force: bool
) -> Iterator[Path]:
    """RUN in the making, with its settings; one that is not finished is sealed by the training that goes on from it."""
    inputs = {"weights": file} if clips is None else {"weights": file, "clips": Path(clips)}
    session = {"command": command(), "skelpipe": __version__, "ended": clock(), "state": "imported"}
    more = {"sessions": [{**session, "epochs_done": done.epoch}]}
    sealed = done.finished
    with new_folder(run, "run", force=force, inputs=inputs, settings=settings, more=more, sealed=sealed) as folder:
        write_json(folder / SETTINGS, settings)
        yield folder
        if done.finished and clips is not None:  # else the training that goes on writes it
            keep_trained_on(folder, source := Clips(clips), [], training_rows(source, split_of(settings)))


def write_run(folder: Path, recipe: Recipe, method: nn.Module, file: Path, done: Imported) -> None:
    """Write what `pretrain` would have left, as far as the file holds it, and where it is from."""
    origin = {"file": file.name, "sha256": hashlib.sha256(file.read_bytes()).hexdigest(), "epoch": done.epoch}
    what = {"family": done.family, "shape": done.shape, "key": done.key, "notes": list(done.notes)}
    write_bytes(folder / RECIPE, recipe.dump().encode())
    write_json(folder / IMPORTED, {**origin, **what})
    if done.resumable:
        write_checkpoint(folder / CHECKPOINT, recipe, method, done.epoch)
    if done.finished:
        save_weights(folder / WEIGHTS, method)


def as_saved(found: Contents) -> dict[str, State]:
    """The classifiers of a file in the shapes that they had there."""
    return {
        stream: {n: v[..., None, None] if part.convolved and n == "weight" else v for n, v in part.classifier.items()}
        for stream, part in found.parts.items()
    }


def left_out(read: Read, found: Contents, classes: int) -> tuple[str, ...]:
    """What a file holds and a run of it does not, each in words."""
    notes = []
    if found.classes not in (None, classes):
        notes.append(f"its classifier of {found.classes} classes, since the split has {classes}")
    if any(not part.alike for part in found.parts.values()):
        notes.append("its key encoder, whose graph is another than that of the query encoder")
    if others := (*read.others, *found.first.unread):
        notes.append(f"other tensors ({shortened(', '.join(others), 100)})")
    if read.left_out:
        notes.append(f"objects that are no tensors ({shortened(', '.join(read.left_out), 100)})")
    return tuple(notes)


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
    if isinstance(method, Supervised):
        fill_network(method.network, found.first.encoder, True, f"{path}, encoder_q{found.first.suffix}")
        return
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


def in_words(recipe: Recipe, found: Contents, classes: int) -> str:
    """The sizes of what a file holds, and what it lacks; `classes` are those of the split."""
    joints = len(found.first.graph.layout.joints)
    parts = [f"width {recipe.encoder.width}", f"{recipe.encoder.features} features", f"{joints} joints"]
    parts += [words] if (words := found.first.graph.words()) else []
    if found.heads:
        parts += [f"embeddings of {recipe.projector.size}"]
    elif not recipe.supervised:
        parts += ["no pretext head of ours"]
    if keeps_classifier(recipe, found, classes):
        parts += ["its classifier kept"]
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
    prepared = assumed_preparation(recipe, frames)
    rule = find_split(split, source.about if source and dataset in (None, source.dataset) else dataset)
    served = [known.name for known in rule.datasets]
    if source is not None:
        if dataset not in (None, source.dataset):
            raise BadInput(source.path, f"is of data set {source.dataset}, not {dataset}", "leave out --dataset")
        if source.layout.name != layout.name:
            raise BadInput(source.path, f"has layout {source.layout.name}, the weights {layout.name}", "take others")
        dataset, frames, prepared = source.dataset, source.frames, preparation_of(source)
        digest, count = read_digest(source.path), len(split_rows(recipe, source, training_rows(source, rule), seed)[0])
    dataset = dataset or served[0]
    if dataset not in served:
        raise BadInput(f"--dataset {dataset}", f"has no split {rule.name}", f"{rule.name} is of {', '.join(served)}")
    settings = run_settings(
        recipe,
        stream=stream,
        split=rule.name,
        seed=seed,
        dataset=dataset,
        layout=layout.name,
        frames=frames,
        clips=count,
        clips_digest=digest,
        prepared=prepared,
        assumed=clips is None,
    )
    whose = {} if source is None else dataset_attributes(source.about)
    return settings | whose | split_attributes(rule)


def assumed_preparation(recipe: Recipe, frames: int | str) -> dict[str, Any]:
    """That of the recipe's clips, or that of the code which files of methods without labels are from."""
    if stated(recipe) is None:
        return usual_preparation(frames)
    return find(recipe.clips.model_copy(update={"frames": frames})).attributes()


def training_rows(clips: Clips, split: Split) -> npt.NDArray[np.int64]:
    """The rows of a split's training clips, of which there are some."""
    train, _ = divide(split, clips, ("training",))
    return np.flatnonzero(train)


def write_checkpoint(path: Path, recipe: Recipe, method: nn.Module, epoch: int) -> None:
    """Write the state from which pretraining goes on after `epoch` epochs, with an optimiser that has no past."""
    at = Position()
    at.epoch = epoch + 1
    save_checkpoint(path, method, recipe.build_optimizer(method), at, torch.device("cpu"))
