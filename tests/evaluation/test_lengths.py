"""Clips that are filled up, and clips of their own lengths: what is embedded, scored and finetuned of them."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from conftest import TINY
from uneven import LENGTHS, write_uneven

from skelpipe.clips.streams import apply_stream
from skelpipe.errors import BadInput
from skelpipe.evaluation.evaluate import evaluate
from skelpipe.evaluation.features import embed, load_run
from skelpipe.recordings.native import Native
from skelpipe.recordings.store import Clips
from skelpipe.training.pretrain import pretrain
from skelpipe.training.recipe import load_recipe

GRU = "encoder={name: recurrent, layers: 1, width: 6, direction: bi, pooling: final}"


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    return write_uneven(tmp_path_factory.mktemp("clips"))


def train(folder, run, more=(), stream="motion"):
    small = [each for each in TINY if not each.startswith("encoder.")]
    views = "views={query: [{first: {frames: 14}}, shear], key: [{first: {frames: 14}}]}"
    recipe = load_recipe("skeletonclr", [*small, GRU, views, *more], epochs=1)
    assert pretrain(recipe, folder, run, split="xsub60", stream=stream, device="cpu", threads=1).state == "finished"
    return run


@pytest.fixture(scope="module")
def runs(folders, tmp_path_factory):
    """One on each of the folders; the native clips are evaluated in a view of 14 frames."""
    path, (filled, native, _) = tmp_path_factory.mktemp("runs"), folders
    view = "evaluate={view: [{first: {frames: 14}}]}"
    return train(filled, path / "filled"), train(native, path / "native", [view])


def test_a_filled_clip_has_the_features_of_its_own_frames(folders, runs):
    source = Clips(folders[0])
    run = load_run(runs[0], source, "cpu")
    features = embed(run, source, "xsub60")
    for n in range(0, 32, 5):
        alone = apply_stream(np.ascontiguousarray(folders[2][n : n + 1, :, : LENGTHS[n]]), "motion", source.layout)
        expected = run.network.encoder(torch.from_numpy(alone))[0].numpy()
        np.testing.assert_allclose(features.feature[features.row == n][0], expected, rtol=1e-4, atol=1e-6)


def test_native_clips_are_the_same_in_training_and_as_features(folders, runs):
    """What they are filled up to makes no difference, to a bit."""
    found = []
    for folder, run in zip(folders[:2], runs, strict=True):
        source = Clips(folder)
        found.append(embed(load_run(run, source, "cpu"), source, "xsub60").feature)
    assert np.array_equal(*found)
    weights = [(run / "weights.safetensors").read_bytes() for run in runs]
    assert weights[0] == weights[1]


def test_encoders_are_finetuned_on_them(folders, runs, tmp_path):
    options = ["finetune.epochs=2", "semi.epochs=2", "semi.draws=1", "semi.fractions=[0.5]"]
    scores = []
    for folder, run in zip(folders[:2], runs, strict=True):
        out = tmp_path / run.name
        evaluate(run, folder, out, protocols=["finetune", "semi"], options=options, device="cpu", threads=1)
        with np.load(out / "scores.npz") as arrays:
            scores.append({name: arrays[name] for name in arrays.files})
    for name, values in scores[0].items():
        assert np.array_equal(values, scores[1][name]), name


def test_an_evaluated_view_is_rendered(folders, tmp_path):
    run = train(folders[0], tmp_path / "run", ["evaluate={view: [{first: {frames: 4}}]}"], "joint")
    source = Clips(folders[0])
    loaded = load_run(run, source, "cpu")
    features = embed(loaded, source, "xsub60").feature
    expected = loaded.network.encoder(torch.from_numpy(np.ascontiguousarray(folders[2][:, :, :4]))).numpy()
    np.testing.assert_allclose(features, expected, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("more", [[], ["evaluate.view=[shear, {first: {frames: 14}}]"]])
def test_native_clips_need_a_view_of_so_many_frames_before_they_are_trained_on(folders, tmp_path, more):
    with pytest.raises(BadInput, match=r"write for example 'evaluate\.view: \[\{resize: \{frames: 64\}\}\]'") as caught:
        train(folders[1], tmp_path / "run", more)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "run").exists()


def test_another_evaluated_view_trains_nothing_anew(folders, tmp_path):
    """A run that is at its end stays bit for bit what it was, and is embedded in the new view."""
    first, then = ["evaluate.view=[{first: {frames: 14}}]"], ["evaluate.view=[{resize: {frames: 9}}]"]
    run, source = train(folders[1], tmp_path / "run", first), Clips(folders[1])
    weights, logged = ((run / name).read_bytes() for name in ("weights.safetensors", "log.jsonl"))
    before = embed(load_run(run, source, "cpu"), source, "xsub60").feature
    train(folders[1], run, then)
    assert [(run / name).read_bytes() for name in ("weights.safetensors", "log.jsonl")] == [weights, logged]
    assert not [*run.glob("weights-*")]
    loaded = load_run(run, source, "cpu")
    assert not np.array_equal(embed(loaded, source, "xsub60").feature, before)
    assert loaded.settings["recipe_settings"] == loaded.recipe.model_dump(mode="json")
    at_once = train(folders[1], tmp_path / "at_once", then)
    for name in ("recipe.yaml", "settings.json", "weights.safetensors"):
        assert (run / name).read_bytes() == (at_once / name).read_bytes(), name


def test_some_native_clips(folders):
    native = Clips(folders[1]).load()
    index = np.array([5, 0, 31, 5])
    some = native.taken(index)
    assert isinstance(some, Native)
    for place, n in enumerate(index.tolist()):
        assert np.array_equal(some.clip(place), native.clip(n))
    assert len(native.taken(index[:0])) == 0
