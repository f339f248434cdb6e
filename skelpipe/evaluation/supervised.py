"""The supervised protocol: a run's own classifier, which it has learnt from labels or was imported with."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from skelpipe.clips.loading import own_frames
from skelpipe.errors import BadInput
from skelpipe.evaluation.features import Features, Run, evaluated_clips, score_clips
from skelpipe.evaluation.protocol import Outcome, Setup
from skelpipe.evaluation.unseen import by_held_out
from skelpipe.recordings.datasets import Split, split_of
from skelpipe.recordings.store import Clips
from skelpipe.training.classifier import has_classifier, read_classifier
from skelpipe.training.model import Head, Kept


@torch.no_grad()
def supervised(features: Features, setup: Setup) -> Outcome:
    """Score the test clips by the classifier that was trained with the encoder: no training, eval mode.

    Where only some classes count, only their outputs do.
    """
    assert setup.run is not None
    run = setup.run
    if run.recipe.supervised and run.network.SCORES_CLIPS:
        outcome = Outcome(_of_clips(features, setup), {}, [], Kept(None, columns=setup.only))
        return by_held_out(outcome, features, setup)
    classifier = own_classifier(run)
    h = torch.from_numpy(features.feature[~features.train]).to(setup.device)
    scores = classifier.to(setup.device)(h).float().cpu().numpy()
    kept = Kept(Head.of(classifier).only(setup.only))
    outcome = Outcome(scores if setup.only is None else scores[:, setup.only], {}, [], kept)
    return by_held_out(outcome, features, setup)


def own_classifier(run: Run) -> nn.Module:
    """The linear layer that a run was trained or imported with."""
    return run.network.projector if run.recipe.supervised else read_classifier(run.path, run.stream)


def _of_clips(features: Features, setup: Setup) -> npt.NDArray[np.float32]:
    """The scores of a network that looks at the test clips themselves, not at their features."""
    run, clips, row = setup.run, setup.clips, features.row[~features.train]
    assert run is not None
    assert clips is not None
    made, lengths = evaluated_clips(run, clips, row, own_frames(clips, row), setup.threads)
    scores = score_clips(run.network, made, lengths, run.device)
    return scores if setup.only is None else scores[:, setup.only]


def check_supervised(run: Run, clips: Clips, split: Split, protocol: str = "supervised") -> None:
    """Raise BadInput unless the run has a classifier, and for the classes of that split."""
    if not run.recipe.supervised and not has_classifier(run.path):
        what = f"{run.path} has learnt without labels and has no classifier"
        raise BadInput(f"--protocol {protocol}", what, "use finetune or linear")
    mine, theirs = split_of(run.settings).datasets[0], split.datasets[0]
    if (mine.name, mine.class_names) != (theirs.name, theirs.class_names):
        what = f"{run.path} knows the classes of {mine.name}, and {split.name} has those of {theirs.name}"
        raise BadInput(f"--protocol {protocol}", what, "use transfer or linear")
