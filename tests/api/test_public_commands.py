"""What the functions make is, byte for byte, what the commands make."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner
from made_by_api import CHANGES

import skelpipe as sk
from skelpipe.cli import main

SETS = ["--set", "batch_size=8", "--set", "encoder.width=4", "--set", "encoder.features=16",
        "--set", "method.queue_size=32"]  # fmt: skip
# What says when, where and how fast, and the sums of that; checkpoints are zips that hold times, too.
TIMED = {"provenance.json", "log.jsonl", "done.json", "files.sha256", "checkpoint.pt"}


def command(*words: object) -> str:
    done = CliRunner().invoke(main, [*map(str, words)], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.output


def same(one: Path, other: Path) -> None:
    """Whether two folders hold the same files, byte for byte."""
    names = [{p.relative_to(f).as_posix() for p in f.rglob("*") if p.is_file()} for f in (one, other)]
    names = [{n for n in each if not n.startswith("tensorboard/")} for each in names]
    assert names[0] == names[1]
    for name in names[0] - TIMED:
        assert (one / name).read_bytes() == (other / name).read_bytes(), name


@pytest.fixture(scope="module")
def commands(road, tmp_path_factory) -> Path:
    """The same chain by commands."""
    folder = tmp_path_factory.mktemp("commands")
    size = ["--actions", 3, "--subjects", 4, "--setups", 1, "--replications", 1, "--frames", 20, 30]
    command("synth", "ntu60", folder / "raw", *size)
    command("ingest", "ntu60", folder / "raw", folder / "store.zarr", "--workers", 0)
    command("prepare", folder / "store.zarr", folder / "clips.zarr", "--frames", 12)
    where = ["--split", "xsub60", "--stream", "joint", "--device", "cpu", "--threads", 1, "--epochs", 1]
    command("pretrain", "small_skeletonclr", folder / "clips.zarr", folder / "run", *SETS, *where)
    asked = ["--probe", "lbfgs", "--protocol", "linear", "--protocol", "knn", "--device", "cpu", "--threads", 1]
    command("evaluate", folder / "run", folder / "clips.zarr", folder / "evaluation", *asked)
    return folder


@pytest.mark.parametrize("name", ["raw", "store.zarr", "clips.zarr", "run", "evaluation"])
def test_a_stage_makes_the_same_files(road, commands, name):
    same(road / name, commands / name)


def test_predictions_are_those_of_the_command(road, tmp_path):
    out = tmp_path / "predictions.csv"
    asked = ["--protocol", "linear", "--out", out, "--all-classes", "--device", "cpu"]
    command("predict", road / "evaluation", road / "clips.zarr", *asked)
    told, clips = pd.read_csv(out), sk.open_clips(road / "clips.zarr")
    model = sk.load(road / "evaluation", protocol="linear", device="cpu")
    for given in (clips, clips[:]):
        found = model.predict(given)
        assert found.names == told["class"].tolist()
        written = told[[f"p {name}" for name in model.classes]].to_numpy()
        assert np.abs(found.probability - written).max() < 1e-6


def test_features_are_those_of_the_command(road, tmp_path):
    out = tmp_path / "features.npz"
    command("embed", road / "run", road / "clips.zarr", out, "--all", "--device", "cpu")
    with np.load(out) as file:
        told = file["feature"]
    clips, model = sk.open_clips(road / "clips.zarr"), sk.load(road / "run", device="cpu")
    assert (model.embed(clips) == told).all()
    assert (model.embed(clips[:]) == told).all()
    kept = sk.open_evaluation(road / "evaluation").features
    rows = [clips.row(name) for name in kept["name"]]
    assert (told[rows] == kept["feature"]).all()


def test_a_run_goes_on_by_either(road, commands):
    """What functions have begun is the commands' own, with the same settings."""
    told = [json.loads((folder / "run" / "settings.json").read_text()) for folder in (road, commands)]
    assert told[0] == told[1]
    recipe = sk.load_recipe("small_skeletonclr", **CHANGES)
    where = {"split": "xsub60", "epochs": 1, "device": "cpu"}
    again = sk.pretrain(recipe, commands / "clips.zarr", commands / "run", **where)
    assert again.result.state == "already finished"
