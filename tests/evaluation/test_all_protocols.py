"""What every protocol holds to, whoever adds it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from conftest import TINY, write_clips

from skelpipe.errors import BadInput
from skelpipe.evaluation.features import embed, load_run
from skelpipe.evaluation.protocol import Setup
from skelpipe.evaluation.protocols import CHECKS, PROTOCOLS, Options, read_options
from skelpipe.outputs.folders import seal
from skelpipe.recordings.datasets import find_split
from skelpipe.recordings.store import Clips
from skelpipe.training.pretrain import pretrain
from skelpipe.training.recipe import load_recipe

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def encoders(clips, tmp_path_factory):
    """What a protocol may suit: (run, clips, split) of a plain run, of a supervised one, and of other clips."""
    root, source = tmp_path_factory.mktemp("runs"), Clips(clips)
    encoder = [change for change in TINY if change.startswith(("encoder.", "batch_size"))]
    for recipe, changes in (("skeletonclr", TINY), ("stgcn_supervised", encoder)):
        tiny = load_recipe(recipe, changes, epochs=1)
        pretrain(tiny, clips, root / recipe, split="xsub60", stream="joint", device="cpu")
    other = write_clips(root / "other.zarr", seed=1)
    file = other / "zarr.json"
    file.write_text(file.read_text().replace('"ntu60"', '"ntu120"'))
    seal(other, "clips")
    plain, labelled = (load_run(root / name, source, "cpu") for name in ("skeletonclr", "stgcn_supervised"))
    of60, of120 = find_split("xsub60"), find_split("xsub120")
    return [(plain, source, of60), (labelled, source, of60), (plain, Clips(other), of120)]


def suits(name, run, clips, split):
    try:
        CHECKS.get(name, lambda *_: None)(run, clips, split)
    except BadInput:
        return False
    return True


def at_toy_size(name):
    """The options of a protocol that make it quick."""
    if name not in Options.model_fields:
        return {}
    own, few = type(Options.model_fields[name].default).model_fields, {"epochs": 1, "draws": 2, "batch_size": 8}
    return read_options([f"{name}.{key}={value}" for key, value in few.items() if key in own], [name])


@pytest.mark.parametrize("name", PROTOCOLS)
def test_every_test_clip_is_scored_and_no_test_label_is_looked_at(encoders, name):
    fitting = [each for each in encoders if suits(name, *each)]
    assert fitting
    run, clips, split = fitting[0]
    features = embed(run, clips, split)
    classes, test = split.classes, ~features.train
    setup = Setup(classes, run.device, run=run, clips=clips, options=at_toy_size(name), threads=1)

    def scores(features):
        found = PROTOCOLS[name](features, setup)
        return {n: each.scores for n, each in (found if isinstance(found, dict) else {name: found}).items()}

    found = scores(features)
    assert found
    for each in found.values():
        assert each.shape[-2:] == (test.sum(), classes)
        assert each.ndim in (2, 3)  # several draws
        assert np.isfinite(each).all()
    other = scores(replace(features, label=np.where(test, (features.label + 1) % 4, features.label)))
    for n, each in found.items():
        np.testing.assert_array_equal(other[n], each)
