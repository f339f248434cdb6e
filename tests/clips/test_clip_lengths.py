"""How many frames of a recording are its own: which bodies and joints are looked at."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import twins

from skelpipe.clips.chain import Chain
from skelpipe.clips.prepare import Settings, prepare_clips
from skelpipe.clips.presets import find_preparation
from skelpipe.clips.ragged import Ragged
from skelpipe.clips.time import count_frames
from skelpipe.layouts.kinect_v2 import KINECT_V2

RAW = Settings(centre=False, turn=False)


def body(rng, frames, sway):
    """Frames (F, V, 3) of a standing body; the larger sway, the livelier."""
    pose = rng.normal(0, 0.3, (25, 3)) + np.array([0, 0, 3])
    pose[:, 1] = np.linspace(0, 1.7, 25)  # not as wide as high
    return (pose + sway * np.arange(frames)[:, None, None] * [0.01, 0, 0]).astype(np.float32)


def ragged(recording):
    return Ragged(*twins.ragged_parts([recording]))


def late_main_body():
    """74 frames of one person, and a livelier second one in frames 20 to 49 only."""
    rng = np.random.default_rng(0)
    quiet, lively = body(rng, 74, 0.1), body(rng, 74, 3.0)
    return [[(1, quiet[t])] + ([(2, lively[t])] if 20 <= t < 50 else []) for t in range(74)]


# By hand: CTR-GCN's feeder counts the frames with any body; AimCLR's those with the first of the file.
@pytest.mark.parametrize("bodies", ["first", "energy", "denoise"])
@pytest.mark.parametrize("rule", ["count", "last"])
def test_a_main_body_that_comes_late_does_not_shorten_the_clip(bodies, rule):
    recording = late_main_body()
    settings = replace(RAW, bodies=bodies, length=rule, frames=74)
    clips, length, _ = prepare_clips(ragged(recording), KINECT_V2, settings)
    assert length.tolist() == [74]
    shown = np.count_nonzero(np.abs(clips[0]).sum(axis=(0, 2)), axis=0)
    assert shown.tolist() == ([74, 30] if bodies == "first" else [30, 74])
    want, _ = twins.prepare(recording, settings)
    np.testing.assert_allclose(clips[0], want, atol=1e-6)
    options = {"bodies": bodies, "length": rule, "frames": "native", "centre": False, "turn": False}
    made = Chain(find_preparation("aimclr", options), KINECT_V2).run(ragged(recording))
    np.testing.assert_array_equal(made.values, clips[0].transpose(1, 0, 2, 3))


def test_first_asks_the_first_body_of_the_file_alone_as_aimclr_does():
    rng = np.random.default_rng(1)
    one, two = body(rng, 10, 1.0), body(rng, 10, 1.0)
    one[3] = 0  # a lost track keeps its place in the file
    recording = [[(1, one[t]), (2, two[t])] for t in range(10)]
    for bodies, length in (("first", 9), ("energy", 10), ("denoise", 10)):
        settings = replace(RAW, bodies=bodies)
        assert prepare_clips(ragged(recording), KINECT_V2, settings)[1].tolist() == [length]
        assert twins.prepare(recording, settings)[1] == length


@pytest.mark.parametrize("bodies", ["first", "energy", "denoise"])
def test_recordings_that_are_told_from_the_hips_keep_their_frames(bodies):
    rng = np.random.default_rng(2)
    one = body(rng, 12, 1.0)
    one -= one[:, :1]  # joint 0 is the origin in every frame
    recording = [[(1, frame)] for frame in one]
    clips, length, _ = prepare_clips(ragged(recording), KINECT_V2, replace(RAW, bodies=bodies, frames=12))
    assert length.tolist() == [12]
    np.testing.assert_array_equal(clips[0, ..., 0].transpose(1, 2, 0), one)


def test_the_kernel_counts_as_numpy_does():
    rng = np.random.default_rng(3)
    for _ in range(200):
        x = rng.normal(size=(9, 2, 4, 3)).astype(np.float32)
        x[rng.random((9, 2)) < 0.4] = 0
        x[rng.random((9, 2, 4)) < 0.3] = 0
        for bodies in (1, 2):
            seen = np.flatnonzero((x[:, :bodies] != 0).any(axis=(1, 2, 3)))
            assert count_frames(x, False, bodies) == len(seen)
            assert count_frames(x, True, bodies) == (seen[-1] + 1 if len(seen) else 0)
