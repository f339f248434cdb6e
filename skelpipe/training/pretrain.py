"""Pretraining of a recipe on the clips of a split."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from skelpipe import ranks
from skelpipe.clips.batches import check_batch
from skelpipe.errors import BadInput
from skelpipe.outputs.folders import locked
from skelpipe.outputs.refusals import refusals
from skelpipe.parallel import forked, tell_threads
from skelpipe.recordings.conventions.shown import check_shown
from skelpipe.recordings.datasets import Split, find_split
from skelpipe.recordings.datasets.own import UNLABELLED
from skelpipe.recordings.divisions import divide, tell_list
from skelpipe.recordings.store import Clips, read_array
from skelpipe.training.announce import tell_plan
from skelpipe.training.checkpoint import Event
from skelpipe.training.clips_needed import check_clips
from skelpipe.training.device import choose_device
from skelpipe.training.folder import prepare_folder
from skelpipe.training.held_out import split_rows
from skelpipe.training.loop import Result, train_method
from skelpipe.training.recipe import Recipe
from skelpipe.training.run_settings import check_recipe_stream, settings_on
from skelpipe.training.shortage import memory_told
from skelpipe.training.step import Graphs, graphs_for

log = logging.getLogger(__name__)

Rows = npt.NDArray[np.int64]


def pretrain(
    recipe: Recipe,
    clips: str | Path,
    run: str | Path,
    *,
    split: str,
    stream: str,
    seed: int = 0,
    device: str = "auto",
    precision: str = "fp32",
    half_storage: bool = False,
    force: bool = False,
    threads: int | None = None,
    progress: Callable[[Event], None] | None = None,
    compiled: str | Graphs = "auto",
    resident: str = "auto",
    loggers: Sequence[str] = (),
) -> Result:
    """Train the recipe's encoder on the training part of a split and leave a RUN folder.

    A RUN made with the same settings is resumed where it stopped, bit for bit on a CPU; a shorter one goes on to the
    new end likewise, unless its rates follow from its length. One of another `evaluate` keeps its weights and takes it.

    Of several ranks each trains on its share of every batch, and rank 0 writes. Their number is no setting: RUN is
    resumed by as many as there are, and all but rank 0 then draw new dropout masks.

    Args:
        clips: a clips folder.
        run: the folder to make or to resume.
        split: as for `datasets.find_split`.
        stream: joint, motion or bone; 3s for a recipe that trains several together, be they these three or its own.
        device: "auto", "cpu", "cuda", "cuda:1", ...; of several ranks each takes a GPU of its own.
        precision: "fp32", or "bf16" for the encoder's arithmetic (embeddings, BN statistics and loss stay float32).
        half_storage: keep the clips in memory as float16, at a rounding of up to 1 mm at 3 m.
        force: start anew if RUN was made with other settings.
        threads: CPU threads for torch and the kernels, of each rank.
        compiled, resident: whether steps are graphs, and whether the clips lie on the device, which then renders their
            views: "on", "off", or "auto" for on a GPU alone; no settings, as they only round.
        loggers: keys of `training.loggers.LOGGERS` that take the log as well; no setting, either.
        progress: called while training with {epoch, epochs, step, steps, …}; see `Training.event`.

    Raises:
        BadInput: an input does not fit, RUN belongs to something else, or the loss is no longer finite.
    """
    with ranks.joined():
        source = open_clips(clips, recipe, stream)
        threads, place = use_threads(threads), choose_device(ranks.device_name(device))
        chosen = find_split(split, source.about)
        rows, held = rows_of(recipe, source, chosen, seed)
        tell_plan(recipe, source, len(rows), chosen.name, stream, seed, ranks.share(recipe.batch_size))
        tell_threads(log, threads)
        told = {"stream": stream, "seed": seed, "precision": precision, "half_storage": half_storage}
        settings = settings_on(recipe, source, len(rows), chosen, **told)
        run, writes = Path(os.path.abspath(run)), ranks.mine() == 0
        with locked(run) if writes else nullcontext(), refusals(run), memory_told(run, recipe, precision, half_storage):
            if writes:
                prepare_folder(run, recipe, settings, force, source.path)
            ranks.wait()  # before that RUN may hold another run's checkpoint
            how = place, threads, progress, graphs_for(compiled, place), resident, loggers
            return train_method(recipe, source, rows, held, run, settings, *how)


def rows_of(recipe: Recipe, source: Clips, split: Split, seed: int) -> tuple[Rows, Rows]:
    """The clips that are trained on, and those held out of training; told where a list is the split.

    Raises:
        BadInput: there are too few.
    """
    tell_list(split, source)
    rows, held = split_rows(recipe, source, labelled_rows(recipe, source, training_rows(source, split)), seed)
    check_batch(recipe.batch_size, len(rows))
    return rows, held


def use_threads(asked: int | None) -> int | None:
    """Let torch use so many threads, of several ranks its part of the cores; returns how many, None for all."""
    if (threads := ranks.threads(asked)) and not forked():  # where torch would wait for the parent's
        torch.set_num_threads(threads)
    log.info("threads of torch: %d", torch.get_num_threads())
    return threads


def training_rows(source: Clips, split: Split) -> Rows:
    """The rows of the split's training clips; BadInput if there are none, or most show nobody."""
    train, _ = divide(split, source, ("training",))
    check_shown(read_array(source.group, "length")[train] > 0, source.path, "train on clips that show people")
    return np.flatnonzero(train)


def labelled_rows(recipe: Recipe, source: Clips, rows: Rows) -> Rows:
    """Those of the rows whose class is known, where the recipe learns from labels, and else all.

    Raises:
        BadInput: of none it is known, or all are of one class.
    """
    if not recipe.supervised:
        return rows
    known: Rows = rows[source.labels[rows] != UNLABELLED]
    if len(known) < len(rows) and ranks.mine() == 0:
        left = f"{len(rows) - len(known):,} of {len(rows):,}"
        log.warning("left out of training: %s clips, which have no label", left)
    if len(np.unique(source.labels[known])) < 2:
        what = "has clips of one class only" if len(known) else "has no clip with a label"
        what = f"its training part {what}, and {recipe.name} learns from labels"
        raise BadInput(source.path, what, "label clips of two classes or more, or use a recipe that needs no labels")
    return known


def open_clips(path: str | Path, recipe: Recipe, stream: str) -> Clips:
    """The clips, or BadInput if the recipe cannot be trained on them or on this stream."""
    source = Clips(path)
    check_recipe_stream(recipe, stream)
    check_clips(recipe, source)
    return source
