"""Pictures: that they come out, in the right size and number of frames, and that what they draw is right."""

import io
import os
import warnings
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from skelpipe.errors import BadInput
from skelpipe.layouts.kinect_v2 import KINECT_V2
from skelpipe.outputs import folders
from skelpipe.plots import animate, confusion, curves, style, sweeps, tsne
from skelpipe.plots.motion import Motion, load_motion
from skelpipe.recordings import store

T, V = 6, 25


def body(frames=T, sway=0.1):
    """(T, V, 3) joints that all go to the right, each at its own speed."""
    rng = np.random.default_rng(1)
    joints = rng.uniform(-0.5, 0.5, (1, V, 3)).astype(np.float32)
    speed = sway * rng.uniform(0.5, 1.5, (V, 1)).astype(np.float32) * np.array([1, 0, 0], np.float32)
    return joints + np.arange(frames, dtype=np.float32)[:, None, None] * speed


@pytest.fixture
def clips(tmp_path):
    data = np.zeros((3, 3, T, V, 2), np.float32)
    data[0, ..., 0] = body().transpose(2, 0, 1)
    data[1, ..., 0] = data[0, ..., 0]
    data[1, :, 2:4, :, 1] = data[0, :, 2:4, :, 0] + 0.2
    columns = {"name": np.array(["one", "two bodies", "empty"]), "label": np.arange(3, dtype=np.int32)}
    attributes = {"dataset": "ntu60", "layout": "kinect_v2", "frames": T, "columns": list(columns), "centre": False}
    with folders.new_folder(tmp_path / "clips", "clips") as folder:
        group = store.create_group(folder, "clips", attributes)
        store.write_array(group, "clips", data)
        store.write_array(group, "length", np.array([60, 12, 6], np.int32))
        store.write_columns(group, columns)
    return tmp_path / "clips"


@pytest.fixture
def raw(tmp_path):
    """A store: clip `first` has 4 frames, body 7 in all, body 9 in frame 2 only, nobody in frame 3."""
    joints = np.concatenate([body(3), body(1) + 1, body(2)])
    columns = {"name": np.array(["first", "second"]), "label": np.zeros(2, np.int32)}
    with folders.new_folder(tmp_path / "store", "store") as folder:
        attributes = {"dataset": "ntu60", "layout": "kinect_v2", "columns": list(columns)}
        group = store.create_group(folder, "store", attributes)
        store.write_array(group, "joints", joints)
        store.write_array(group, "row_frame", np.array([0, 1, 2, 2, 0, 1], np.int32))
        store.write_array(group, "row_body", np.array([7, 7, 7, 9, 3, 3], np.int64))
        store.write_array(group, "clip_offset", np.array([0, 4, 6], np.int64))
        store.write_array(group, "clip_frames", np.array([4, 2], np.int32))
        store.write_columns(group, columns)
    return tmp_path / "store"


def size(figure):
    return Image.open(io.BytesIO(style.png_bytes(figure, dpi=50))).size


def test_a_store_becomes_bodies_over_time(raw):
    motion = load_motion(raw, "first")
    assert motion.joints.shape == (4, 2, V, 3)
    present = ~np.isnan(motion.joints).all(axis=(2, 3))
    assert present.tolist() == [[True, False], [True, False], [True, True], [False, False]]
    np.testing.assert_array_equal(motion.joints[:3, 0], body(3))
    np.testing.assert_array_equal(motion.joints[2, 1], body(1)[0] + 1)


def test_absent_bodies_of_clips(clips):
    motion = load_motion(clips, "two bodies")
    present = ~np.isnan(motion.joints).all(axis=(2, 3))
    assert present[:, 0].all()
    assert present[:, 1].tolist() == [False, False, True, True, False, False]
    assert motion.seconds == pytest.approx(12 / 30 / T)


def test_steps_and_bones_are_those_of_the_streams(clips):
    joints = load_motion(clips, "one").joints[:, 0]
    scene = animate._Scene(load_motion(clips, "one"), "motion")
    np.testing.assert_allclose(scene.steps[:-1, 0], joints[1:] - joints[:-1], atol=1e-6)
    assert not scene.steps[-1].any()
    bones = animate._Scene(load_motion(clips, "one"), "bone").joints[:, 0]
    assert not bones[:, KINECT_V2.centre].any()
    for child, parent in KINECT_V2.edges:
        np.testing.assert_allclose(bones[:, child] - bones[:, parent], joints[:, child] - joints[:, parent], atol=1e-6)


def test_sides_of_the_body():
    scene = animate._Scene(Motion("x", body()[:, None], KINECT_V2, 0.1, ""), "joint")
    sides = dict(zip(KINECT_V2.joints, scene.side, strict=True))
    assert sides["left thumb"] == "left"
    assert sides["right foot"] == "right"
    assert sides["head"] == sides["spine base"] == "middle"
    for v, other in enumerate(KINECT_V2.mirror):
        assert (scene.side[v] == "middle") == (v == other)


def test_both_panels_have_one_scale():
    scene = animate._Scene(Motion("x", body()[:, None], KINECT_V2, 0.1, ""), "joint")
    assert scene.limits[0][0] < body()[..., 0].min()
    assert scene.limits[0][1] > body()[..., 0].max()
    assert [view.across for view in scene.views] == [0, 2]


@pytest.mark.parametrize("stream", ["joint", "motion", "bone"])
def test_gif(clips, tmp_path, stream):
    out = animate.animate(clips, "two bodies", tmp_path / "new" / "x.gif", stream=stream)
    with Image.open(out) as picture:
        assert picture.n_frames == T
        assert picture.info["duration"] == 70  # 12 recorded frames at 30 a second over 6 frames, in steps of 10 ms
        frames = []
        for t in range(T):
            picture.seek(t)
            frames.append(np.asarray(picture.convert("RGB")))
    assert len({f.tobytes() for f in frames}) == T
    second = np.all(np.abs(frames[2].astype(int) - [0xD5, 0x5E, 0x00]) < 30, axis=-1).sum()
    alone = np.all(np.abs(frames[5].astype(int) - [0xD5, 0x5E, 0x00]) < 30, axis=-1).sum()
    assert second > alone  # the second body, in its own colour, is there in frames 2 and 3 only


def test_film_strip_of_a_store(raw, tmp_path):
    out = animate.animate(raw, "first", tmp_path / "x.png")
    with Image.open(out) as picture:
        assert picture.width > picture.height
    assert np.asarray(Image.open(out).convert("L")).std() > 5


def test_animate_refuses(clips, tmp_path):
    with pytest.raises(BadInput, match="did you mean two bodies"):
        animate.animate(clips, "two bodys", tmp_path / "x.gif")
    with pytest.raises(BadInput, match="its clips are called"):
        animate.animate(clips, "zzzzzz", tmp_path / "x.gif")
    with pytest.raises(BadInput, match=r"\.gif nor a \.png"):
        animate.animate(clips, "one", tmp_path / "x.mp4")
    with pytest.raises(BadInput, match="not a stream"):
        animate.animate(clips, "one", tmp_path / "x.gif", stream="depth")
    with pytest.raises(BadInput, match="no body"):
        animate.animate(clips, "empty", tmp_path / "x.gif")
    with pytest.raises(BadInput, match="does not exist"):
        animate.animate(tmp_path / "none", "one", tmp_path / "x.gif")
    assert not list(tmp_path.glob("x.*"))


def test_animate_keeps_what_is_there(clips, tmp_path):
    (tmp_path / "x.png").write_text("mine")
    with pytest.raises(BadInput, match="already exists"):
        animate.animate(clips, "one", tmp_path / "x.png")
    assert (tmp_path / "x.png").read_text() == "mine"
    with pytest.raises(BadInput, match="is no output of skelpipe"):
        animate.animate(clips, "one", tmp_path / "x.png", force=True)
    assert (tmp_path / "x.png").read_text() == "mine"


@pytest.mark.parametrize("suffix", [".png", ".gif"])
def test_animate_replaces_its_own_pictures(clips, tmp_path, suffix):
    out = animate.animate(clips, "one", tmp_path / f"x{suffix}")
    before = out.read_bytes()
    animate.animate(clips, "one", out, stream="bone", force=True)
    assert out.read_bytes() != before


def test_confusion_of_some_classes_writes_percentages_and_the_rest():
    matrix = np.array([[8, 1, 1], [0, 4, 0], [0, 0, 0]])
    figure = confusion.confusion_figure(matrix, ["a", "b", "c"], "title", classes=[0, 1, 2])
    texts = [t.get_text() for t in figure.axes[0].texts]
    assert texts == ["80", "10", "10", "100"]
    assert [t.get_text() for t in figure.axes[0].get_xticklabels()] == ["a", "b", "c", "other"]
    some = confusion.confusion_figure(matrix, ["a", "b", "c"], "title", classes=[0, 1])
    assert [t.get_text() for t in some.axes[0].texts] == ["80", "10", "10", "100"]  # the third is now "other"
    assert size(some)[0] > 50


@pytest.mark.parametrize("classes", [1, 3, 60, 120])
def test_confusion_of_all_classes(classes):
    matrix = np.eye(classes, dtype=int)
    matrix[0] = 0  # a class without clips
    figure = confusion.confusion_figure(matrix, [f"class $ {i}" for i in range(classes)], "title")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert min(size(figure)) > 100
    image = figure.axes[0].images[0].get_array()
    assert image.min() == 0
    assert image.max() == (1 if classes > 1 else 0)


def test_curves_leave_gaps_and_leave_out_what_was_not_logged():
    logs = {
        "a": [{"epoch": 1, "loss": 3.0, "neighbour_label": None}, {"epoch": 2, "loss": float("nan")}],
        "b": [{"epoch": 1, "loss": 2.0, "lr": 0.1}],
    }
    figure = curves.curves_figure(logs)
    assert [axes.get_title(loc="left") for axes in figure.axes] == ["loss", "learning rate"]
    y = figure.axes[0].lines[0].get_ydata()
    assert y[0] == 3.0
    assert np.isnan(y[1])
    assert [t.get_text() for t in figure.legends[0].get_texts()] == ["a", "b"]
    assert min(size(figure)) > 50
    assert min(size(curves.curves_figure({}))) > 50


def test_a_sweep_is_drawn_at_its_values_with_its_deviations():
    points = [{"x": x, "mean": m, "std": s} for x, m, s in ((128, 0.5, 0.01), (256, 0.6, None), (4096, 0.7, 0.02))]
    panels = [
        {"title": "linear", "lines": [{"label": "a $", "points": points}, {"label": "b", "points": points[1:]}]},
        {"title": "1-NN", "lines": [{"label": "b", "points": points}]},
    ]
    figure = sweeps.sweep_figure(panels, "queue size", doubling=True)
    left, right = figure.axes
    assert (left.get_title(loc="left"), left.get_xlabel(), left.get_xscale()) == ("linear", "queue size", "log")
    assert left.get_xticks().tolist() == [128, 256, 4096]
    assert [t.get_text() for t in left.get_xticklabels()] == ["128", "256", "4096"]
    line, bars = left.containers[0].lines[0], left.containers[0].lines[2][0]
    assert list(line.get_ydata()) == pytest.approx([50, 60, 70])
    assert np.array([s[:, 1] for s in bars.get_segments()], float) == pytest.approx(
        np.array([[49, 51], [60, 60], [68, 72]])
    )
    assert right.containers[0].lines[0].get_color() == left.containers[1].lines[0].get_color()  # both are b
    assert [t.get_text() for t in figure.legends[0].get_texts()] == ["a $", "b"]
    assert min(size(figure)) > 50
    assert sweeps.sweep_figure(panels, "pretraining epochs").axes[0].get_xscale() == "linear"


def test_tsne_says_what_it_shows_and_repeats():
    rng = np.random.default_rng(0)
    features = rng.normal(size=(40, 8)) + 6 * np.eye(8)[np.arange(40) % 4]
    labels = np.arange(40) % 4
    names = {0: "zero", 1: "one", 2: "two"}
    first, again = (tsne.tsne_figure(features, labels, names, "8-d features of test clips") for _ in range(2))
    assert style.png_bytes(first) == style.png_bytes(again)
    title = first.axes[0].get_title(loc="left")
    assert "8-d features of test clips" in title
    assert "n = 30" in title  # class 3 is not asked for
    points = [c.get_offsets() for c in first.axes[0].collections]
    assert [len(p) for p in points] == [10, 10, 10]
    # Clusters that are far apart in the features stay together in the map.
    centres = np.array([p.mean(axis=0) for p in points])
    for own, p in enumerate(points):
        nearest = np.linalg.norm(p[:, None] - centres, axis=-1).argmin(axis=1)
        assert (nearest == own).mean() > 0.9


def test_tsne_of_too_few():
    with pytest.raises(ValueError, match="too few"):
        tsne.tsne_figure(np.eye(3), np.zeros(3, int), {0: "a"}, "")


def test_class_names():
    assert style.class_names({"dataset": "ntu60"}, 60)[0] == "drink water"
    assert style.class_names({"dataset": "elsewhere"}, 2) == ["class 1", "class 2"]


def test_no_pyplot():
    import subprocess
    import sys

    code = "import sys, skelpipe.plots.animate, skelpipe.plots.tsne; assert 'matplotlib.pyplot' not in sys.modules"
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    assert subprocess.run([sys.executable, "-c", code], env=environment).returncode == 0
