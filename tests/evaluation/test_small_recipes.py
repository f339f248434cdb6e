"""The contrastive recipes for small data, from raw files to figures: on clips of any length, in whatever layout."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from click.testing import CliRunner

from skelpipe.cli import main
from skelpipe.clips.views import build_view, render_view
from skelpipe.errors import BadInput
from skelpipe.evaluation.features import embed, load_run
from skelpipe.layouts import LAYOUTS
from skelpipe.recordings.native import Native
from skelpipe.recordings.store import Clips
from skelpipe.recordings.synthetic import write_raw
from skelpipe.resources import names
from skelpipe.training.recipe import load_recipe

SMALL = [name for name in names("models") if name.startswith("small_") and load_recipe(name).encoder.name == "temporal"]


def call(*words):
    done = CliRunner().invoke(main, [str(word) for word in words])
    assert done.exit_code == 0, done.output
    return done


@pytest.mark.parametrize("name", SMALL)
@pytest.mark.parametrize("layout", ["kinect_v1", "kinect_v2", "coco17"])
def test_they_take_any_layout_and_clips_of_any_length(name, layout):
    known, recipe = LAYOUTS[layout], load_recipe(name)
    lengths = np.array([1, 7, 40])
    size = known.channels * len(known.joints)
    values = np.random.default_rng(0).normal(size=int(lengths.sum()) * size).astype(np.float32)
    clips = Native(values, np.concatenate([[0], np.cumsum(lengths)]), known.channels, len(known.joints), 1)
    evaluated = recipe.build_method(known, 4).evaluated
    network = (evaluated["joint"] if recipe.streams else evaluated).eval()
    rows = np.arange(3)
    for view in (*map(recipe.view, recipe.views), build_view(recipe.evaluate.view)):
        made = render_view(clips, rows, rows, view, "joint", known, 0, 1, 0)
        assert made.clips.shape == (3, known.channels, 32, len(known.joints), 1)
        assert np.isfinite(made.clips).all()
    with torch.no_grad():
        assert network.segments(torch.from_numpy(made.clips), recipe.evaluate.segments).shape == (3, 256)


@pytest.mark.parametrize("prepared", [(), ("--frames", 64, "--no-turn")], ids=["usual", "changed"])
def test_from_files_to_figures(tmp_path, prepared):
    write_raw("nw-ucla", tmp_path / "raw", actions=3, subjects=4, replications=3, frames=(12, 30))
    call("ingest", "nw-ucla", tmp_path / "raw", tmp_path / "store", "--workers", 0)
    call("prepare", tmp_path / "store", tmp_path / "clips", *prepared)
    where = ("--split", "nw-ucla-xview", "--stream", "joint", "--epochs", 1)
    call("pretrain", "small_crosnnclr", tmp_path / "clips", tmp_path / "run", *where)
    told = call("evaluate", tmp_path / "run", tmp_path / "clips", tmp_path / "out", "--protocol", "knn").output
    assert "knn: top-1" in told
    clips = Clips(tmp_path / "clips")
    features = embed(load_run(tmp_path / "run", clips, "cpu"), clips, "nw-ucla-xview")
    assert features.feature.shape == (len(clips), 256)
    first, second = features.feature[:, :128], features.feature[:, 128:]
    assert not np.allclose(first, second)


def test_a_classifier_of_whole_clips_is_given_no_segments():
    with pytest.raises(BadInput, match="evaluate.segments: supervised has a classifier of whole clips"):
        load_recipe("stgcn_supervised", ["evaluate.segments=2"])
