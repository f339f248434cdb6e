"""Entry points: what another package adds to the registries needs no checkout."""

import json
import os
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest
from conftest import write_clips

import skelpipe
from skelpipe import resources

PROJECT = """
[build-system]
requires = ["hatchling"]
build-backend = "hatchling.build"
[project]
name = "stranger"
version = "1"
[project.entry-points]
"skelpipe.encoders" = {mean_pose = "stranger:MeanPose", stgcn = "stranger:MeanPose", gone = "stranger:Gone"}
"skelpipe.methods" = {same_feature = "stranger:SameFeature"}
"skelpipe.positives" = {nobody = "stranger:Nobody"}
"skelpipe.augmentations" = {still = "stranger:STILL"}
"skelpipe.layouts" = {stick = "stranger:STICK"}
"skelpipe.datasets" = {mine = "stranger:MINE"}
"skelpipe.splits" = {mine-sub = "stranger:MINE_SUB"}
"skelpipe.protocols" = {first_class = "stranger:first_class"}
"""
MODULE = """
from dataclasses import replace
from typing import Literal

import numpy as np
from torch import nn

from skelpipe.clips.augment.base import Augmentation
from skelpipe.encoders.base import Encoder
from skelpipe.evaluation.protocol import Outcome
from skelpipe.layouts.base import Layout
from skelpipe.methods.skeletonclr import SkeletonCLR, SkeletonCLROptions
from skelpipe.methods.positives import OwnKey, OwnKeyOptions
from skelpipe.recordings.datasets.ntu import NTU60
from skelpipe.recordings.datasets.splits import Split
from skelpipe.settings import Settings


class MeanPoseOptions(Settings):
    name: Literal["mean_pose"] = "mean_pose"
    features: int = 8


class MeanPose(Encoder):
    Options = MeanPoseOptions

    def __init__(self, layout, options):
        super().__init__()
        self.features = options.features
        self.linear = nn.Linear(layout.channels * len(layout.joints), options.features)

    def forward(self, x, lengths=None):
        return self.linear(x.mean(dim=(2, 4)).flatten(1))


class SameFeatureOptions(SkeletonCLROptions):
    name: Literal["same_feature"] = "same_feature"


class SameFeature(SkeletonCLR):
    Options = SameFeatureOptions


class NobodyOptions(OwnKeyOptions):
    name: Literal["nobody"] = "nobody"


class Nobody(OwnKey):
    Options = NobodyOptions


STILL = Augmentation(0, lambda u, *rest: u, lambda x, *rest: None, {})
STICK = Layout("stick", ("low", "high"), (0, 0), (0, 1), (0,), ((1,), (0,)), ())
MINE = replace(NTU60, name="mine")
MINE_SUB = Split("mine-sub", "mine", (MINE,), lambda columns: columns["subject"] > 1)


def first_class(features, setup):
    count = int((~features.train).sum())
    return Outcome(np.eye(setup.classes, dtype=np.float32)[np.zeros(count, int)], {}, [])
"""
RECIPE = """
encoder: mean_pose
projector: {size: 8}
method: {name: same_feature, queue_size: 16}
positives: nobody
views: {query: [still, crop], key: [still]}
batch_size: 8
epochs: 1
"""


@pytest.fixture(scope="module")
def place(tmp_path_factory) -> Path:
    """A folder with the stranger's package installed in it."""
    root = tmp_path_factory.mktemp("stranger")
    (root / "source").mkdir()
    (root / "source" / "pyproject.toml").write_text(PROJECT)
    (root / "source" / "stranger.py").write_text(MODULE)
    words = [
        "--no-deps",
        "--no-index",
        "--no-build-isolation",
        "--disable-pip-version-check",
        "--target",
        root / "site",
    ]
    subprocess.run([sys.executable, "-m", "pip", "install", "-q", *words, root / "source"], check=True)
    return root


def run(place: Path, *words: object) -> subprocess.CompletedProcess[str]:
    package, libraries = Path(skelpipe.__file__).parents[1], sysconfig.get_path("purelib")
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, (place / "site", package, libraries)))}
    return subprocess.run(
        [sys.executable, *map(str, words)], env=environment, capture_output=True, text=True, check=False
    )


def test_registries_hold_what_a_package_adds_and_their_own_first(place):
    code = """
        from skelpipe.clips.augment import AUGMENTATIONS
        from skelpipe.encoders import ENCODERS
        from skelpipe.evaluation.protocols import PROTOCOLS
        from skelpipe.layouts import LAYOUTS, find_layout
        from skelpipe.methods import METHODS, POSITIVES
        from skelpipe.recordings.datasets import DATASETS, SPLITS
        found = (AUGMENTATIONS, ENCODERS, PROTOCOLS, LAYOUTS, METHODS, POSITIVES, DATASETS, SPLITS)
        print(*([name for name, _ in registry.items()][-1] for registry in found))
        print(find_layout("stick").name, ENCODERS["stgcn"].__name__)
    """
    done = run(place, "-c", "\n".join(line.strip() for line in code.strip().splitlines()))
    assert done.stdout.split() == [
        "still", "mean_pose", "first_class", "stick", "same_feature", "nobody", "mine", "mine-sub", "stick", "STGCN",
    ]  # fmt: skip
    left_out = sorted(done.stderr.splitlines())
    assert len(left_out) == 2
    assert "'gone' of skelpipe.encoders (stranger:Gone): cannot be loaded (AttributeError" in left_out[0]
    assert "'stgcn' of skelpipe.encoders (stranger:MeanPose) is left out: there is one of that name" in left_out[1]


def test_a_strangers_recipe_trains_and_is_measured_by_their_protocol(place, tmp_path):
    clips = write_clips(tmp_path / "clips.zarr")
    (tmp_path / "mine.yaml").write_text(RECIPE)
    words = [clips, tmp_path / "run", "--split", "xsub60", "--stream", "joint", "--device", "cpu"]
    trained = run(place, "-m", "skelpipe", "pretrain", tmp_path / "mine.yaml", *words)
    assert trained.returncode == 0, trained.stderr
    words = [tmp_path / "run", clips, tmp_path / "out", "--protocol", "first_class", "--device", "cpu"]
    measured = run(place, "-m", "skelpipe", "evaluate", *words)
    assert measured.returncode == 0, measured.stderr
    assert json.loads((tmp_path / "out" / "metrics.json").read_text())["protocols"]["first_class"]["top1"] == 0.25


def test_without_any_the_library_that_reads_entry_points_is_not_even_loaded():
    code = "import sys, skelpipe.recordings.datasets; sys.exit('importlib.metadata' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_a_registry_without_additions_is_a_copy_of_its_own():
    own = {"a": 1}
    registry = resources.Registry("no such registry", own)
    registry["b"] = 2
    assert (dict(registry), own, registry.get("c", 3)) == ({"a": 1, "b": 2}, {"a": 1}, 3)
