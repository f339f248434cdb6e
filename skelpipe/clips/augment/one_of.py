"""one_of: one of several augmentations, each clip drawing its own, as likely as the others.

In a recipe: `one_of: [{shear: {amplitude: 1}}, corrupt]`. None may change the number of frames or bring targets.
`options["steps"]` holds them, each with its `augmentation` and `options`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from torch import Tensor

from skelpipe.clips.augment.base import (
    Augmentation,
    Batch,
    Extent,
    Lengths,
    Numbers,
    OnDevice,
    Options,
    count_uniforms,
    whole,
)


def _uniforms(options: Options) -> int:
    return 1 + sum(count_uniforms(step.augmentation, step.options) for step in options["steps"])


# parameters: which, and behind it those of all augmentations side by side
def _draw(u: Numbers, extent: Extent, options: Options) -> Numbers:
    columns, at = [whole(u[:, :1], len(options["steps"]))], 1
    for step in options["steps"]:
        count = count_uniforms(step.augmentation, step.options)
        columns.append(step.augmentation.draw(u[:, at : at + count], extent, step.options))
        at += count
    return np.hstack(columns)


# each augmentation, and all clips' parameters for it
def _each(params: Numbers, extent: Extent, options: Options) -> Iterator[tuple[Any, Numbers]]:
    at, nobody = 1, extent.of(slice(0))
    for step in options["steps"]:
        count = count_uniforms(step.augmentation, step.options)
        width = step.augmentation.draw(np.empty((0, count)), nobody, step.options).shape[1]
        yield step, params[:, at : at + width]
        at += width


# each augmentation that was drawn, by which clips, and their parameters
def _chosen(params: Numbers, extent: Extent, options: Options) -> Iterator[tuple[Any, Lengths, Numbers]]:
    for number, (step, own) in enumerate(_each(params, extent, options)):
        clips = np.flatnonzero(params[:, 0] == number)
        if len(clips):
            yield step, clips, own[clips]


def _apply(x: Batch, params: Numbers, extent: Extent, options: Options) -> None:
    for step, clips, own in _chosen(params, extent, options):
        some = x[clips]
        step.augmentation.apply(some, own, extent.of(clips), step.options)
        x[clips] = some


def _lengths(params: Numbers, extent: Extent, options: Options) -> Lengths:
    lengths = extent.lengths.copy()
    for step, clips, own in _chosen(params, extent, options):
        if step.augmentation.lengths is not None:
            lengths[clips] = step.augmentation.lengths(own, extent.of(clips), step.options)
    return lengths


def _send(params: Numbers, extent: Extent, options: Options) -> dict[str, Any]:
    sent = {"which": params[:, 0].astype(np.int64)}
    for number, (step, own) in enumerate(_each(params, extent, options)):
        form = step.augmentation.device
        sent |= {f"{number}.{name}": values for name, values in form.send(own, extent, step.options).items()}
    return sent


# all are done to every clip, as where to is known on the device alone, and one is kept
def _on_device(x: Tensor, sent: Mapping[str, Tensor], extent: Extent, options: Options) -> Tensor:
    found = x
    for number, step in enumerate(options["steps"]):
        own = {name.partition(".")[2]: each for name, each in sent.items() if name.startswith(f"{number}.")}
        made = step.augmentation.device.apply(x, own, extent, step.options)
        found = made.where((sent["which"] == number)[:, None, None, None, None], found)
    return found


ONE_OF = Augmentation(_uniforms, _draw, _apply, {}, lengths=_lengths, device=OnDevice(_send, _on_device))
