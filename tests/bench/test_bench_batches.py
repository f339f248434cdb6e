"""Ready batches of one extreme and two normal views, beside a DataLoader whose two workers augment clip by clip."""

import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader, Dataset

from skelpipe.clips.batches import Batches
from skelpipe.clips.gather import find_extent
from skelpipe.clips.views import build_view
from skelpipe.layouts.kinect_v2 import KINECT_V2

sys.path.insert(0, str(Path(__file__).parents[1]))
import twins

CLIPS, BATCH = 1024, 128
VIEWS = {"extreme": build_view("extreme"), "query": build_view("normal"), "key": build_view("normal")}


@pytest.fixture(scope="module")
def clips():
    return np.random.default_rng(0).normal(size=(CLIPS, 3, 50, 25, 2)).astype(np.float32)


class ClipByClip(Dataset):
    """As the field's scripts do it; the parameters are drawn before, and the noise is NumPy's."""

    def __init__(self, clips):
        self.clips = clips
        extent = find_extent(clips, np.arange(CLIPS), KINECT_V2)
        self.drawn = [view.draws(0, 0, np.arange(CLIPS), n, extent) for n, view in enumerate(VIEWS.values())]

    def __len__(self):
        return len(self.clips)

    def __getitem__(self, n):
        twins.normals = lambda size, key: np.random.normal(size=size)  # noqa: NPY002
        return [
            twins.view(self.clips[n], view.steps, [p[n] for p in drawn], KINECT_V2).astype(np.float32)
            for view, drawn in zip(VIEWS.values(), self.drawn, strict=True)
        ]


@pytest.mark.benchmark(group=f"ready batches: {CLIPS} clips, three views")
def test_batches(benchmark, clips):
    rows = np.arange(CLIPS)
    batches = Batches(clips, rows, rows, VIEWS, "joint", KINECT_V2, BATCH, 0, torch.device("cpu"))
    epochs = iter(range(1000))
    seen = benchmark.pedantic(
        lambda: sum(len(b.labels) for b in batches.epoch(next(epochs))), rounds=5, warmup_rounds=1
    )
    assert seen == CLIPS


@pytest.mark.benchmark(group=f"ready batches: {CLIPS} clips, three views")
def test_loader(benchmark, clips):
    loader = DataLoader(ClipByClip(clips), BATCH, shuffle=True, num_workers=2, drop_last=True)
    assert benchmark.pedantic(lambda: sum(len(views[0]) for views in loader), rounds=2) == CLIPS
