import numpy as np
import pytest
import twins

from skelpipe.clips.streams import STREAMS, apply_stream, write_streams
from skelpipe.errors import BadInput
from skelpipe.layouts.kinect_v2 import KINECT_V2
from skelpipe.outputs.folders import new_folder
from skelpipe.recordings import store


@pytest.fixture
def clips():
    return np.random.default_rng(0).normal(size=(17, 3, 50, 25, 2)).astype(np.float32)


@pytest.mark.parametrize("stream", STREAMS)
def test_streams_equal_their_twins(clips, stream):
    expected = twins.stream(clips, stream, KINECT_V2)
    np.testing.assert_array_equal(apply_stream(clips, stream, KINECT_V2), expected)
    np.testing.assert_array_equal(apply_stream(clips, stream, KINECT_V2, threads=2), expected)
    same = clips.copy()
    assert apply_stream(same, stream, KINECT_V2, out=same) is same
    np.testing.assert_array_equal(same, expected)


def test_the_root_has_no_bone_and_the_last_frame_no_motion(clips):
    assert not apply_stream(clips, "bone", KINECT_V2)[:, :, :, KINECT_V2.centre].any()
    assert not apply_stream(clips, "motion", KINECT_V2)[:, :, -1].any()


def test_a_hand_worked_clip():
    x = np.zeros((1, 3, 2, 25, 1), np.float32)
    x[0, 0, 0, [3, 2, 20], 0] = 5, 3, 1  # head, neck, spine shoulder
    x[0, 0, 1, 3, 0] = 9
    bones = apply_stream(x, "bone", KINECT_V2)[0, 0, 0, :, 0]
    assert bones[[3, 2, 20, 1, 0]].tolist() == [2, 2, 0, -1, 0]
    assert apply_stream(x, "motion", KINECT_V2)[0, 0, :, 3, 0].tolist() == [4, 0]


def test_bones_of_three_bodies():
    """Two bodies go through as complex numbers; more do not."""
    x = np.random.default_rng(1).normal(size=(1, 3, 4, 25, 3)).astype(np.float32)
    np.testing.assert_array_equal(apply_stream(x, "bone", KINECT_V2), twins.stream(x, "bone", KINECT_V2))


def test_bones_in_double_precision():
    x = np.random.default_rng(1).normal(size=(2, 3, 4, 25, 2))
    np.testing.assert_array_equal(apply_stream(x, "bone", KINECT_V2), twins.stream(x, "bone", KINECT_V2))


def test_one_frame_has_no_motion():
    assert not apply_stream(np.ones((1, 3, 1, 25, 2), np.float32), "motion", KINECT_V2).any()


def test_an_unknown_stream_is_refused(clips):
    with pytest.raises(BadInput, match="velocity"):
        apply_stream(clips, "velocity", KINECT_V2)


def write_clips(path, clips):
    names = np.array([f"clip{i}" for i in range(len(clips))])
    attributes = {"dataset": "ntu60", "layout": "kinect_v2", "frames": 50, "columns": ["name", "label"]}
    with new_folder(path, "clips") as folder:
        group = store.create_group(folder, "clips", attributes)
        store.write_columns(group, {"name": names, "label": np.arange(len(clips))})
        store.write_array(group, "clips", clips, store.CLIPS_PER_CHUNK)


def test_written_streams_read_back(tmp_path, clips, monkeypatch):
    monkeypatch.setattr(store, "CLIPS_PER_CHUNK", 2)  # several blocks
    write_clips(tmp_path / "clips", clips)
    seen = []
    done = write_streams(tmp_path / "clips", tmp_path / "out", progress=lambda *at: seen.append(at))
    assert (done.clips, done.streams, seen) == (17, STREAMS, [(8, 17), (16, 17), (17, 17)])
    group, attributes = store.open_group(tmp_path / "out", "streams")
    assert attributes["dataset"] == "ntu60"
    assert attributes["streams"] == list(STREAMS)
    assert store.read_array(group, "name")[3] == "clip3"
    for stream in STREAMS:
        np.testing.assert_array_equal(store.read_array(group, stream), twins.stream(clips, stream, KINECT_V2))


def test_some_streams_only_and_no_overwriting(tmp_path, clips):
    write_clips(tmp_path / "clips", clips)
    write_streams(tmp_path / "clips", tmp_path / "out", streams=("bone",))
    group, _ = store.open_group(tmp_path / "out", "streams")
    assert "motion" not in group
    with pytest.raises(BadInput, match="already exists"):
        write_streams(tmp_path / "clips", tmp_path / "out")
    with pytest.raises(BadInput, match="stick"):
        write_streams(tmp_path / "clips", tmp_path / "other", streams=("stick",))
    assert not (tmp_path / "other").exists()
