"""The confidence of classifiers that are trained with their encoder, by clips that such a training has held out."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import numpy.typing as npt
import torch

from skelpipe.evaluation.calibrate import Mask, completed, grouped
from skelpipe.evaluation.features import Features, choose_split, evaluated_some
from skelpipe.evaluation.fit import are_its_own
from skelpipe.evaluation.protocol import Outcome, Setup
from skelpipe.methods.network import Network
from skelpipe.recordings.datasets.own import UNLABELLED
from skelpipe.recordings.divisions import divide
from skelpipe.training.confidence import Distance, centres
from skelpipe.training.held_out import split_rows
from skelpipe.training.model import Classifier, Head

Found = tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]


def by_held_out(outcome: Outcome, features: Features, setup: Setup) -> Outcome:
    """The outcome of a run's own classifier with the confidence that clips give which the run has held out.

    These may have chosen its end or its weights (`training.held_out`), and so are known to it a little. Outcomes of
    runs that have held nothing out, or were trained on other clips than these, come back as they are.
    """
    run, clips = setup.run, setup.clips
    assert run is not None
    assert clips is not None
    if outcome.kept is None or run.recipe.plateau is None or not are_its_own(run.settings, clips):
        return outcome
    train, _ = divide(choose_split(run, clips, None), clips)
    rows = np.flatnonzero(train & (clips.labels != UNLABELLED))
    fit, held = split_rows(run.recipe, clips, rows, int(run.settings["seed"]))
    own = features.train & np.isin(features.row, np.concatenate([fit, held]))  # no test clip of another split
    out = np.isin(features.row[own], held)
    if not out.any() or out.all():
        return outcome
    kept = outcome.kept
    if kept.head is None:
        scores, _ = seen_by(Classifier(run.network, None, 1, kept.columns), features.row[own][out], setup)
    else:
        with torch.no_grad():
            scores = kept.head(torch.from_numpy(features.feature[own][out])).numpy()
    group, by = grouped(features.group[own], out, setup)
    return completed(
        outcome, [scores], None if kept.head is None else features.feature[own], features.label[own], group, [out], by
    )


def by_second(outcome: Outcome, second: Network, held: Mask, features: Features, setup: Setup) -> Outcome:
    """The outcome of a training on all labels with the confidence that a second one gives, which was without `held`.

    Temperature and distances are those of the second network; distances do not go by the length of features, and are
    taken to be those of the first one too, from its own centres.

    Args:
        held: (training clips,) which of them the second was trained without.
    """
    assert outcome.kept is not None
    assert outcome.kept.network is not None
    row, label = features.row[features.train], features.label[features.train]
    scores, feature = seen_by(Classifier(second, Head.of(second.projector)), row, setup)
    group, by = grouped(features.group[features.train], held, setup)
    found = completed(outcome, [scores[held]], feature, label, group, [held], by)
    if found.kept is None or found.kept.distance is None:
        return found
    _, own = seen_by(Classifier(outcome.kept.network, outcome.kept.head), row, setup)
    centre = centres(torch.from_numpy(own), torch.from_numpy(label))
    return replace(found, kept=replace(found.kept, distance=Distance(centre, found.kept.distance.quantiles)))


@torch.no_grad()
def seen_by(classifier: Classifier, rows: npt.NDArray[np.int64], setup: Setup) -> Found:
    """A classifier's scores (n, K) and features (n, D) of the clips `rows`, in eval mode, read some at a time."""
    run, clips = setup.run, setup.clips
    assert run is not None
    assert clips is not None
    classifier.eval().to(run.device)
    parts = evaluated_some(run, clips, rows, setup.threads)
    found = [[each.cpu().numpy() for each in classifier(some, lengths)] for some, lengths in parts]
    scores, features = (np.concatenate(parts) for parts in zip(*found, strict=True))
    return scores, features
