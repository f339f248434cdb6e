"""Training steps as `pretrain` takes them, without its loop."""

from __future__ import annotations

import copy
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from skelpipe.clips.batches import Batch, Batches
from skelpipe.clips.presets import LONGEST
from skelpipe.clips.views import build_view
from skelpipe.layouts.kinect_v2 import KINECT_V2
from skelpipe.methods import METHODS
from skelpipe.methods.base import Method
from skelpipe.methods.network import Network
from skelpipe.training.clips_needed import find, stated
from skelpipe.training.recipe import Recipe
from skelpipe.training.step import Graphs, train_step

DATASET, SPLIT, STREAM, CLASSES, FRAMES = "ntu60", "xsub60", "bone", 60, 50
POOL = 4096  # clips in memory: more than a cache holds, so that gathering them costs what it does in training


@dataclass
class Trainer:
    """A method with its optimiser, ready to take steps as `pretrain` does.

    Attributes:
        graphs: compiles the steps; None: they are taken as they are.
    """

    recipe: Recipe
    method: Method
    sgd: torch.optim.Optimizer
    graphs: Graphs | None = None

    def step(self, batch: Batch) -> None:
        """One step of the last epoch, when the neighbours that a recipe mines count."""
        train_step(self.method, self.sgd, batch, self.recipe.epochs, self.graphs)


def build_trainer(recipe: Recipe, device: torch.device, precision: str) -> Trainer:
    """A fresh method on the device, its encoder in that precision."""
    method = recipe.build_method(KINECT_V2, CLASSES).to(device).train()
    for module in method.modules():
        if isinstance(module, Network):
            module.bfloat16_encoder = precision == "bf16"
    return Trainer(recipe, method, recipe.build_optimizer(method))


def build_batches(
    recipe: Recipe,
    clips: npt.NDArray[np.float32],
    device: torch.device,
    threads: int | None = None,
    kind: type[Batches] = Batches,
) -> Batches:
    """The recipe's views of clips in memory, or on the device, in batches, as `pretrain` makes them."""
    views = {name: recipe.view(name) for name in METHODS[recipe.method.name].VIEWS}
    rows = np.arange(len(clips))
    stream = recipe.trained(STREAM)
    return kind(clips, rows, rows % CLASSES, views, stream, KINECT_V2, recipe.batch_size, 0, device, threads)


def resident_batch(batches: Batches) -> Batch:
    """One batch that stays as it is."""
    return copy.deepcopy(next(iter(batches.epoch(1))))


def clips_for(recipe: Recipe, clips: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """As many clips as a recipe's batch has, at most, of the length and the bodies that it takes: (N, C, T, V, M).

    Where that is another length they are resized to it: what is timed hangs on the shape alone.
    """
    own, needed = clips[..., : recipe.bodies], stated(recipe)
    frames = clips.shape[2] if needed is None else find(needed).frames or LONGEST
    if frames == clips.shape[2]:
        return np.ascontiguousarray(own)
    few = np.ascontiguousarray(own[: recipe.batch_size])
    return build_view([{"resize": {"frames": frames}}]).render(few, 0, 0, np.arange(len(few)), 0, KINECT_V2)
