"""A rank of its own process in the tests of `skelpipe.ranks`: a few steps of every method, and what came of them.

`python rank_worker.py CLIPS OUT` trains every case and leaves OUT/0.pt, OUT/1.pt, ... with what each rank saw.
"""

import os
import sys
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from unittest.mock import patch

import numpy as np
import torch
from conftest import TINY

sys.path.append(str(Path(__file__).parent / "methods"))
import toys

from skelpipe import ranks
from skelpipe.clips.batches import Batch, Batches
from skelpipe.methods import METHODS
from skelpipe.methods.synced import pool_norms
from skelpipe.recordings.datasets import split_masks
from skelpipe.recordings.store import Clips
from skelpipe.training import held_out, loop
from skelpipe.training.checkpoint import Position
from skelpipe.training.device import set_determinism
from skelpipe.training.loop import start_ranks
from skelpipe.training.recipe import Recipe, load_recipe

MINING = "positives.nn_start_epoch=0"
CASES = {
    "own_key": ("skeletonclr", []),
    "equation": ("crosnnclr", [MINING]),
    "algorithm1": ("crosnnclr", [MINING, "positives.form=algorithm1", "positives.top_k=2"]),
    "released": ("crosnnclr", [MINING, "positives.form=released"]),
    "adam, clipped": ("skeletonclr", ["optimizer={name: adam}", "clip_gradients={by: global_norm, at: 0.1}"]),
    "clipped by module": ("skeletonclr", ["clip_gradients={by: module_norm, at: 0.1}"]),
    "aimclr": ("aimclr", [MINING]),
    "aimclr, all dropped": ("aimclr", [MINING, "method.drop_threshold=0.63"]),
    "keep_union": ("crosnnclr_star", [MINING, "positives.keep_union=true"]),
    "crossclr": ("crossclr", [MINING]),
    "supervised": ("stgcn_supervised", []),
    "per_rank": ("skeletonclr", ["batch_norm=per_rank"]),
}
TOYS = {
    "two_networks": ["encoder.dropout=0", "batch_norm=synced"],
    "next_frame": ["optimizer.lr=0.05"],
    "gru": ["batch_norm=synced"],
    "as_cal": ["method.fill_epochs=0"],
}


def load_case(name):
    if name in TOYS:
        return toys.recipe(name, more=TOYS[name])
    recipe, sets = CASES[name]
    sets = [*TINY, "encoder.dropout=0", "batch_norm=synced", *sets]
    if recipe == "stgcn_supervised":
        sets = [each for each in sets if not each.startswith(("method.", "projector."))]
    return load_recipe(recipe, sets)


@contextmanager
def all_in_float64():
    """Where the library asks for float32 it gets float64, so that ranks differ by no more than the order of sums."""
    build, step, look = Recipe.build_method, loop.train_step, held_out.outcome

    def look_in_float64(method, batch, epoch):
        return look(method, replace(batch, views={view: x.double() for view, x in batch.views.items()}), epoch)

    def step_in_float64(method, sgd, batch, epoch):
        views = {view: x.double() for view, x in batch.views.items()}
        return step(method, sgd, Batch(views, batch.labels, batch.lengths, batch.targets), epoch)

    with (
        patch.object(torch.Tensor, "float", torch.Tensor.double),
        patch.object(Recipe, "build_method", lambda *given: build(*given).double()),
        patch.object(loop, "train_step", step_in_float64),
        patch.object(held_out, "outcome", look_in_float64),
    ):
        yield


def three_steps(name, clips, seed=3):
    """Train one case for three steps; returns losses, logs, weights, and the next random numbers."""
    torch.set_num_threads(1)
    with all_in_float64():
        recipe, source = load_case(name), Clips(clips)
        rows = np.flatnonzero(split_masks("xsub60", source.dataset, source.columns)[0])
        set_determinism(seed)
        method = recipe.build_method(source.layout, 4).train()
        at = Position()
        start_ranks(method, recipe, at, seed)
        sgd = recipe.build_optimizer(method)
        stream, views = recipe.streams or "joint", {v: recipe.view(v) for v in METHODS[recipe.method.name].VIEWS}
        data = np.ascontiguousarray(source.load(rows)[..., : recipe.bodies])
        batches = Batches(
            data, rows, source.labels[rows], views, stream, source.layout, recipe.batch_size, seed,
            torch.device("cpu"), 1, ranks.mine(), ranks.count(),
        )  # fmt: skip
        for batch in batches.epoch(1):
            at.add(loop.train_step(method, sgd, batch, 1))
        own_norms = [value.clone() for key, value in method.state_dict().items() if "running_mean" in key]
        at.pool()
        pool_norms(method)
        state = {key: value.clone() for key, value in method.state_dict().items()}
        return {"log": at.means(), "state": state, "own_norms": own_norms, "random": torch.rand(4)}


if __name__ == "__main__":
    clips, out = map(Path, sys.argv[1:])
    with ranks.joined():
        found = {name: three_steps(name, clips) for name in [*CASES, *TOYS]}
        torch.save(found, out / f"{os.environ['RANK']}.pt")
