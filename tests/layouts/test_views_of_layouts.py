"""Bones and flips of clips in every layout."""

from __future__ import annotations

import numpy as np
import pytest

from skelpipe.clips.augment.flip import flip_joints
from skelpipe.clips.streams import apply_stream
from skelpipe.layouts import LAYOUTS


@pytest.mark.parametrize("layout", LAYOUTS.values(), ids=LAYOUTS)
def test_bones_and_flips(layout):
    shape = (3, layout.channels, 4, len(layout.joints), 2)
    x = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    bones = apply_stream(x, "bone", layout)
    for v, parent in enumerate(layout.parents):
        np.testing.assert_array_equal(bones[..., v, :], x[..., v, :] - x[..., parent, :])
    flipped = x.copy()
    flip_joints(flipped, np.array([True, False, True]), layout)
    np.testing.assert_array_equal(flipped[1], x[1])
    np.testing.assert_array_equal(flipped[::2], x[::2][..., list(layout.mirror), :])
    # The bones of a flipped body are the flipped bones, as the mirror maps the tree onto itself.
    np.testing.assert_array_equal(apply_stream(flipped, "bone", layout)[0], bones[0][..., list(layout.mirror), :])
