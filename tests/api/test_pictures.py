"""Pictures of the public API: what they hold, what they refuse, and how a notebook shows them."""

from __future__ import annotations

import io
import re

import numpy as np
import pytest
import torch
from PIL import Image

import skelpipe as sk


@pytest.fixture(scope="module")
def clips(road):
    return sk.open_clips(road / "clips.zarr")


def test_motion_has_a_row_for_each_clip_with_its_words_escaped(clips):
    made = sk.draw_motion(
        {"a < b": clips[0][..., :1], "c": torch.from_numpy(clips[1][..., :1])}, clips.layout, frames=3
    )
    text = made.data.decode()
    assert "a &lt; b" in text
    assert "<style>" in text
    assert "skelpipe-drawing" in made._repr_html_()
    seen = sum(int(clips[n][:, t, :, 0].any()) for n in (0, 1) for t in (0, 6, 11))
    assert text.count('class="bone') == seen * len(clips.layout.edges)


def test_weights_tint_the_joints_from_the_least_to_the_greatest(clips):
    weights = np.arange(25.0)
    text = sk.draw_motion(clips[0][..., :1], clips.layout, frames=1, weights=weights).data.decode()
    shades = re.findall(r"fill:rgb\((\d+),(\d+),(\d+)\)", text)
    assert len(shades) == 25
    assert shades[0] == ("237", "237", "237")
    assert shades[-1] == ("204", "0", "114")
    same = sk.draw_motion(clips[0][..., :1], clips.layout, frames=1, weights=np.ones(25)).data.decode()
    assert len(set(re.findall(r"fill:rgb\(.*?\)", same))) == 1


def test_a_row_is_as_high_as_is_asked(clips):
    small, large = (
        sk.draw_motion(clips[0], clips.layout, frames=2, height=height).data.decode() for height in (130, 260)
    )
    width = [float(re.search(r"max-width:(\d+)px", text)[1]) for text in (small, large)]
    assert 1.7 < width[1] / width[0] < 2.1


def test_what_cannot_be_drawn_is_refused(clips, tmp_path):
    layout = clips.layout
    for wrong, call in (
        ("show nobody", lambda: sk.draw_motion(np.zeros_like(clips[0]), layout)),
        ("show nobody", lambda: sk.draw_motion({}, layout)),
        ("V = 25", lambda: sk.draw_motion(clips[0], "coco17")),
        ("frames", lambda: sk.draw_motion(clips[0], layout, frames=0)),
        ("height", lambda: sk.draw_motion(clips[0], layout, height=0)),
        ("weights", lambda: sk.draw_motion(clips[0], layout, weights=[1.0])),
        ("weights", lambda: sk.draw_motion(clips[0], layout, weights=[np.nan] * 25)),
        ("has no clip", lambda: sk.animate(clips, "S001")),
        ("stream", lambda: sk.animate(clips, 0, stream="bones")),
        ("shapes", lambda: sk.draw_map(np.zeros((3, 3)), np.zeros(3, int), ["a"])),
        ("have names", lambda: sk.draw_map(np.zeros((2, 2)), np.array([0, 1]), ["a"])),
        ("11 classes", lambda: sk.draw_map(np.zeros((11, 2)), np.arange(11), list("abcdefghijk"))),
        ("is no name of a SVG", lambda: sk.draw_motion(clips[0], layout).save(tmp_path / "a.png")),
        ("cannot be written", lambda: sk.draw_motion(clips[0], layout).save(tmp_path / "none" / "a.svg")),
    ):
        with pytest.raises(sk.BadInput, match=wrong):
            call()


def test_an_animation_plays_all_frames_of_clips_and_of_stores(clips, road):
    made = sk.animate(clips, 3)
    assert Image.open(io.BytesIO(made.data)).n_frames == 12
    assert made.data == sk.animate(clips, str(clips.ids[3])).data
    assert made._repr_html_().startswith('<img alt="" src="data:image/gif;base64,R0lG')
    store = sk.open_store(road / "store.zarr")
    assert Image.open(io.BytesIO(sk.animate(store, -1).data)).n_frames == store.frames[-1]


def test_a_confusion_matrix_and_a_map_are_pictures(road, tmp_path):
    evaluation = sk.open_evaluation(road / "evaluation")
    made = sk.draw_confusion(evaluation)
    assert made.data == sk.draw_confusion(evaluation, "linear").data != sk.draw_confusion(evaluation, "knn").data
    assert Image.open(made.save(tmp_path / "a.png")).size[0] > 300
    with pytest.raises(sk.BadInput, match="has not measured"):
        sk.draw_confusion(evaluation, "retrieval")
    labels = np.array([0, 1, -1, 1])
    shown = sk.draw_map(torch.eye(4)[:, :2], labels, ["a", "b"], "title")
    assert shown.kind == "png"
    assert repr(shown).startswith("<skelpipe Picture: png, ")
