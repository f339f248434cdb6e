"""The arithmetic and the traffic that an encoder and a training step need at least."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import torch
from torch.utils.flop_counter import FlopCounterMode

from skelpipe.bench.steps import build_trainer
from skelpipe.bench.timing import Work
from skelpipe.clips.batches import Batch
from skelpipe.layouts.base import Layout
from skelpipe.methods import METHODS
from skelpipe.training.recipe import Recipe

PARTITIONS = 3
COUNTED = 4  # clips of a step whose arithmetic is counted: batch norm needs some
CONTRASTED = ("skeletonclr", "aimclr", "crossclr")  # methods whose step is reckoned, with ST-GCN


def encoder_work(options: Any, layout: Layout, frames: int, number: int) -> tuple[Work, Work]:
    """What the encoder needs for one body: (forward in training, backward).

    Arithmetic: every block mixes joints (dense, V×V for each of 3 partitions), multiplies by its 1×1 convolution,
    convolves over time, and some convolve the residual; the mix is counted before or after the 1×1 convolution,
    wherever it costs less. The backward pass needs twice that. A short DFT in place of a long convolution needs less.

    Traffic: three fused kernels per block, each reading its inputs and writing its output once. With x, y and z the
    numbers in a block's input, after its graph convolution and after its temporal convolution: forward 2x + 2y + 3z
    (y and z are read again because batch normalisation needs whole statistics first), backward 2x + 4y + 5z.

    Args:
        options: the recipe's encoder (`STGCNOptions`).
        number: bytes per number.
    """
    w, joints = options.width, len(layout.joints)
    widths = [3, w, w, w, w, 2 * w, 2 * w, 2 * w, 4 * w, 4 * w, options.features]
    flop, forward, backward = 0.0, 0.0, 0.0
    for block, (before, after) in enumerate(pairwise(widths), start=1):
        later = -(-frames // 2) if block in (5, 8) else frames
        flop += 2 * PARTITIONS * before * after * frames * joints
        flop += 2 * PARTITIONS * min(before, after) * frames * joints**2
        flop += 2 * options.time_kernel * after**2 * later * joints
        if block != 1 and (before != after or later != frames):
            flop += 2 * before * after * later * joints
        x, y, z = before * frames * joints, after * frames * joints, after * later * joints
        forward += 2 * x + 2 * y + 3 * z
        backward += 2 * x + 4 * y + 5 * z
        frames = later
    return Work(flop, forward * number), Work(2 * flop, backward * number)


def is_reckoned(recipe: Recipe) -> bool:
    """Whether `step_work` knows what the recipe's step needs."""
    return recipe.encoder.name == "stgcn" and recipe.method.name in CONTRASTED


def step_work(recipe: Recipe, layout: Layout, frames: int, batch: int, number: int) -> Work:
    """What one training step needs: every view but the key forwards and backwards, the key forwards only.

    To that come the products with the queue in float32 (one for each embedding that is contrasted, and one for the key
    if the neighbours of other views are mined): the queue is read twice, and the logits and their gradient are written
    and read once each. The optimiser and the momentum update are left out; together they move tens of megabytes.
    """
    views = METHODS[recipe.method.name].VIEWS
    forward, backward = encoder_work(recipe.encoder, layout, frames, number)
    streams = max(1, len(recipe.streams))
    clips = batch * recipe.bodies * streams
    trained = len(views) - ("key" in views)
    work = (forward + backward) * (clips * trained) + forward * (clips * ("key" in views))
    size, queue = recipe.projector.size, getattr(recipe.method, "queue_size", 0)
    branches = trained + ("extreme" in views)  # which counts twice, whole and after the drop
    product = Work(2 * batch * size * queue, 4.0 * queue * (size + 2 * batch))
    mined: bool = recipe.positives.name == "cross_view"  # type: ignore[attr-defined]
    return work + product * (streams * (2 * branches + mined))


def counted_work(recipe: Recipe, batch: Batch) -> Work:
    """What one training step of any recipe multiplies, counted while it takes one with the first clips of a batch.

    Traffic is not counted. The recurrent layers of oneDNN, which no counter sees through, are left out of the way.
    """
    few = batch_of(batch, COUNTED)
    trainer = build_trainer(recipe, few.labels.device, "fp32")
    mkldnn: Any = torch.backends.mkldnn
    enabled, mkldnn.enabled = mkldnn.enabled, False
    try:
        with FlopCounterMode(display=False) as counter:
            trainer.step(few)
    finally:
        mkldnn.enabled = enabled
    return Work(float(counter.get_total_flops()), 0.0) * (len(batch.labels) / len(few.labels))


def batch_of(batch: Batch, count: int) -> Batch:
    """The first clips of a batch."""
    return Batch(
        {name: view[:count] for name, view in batch.views.items()},
        batch.labels[:count],
        {name: own[:count] for name, own in batch.lengths.items()},
        {view: {name: value[:count] for name, value in brought.items()} for view, brought in batch.targets.items()},
    )


def limit(least: tuple[float, float], taken: float) -> str:
    """What bounds something that took so long, given the seconds its arithmetic and its traffic need at least."""
    names = [f"{name} ({1e3 * seconds:,.1f} ms)" for name, seconds in zip(("arithmetic", "memory"), least, strict=True)]
    if max(least) >= taken / 2:
        return names[0] if least[0] >= least[1] else names[1]
    return f"overheads: {' and '.join(names)} are less than half"
