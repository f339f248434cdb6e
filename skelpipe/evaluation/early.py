"""The early protocol: how well a run's classifier knows an action before it is over.

Source: Hu et al., Real-Time RGB-D Activity Prediction by Soft Regression (ECCV 2016): accuracy over the observed share.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from pydantic import Field
from torch import Tensor

from skelpipe.clips.loading import own_frames
from skelpipe.evaluation.features import SCORED_AT_ONCE, Features, Run, evaluated_clips
from skelpipe.evaluation.protocol import Outcome, Setup
from skelpipe.evaluation.scores import topk_accuracy
from skelpipe.methods.soft_rnn import segment_ends
from skelpipe.settings import Settings
from skelpipe.training.classifier import read_classifier

READ_AT_ONCE = 16 * SCORED_AT_ONCE


class EarlyOptions(Settings):
    """How often it is asked.

    Attributes:
        steps: N: after 1/N, 2/N, … of each clip.
    """

    steps: int = Field(10, ge=2, le=1000)


@torch.no_grad()
def early(features: Features, setup: Setup) -> Outcome:
    """Score every test clip by the first n/N of its frames, for n = 1, …, N.

    Those are the frames, rounded up to whole ones, that the network would see of the clip: of the view that the recipe
    evaluates, so of a resized clip at the rate of the whole. What follows is zero, and no frame of the clip's own to a
    network that asks. The outcome's scores are those of whole clips; `observed` has the shares, `top1_observed` the
    accuracy after each, and `mean_observed` their mean, the area under the curve.
    """
    options: Any = setup.options.get("early") or EarlyOptions()
    labels = features.label[~features.train]
    parts = [*scores_of_parts(features, setup, options.steps)]
    scores = np.concatenate(parts, axis=1)
    if setup.only is not None:
        scores = scores[:, :, setup.only]
    top1 = [topk_accuracy(each, labels, 1) for each in scores]
    observed = [(n + 1) / options.steps for n in range(options.steps)]
    figures = {"observed": observed, "top1_observed": top1, "mean_observed": float(np.mean(top1))}
    return Outcome(scores[-1], figures, [])


def scores_of_parts(features: Features, setup: Setup, steps: int) -> Iterator[npt.NDArray[np.float32]]:
    """The scores of the test clips by each of their parts, some clips at a time: (steps, n, classes)."""
    run, clips, row = setup.run, setup.clips, features.row[~features.train]
    assert run is not None
    assert clips is not None
    valid, scored = own_frames(clips, row), classifier(run)
    for block in range(0, len(row), READ_AT_ONCE):
        some = slice(block, block + READ_AT_ONCE)
        made, lengths = evaluated_clips(run, clips, row[some], None if valid is None else valid[some], setup.threads)
        for start in range(0, len(made), SCORED_AT_ONCE):
            few = slice(start, start + SCORED_AT_ONCE)
            x = torch.from_numpy(made[few]).to(run.device)
            own = torch.full((len(x),), x.shape[2]) if lengths is None else lengths[few]
            ends = segment_ends(own.to(run.device), steps)
            yield torch.stack([scored(*beginning(x, end)) for end in ends.unbind(1)]).float().cpu().numpy()
        if setup.progress is not None:
            setup.progress(min(block + READ_AT_ONCE, len(row)), len(row))


def beginning(x: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
    """The first `lengths` (B,) frames of clips x (B, C, T, V, M), the rest zero; and how many they are."""
    seen = torch.arange(x.shape[2], device=x.device) < lengths[:, None]
    return x * seen[:, None, :, None, None], lengths


def classifier(run: Run) -> Callable[[Tensor, Tensor], Tensor]:
    """A run's own classifier, trained or imported: (clips, lengths) -> scores (B, classes)."""
    network = run.network
    if run.recipe.supervised:
        return network.scores
    imported = read_classifier(run.path, run.stream).to(run.device)
    return lambda x, lengths: imported(network.features(x, lengths).float())
