"""Prepare kernels beside their NumPy twin; recordings of the length and make-up of NTU RGB+D's."""

import sys
from pathlib import Path

import numpy as np
import pytest

from skelpipe.clips.bodies import BODY_POLICIES
from skelpipe.clips.prepare import Settings, prepare_clips
from skelpipe.clips.ragged import Ragged
from skelpipe.layouts.kinect_v2 import KINECT_V2

sys.path.insert(0, str(Path(__file__).parents[1]))
import twins


@pytest.fixture(scope="module")
def recordings():
    rng = np.random.default_rng(0)
    made = []
    for n in range(64):
        bodies = 1 + (n % 4 == 0)
        points = rng.normal(size=(int(rng.integers(50, 116)), bodies, 25, 3)).astype(np.float32)
        made.append([[(m + 1, points[t, m]) for m in range(bodies)] for t in range(len(points))])
    return made


@pytest.mark.parametrize("bodies", BODY_POLICIES)
@pytest.mark.benchmark(group="prepare: 64 clips, one thread")
def test_kernel(benchmark, recordings, bodies):
    ragged, settings = Ragged(*twins.ragged_parts(recordings)), Settings(bodies=bodies)
    clips, _, _ = benchmark(prepare_clips, ragged, KINECT_V2, settings, 1)
    assert np.isfinite(clips).all()


@pytest.mark.parametrize("bodies", BODY_POLICIES)
@pytest.mark.benchmark(group="prepare: 64 clips, one thread")
def test_twin(benchmark, recordings, bodies):
    settings = Settings(bodies=bodies)
    benchmark.pedantic(lambda: [twins.prepare(r, settings) for r in recordings], rounds=3)
