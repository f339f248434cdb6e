"""The supervised protocol: a run's own classifier, which it has learnt from labels or was imported with."""

from __future__ import annotations

import torch

from skelpipe.errors import BadInput
from skelpipe.evaluate.embed import Features, Run
from skelpipe.evaluate.protocol import Outcome, Setup
from skelpipe.recordings.datasets import Split, split_of
from skelpipe.recordings.store import Clips
from skelpipe.training.classifier import has_classifier, read_classifier


@torch.no_grad()
def supervised(features: Features, setup: Setup) -> Outcome:
    """Score the test clips by the classifier that was trained with the encoder: no training, eval mode.

    Where only some classes count, only their outputs do.
    """
    assert setup.run is not None
    run = setup.run
    classifier = run.network.projector if run.recipe.supervised else read_classifier(run.path, run.stream)
    h = torch.from_numpy(features.feature[~features.train]).to(setup.device)
    scores = classifier.to(setup.device)(h).float().cpu().numpy()
    return Outcome(scores if setup.only is None else scores[:, setup.only], {}, [])


def check_supervised(run: Run, clips: Clips, split: Split) -> None:
    """Raise BadInput unless the run has a classifier, and for the classes of that split."""
    if not run.recipe.supervised and not has_classifier(run.path):
        what = f"{run.path} has learnt without labels and has no classifier"
        raise BadInput("--protocol supervised", what, "use finetune or linear")
    mine, theirs = split_of(run.settings).datasets[0], split.datasets[0]
    if (mine.name, mine.class_names) != (theirs.name, theirs.class_names):
        what = f"{run.path} knows the classes of {mine.name}, and {split.name} has those of {theirs.name}"
        raise BadInput("--protocol supervised", what, "use transfer or linear")
