"""The models that evaluations keep, and that of a run with a classifier of its own."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from skelpipe.clips.loading import load_bodies, own_frames
from skelpipe.errors import BadInput
from skelpipe.evaluation.features import Run, as_evaluated, open_run, read_run
from skelpipe.evaluation.protocol import Setup
from skelpipe.evaluation.supervised import own_classifier
from skelpipe.layouts import attributes_of, layout_of
from skelpipe.recordings.datasets import Split, dataset_attributes, split_of
from skelpipe.recordings.datasets.recording import RATE, READING
from skelpipe.recordings.store import Clips
from skelpipe.training.classifier import has_classifier
from skelpipe.training.clips_needed import prepare_command
from skelpipe.training.log import COLLAPSE_REMEDY
from skelpipe.training.model import Classifier, Facts, Head, Kept, Model, frozen, segments_of, write_model
from skelpipe.training.preparation import ASSUMED, PREPARED, compare, preparation_of, prepare_options

SUPERVISED, ENCODER = "supervised", "encoder"
ASSUMPTION = "how the clips that it was trained on were prepared is concluded from the kind of its checkpoint"


def keep_model(folder: Path, protocol: str, kept: Kept, setup: Setup, split: Split) -> None:
    """Write the classifier of a protocol into the folder of an evaluation."""
    run, clips = setup.run, setup.clips
    assert run is not None
    assert clips is not None
    facts = facts_of(run, protocol, kept, split, setup.only, clips)
    write_model(folder, facts, classifier_of(run, kept), kept.distance)


def classifier_of(run: Run, kept: Kept) -> Classifier:
    """The network of a run, or a copy that was trained further, with a head."""
    network = kept.network or run.network
    return Classifier(network, kept.head, segments_of(network, kept.head), kept.columns)


def facts_of(
    run: Run, protocol: str, kept: Kept, split: Split, only: Sequence[int] | None, clips: Clips | None
) -> Facts:
    """What a model says of itself; without clips as the run's settings have it."""
    about = split.datasets[0] if clips is None else clips.about
    numbers = tuple(range(split.classes)) if only is None else tuple(only)
    names = split.datasets[0].class_names
    noted = {} if clips is None else clips.attributes
    settings = run.settings
    if clips is None:
        prepared, layout = {**settings.get(PREPARED, {}), "frames": settings["frames"]}, layout_of(settings)
    else:
        prepared, layout = preparation_of(clips), clips.layout
    return Facts(
        protocol=protocol,
        classes=tuple(names[n] if names else str(n) for n in numbers),
        numbers=numbers,
        dataset=dataset_attributes(about),
        split=split.name,
        layout=attributes_of(layout),
        stream=run.stream,
        prepared=prepared,
        read={key: noted[key] for key in (READING, RATE) if key in noted},
        recipe=run.recipe.model_dump(mode="json"),
        run_classes=split_of(settings).classes,
        epoch=run.epoch,
        seed=int(settings["seed"]),
        head="own" if kept.head is None else "linear",
        columns=kept.columns,
        cautions=cautions_of(run),
        calibration=kept.calibration,
        distance=kept.measured,
    )


def cautions_of(run: Run) -> tuple[str, ...]:
    """What makes every prediction of a run doubtful."""
    found = [COLLAPSE_REMEDY] if run.collapsed else []
    return (*found, *([ASSUMPTION] if run.settings.get(ASSUMED) else []))


def model_of_run(path: str | Path, stream: str | None = None, epoch: int | None = None) -> Model:
    """The model of a run that has a classifier of its own, by learning from labels or as it was imported.

    Raises:
        BadInput: it has none, or is no finished run; it has no such stream or epoch.
    """
    path, settings, recipe = read_run(path, epoch)
    if not recipe.supervised and not has_classifier(path):
        remedy = "keep one by 'skelpipe evaluate RUN CLIPS OUT --protocol linear', and give OUT here"
        raise BadInput(path, "has learnt without labels, and tells no classes", remedy)
    layout = layout_of(settings)
    run = open_run(path, settings, recipe, layout, "cpu", stream, epoch)
    with torch.no_grad():
        kept = Kept(None) if run.network.SCORES_CLIPS and recipe.supervised else Kept(Head.of(own_classifier(run)))
    facts = facts_of(run, SUPERVISED, kept, split_of(settings), None, None)
    return Model(path, facts, recipe, layout, frozen(classifier_of(run, kept)))


def encoder_of_run(path: str | Path, stream: str | None = None, epoch: int | None = None) -> Model:
    """The encoder of any run, for what needs features alone: its classifier is none to be asked.

    Raises:
        BadInput: it is no finished run; it has no such stream or epoch.
    """
    path, settings, recipe = read_run(path, epoch)
    layout = layout_of(settings)
    run, kept = open_run(path, settings, recipe, layout, "cpu", stream, epoch), Kept(None)
    facts = facts_of(run, ENCODER, kept, split_of(settings), None, None)
    classifier = frozen(classifier_of(run, kept))
    classifier.segments = recipe.evaluate.segments  # as it is embedded and measured
    return Model(path, facts, recipe, layout, classifier)


def check_clips(model: Model, clips: Clips, otherwise: str | None = None) -> None:
    """Raise BadInput unless clips have the layout and the preparation that a model needs.

    Args:
        otherwise: what else can be done about it.
    """
    if attributes_of(clips.layout) != attributes_of(model.layout):
        what = f"has layout {clips.layout.name}, and {model.path} was trained on {model.layout.name}"
        raise BadInput(clips.path, what, otherwise or f"give clips of {model.layout.name}")
    found = compare(model.facts.prepared, preparation_of(clips))
    if found.differing:
        command = prepare_command(clips, prepare_options(model.facts.prepared))
        what = f"was not prepared as the clips that {model.path} was trained on: {'; '.join(found.differing)}"
        raise BadInput(clips.path, what, f"make such clips by '{command}'" + (f", or {otherwise}" if otherwise else ""))


def clips_as_seen(model: Model, clips: Clips, most: int) -> tuple[npt.NDArray[np.float32], Tensor | None]:
    """Clips of a folder, from all over it, as a model's encoder sees them: (n, C, T, V, M), and their lengths.

    Raises:
        BadInput: they are of another layout or preparation than those that it was trained on.
    """
    check_clips(model, clips)
    facts = model.facts
    rows = np.unique(np.linspace(0, len(clips) - 1, min(most, len(clips))).astype(np.int64))
    data, valid = load_bodies(clips, rows, model.recipe.bodies), own_frames(clips, rows)
    return as_evaluated(model.recipe, facts.stream, facts.seed, data, rows, valid, model.layout)
