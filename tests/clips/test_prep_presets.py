"""The presets: beside their twins, by the numbers of their sources, and of a chain's steps one by one."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import preset_twins
import pytest
import twins
from test_prepare import REAL, a_recording, ragged, read_ntu, standing

from skelpipe.clips.chain import Chain
from skelpipe.clips.prepare import Settings, prepare_clips, settings_of
from skelpipe.clips.presets import PRESETS, find_preparation
from skelpipe.clips.ragged import Ragged
from skelpipe.clips.steps import STEPS
from skelpipe.errors import BadInput
from skelpipe.layouts import LAYOUTS, find_layout
from skelpipe.layouts.kinect_v2 import KINECT_V2


@pytest.fixture(scope="module")
def recordings():
    rng = np.random.default_rng(5)
    shapes = [(1, 1), (2, 2), (12, 2), (30, 1), (49, 3), (50, 1), (51, 2), (99, 2), (101, 1), (120, 5), (310, 2)]
    some = [a_recording(rng, frames, bodies) for frames, bodies in shapes]
    late = a_recording(rng, 40, 2, empty=0)
    for t in range(9):
        late[t] = []
    return [*some, late, [[] for _ in range(6)], a_recording(rng, 301, 1, empty=0)]


def run(name, recordings, threads=None, steps=(), layout=KINECT_V2, **options):
    preset, *changed = name.split()  # as the twins are called
    return Chain(find_preparation(preset, options, [*changed, *steps]), layout).run(ragged(recordings), threads)


def clips_of(made, frames):
    """Every clip as (T, M, V, C)."""
    if frames is not None:
        return list(made.values.transpose(0, 2, 4, 3, 1))
    ends = np.cumsum(made.valid)
    return [made.values[end - valid : end].transpose(0, 3, 2, 1) for end, valid in zip(ends, made.valid, strict=True)]


@pytest.mark.parametrize("frames", [300, 50, 7, None])
@pytest.mark.parametrize("name", preset_twins.PRESETS)
def test_clips_equal_the_twin(recordings, name, frames):
    made = run(name, recordings, frames=frames or "native")
    clips = clips_of(made, frames)
    for n, recording in enumerate(recordings):
        told = preset_twins.PRESETS[name](recording, frames)
        if told is None:
            assert (made.length[n], made.valid[n], clips[n].any()) == (0, 1, False)
            continue
        expected, valid = told
        assert made.valid[n] == valid
        assert clips[n].shape == expected.shape
        np.testing.assert_allclose(clips[n], expected, atol=2e-5)


@pytest.mark.parametrize("step", [f"{kind}={choice}" for kind in STEPS for choice in STEPS[kind]])
def test_every_step_has_a_twin(step):
    held = set(find_preparation("aimclr", {}).text)  # whose twin is `twins.prepare`
    for name in preset_twins.PRESETS:
        preset, *changed = name.split()
        held.update(find_preparation(preset, {}, changed).text)
    assert step in held, f"{step} has no twin: give preset_twins.PRESETS one of a preset that takes it"


@pytest.mark.parametrize("preset", [name for name in PRESETS if name != "aimclr"])
def test_every_preset_has_a_twin(preset):
    assert preset in preset_twins.PRESETS, f"{preset} has no twin in preset_twins.PRESETS"


@pytest.mark.parametrize("bodies", ["first", "energy", "denoise"])
@pytest.mark.parametrize(
    "change", [{}, {"centre": False}, {"turn": False}, {"longest": 60}, {"length": "last"}], ids=str
)
def test_the_chain_of_todays_steps_gives_todays_bits(recordings, bodies, change):
    how = find_preparation("aimclr", {"bodies": bodies, **change})
    settings = settings_of(how)
    assert settings == Settings(bodies=bodies, **change)
    made = Chain(how, KINECT_V2).run(ragged(recordings))
    clips, length, kept = prepare_clips(ragged(recordings), KINECT_V2, settings)
    np.testing.assert_array_equal(made.values, clips)
    np.testing.assert_array_equal(made.length, length)
    np.testing.assert_array_equal(made.kept, kept)


def test_only_todays_preparation_is_told_in_todays_words():
    assert settings_of(find_preparation("aimclr", {}, ["align=none"])) == Settings(turn=False)
    for name, options, steps in (
        ("aimclr", {}, ["scale=spine"]), ("aimclr", {}, ["bodies=main_actor"]), ("aimclr", {"frames": "native"}, []),
        ("aimclr", {"length": "all"}, []), ("raw", {}, ["centre=own", "align=yaw", "time=resize"]),
    ):  # fmt: skip
        assert settings_of(find_preparation(name, options, steps)) is None


@pytest.mark.parametrize("name", PRESETS)
def test_threads_change_nothing(recordings, name):
    for frames in (50, "native"):
        one, three = (run(name, recordings * 2, threads, frames=frames) for threads in (1, 3))
        np.testing.assert_array_equal(one.values, three.values)
        np.testing.assert_array_equal(one.valid, three.valid)


# ---- numbers from the sources, by w(n) = sin(i) + 0.5 cos(i^2)


def w(*shape):
    i = np.arange(np.prod(shape), dtype=np.float64)
    return (np.sin(i) + 0.5 * np.cos(i**2)).reshape(shape)


def bodies_of(x):
    """(F, M, V, 3) as a recording: a body that is all zero is not there."""
    return [[(m, x[t, m].astype(np.float32)) for m in range(x.shape[1]) if x[t, m].any()] for t in range(len(x))]


def test_isc_by_numbers():
    a = w(3, 12, 25, 2)
    a[2] += 3
    a[:, [0, *range(5, 12)], :, 0] = 0
    a[:, [0, 1, *range(4, 12)], :, 1] = 0
    how = find_preparation("isc", {"frames": 12}, ["bodies=first"])
    made = Chain(how, KINECT_V2).run(ragged([bodies_of(a.transpose(1, 3, 2, 0)[:5])]))
    clip = made.values[0]
    assert (made.valid[0], made.length[0]) == (5, 5)
    at = [(0, 0, 0), (0, 20, 0), (3, 20, 0), (0, 0, 1), (2, 0, 1), (7, 24, 1)]
    expected = [
        (3.172345, 0.125904, 0.337584), (0.438833, -0.155481, 0.664686), (-0.587658, -0.252427, -0.524985),
        (1.757560, 0.372894, -0.264765), (1.522687, 0.005113, -0.952906), (1.998657, -0.148489, -1.624976),
    ]  # fmt: skip
    for (t, v, m), point in zip(at, expected, strict=True):
        np.testing.assert_allclose(clip[:, t, v, m], point, atol=3e-6)
    np.testing.assert_array_equal(clip[:, 4, :, 0], clip[:, 0, :, 0])
    np.testing.assert_allclose(clip[:, 0, 8, 0] - clip[:, 0, 4, 0], (2.512055, 0, 0), atol=3e-6)


def test_the_rotation_that_isc_is_held_against():
    expected = [
        (0.891184, -0.292413, 0.346821), (0.346821, 0.931990, -0.105401), (-0.292413, 0.214216, 0.931990),
    ]  # fmt: skip
    np.testing.assert_allclose(preset_twins.rotation(np.array([1.0, 2, 2]), 0.5), expected, atol=2e-6)


def test_pc_by_numbers():
    recording = [[(1, frame)] for frame in w(4, 25, 3).astype(np.float32)]
    turned = run("pc", [recording], frames="native", steps=["scale=none"]).values[..., 0]
    at = [(0, 1), (0, 12), (0, 16), (0, 20), (3, 20)]
    expected = [
        (0, 0, 2.695667), (1.123335, -0.374264, 1.698597), (0.804457, -0.374264, 2.118947),
        (-0.476043, 0.052632, 2.275660), (-1.261324, -0.580320, 1.799738),
    ]  # fmt: skip
    for (t, v), point in zip(at, expected, strict=True):
        np.testing.assert_allclose(turned[t, :, v], point, atol=3e-6)
    made = run("pc", [recording])
    assert (made.values.shape, made.valid[0]) == ((1, 3, 50, 25, 1), 4)
    np.testing.assert_allclose(made.values[0, :, 0, 20, 0], (-0.287283, -0.010186, 0.648720), atol=3e-6)
    np.testing.assert_allclose(made.values[0, :, 3, 20, 0], (-0.784987, -0.858693, 0.339222), atol=3e-6)
    assert not made.values[0, :, 4:].any()
    triple = [3, 12, 20]  # as seen in a mirror: what turned one way turns the other
    before, after = w(25, 3)[triple] - w(25, 3)[0], turned[0].T[triple]
    np.testing.assert_allclose(np.linalg.det(after), -np.linalg.det(before), rtol=1e-5)


EVERY = {
    50: range(50),
    51: range(50),
    99: range(50),
    101: range(0, 100, 2),
    149: range(0, 100, 2),
    150: range(0, 150, 3),
}


@pytest.mark.parametrize(("frames", "kept"), EVERY.items())
def test_pc_takes_every_so_manieth_frame(frames, kept):
    recording = [[(1, frame)] for frame in standing(1, frames, 1.0) + np.float32(0.5)]
    made = run("pc", [recording], steps=["align=none", "scale=none"])
    np.testing.assert_allclose(made.values[0, 0, :, 0, 0], 1.5 + np.array(kept), rtol=1e-6)
    assert (made.length[0], made.valid[0], made.cut[0]) == (frames, 50, False)


def test_body_axes_by_numbers():
    made = run("body_axes", [[[(1, w(25, 3).astype(np.float32))]]], frames="native")
    pose = made.values[0, :, :, 0].T
    np.testing.assert_allclose(pose[3], (0.508121, 0.275953, 0.432211), atol=3e-6)
    np.testing.assert_allclose(pose[4] - pose[8], (0.842377, 0, 0), atol=3e-6)
    np.testing.assert_allclose(pose[20] - pose[0], (-0.913420, 0.407017, 0), atol=3e-6)


def test_ctr_moves_the_clip_as_one_and_leaves_the_absent_at_zero():
    a, b = standing(1, 20, 0.05), standing(3, 20, 0.01)
    recording = [[(1, a[t]), *([(2, b[t])] if t >= 4 else [])] for t in range(20)]
    made = run("ctr", [recording])
    assert (made.valid[0], made.length[0]) == (20, 20)
    np.testing.assert_allclose(made.values[0, 0, :20, 1, 0], a[:, 1, 0] - 1, atol=1e-6)
    np.testing.assert_allclose(made.values[0, 0, 4:20, 1, 1], b[4:, 1, 0] - 1, atol=1e-6)
    assert not made.values[0, :, :4, :, 1].any()
    assert not made.values[0, :, 20:].any()


# ---- steps, by hand


def slot_x(recordings, *steps, m=0, frames=None, **options):
    """x of joint 0 in a slot, of the first clip, of `raw` with other steps."""
    made = run("raw", recordings, steps=steps, frames=frames or "native", **options)
    return clips_of(made, frames)[0][:, m, 0, 0].tolist()


def frames_of(*values):
    """A recording with one body whose x is as told, where None is an empty frame."""
    return [[] if x is None else [(1, standing(x, 1)[0])] for x in values]


def test_squeeze_moves_a_body_that_comes_late_and_leaves_other_gaps():
    assert slot_x([frames_of(None, 1, None, 2)], "gaps=squeeze") == [1, 2, 0, 0]
    assert slot_x([frames_of(1, None, 2)], "gaps=squeeze") == [1, 0, 2]


def test_repeat_plays_a_body_again_behind_the_last_frame_that_shows_it():
    two = [[(1, standing(t + 1, 1)[0]), *([(2, standing(10 * t + 10, 1)[0])] if t < 2 else [])] for t in range(3)]
    assert slot_x([two], "time=repeat", frames=7) == [1, 2, 3, 1, 2, 3, 1]
    assert slot_x([two], "time=repeat", m=1, frames=7) == [10, 20, 10, 20, 10, 20, 10]
    assert slot_x([frames_of(1, None, 3, None, None)], "time=repeat", frames=7) == [1, 0, 3, 1, 0, 3, 1]
    assert slot_x([frames_of(None, None)], "time=repeat", frames=7) == [0] * 7


def test_long_clips_are_cut_at_their_ends_or_around_their_middle():
    recording = [frames_of(*range(1, 10))]
    assert slot_x(recording, "time=pad", frames=4) == [3, 4, 5, 6]
    assert slot_x(recording, "time=first", frames=4) == [1, 2, 3, 4]
    assert slot_x(recording, "time=repeat", frames=4) == [1, 2, 3, 4]
    assert slot_x(recording, "time=stride", frames=4) == [1, 3, 5, 7]
    assert slot_x(recording, longest=5) == [3, 4, 5, 6, 7]
    assert run("raw", recording, frames=4).cut[0]
    assert slot_x(recording, "time=pad", frames=11)[8:] == [9, 0, 0]


def test_the_length_rules_choose_the_frames():
    recording = [frames_of(1, None, 3, None)]
    assert slot_x(recording) == [1, 0, 3, 0]
    assert slot_x(recording, length="last") == [1, 0, 3]
    assert slot_x(recording, length="count") == [1, 0]


def test_incomplete_frames_are_left_out():
    frames = standing(1, 4, 1.0) + np.float32(0.5)
    frames[1, 7, 2] = 0
    frames[3] = 0
    assert slot_x([[[(1, frame)] for frame in frames]], "gaps=complete") == [1.5, 3.5]


def test_a_main_actor_is_alone_and_not_joined_with_later_tracks():
    early, late, other = standing(1, 15, 0.09), standing(2, 15, 0.08), standing(3, 30, 0.01)
    recording = [[(1, early[t]), (9, other[t])] for t in range(15)] + [
        [(2, late[t]), (9, other[15 + t])] for t in range(15)
    ]
    made = run("raw", [recording], steps=["bodies=main_actor"], frames="native")
    assert made.values.shape == (15, 3, 25, 1)
    np.testing.assert_allclose(made.values[:, 0, 0, 0], early[:, 0, 0], rtol=1e-6)


def test_bodies_in_frames_without_the_first_have_no_axes_to_be_in():
    a, b = w(2, 25, 3).astype(np.float32), w(50, 3).astype(np.float32)[25:]
    both = np.stack([np.stack([a[0], b]), np.stack([np.zeros_like(b), b])])
    step = STEPS["align"]["body_axes"]
    step.kernel(both, *step.arguments(KINECT_V2))
    assert both[0].all()
    assert not both[1].any()


@pytest.mark.parametrize("name", [*PRESETS])
def test_bodies_without_extent_give_numbers(name):
    point = np.full((25, 3), 2, np.float32)
    made = run(name, [[[(1, point)]] * 20, [[(1, point), (2, point)]] * 20, [[(1, np.zeros_like(point))]] * 20])
    assert np.isfinite(made.values).all()


def test_rotations_keep_distances_and_bring_a_bone_to_its_axis():
    recording = [[(1, frame)] for frame in w(6, 25, 3).astype(np.float32)]
    raw, turned = (run("isc", [recording], frames="native", steps=steps).values[..., 0].transpose(0, 2, 1)
                   for steps in (["align=none"], []))  # fmt: skip
    for x, y in zip(raw, turned, strict=True):
        np.testing.assert_allclose(
            np.linalg.norm(x[:, None] - x, axis=2), np.linalg.norm(y[:, None] - y, axis=2), atol=1e-5
        )
    line = turned[0, 8] - turned[0, 4]
    np.testing.assert_allclose(line[1:], 0, atol=1e-5)
    assert line[0] > 0
    opposite = np.zeros((1, 2, 25, 3), np.float32)
    opposite[0, 0, 0, 2] = 1  # the spine points to -z, along which no axis of rotation is told
    step = STEPS["align"]["first_bones"]
    before = opposite.copy()
    step.kernel(opposite, *step.arguments(KINECT_V2))
    np.testing.assert_array_equal(opposite, before)


# ---- other layouts


SHIPPED = ["kinect_v2", "kinect_v1", "coco17", "openpose18", "openpose25", "mediapipe33", "h36m17", "smpl24"]


def in_layout(layout, frames=30, seed=0):
    rng = np.random.default_rng(seed)
    joints = rng.normal(1, 1, (frames, len(layout.joints), layout.channels)).astype(np.float32)
    rows = np.arange(frames)
    return Ragged(joints, rows, np.zeros(frames, np.int64), np.array([0, frames]), np.array([frames]))


@pytest.mark.parametrize("name", [*LAYOUTS, "coco17+confidence", "mediapipe33+confidence"])
@pytest.mark.parametrize("preset", PRESETS)
def test_every_layout_is_prepared_or_refused_in_a_line(name, preset):
    layout = find_layout(name)
    how = find_preparation(preset, {"frames": 40})
    data = in_layout(layout)
    if layout.coordinates == 2 and how.choice("align") != "none":
        with pytest.raises(BadInput, match="has 2 coordinates; use --step align=none"):
            Chain(how, layout)
        how = find_preparation(preset, {"frames": 40}, ["align=none"])
    try:
        chain = Chain(how, layout)
    except BadInput as error:
        refused = str(error)
    else:
        refused = None
    if refused is not None:  # it has no landmarks that a step needs, as an added layout need not
        assert name.partition("+")[0] not in SHIPPED
        assert re.fullmatch(f"layout {name}: has no joint called .*; leave out the step that needs it", refused)
        return
    made = chain.run(data)
    assert made.values.shape[1:4] == (layout.channels, 40, len(layout.joints))
    assert np.isfinite(made.values).all()
    if layout.confidence and how.choice("time") != "resize":
        np.testing.assert_array_equal(made.values[0, -1, :30, :, 0], data.joints[..., -1])


def test_a_picture_is_not_turned():
    with pytest.raises(BadInput, match="step align=yaw: turns bodies in space, and coco17 has 2 coordinates"):
        prepare_clips(in_layout(LAYOUTS["coco17"]), LAYOUTS["coco17"], Settings())
    clips, length, _ = prepare_clips(in_layout(LAYOUTS["coco17"]), LAYOUTS["coco17"], Settings(turn=False))
    assert (clips.shape, length[0]) == ((1, 2, 50, 17, 2), 30)


def test_centres_and_shoulders_may_be_means_of_joints():
    layout = replace(KINECT_V2, name="means", centre=(0, 20), shoulders=((8, 9), (4, 5)))
    recording = [[(1, frame)] for frame in np.random.default_rng(2).normal(size=(30, 25, 3)).astype(np.float32)]
    data = ragged([recording])
    clips, _, _ = prepare_clips(data, layout, Settings(frames=len(recording)))
    x = twins.first(recording)[:, 0].astype(np.float64)
    x -= x[:, [0, 20]].mean(axis=1, keepdims=True)
    moved = x.copy()
    moved[:, 8], moved[:, 4] = x[:, [8, 9]].mean(axis=1), x[:, [4, 5]].mean(axis=1)
    line = moved[:, 8] - moved[:, 4]
    line[:, 1] = 0
    sign = -1 if line[:, 2].sum() >= 0 else 1
    for t in range(len(x)):
        phi = sign * np.arccos(line[t, 0] / (np.linalg.norm(line[t]) + 1e-4))
        matrix = np.array([[np.cos(phi), 0, -np.sin(phi)], [0, 1, 0], [np.sin(phi), 0, np.cos(phi)]])
        np.testing.assert_allclose(clips[0, :, t, :, 0].T, x[t] @ matrix.T, atol=1e-5)


def test_a_joint_that_lies_in_the_origin_hides_nobody_in_other_layouts():
    layout = LAYOUTS["h36m17"]
    data = in_layout(layout)
    data.joints[:, 0] = 0
    _, length, _ = prepare_clips(data, layout, Settings())
    assert length[0] == 30


@pytest.mark.parametrize("preset", ["isc", "body_axes", "pc", "ctr"])
def test_bodies_that_are_told_from_a_joint_become_the_clips_of_the_recorded_ones(preset):
    """Their base stays where it is in the room, so that what such a file has lost changes no clip."""
    rng = np.random.default_rng(3)
    x = rng.normal(size=(30, 25, 3)).astype(np.float32) + np.float32(3)
    x[:, 0] = x[0, 0]
    how = find_preparation(preset, {"frames": 30})
    made = [
        Chain(how, KINECT_V2, relative=relative).run(ragged([[[(1, pose)] for pose in told]]))
        for told, relative in ((x, False), (x - x[:, :1], True))
    ]
    assert made[0].valid[0] == made[1].valid[0]
    assert made[0].values.any(axis=(0, 1, 3, 4)).sum() >= 15
    np.testing.assert_allclose(made[1].values, made[0].values, atol=1e-5)


def test_who_is_missing_stays_missing_where_a_joint_is_the_origin():
    shown = standing(1, 4, 1.0)
    shown[:, 0] = 0
    recording = [[(1, shown[0]), (2, shown[1])], [(1, shown[2])]]
    made = Chain(find_preparation("isc", {"frames": 2}), KINECT_V2, relative=True).run(ragged([recording]))
    assert made.values[0, :, 0, :, 1].any()
    assert not made.values[0, :, :, 1, 0].any()  # the origin of the clip, the middle of the spine
    assert made.values[0, :, :, 0, 0].any(axis=0).all()


# ---- genuine recordings, where they are at hand


@pytest.mark.skipif(not (REAL / "ntu").is_dir(), reason="no real recordings here (SKELPIPE_REALDATA)")
@pytest.mark.parametrize("name", preset_twins.PRESETS)
def test_real_clips_equal_the_twin(name):
    paths: list[Path] = sorted((REAL / "ntu").glob("*.skeleton"))
    recordings = [read_ntu(path) for path in paths]
    made = run(name, recordings, frames=300)
    for n, recording in enumerate(recordings):
        expected, valid = preset_twins.PRESETS[name](recording, 300)
        assert made.valid[n] == valid
        np.testing.assert_allclose(clips_of(made, 300)[n], expected, atol=3e-5)
