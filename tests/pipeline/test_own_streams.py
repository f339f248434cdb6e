"""Recipes that train networks of their own names together: one run, an evaluation of each, and their fusion."""

from __future__ import annotations

import shlex

import pytest
from test_pipeline import write_toy

from skelpipe.errors import BadInput
from skelpipe.evaluation.fuse import STREAM_ORDER, STREAM_WEIGHTS
from skelpipe.pipeline.files import load_pipeline
from skelpipe.pipeline.plan import plan
from skelpipe.pipeline.spec import WEIGHTS
from skelpipe.training.recipe import load_recipe

COLOURS = ["temporal", "spatial", "person"]


def planned(folder, **changes):
    """A plan whose recipes are evaluated by 1-NN alone."""
    file = write_toy(folder, **{"protocols": ["knn"], "streams": ["joint", "motion", "bone"], **changes})
    return plan(*load_pipeline(file), folder / "data")


def names(config, kind):
    return ["/".join(folder.split("/")[3:]) for folder in config[kind]]


def test_they_stand_beside_recipes_of_the_usual_streams(tmp_path):
    config = planned(tmp_path, recipes=["colorization", "skeletonclr"])
    usual = [f"skeletonclr/{stream}-s0" for stream in ("joint", "motion", "bone")]
    assert names(config, "runs") == ["colorization/3s-s0/run", *(f"{each}/run" for each in usual)]
    own = [f"colorization/{colour}-s0/knn-stated" for colour in COLOURS]
    assert names(config, "evaluations") == [*own, *(f"{each}/knn" for each in usual)]
    (run,) = {config["evaluations"][folder]["run"] for folder in list(config["evaluations"])[:3]}
    assert "--stream 3s" in config["runs"][run]["flags"]
    for folder, colour in zip(config["evaluations"], COLOURS, strict=False):
        assert f"--stream {colour}" in config["evaluations"][folder]["flags"]
    (fusion, flags), _ = config["fusions"].items()
    assert fusion.endswith("colorization/fused-s0/knn-stated")
    assert flags == {"parts": list(config["evaluations"])[:3], "flags": "--weights 1,1,1"}
    assert config["measures"][fusion]["stream"] == "3s"
    # Its clips are its own too, beside those of the others.
    assert len(config["clips"]) == 2


@pytest.mark.parametrize(
    ("changes", "name", "weights"),
    [
        ({"streams": {"colorization": ["person", "temporal"]}}, "temporal+person", "1,1"),
        ({"set": {"colorization": ["method.colours=[spatial, temporal]"]}}, "temporal+spatial", "1,1"),
        ({"fusion": {"joint": 0.6, "motion": 1, "bone": 0.4}}, "3s", "1,1,1"),
        (
            {"fusion": {"joint": 0.6, "motion": 0.4, "bone": 0.6, "spatial": 0.5}},
            "temporal1+spatial0.5+person1",
            "1,0.5,1",
        ),
    ],
)
def test_some_of_them_and_other_weights(tmp_path, changes, name, weights):
    config = planned(tmp_path, recipes=["colorization"], **changes)
    ((folder, fusion),) = config["fusions"].items()
    assert config["measures"][folder]["stream"] == name
    assert shlex.split(fusion["flags"]) == ["--weights", weights]


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"streams": {"colorization": ["joint"]}}, "colorization has no joint: it trains temporal, spatial, person"),
        ({"streams": ["temporal"], "recipes": ["aimclr"]}, "aimclr has no temporal: it trains one of joint, motion"),
        ({"streams": ["person"], "recipes": ["crossclr"]}, "crossclr has no person: it trains joint, motion, bone"),
        ({"streams": ["hue"]}, "streams"),
    ],
)
def test_streams_that_a_recipe_has_not(tmp_path, changes, told):
    with pytest.raises(BadInput) as caught:
        planned(tmp_path, **{"recipes": ["colorization"], **changes})
    assert told.replace(": it", "; it") in str(caught.value)


def test_the_weights_of_pipelines_are_those_of_fusions():
    assert tuple(WEIGHTS) == STREAM_ORDER
    assert dict(WEIGHTS) == STREAM_WEIGHTS
    assert set(load_recipe("colorization").streams) < set(STREAM_ORDER)
