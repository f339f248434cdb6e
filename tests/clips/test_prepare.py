import os
import tracemalloc
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import twins

from skelpipe.clips import prepare as module
from skelpipe.clips.bodies import BODY_POLICIES
from skelpipe.clips.prepare import Settings, prepare, prepare_clips
from skelpipe.clips.ragged import Ragged
from skelpipe.errors import BadInput
from skelpipe.layouts.kinect_v2 import KINECT_V2
from skelpipe.outputs.folders import new_folder
from skelpipe.recordings import store

RAW = Settings(centre=False, turn=False)


def a_body(rng, frames, upright=True):
    """A smooth walk of 25 joints, (frames, 25, 3), with some depth; lying bodies are wider than they are high."""
    pose = rng.normal(size=(25, 3)) * ([0.15, 0.5, 0.15] if upright else [0.6, 0.1, 0.2])
    steps = rng.normal(scale=0.03, size=(frames, 25, 3)).cumsum(axis=0)
    return (pose + steps + rng.normal(size=3) + [0, 0, 3]).astype(np.float32)


def a_recording(rng, frames, bodies, empty=0.1):
    """Bodies come and go, frames without anybody happen; a frame is a list of (id, joints)."""
    recording = [[] for _ in range(frames)]
    for number in range(bodies):
        start = int(rng.integers(0, max(1, frames // 2))) if number else 0
        stop = int(rng.integers(start + 1, frames + 1)) if number else frames
        points = a_body(rng, frames, upright=rng.random() < 0.7)
        for t in range(start, stop):
            if rng.random() < 0.95:
                recording[t].append((72057594037931101 + number, points[t]))
    for t in range(frames):
        if rng.random() < empty:
            recording[t] = []
    return recording


def ragged(recordings):
    return Ragged(*twins.ragged_parts(recordings))


@pytest.fixture(scope="module")
def recordings():
    rng = np.random.default_rng(3)
    shapes = [(1, 1), (2, 2), (7, 1), (11, 2), (30, 1), (30, 2), (49, 3), (50, 4), (51, 5), (90, 2), (120, 3), (310, 2)]
    some = [a_recording(rng, frames, bodies) for frames, bodies in shapes]
    return [*some, [[] for _ in range(6)], a_recording(rng, 40, 1, empty=0), a_recording(rng, 301, 1, empty=0)]


@pytest.mark.parametrize("bodies", BODY_POLICIES)
@pytest.mark.parametrize(
    "change",
    [{}, {"centre": False}, {"turn": False}, {"longest": None}, {"length": "last"}, {"frames": 64}, {"frames": 1}],
    ids=str,
)
def test_clips_equal_the_twin(recordings, bodies, change):
    settings = replace(Settings(bodies=bodies), **change)
    clips, length, _ = prepare_clips(ragged(recordings), KINECT_V2, settings)
    assert clips.dtype == np.float32
    for n, recording in enumerate(recordings):
        expected, expected_length = twins.prepare(recording, settings)
        assert length[n] == expected_length
        np.testing.assert_allclose(clips[n], expected, atol=1e-5)


def test_many_random_recordings_choose_the_same_bodies():
    rng = np.random.default_rng(8)
    many = [
        a_recording(rng, int(rng.integers(1, 60)), int(rng.integers(1, 6)), rng.choice([0, 0.3])) for _ in range(80)
    ]
    for bodies in BODY_POLICIES:
        settings = replace(RAW, bodies=bodies)
        clips, length, _ = prepare_clips(ragged(many), KINECT_V2, settings)
        for n, recording in enumerate(many):
            expected, expected_length = twins.prepare(recording, settings)
            assert length[n] == expected_length
            np.testing.assert_allclose(clips[n], expected, atol=1e-5)


# ---- the body policies, by hand


def standing(x, frames=20, sway=0.0):
    """A body one metre high at x; every frame it is `sway` further."""
    pose = np.zeros((25, 3), np.float32)
    pose[:, 1] = np.linspace(0, 1, 25)
    pose[:, 2] = 3
    at = x + sway * np.arange(frames)
    return pose + at[:, None, None].astype(np.float32) * np.array([1, 0, 0], np.float32)


def slots_at(recording, bodies, **change):
    """x of joint 0 in the two slots, per frame; 0 where nobody is."""
    settings = replace(RAW, bodies=bodies, frames=len(recording), length="last", **change)
    clips, _, _ = prepare_clips(ragged([recording]), KINECT_V2, settings)
    return clips[0, 0, :, 0].T.tolist()


def test_first_takes_the_order_of_the_file_in_every_frame():
    a, b, c = standing(1, 3), standing(2, 3), standing(3, 3)
    recording = [[(5, a[0]), (6, b[0]), (7, c[0])], [(6, b[1]), (5, a[1])], [(7, c[2])]]
    assert slots_at(recording, "first") == [[1, 2, 3], [2, 1, 0]]


def test_energy_takes_the_two_liveliest_of_four_slots():
    still, slow, fast, fastest = (standing(i + 1, 20, sway) for i, sway in enumerate((0.0, 0.01, 0.05, 0.09)))
    recording = [[(1, still[t]), (2, slow[t]), (3, fast[t]), (4, still[t]), (5, fastest[t])] for t in range(20)]
    first, second = slots_at(recording, "energy")
    assert (first[0], second[0]) == (3, 2)  # the fifth slot is never read
    np.testing.assert_allclose(first, fast[:, 0, 0], rtol=1e-6)


def test_energy_ignores_frames_that_are_all_zero_and_keeps_the_order_of_equals():
    away = standing(1, 20)
    away[5:] = 0
    recording = [[(1, away[t]), (2, standing(2, 20)[t])] for t in range(20)]
    assert [slot[0] for slot in slots_at(recording, "energy")] == [1, 2]


def test_denoise_drops_short_bodies_and_puts_the_liveliest_first():
    quiet, lively, ghost = standing(1, 20, 0.01), standing(2, 20, 0.05), standing(3, 11, 0.5)
    recording = [
        [(1, quiet[t]), (2, lively[t])] + ([(3, ghost[t])] if t < 11 else []) for t in range(20)
    ]  # 11 frames are one too few
    assert [slot[0] for slot in slots_at(recording, "denoise")] == [2, 1]
    longer = standing(3, 12, 0.5)
    for t in range(12):
        recording[t] = [(1, quiet[t]), (2, lively[t]), (3, longer[t])]
    # With 12 frames it stays, moves most, and the two others cannot both be the second actor.
    assert [slot[0] for slot in slots_at(recording, "denoise")] == [3, 2]


def test_denoise_drops_sprawling_bodies_but_never_the_last():
    lively, wide = standing(1, 20, 0.01), standing(5, 20, 0.5)
    wide[:14, :, 0] += np.linspace(0, 0.9, 25)  # 14 of 20 frames, 0.7
    recording = [[(1, wide[t]), (2, lively[t])] for t in range(20)]
    first, second = slots_at(recording, "denoise")
    assert first[0] == 1
    assert not any(second)
    wide[13] = standing(5, 20, 0.5)[13]  # 0.65 is allowed, and the motion of the clean frames counts
    recording = [[(1, wide[t]), (2, lively[t])] for t in range(20)]
    assert [slot[0] for slot in slots_at(recording, "denoise")] == [5, 1]
    both = [[(1, wide[t] * [1, 0, 1]), (2, wide[t] * [1, 0, 1])] for t in range(20)]
    assert any(slots_at(both, "denoise")[0])


def test_denoise_joins_one_person_seen_under_two_ids():
    early, late, other = standing(1, 15, 0.09), standing(2, 15, 0.08), standing(3, 30, 0.01)
    recording = [[(1, early[t]), (9, other[t])] for t in range(15)] + [
        [(2, late[t]), (9, other[15 + t])] for t in range(15)
    ]
    first, second = slots_at(recording, "denoise")
    np.testing.assert_allclose(first, [*early[:, 0, 0], *late[:, 0, 0]], rtol=1e-6)
    np.testing.assert_allclose(second, other[:, 0, 0], rtol=1e-6)


def test_denoise_joins_them_also_where_the_livelier_came_later():
    early, late = standing(1, 15, 0.01), standing(2, 15, 0.09)
    first, second = slots_at([[(1, early[t])] for t in range(15)] + [[(2, late[t])] for t in range(15)], "denoise")
    np.testing.assert_allclose(first, [*early[:, 0, 0], *late[:, 0, 0]], rtol=1e-6)
    assert not any(second)


def test_denoise_takes_the_first_of_two_rows_with_one_id():
    a, twice, b = standing(1, 20, 0.01), standing(7, 20), standing(2, 20, 0.05)
    recording = [[(1, a[t]), (1, twice[t]), (2, b[t])] for t in range(20)]
    assert [slot[0] for slot in slots_at(recording, "denoise")] == [2, 1]
    np.testing.assert_allclose(slots_at(recording, "denoise")[1], a[:, 0, 0], rtol=1e-6)


def test_denoise_takes_a_body_without_extent_for_a_clean_one():
    upright, points = standing(1, 20, 0.01), standing(5, 20, 0.5)
    points[:, :, 1] = 1
    recording = [[(1, upright[t]), (2, points[t])] for t in range(20)]
    assert [slot[0] for slot in slots_at(recording, "denoise")] == [5, 1]


def test_denoise_removes_frames_without_a_body_and_closes_gaps_in_a_body():
    a = standing(1, 30, 0.01)
    recording = [[] if t in (0, 7, 8) else [(1, a[t])] for t in range(30)]
    clips, length, kept = prepare_clips(ragged([recording]), KINECT_V2, replace(RAW, bodies="denoise", frames=27))
    assert (length[0], kept[0]) == (27, 27)
    np.testing.assert_allclose(clips[0, 0, :, 0, 0], [a[t, 0, 0] for t in range(30) if t not in (0, 7, 8)], rtol=1e-6)


def test_denoise_copes_where_every_body_is_short():
    recording = [[(1, standing(1, 5)[t]), (2, standing(2, 5, 0.1)[t])] for t in range(5)]
    assert [slot[0] for slot in slots_at(recording, "denoise")] == [2, 1]


# ---- length, crop, resize, centre, turn, by hand


def test_an_empty_frame_inside_cuts_the_tail_unless_the_last_frame_counts():
    a = standing(1, 10, 1.0)
    recording = [[] if t == 4 else [(1, a[t])] for t in range(10)]
    clips, length, _ = prepare_clips(ragged([recording]), KINECT_V2, replace(RAW, frames=9))
    assert length[0] == 9
    assert clips[0, 0, :, 0, 0].tolist() == [1, 2, 3, 4, 0, 6, 7, 8, 9]
    clips, length, _ = prepare_clips(ragged([recording]), KINECT_V2, replace(RAW, frames=10, length="last"))
    assert length[0] == 10
    assert clips[0, 0, :, 0, 0].tolist() == [1, 2, 3, 4, 0, 6, 7, 8, 9, 10]


def test_long_clips_keep_their_middle():
    a = standing(1, 305, 1.0)
    recording = [[(1, a[t])] for t in range(305)]
    clips, length, kept = prepare_clips(ragged([recording]), KINECT_V2, replace(RAW, frames=300))
    assert (length[0], kept[0]) == (300, 305)
    assert clips[0, 0, [0, -1], 0, 0].tolist() == [3, 302]


@pytest.mark.parametrize("length", [1, 2, 7, 49, 50, 51, 100, 173, 300])
def test_the_resize_is_that_of_torch_and_opencv(length):
    rng = np.random.default_rng(length)
    noise = rng.normal(size=(length, 25, 3)).astype(np.float32)
    recording = [[(1, frame)] for frame in noise]
    got = prepare_clips(ragged([recording]), KINECT_V2, RAW)[0][0, :, :, :, 0]
    torch = pytest.importorskip("torch")
    image = torch.from_numpy(noise.transpose(2, 0, 1)[None])
    of_torch = torch.nn.functional.interpolate(image, size=(50, 25), mode="bilinear", align_corners=False)[0].numpy()
    np.testing.assert_allclose(got, of_torch, atol=6e-5)
    cv2 = pytest.importorskip("cv2")
    of_opencv = cv2.resize(noise, (25, 50), interpolation=cv2.INTER_LINEAR).transpose(2, 0, 1)
    np.testing.assert_allclose(got, of_opencv, atol=6e-5)


def test_halving_the_frames_averages_pairs():
    recording = [[(1, f)] for f in standing(1, 8, 1.0)]
    clips, _, _ = prepare_clips(ragged([recording]), KINECT_V2, replace(RAW, frames=4))
    assert clips[0, 0, :, 0, 0].tolist() == [1.5, 3.5, 5.5, 7.5]


def test_centring_moves_every_body_to_its_own_origin(recordings):
    clips, _, _ = prepare_clips(ragged(recordings), KINECT_V2, replace(Settings(), turn=False))
    assert not clips[:, :, :, KINECT_V2.centre].any()


@pytest.mark.parametrize("angle", [-150, -80, -10, 0.5, 30, 120])
def test_turned_bodies_have_their_shoulders_in_the_camera_plane(angle):
    pose = np.random.default_rng(1).normal(size=(25, 3))
    pose[8], pose[4] = [0.2, 1, 0], [-0.2, 1, 0]
    c, s = np.cos(np.radians(angle)), np.sin(np.radians(angle))
    turned = pose @ np.array([[c, 0, s], [0, 1, 0], [-s, 0, c]]).T
    recording = [[(1, (turned + np.array([0, 0, 3])).astype(np.float32))] for _ in range(5)]
    clip = prepare_clips(ragged([recording]), KINECT_V2, Settings())[0][0, :, :, :, 0]
    line = clip[:, :, 8] - clip[:, :, 4]
    # 1e-4 beside a shoulder line of 0.4 m leaves an angle of sqrt(2 * 1e-4 / 0.4), whichever way the body stood.
    assert np.abs(line[2]).max() < 0.4 * 1.2 * np.sqrt(2e-4 / 0.4)
    assert (line[0] > 0.39).all()
    np.testing.assert_allclose(clip[1, 0], pose[:, 1] - pose[20, 1], atol=1e-6)


def test_the_turn_has_one_sign_for_all_frames_of_a_body():
    pose = np.zeros((25, 3), np.float32)
    pose[:, 2] = 3
    frames = []
    for depth in (0.3, 0.3, -0.1):  # on the whole away from the camera; the last frame is turned the wrong way
        frame = pose.copy()
        frame[8], frame[4] = [0.2, 0, 3 + depth / 2], [-0.2, 0, 3 - depth / 2]
        frames.append([(1, frame)])
    clip = prepare_clips(ragged([frames]), KINECT_V2, replace(Settings(), frames=3))[0][0, :, :, :, 0]
    depth = clip[2, :, 8] - clip[2, :, 4]
    assert np.abs(depth[:2]).max() < 0.02
    np.testing.assert_allclose(depth[2], -0.2, atol=0.02)


def test_nobody_gives_zeros():
    clips, length, _ = prepare_clips(ragged([[[], []], []]), KINECT_V2, Settings())
    assert length.tolist() == [0, 0]
    assert not clips.any()


def test_threads_change_nothing(recordings):
    many = ragged(recordings * 4)
    for bodies in BODY_POLICIES:
        settings = Settings(bodies=bodies)
        one, three = prepare_clips(many, KINECT_V2, settings, 1), prepare_clips(many, KINECT_V2, settings, 3)
        for a, b in zip(one, three, strict=True):
            np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("change", [{"bodies": "liveliest"}, {"length": "all"}, {"frames": 0}, {"longest": 0}], ids=str)
def test_settings_that_do_not_fit_are_refused(change):
    with pytest.raises(BadInput, match=next(iter(change))):
        Settings(**change)


def test_rows_outside_their_clip_are_refused(recordings):
    good = ragged(recordings)
    for change in (
        {"row_frame": good.row_frame + 1000},
        {"row_frame": good.row_frame - 1000},
        {"row_body": good.row_body[1:]},
        {"clip_offset": good.clip_offset[::-1].copy()},
        {"joints": good.joints[:-1]},
    ):
        with pytest.raises(BadInput, match="contradict"):
            prepare_clips(replace(good, **change), KINECT_V2, Settings())


# ---- from store to clips


def write_store(path, recordings, **attributes):
    joints, frame, body, offset, frames = twins.ragged_parts(recordings)
    names = np.array([f"S001C001P{i + 1:03}R001A001" for i in range(len(recordings))])
    attributes = {"dataset": "ntu60", "layout": "kinect_v2", "columns": ["name", "label"], **attributes}
    with new_folder(path, "store") as folder:
        group = store.create_group(folder, "store", attributes)
        store.write_columns(group, {"name": names, "label": np.arange(len(names), dtype=np.int32) % 60})
        for name, values in (("joints", joints), ("row_frame", frame.astype(np.int32)), ("row_body", body)):
            store.write_array(group, name, values, 512)
        store.write_array(group, "clip_offset", offset)
        store.write_array(group, "clip_frames", frames.astype(np.int32))
    return names


@pytest.fixture(scope="module")
def small_store(tmp_path_factory, recordings):
    path = tmp_path_factory.mktemp("prepare") / "store"
    write_store(path, recordings, split_files={"xsub": ["a"]})
    return path


@pytest.mark.parametrize("bodies", BODY_POLICIES)
def test_prepare_writes_what_prepare_clips_computes(small_store, recordings, tmp_path, monkeypatch, bodies):
    monkeypatch.setattr(module, "CLIPS_PER_BLOCK", 4)
    seen = []
    summary = prepare(small_store, tmp_path / "clips", bodies=bodies, progress=lambda *at: seen.append(at))
    clips = store.Clips(tmp_path / "clips")
    expected, length, kept = prepare_clips(ragged(recordings), KINECT_V2, Settings(bodies=bodies))
    np.testing.assert_array_equal(clips.load(), expected)
    np.testing.assert_array_equal(store.read_array(clips.group, "length"), length)
    assert seen == [(4, 15), (8, 15), (12, 15), (15, 15)]
    assert summary.clips == len(clips) == 15
    assert summary.empty == ("S001C001P013R001A001",)
    assert summary.shortened == (kept > 300).sum() == (0 if bodies == "denoise" else 2)
    assert clips.columns["label"].tolist() == list(range(15))
    wanted = {"dataset": "ntu60", "frames": 50, "bodies": bodies, "centre": True, "turn": True, "longest": 300}
    assert wanted.items() <= clips.attributes.items()
    assert clips.attributes["split_files"] == {"xsub": ["a"]}


def test_prepare_asks_before_it_replaces(small_store, tmp_path):
    prepare(small_store, tmp_path / "clips", frames=8)
    with pytest.raises(BadInput, match="already exists"):
        prepare(small_store, tmp_path / "clips")
    prepare(small_store, tmp_path / "clips", frames=9, force=True)
    assert store.Clips(tmp_path / "clips").frames == 9


def test_a_damaged_store_leaves_no_clips(recordings, tmp_path):
    write_store(tmp_path / "store", recordings)
    chunk = sorted((tmp_path / "store" / "joints").rglob("c/*/0/0"))[-1]
    data = bytearray(chunk.read_bytes())
    data[len(data) // 2] ^= 0xFF
    chunk.write_bytes(bytes(data))
    with pytest.raises(BadInput, match="damaged"):
        prepare(tmp_path / "store", tmp_path / "clips")
    assert not (tmp_path / "clips").exists()


def test_memory_does_not_grow_with_the_store(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "CLIPS_PER_BLOCK", 16)
    monkeypatch.setattr(store, "CLIPS_PER_CHUNK", 16)
    recording = a_recording(np.random.default_rng(0), 40, 2)
    peaks = []
    for count in (32, 96):
        write_store(tmp_path / f"store{count}", [recording] * count)
        tracemalloc.start()
        prepare(tmp_path / f"store{count}", tmp_path / f"clips{count}", threads=1)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < peaks[0] + 16 * 3 * 50 * 25 * 2 * 4  # a third of what the longer clips array would need


# ---- real recordings, where they are at hand

REAL = Path(os.environ.get("SKELPIPE_REALDATA") or Path(__file__).parents[3] / "shared" / "realdata")


def read_ntu(path):
    lines = iter(path.read_text().split("\n"))
    recording = []
    for _ in range(int(next(lines))):
        frame = []
        for _ in range(int(next(lines))):
            name = int(next(lines).split()[0])
            joints = [[float(v) for v in next(lines).split()[:3]] for _ in range(int(next(lines)))]
            frame.append((name, np.array(joints, np.float32)))
        recording.append(frame)
    return recording


@pytest.mark.skipif(not (REAL / "ntu").is_dir(), reason="no real recordings here (SKELPIPE_REALDATA)")
@pytest.mark.parametrize("bodies", BODY_POLICIES)
def test_real_clips_equal_the_twin(bodies, tmp_path):
    recordings = [read_ntu(path) for path in sorted((REAL / "ntu").glob("*.skeleton"))]
    write_store(tmp_path / "store", recordings)
    prepare(tmp_path / "store", tmp_path / "clips", bodies=bodies)
    clips = store.Clips(tmp_path / "clips").load()
    for clip, recording in zip(clips, recordings, strict=True):
        expected, _ = twins.prepare(recording, Settings(bodies=bodies))
        np.testing.assert_allclose(clip, expected, atol=2e-5)
        line = clip[:, :, 8, 0] - clip[:, :, 4, 0]
        assert 0.15 < np.median(line[0]) < 0.6  # metres: the shoulders of a person who faces the camera plane
