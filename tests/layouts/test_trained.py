"""A run on a layout of a user's own is complete in itself, and knows it from another of the same name."""

import json
from dataclasses import replace

import pytest
from conftest import TINY, write_clips
from uneven import write

from skelpipe.errors import BadInput
from skelpipe.evaluation.features import load_run
from skelpipe.exchange.weights.exporting import export_weights
from skelpipe.layouts import attributes_of, find_layout, layout_of
from skelpipe.recordings.store import Clips
from skelpipe.training.pretrain import pretrain
from skelpipe.training.recipe import load_recipe

MINE = replace(find_layout("kinect_v2"), name="mine", torso=(0, 1))
OTHER = replace(MINE, parents=(1, 20, 20, 2, 20, 4, 5, 6, 20, 8, 9, 10, 0, 12, 13, 14, 0, 16, 17, 18, 20, 7, 7, 11, 11))


def test_a_run_on_a_users_layout_is_evaluated_and_exported_without_its_file(tmp_path):
    whole = Clips(write_clips(tmp_path / "whole"))
    mine, other = (
        write(tmp_path / name, whole, {"clips": whole.load(), "length": whole.valid}, **attributes_of(layout))
        for name, layout in (("mine", MINE), ("other", OTHER))
    )
    options = {"split": "xsub60", "stream": "bone", "device": "cpu", "threads": 1}
    pretrain(load_recipe("skeletonclr", TINY, epochs=1), mine, tmp_path / "run", **options)
    settings = json.loads((tmp_path / "run" / "settings.json").read_text())
    assert layout_of(settings) == MINE
    assert load_run(tmp_path / "run", Clips(mine), "cpu").stream == "bone"
    assert export_weights(tmp_path / "run", tmp_path / "out.pt") > 0
    with pytest.raises(BadInput, match="a layout mine of other joints or bones than the run was trained with"):
        load_run(tmp_path / "run", Clips(other), "cpu")
    with pytest.raises(BadInput, match="has layout kinect_v2, the run was trained with mine"):
        load_run(tmp_path / "run", whole, "cpu")
