"""Clips in every layout, drawn: a person who stands and waves."""

from __future__ import annotations

import io
import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from skelpipe.layouts import LAYOUTS, attributes_of, find_layout
from skelpipe.layouts.mapping import PLACES
from skelpipe.outputs.folders import new_folder
from skelpipe.plots import animate, style
from skelpipe.plots.motion import Motion, load_motion
from skelpipe.plots.standing import standing
from skelpipe.recordings import store


def wave(layout, frames=12):
    """(T, V, coordinates): standing, and the right forearm swings; in pixels, y down, in two dimensions."""
    own = PLACES.get(layout.name.partition("+")[0], {})
    turn = np.sin(np.linspace(0, 2 * np.pi, frames))
    x = np.repeat(standing(layout)[None], frames, axis=0)
    for v, name in enumerate(layout.joints):
        place = own.get(name, name)
        if place in ("right wrist", "right hand", "right hand tip", "right thumb", "right index", "right pinky"):
            x[:, v, 1] = 2.35 - x[:, v, 1]  # the forearm is up
            x[:, v, 0] += 0.15 * turn * (x[0, v, 1] - 1.15) / 0.25
    return x if layout.coordinates == 3 else np.float32(200) * (x[..., :2] * [1, -1] + [1, 2]).astype(np.float32)


@pytest.mark.parametrize("name", LAYOUTS)
def test_every_layout_is_drawn(name):
    layout = find_layout(name)
    motion = Motion("waves", wave(layout)[:, None], layout, 0.1, name)
    picture = style.png_bytes(animate.film_strip(motion, "motion"))
    if folder := os.environ.get("SKELPIPE_PICTURES"):  # to look at them
        (Path(folder) / f"{name}.png").write_bytes(picture)
    assert np.asarray(Image.open(io.BytesIO(picture)).convert("L")).std() > 5
    scene = animate._Scene(motion, "joint")
    assert [view.title for view in scene.views] == (["front", "side"] if layout.coordinates == 3 else ["picture"])
    head = next((joint for joint in ("nose", "head") if joint in layout.joints), None)
    if head and "left ankle" in layout.joints:
        upper, lower = (scene.joints[0, 0, layout.joints.index(joint)] for joint in (head, "left ankle"))
        assert upper[1] > lower[1]
    bones = animate._Scene(motion, "bone").joints
    np.testing.assert_allclose(bones[:, 0, layout.centre].mean(axis=1), 0, atol=1e-4)


def test_joints_that_no_detector_found_are_not_drawn(tmp_path):
    layout = find_layout("coco17+confidence")
    clips = np.zeros((1, 3, 4, 17, 2), np.float32)
    clips[0, :2, :, :, 0] = wave(layout, 4).transpose(2, 0, 1)
    clips[0, 2, :, :, 0] = 0.9
    clips[0, 2, 1, [11, 12], 0] = 0  # both hips, one frame: the centre
    about = {"dataset": "own", **attributes_of(layout), "frames": 4, "columns": ["name", "label"]}
    with new_folder(tmp_path / "clips", "clips") as folder:
        group = store.create_group(folder, "clips", about)
        store.write_columns(group, {"name": np.array(["a"]), "label": np.zeros(1, np.int32)})
        store.write_array(group, "clips", clips)
        store.write_array(group, "length", np.full(1, 4, np.int32))
    motion = load_motion(tmp_path / "clips", "a")
    assert motion.joints.shape == (4, 2, 17, 2)
    np.testing.assert_array_equal(motion.joints[0, 0], clips[0, :2, 0, :, 0].T)
    assert np.argwhere(np.isnan(motion.joints[:, 0]).all(axis=-1)).tolist() == [[1, 11], [1, 12]]
    assert np.isnan(motion.joints[:, 1]).all()
    for stream in ("joint", "motion", "bone"):
        out = animate.animate(tmp_path / "clips", "a", tmp_path / f"{stream}.gif", stream=stream)
        with Image.open(out) as picture:
            assert picture.n_frames == 4
