"""Views of other frames and with targets: of clips of one length, filled up, or of their own lengths; in a picture."""

from __future__ import annotations

import numpy as np
import pytest
import twins

from skelpipe.clips.augment import AUGMENTATIONS
from skelpipe.clips.gather import find_extent
from skelpipe.clips.streams import STREAMS, apply_stream
from skelpipe.clips.views import build_view, render_view
from skelpipe.errors import BadInput
from skelpipe.layouts.base import Layout
from skelpipe.layouts.kinect_v2 import KINECT_V2
from skelpipe.recordings.native import Native

PICTURE = Layout(
    name="picture",
    joints=tuple(f"joint {v}" for v in range(16)),
    parents=(0, 0, 1, 2, 0, 4, 5, 0, 7, 8, 9, 0, 11, 12, 13, 14),
    mirror=(0, 4, 5, 6, 1, 2, 3, 11, 12, 13, 14, 7, 8, 9, 10, 15),
    centre=(1, 4),
    shoulders=((1,), (4,)),
    torso=(0, 7),
    parts=(("arms", (0, 1, 2, 3, 4, 5, 6)), ("legs", tuple(range(7, 16)))),
    coordinates=2,
    confidence=True,
)
FITTING = {"corrupt": {"joints": 5}, "crop_resize": {"least": 10}}  # clips here are short
MAKES_FRAMES = [name for name, a in AUGMENTATIONS.items() if a.sampling is not None]
LENGTHS = np.array([40, 1, 2, 39, 17, 33, 40, 3, 25, 8])


def make(layout=KINECT_V2, n=10, frames=40, bodies=2, seed=0):
    x = np.random.default_rng(seed).normal(size=(n, layout.channels, frames, len(layout.joints), bodies))
    x[::3, ..., bodies - 1] = 0
    return x.astype(np.float32)


def as_native(x, lengths, dtype=np.float32):
    values = np.concatenate([clip[:, :length].ravel() for clip, length in zip(x, lengths, strict=True)])
    return Native(values.astype(dtype), np.concatenate([[0], np.cumsum(lengths)]), x.shape[1], x.shape[3], x.shape[4])


def render(source, plain, layout=KINECT_V2, stream="joint", valid=None, epoch=0, **other):
    rows = np.arange(len(source))
    return render_view(source, rows, rows, build_view(plain), stream, layout, 0, epoch, 0, valid=valid, **other)


def walk(x, plain, layout=KINECT_V2, lengths=None):
    """What the twins make of every clip: (clip, length) before each step and after the last."""
    view, ids = build_view(plain), np.arange(len(x))
    drawn = view.draws(0, 0, ids, 0, find_extent(x, ids, layout, lengths))
    lengths = [None] * len(x) if lengths is None else lengths
    return [
        twins.walk(clip, view.steps, [p[b] for p in drawn], layout, length)
        for b, (clip, length) in enumerate(zip(x, lengths, strict=True))
    ]


def close(got, expected):
    np.testing.assert_allclose(got, np.array(expected), atol=5e-6, rtol=2e-6)


# ---- what the authors' rules give, by hand


def line(values):
    """One number, the same in all joints, for each frame."""
    values = np.asarray(values, np.float32)
    return np.ascontiguousarray(np.broadcast_to(values[None, None, :, None, None], (1, 3, len(values), 25, 1)))


def numbers(made):
    return made.clips[0, 0, :, 0, 0].tolist()


def test_resizing_is_linear_between_centres():
    expected = [0, 0.4375, 1.1875, 3.0625, 5.5625, 8.6875, 12.9375, 16]
    assert numbers(render(line([0, 1, 4, 9, 16]), [{"resize": {"frames": 8}}])) == expected


@pytest.mark.parametrize(("frames", "kept"), [(20, 20), (39, 39), (40, 38), (41, 39), (100, 96), (300, 286)])
def test_a_centre_crop_cuts_as_much_at_both_ends(frames, kept):
    made = numbers(render(line(np.arange(frames)), [{"centre_crop": {"frames": kept}}]))
    first = (frames - kept) // 2
    assert made == list(range(first, first + kept))


def test_a_random_crop_is_as_long_as_drawn_but_not_too_short():
    def window(u, frames, **options):
        step = build_view([{"crop_resize": options}]).steps[0]
        extent = find_extent(line(np.zeros(frames)), np.zeros(1, np.int64), KINECT_V2)
        return step.augmentation.draw(np.array([u]), extent, step.options)[0].tolist()

    top = np.nextafter(1, 0)
    assert window((0.0, 0.0), 300) == [0, 64]
    assert window((top, top), 300) == [1, 299]  # floor(300 s), s below 1
    assert window((0.5, 0.5), 300) == [68, 165]
    assert window((0.5, top), 300) == [135, 165]
    assert window((0.0, top), 50) == [0, 50]
    assert window((0.0, top), 50, low=0.5, least=1) == [25, 25]


def test_segments_give_one_frame_each():
    def places(u, frames, wanted=8):
        view = build_view([{"segments": {"frames": wanted}}])
        x = line(np.arange(frames))
        drawn = [np.full((1, wanted), u)]
        return view.apply(x, drawn, view.extents(drawn, find_extent(x, np.zeros(1, np.int64), KINECT_V2)))[
            0, 0, :, 0, 0
        ]

    assert places(0, 80).tolist() == [0, 10, 20, 30, 40, 50, 60, 70]
    assert places(np.nextafter(1, 0), 80).tolist() == [9, 19, 29, 39, 49, 59, 69, 79]
    assert places(0.5, 20, 4).tolist() == [2, 7, 12, 17]
    assert places(0, 4).tolist() == [0, 1, 1, 2, 2, 3, 3, 3]  # halves are rounded up, and the last frame is not passed
    assert numbers(render(line(np.arange(20)), [{"segments": {"frames": 4, "middle": True}}])) == [2, 7, 12, 17]


def test_a_stride_keeps_the_first_of_so_many_frames():
    view = [{"stride": {"frames": 50}}]
    assert numbers(render(line(np.arange(99)), view)) == list(range(50))  # the end is lost
    assert numbers(render(line(np.arange(149)), view)) == list(range(0, 100, 2))
    short = render(line(np.arange(1, 4)), view)
    assert numbers(short) == [1, 2, 3, *[0] * 47]
    assert short.lengths.tolist() == [3]


def test_the_first_frames_are_filled_up():
    made = render(line([5, 6, 7]), [{"first": {"frames": 5}}])
    assert (numbers(made), made.lengths.tolist()) == ([5, 6, 7, 0, 0], [3])
    assert render(line([5, 6, 7]), [{"first": {"frames": 2}}]).lengths is None
    assert render(line([5, 6, 7]), [{"first": {"frames": 2}}], valid=np.array([1])).lengths.tolist() == [1]


@pytest.mark.parametrize(("own", "kept"), [(5, 4), (10, 7), (33, 24), (101, 71)])
def test_a_masked_tail_begins_where_seven_tenths_end(own, kept):
    x = line(np.arange(1, 121))
    made = render(x, ["tail_mask"], valid=np.array([own]))
    assert numbers(made) == [*range(1, kept + 1), *[0] * (120 - kept)]
    assert made.lengths.tolist() == [own]
    assert made.targets["clip"][0, 2, :, 7, 0].tolist() == [*range(1, own + 1), *[0] * (120 - own)]
    hidden = made.targets["mask"]
    assert hidden.shape == (1, 1, 120, 25, 1)
    assert hidden[0, 0, :, 3, 0].nonzero()[0].tolist() == list(range(kept, own))


def test_a_jigsaw_leaves_the_rest_in_its_place():
    view, x = build_view(["jigsaw"]), line(np.arange(10))
    extent = find_extent(x, np.zeros(1, np.int64), KINECT_V2, np.array([8]))
    view.apply(x, [np.array([[4.0]])], [extent, extent._replace(padded=False)])  # 201
    assert x[0, 0, :, 0, 0].tolist() == [4, 5, 0, 1, 2, 3, 6, 7, 8, 9]
    many = render(np.broadcast_to(line(np.arange(9)), (600, 3, 9, 25, 1)).copy(), ["jigsaw"])
    assert np.bincount(many.targets["order"], minlength=6).min() > 60
    starts = many.clips[:, 0, ::3, 0, 0] // 3
    orders = ["012", "021", "102", "120", "201", "210"]
    for segments, order in zip(starts.astype(int), many.targets["order"], strict=True):
        assert "".join(map(str, segments)) == orders[order]


def test_colours_by_time_joint_and_person():
    x = np.zeros((1, 3, 40, 25, 2), np.float32)
    every = ("temporal", "spatial", "person")
    brought = render(x, [{"colours": {"by": by}} for by in every]).targets
    colours = {by: brought[f"{by}_colours"][0] for by in every}
    expected = [(0.95, 0.05, 0), (0.5, 0.5, 0), (0, 1, 0), (0, 0.95, 0.05), (0, 0.5, 0.5), (0, 0, 1)]
    for t, colour in zip((1, 10, 20, 21, 30, 40), expected, strict=True):
        np.testing.assert_allclose(colours["temporal"][:, t - 1].T, np.broadcast_to(colour, (2, 25, 3)), atol=1e-7)
    np.testing.assert_allclose(colours["spatial"][:, 7, 4, 1], (0.6, 0.4, 0), atol=1e-7)
    np.testing.assert_allclose(colours["spatial"][:, 7, 24, 0], (0, 0, 1))
    assert colours["person"][:, 3, 3].T.tolist() == [[1, 0, 0], [0, 0, 1]]
    padded = render(x, ["colours"], valid=np.array([20])).targets["temporal_colours"][0]
    np.testing.assert_allclose(padded[:, 9, 0, 0], (0, 1, 0))
    assert not padded[:, 20:].any()


def test_tilt_turns_as_its_source_does():
    x = np.zeros((1, 3, 1, 25, 1), np.float32)
    x[0, :, 0] = np.array([1.4, 1.5, 3.6]).reshape(3, 1, 1)
    view = build_view(["tilt"])
    drawn = [np.array([[0.2, 0.1, 0.3]])]  # about x, y, z
    view.apply(x, drawn, view.extents(drawn, find_extent(x, np.zeros(1, np.int64), KINECT_V2)))
    np.testing.assert_allclose(x[0, :, 0, 4, 0], (1.472630, 1.245720, 3.667362), atol=2e-6)


def test_corrupted_joints_become_zero_or_are_mixed_by_columns():
    x = np.zeros((2, 3, 2, 25, 1), np.float32)
    x[:] = np.array([1, 2, 3]).reshape(1, 3, 1, 1, 1)
    view = build_view([{"corrupt": {"joints": 2}}])
    matrix = [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9]
    drawn = [np.array([[1, 0, *matrix, 4, 20], [1, 1, *matrix, 4, 20]])]
    view.apply(x, drawn, view.extents(drawn, find_extent(x, np.arange(2), KINECT_V2)))
    changed = [4, 20]
    assert not x[0][:, :, changed].any()
    np.testing.assert_allclose(x[1, :, 1, 20, 0], (3.0, 3.6, 4.2), rtol=1e-6)  # p^T C
    assert (np.delete(x, changed, axis=3) == np.array([1, 2, 3]).reshape(1, 3, 1, 1, 1)).all()


def test_joints_are_drawn_without_replacement_and_all_alike():
    x = make(n=2000, frames=1, bodies=1)
    view, ids = build_view(["corrupt"]), np.arange(2000)
    params = view.draws(0, 0, ids, 0, find_extent(x, ids, KINECT_V2))[0]
    assert abs(params[:, 1].mean() - 0.5) < 4 * 0.5 / np.sqrt(2000)  # by the matrix
    joints = params[:, 11:]
    assert all(len(set(row)) == 15 for row in joints.tolist())
    counts = np.bincount(joints.astype(int).ravel(), minlength=25)
    assert np.abs(counts / 2000 - 0.6).max() < 4.5 * np.sqrt(0.24 / 2000)


def test_jitter_spares_zeros_and_brings_the_clean_clip_if_asked():
    x = make(n=40)
    made = render(x, [{"jitter": {"clean": True}}])
    assert not made.clips[::3, ..., 1].any()
    added = (made.clips - x)[x != 0]
    assert abs(added.std() / 0.075 - 1) < 4 / np.sqrt(2 * added.size)
    np.testing.assert_array_equal(made.targets["clip"], x)
    assert render(x, ["jitter"]).targets == {}


def test_masked_joints_belong_to_what_was_drawn():
    x = make(n=60)
    for options, groups in (
        ({}, [joints for _, joints in KINECT_V2.parts]),
        ({"by": "run", "spare_first": True}, [range(g * 4, g * 4 + 4) for g in range(5)]),
    ):
        made, seen = render(x, [{"joint_mask": options}]), set()
        for n in range(60):
            mask = made.targets["mask"][n, 0, :, :, 0]
            assert not mask[0].any() if options else mask[0].any()
            hidden = tuple(mask[1].nonzero()[0])
            assert hidden in {tuple(g) for g in groups}
            seen.add(hidden)
            assert not made.clips[n][:, mask].any()
            np.testing.assert_array_equal(made.clips[n][:, ~mask], x[n][:, ~mask])
        assert len(seen) == 5
        np.testing.assert_array_equal(made.targets["clip"], x)


# ---- clips that are filled up, clips of their own lengths, halves


@pytest.mark.parametrize("stream", STREAMS)
@pytest.mark.parametrize("name", [name for name, a in AUGMENTATIONS.items() if not a.fills])
def test_only_the_own_frames_of_filled_up_clips_count(name, stream):
    x = make()
    plain = [{name: FITTING.get(name, {})}, "shear", {"blur": {"p": 1.0}}]
    walked = walk(x, plain, lengths=LENGTHS)
    made = render(x, plain, stream=stream, valid=LENGTHS)
    ends = [clip[-1] for clip in walked]
    close(made.clips, [twins.stream(clip, stream, KINECT_V2, length) for clip, length in ends])
    lengths = [length for _, length in ends]
    assert (made.lengths is None and set(lengths) == {made.clips.shape[2]}) or made.lengths.tolist() == lengths
    for key, values in made.targets.items():
        if key == "clip":
            close(values, [twins.stream(clip, stream, KINECT_V2, length) for (clip, length), *_ in walked])


@pytest.mark.parametrize("stream", STREAMS)
def test_what_is_played_again_stands_behind_and_is_not_the_clips_own(stream):
    x, frames, ids = make(), np.arange(40), np.arange(10)
    x[4, :, 5:, :, 1] = 0  # this body leaves before the clip's end
    made = render(x, ["repeat", {"jigsaw": {"segments": 2}}, "shear"], stream=stream, valid=LENGTHS)
    assert made.lengths.tolist() == LENGTHS.tolist()
    plain = render(x, ["repeat"], valid=LENGTHS).clips
    for n, length in enumerate(LENGTHS):
        for m in range(2):
            period = 5 if (n, m) == (4, 1) else length if x[n, ..., m].any() else 0
            again = x[n][:, frames % period][..., m] if period else np.zeros_like(x[n, ..., m])
            np.testing.assert_array_equal(plain[n, ..., m], again)
    view = build_view(["repeat", {"jigsaw": {"segments": 2}}, "shear"])
    drawn = view.draws(0, 0, ids, 0, find_extent(x, ids, KINECT_V2, LENGTHS))
    for n, length in enumerate(LENGTHS):
        half, turned = length // 2, plain[n].astype(np.float64)
        if drawn[1][n, 0]:
            turned[:, : 2 * half] = np.roll(turned[:, : 2 * half], half, axis=1)
        turned = twins.AUGMENTATIONS["shear"](turned, drawn[2][n], KINECT_V2, {})
        close(made.clips[n], twins.stream(turned, stream, KINECT_V2))
    cut = render(x, ["repeat", {"first": {"frames": 40}}], valid=LENGTHS)
    assert not cut.clips[LENGTHS.argmin(), :, LENGTHS.min() :].any()


def test_a_hidden_tail_takes_with_it_what_is_played_again():
    x = make()
    made = render(x, ["repeat", "tail_mask"], valid=LENGTHS)
    for n, length in enumerate(LENGTHS):
        keep = int(np.ceil(0.7 * length))
        np.testing.assert_array_equal(made.clips[n][:, :keep], x[n][:, :keep])
        assert not made.clips[n][:, keep:].any()
        assert made.targets["clip"][n][:, length:].any() == (length < 40)
        assert made.targets["mask"][n].sum() == (length - keep) * 25


@pytest.mark.parametrize("name", MAKES_FRAMES)
@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_clips_of_their_own_lengths_give_what_filled_up_ones_give(name, dtype):
    x = make().astype(dtype)
    plain = [{name: FITTING.get(name, {})}, "rotate", "flip", {"crop": {"ratio": 3}}]
    made = render(as_native(x, LENGTHS, dtype), plain, stream="motion")
    expected = render(x, plain, stream="motion", valid=LENGTHS)
    np.testing.assert_array_equal(made.clips, expected.clips)
    assert (made.lengths is None) == (expected.lengths is None)
    if made.lengths is not None:
        np.testing.assert_array_equal(made.lengths, expected.lengths)
    if dtype == "float16":
        np.testing.assert_array_equal(
            made.clips, render(x.astype(np.float32), plain, stream="motion", valid=LENGTHS).clips
        )


@pytest.mark.parametrize("name", MAKES_FRAMES)
def test_a_clip_without_frames_becomes_zeros(name):
    x = make(n=2)
    for source, valid in ((x, np.array([0, 9])), (as_native(x, [0, 9]), None)):
        made = render(source, [{name: FITTING.get(name, {})}, "shear"], valid=valid)
        assert not made.clips[0].any()
        assert made.clips[1].any()


def test_reversed_padding_comes_first_unless_told_not_to():
    x, valid = line([1, 2, 3, 0, 0]), np.array([3])
    made = render(x, [{"reverse": {"p": 1.0}}], valid=valid)
    assert (numbers(made), made.lengths.tolist()) == ([0, 0, 3, 2, 1], [5])
    made = render(x, [{"reverse": {"p": 1.0, "padding": False}}], valid=valid)
    assert (numbers(made), made.lengths.tolist()) == ([3, 2, 1, 0, 0], [3])


def test_motion_ends_with_the_own_frames():
    x = line([1, 3, 7, 0, 0])
    assert numbers(render(x, [], stream="motion", valid=np.array([3]))) == [2, 4, 0, 0, 0]
    assert apply_stream(x, "motion", KINECT_V2, lengths=np.array([3]))[0, 1, :, 2, 0].tolist() == [2, 4, 0, 0, 0]
    assert not render(x, [], stream="motion", valid=np.array([0])).clips.any()


def test_what_lies_behind_the_own_frames_counts_as_zeros():
    assert numbers(render(line([1, 3, 7, 1, 3]), [], valid=np.array([3]))) == [1, 3, 7, 0, 0]


CHAIN = [
    {"crop_resize": {"frames": 24, "least": 9}},
    "shear",
    {"jitter": {"clean": True}},
    {"first": {"frames": 30}},
    "jigsaw",
]


@pytest.mark.parametrize("source", ["one length", "filled up", "own lengths"])
def test_threads_and_the_rest_of_the_batch_change_nothing(source):
    x, valid = make(n=30), np.resize(LENGTHS, 30)
    given = {
        "one length": (x, None),
        "filled up": (x, valid.astype(np.int32)),
        "own lengths": (as_native(x, valid), None),
    }[source]
    view = build_view([*CHAIN, "reverse", {"one_of": ["blur", "corrupt"]}])
    plan = view.plan(given[0], KINECT_V2, given[1])

    def rendered(rows, threads):
        rows = np.array(rows)
        return render_view(given[0], rows, rows + 5, view, "bone", KINECT_V2, 3, 4, 1, threads=threads, valid=given[1])

    whole = rendered(range(30), 1)
    assert whole.clips.shape[1:] == plan.shape == (3, 30, 25, 2)
    assert (whole.lengths is not None) == plan.padded
    assert view.frames(50) == 30
    for rows, threads in ((range(30), 3), ([17], 1), ([4, 4, 9], 1), (range(29, -1, -1), 2)):
        part = rendered(rows, threads)
        np.testing.assert_array_equal(part.clips, whole.clips[list(rows)])
        np.testing.assert_array_equal(part.lengths, whole.lengths[list(rows)])
        assert part.targets.keys() == plan.targets.keys() == {"clip", "order"}
        for name, values in part.targets.items():
            np.testing.assert_array_equal(values, whole.targets[name][list(rows)])
            assert (values.shape[1:], values.dtype) == plan.targets[name]


def test_a_chain_equals_its_twins():
    x = make()
    walked, made = walk(x, CHAIN, lengths=LENGTHS), render(x, CHAIN, valid=LENGTHS)
    close(made.clips, [clip[-1][0] for clip in walked])
    close(made.targets["clip"], [clip[2][0] for clip in walked])
    assert made.targets["clip"].shape[2] == 24


def test_moves_behind_other_frames_equal_their_twins():
    x = make()
    plain = [{"resize": {"frames": 20}}, "shear", "crop", "flip", {"resize": {"frames": 30}}, "crop", "tilt"]
    close(render(x, plain).clips, [clip[-1][0] for clip in walk(x, plain)])
    close(render(x, plain[:1] + plain[2:]).clips, [clip[-1][0] for clip in walk(x, plain[:1] + plain[2:])])


# ---- a choice


def test_those_to_choose_from_draw_their_own_numbers():
    step = build_view([{"one_of": ["tilt", "tilt"]}]).steps[0]
    u = np.array([[0.5, 0, 0.25, 0.5, 0.75, 1, 0]])
    drawn = step.augmentation.draw(u, find_extent(make(n=1), np.zeros(1, np.int64), KINECT_V2), step.options)
    np.testing.assert_allclose(drawn[0], [1, -0.3, -0.15, 0, 0.15, 0.3, -0.3], atol=1e-12)


def test_one_of_several_is_drawn_for_each_clip():
    x = make(n=200)
    view, ids = build_view([{"one_of": [{"shear": {"amplitude": 1}}, {"corrupt": {"joints": 3}}]}]), np.arange(200)
    params = view.draws(0, 0, ids, 0, find_extent(x, ids, KINECT_V2))[0]
    made = view.render(x, 0, 0, ids, 0, KINECT_V2)
    assert abs((params[:, 0] == 0).mean() - 0.5) < 4 * 0.5 / np.sqrt(200)
    for n in range(200):
        step, own = (("shear", params[n, 1:7]), ("corrupt", params[n, 7:]))[int(params[n, 0])]
        close(made[n], twins.AUGMENTATIONS[step](x[n].astype(float), own, KINECT_V2, {"joints": 3}))


def test_what_is_drawn_may_change_lengths():
    made = render(make(n=40), [{"one_of": [{"reverse": {"p": 1.0}}, "shear"]}], valid=np.full(40, 11))
    assert set(made.lengths.tolist()) == {11, 40}


# ---- a picture with confidence, and other layouts


@pytest.mark.parametrize("name", AUGMENTATIONS)
@pytest.mark.parametrize("layout", [PICTURE, Layout(**{**PICTURE.__dict__, "coordinates": 3})], ids=["2+1", "3+1"])
def test_every_augmentation_equals_its_twin_where_there_is_confidence(name, layout):
    x = make(layout)
    options = {"by": "joint"} if name == "joint_mask" else FITTING.get(name, {})
    for p in ({}, {"p": 1.0}) if "p" in AUGMENTATIONS[name].options else ({},):
        plain = ["shear", {name: {**options, **p}}, "flip", "rotate"]
        made = render(x, plain, layout, "bone")
        close(made.clips, [twins.stream(clip[-1][0], "bone", layout) for clip in walk(x, plain, layout)])


@pytest.mark.parametrize("stream", STREAMS)
def test_confidence_is_the_joints_own_in_every_stream(stream):
    x = make(PICTURE)
    plain = ["shear", {"rotate": {"angle": 90.0}}, {"noise": {"p": 1.0}}, {"mask": {"p": 1.0}}, {"blur": {"p": 1.0}}]
    made = render(x, plain, PICTURE, stream)
    np.testing.assert_array_equal(made.clips[:, 2], x[:, 2])
    assert (made.clips[:, :2] != x[:, :2]).any()


def test_a_picture_without_confidence():
    layout = Layout(**{**PICTURE.__dict__, "confidence": False})
    x = make(layout)
    plain = [
        "crop",
        "shear",
        {"flip": {"p": 1.0, "mirror_x": True}},
        "tilt",
        {"noise": {"p": 1.0}},
        {"mask": {"p": 1.0}},
    ]
    for dtype in (np.float32, np.float16):
        made = render(x.astype(dtype), plain, layout, "motion")
        walked = walk(x.astype(dtype), plain, layout)
        close(made.clips, [twins.stream(clip[-1][0], "motion", layout) for clip in walked])


# ---- chance


def test_a_view_without_chance_is_the_same_for_every_seed():
    x = make()
    still = [{"centre_crop": {"frames": 20}}, {"segments": {"frames": 9, "middle": True}}, "tail_mask", "colours"]
    assert not build_view(still).random
    np.testing.assert_array_equal(render(x, still).clips, render(x, still, epoch=8).clips)
    for name in AUGMENTATIONS:
        drawn = build_view([{name: FITTING.get(name, {})}]).random
        assert drawn == (name not in {"centre_crop", "resize", "first", "stride", "tail_mask", "colours", "repeat"})


# ---- what is refused


@pytest.mark.parametrize(
    ("plain", "message"),
    [
        ([{"joint_mask": {"by": "limb"}}], "use part or joint or run"),
        ([{"one_of": ["shear"]}], "two augmentations or more"),
        ([{"one_of": None}], "two augmentations or more"),
        ([{"one_of": ["shear", "first"]}], "first makes other frames"),
        ([{"one_of": ["shear", "jigsaw"]}], "brings targets"),
        ([{"one_of": ["shear", "repeat"]}], "repeat makes other frames"),
        ([{"one_of": ["shear", "crops"]}], "did you mean 'crop'"),
        (["tail_mask", "joint_mask"], "two steps bring the target 'clip'"),
        ([{"resize": {"frames": 0}}], "out of range"),
        (["one_off"], "did you mean 'one_of'"),
    ],
    ids=str,
)
def test_a_view_that_cannot_be_built_says_why(plain, message):
    with pytest.raises(BadInput, match=message):
        build_view(plain)


@pytest.mark.parametrize(
    ("plain", "message"),
    [
        ([{"corrupt": {"joints": 17}}], "17 is more than the 16 joints"),
        ([{"joint_mask": {"count": 3}}], "3 is more than the 2 groups"),
        ([{"joint_mask": {"by": "run"}}], "5 groups of 4 are more than the 16 joints"),
    ],
    ids=str,
)
def test_a_view_that_does_not_fit_the_layout_says_why(plain, message):
    with pytest.raises(BadInput, match=message):
        build_view(plain).plan(make(PICTURE), PICTURE)
    with pytest.raises(BadInput, match=message):
        render(make(PICTURE), plain, PICTURE)


def test_parts_are_needed_to_mask_them():
    bare = Layout(**{**PICTURE.__dict__, "parts": ()})
    with pytest.raises(BadInput, match="names no parts"):
        render(make(bare), ["joint_mask"], bare)


@pytest.mark.parametrize("plain", ["normal", [], ["shear", "first"]])
def test_clips_of_their_own_lengths_are_made_of_one_length_first(plain):
    native = as_native(make(), LENGTHS)
    for attempt in (lambda: render(native, plain), lambda: build_view(plain).plan(native, KINECT_V2)):
        with pytest.raises(BadInput, match="begin it with crop_resize or centre_crop"):
            attempt()


def test_arrays_that_do_not_fit_are_refused():
    x = make()
    native = as_native(x, LENGTHS)
    first = ["first"]
    for source, valid in (
        (x, LENGTHS[:9]),
        (x, LENGTHS + 1),
        (x, LENGTHS - 2),
        (native, LENGTHS),
        (Native(native.values[:-1], native.offset, 3, 25, 2), None),
        (Native(native.values, native.offset, 3, 25, 1), None),
        (Native(native.values, native.offset[::-1], 3, 25, 2), None),
        (Native(native.values.astype(np.float64), native.offset, 3, 25, 2), None),
        (Native(native.values, native.offset, 2, 25, 3), None),
    ):
        with pytest.raises(ValueError, match=r"must|shape"):
            render(source, first, valid=valid)
    with pytest.raises(ValueError, match="out must"):
        render(x, first, out=np.empty_like(x))
    with pytest.raises(ValueError, match="order must"):
        render(x, ["jigsaw"], targets={"order": np.empty(10)})
