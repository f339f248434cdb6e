"""Views beside their NumPy twins: gather, augmentations and stream, 128 clips, one thread."""

import sys
from pathlib import Path

import numpy as np
import pytest

from skelpipe.clips.gather import find_extent
from skelpipe.clips.views import VIEWS, build_view, render_view
from skelpipe.layouts.kinect_v2 import KINECT_V2

sys.path.insert(0, str(Path(__file__).parents[1]))
import twins


@pytest.fixture(scope="module")
def source():
    return np.random.default_rng(0).normal(size=(1024, 3, 50, 25, 2)).astype(np.float32)


@pytest.mark.parametrize("stream", ["joint", "bone"])
@pytest.mark.parametrize("dtype", ["float32", "float16"])
@pytest.mark.parametrize("name", VIEWS)
@pytest.mark.benchmark(group="views: 128 clips, one thread")
def test_kernel(benchmark, source, name, dtype, stream):
    view, rows, out = build_view(name), np.arange(0, 1024, 8), np.empty((128, 3, 50, 25, 2), np.float32)
    stored = source.astype(dtype)
    benchmark(render_view, stored, rows, rows, view, stream, KINECT_V2, 0, 0, 0, out, 1)
    assert np.isfinite(out).all()


@pytest.mark.parametrize("name", VIEWS)
@pytest.mark.benchmark(group="views: 128 clips, one thread")
def test_twin(benchmark, source, name, monkeypatch):
    view, rows = build_view(name), np.arange(0, 1024, 8)
    # The twin's random numbers are plain Python and would be all that is measured.
    monkeypatch.setattr(twins, "normals", lambda size, key: np.random.default_rng(key).normal(size=size))

    def render():
        drawn = view.draws(0, 0, rows, 0, find_extent(source, rows, KINECT_V2))
        return [twins.view(source[r], view.steps, [p[b] for p in drawn], KINECT_V2) for b, r in enumerate(rows)]

    benchmark.pedantic(render, rounds=3)
