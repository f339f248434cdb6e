import numpy as np
import pytest
import twins

from skelpipe.clips.augment import AUGMENTATIONS
from skelpipe.clips.augment.base import count_uniforms
from skelpipe.clips.gather import find_extent
from skelpipe.clips.streams import STREAMS
from skelpipe.clips.views import EXTREME, NORMAL, VIEWS, build_view, render_view
from skelpipe.errors import BadInput
from skelpipe.layouts.kinect_v2 import KINECT_V2

TOP = np.nextafter(1, 0)
VARIANTS = [
    *((name, {}) for name in AUGMENTATIONS),
    *((name, {"p": 1.0}) for name, a in AUGMENTATIONS.items() if "p" in a.options),
    ("crop", {"ratio": 1}),
    ("crop", {"ratio": 99}),
    ("shear", {"amplitude": 1.5}),
    ("flip", {"p": 1.0, "mirror_x": True}),
    ("rotate", {"angle": 90.0, "other": 45.0}),
    ("noise", {"p": 1.0, "std": 0.3, "absent": False}),
    ("blur", {"p": 1.0, "normalise": True}),
    ("blur", {"p": 1.0, "taps": 5, "low": 1.0, "high": 1.0}),
    ("blur", {"p": 1.0, "taps": 301}),
    ("tilt", {"angle": 3.0}),
    ("yaw", {"angle": 180.0}),
    ("scale", {"amplitude": 0.99}),
    ("corrupt", {"joints": 25}),
    ("crop_resize", {"frames": 20, "least": 5}),
    ("crop_resize", {"frames": 100, "least": 30, "low": 0.5}),
    ("centre_crop", {"frames": 30, "share": 0.5}),
    ("resize", {"frames": 50}),
    ("segments", {"frames": 60}),
    ("segments", {"middle": True}),
    ("first", {"frames": 20}),
    ("stride", {"frames": 7}),
    ("stride", {"frames": 70}),
    ("tail_mask", {"keep": 0.33}),
    ("joint_mask", {"by": "joint", "count": 6}),
    ("joint_mask", {"by": "run", "spare_first": True}),
    ("jigsaw", {"segments": 4}),
]


@pytest.fixture(scope="module")
def clips():
    x = np.random.default_rng(0).normal(scale=0.5, size=(24, 3, 50, 25, 2)).astype(np.float32)
    x[::2, ..., 1] = 0  # one body only
    x[3, :, 20:30] = 0  # frames without a body
    return x


def extent(clips):
    return find_extent(clips, np.arange(len(clips)), KINECT_V2)


def apply(view, x, drawn):
    return view.apply(x, drawn, view.extents(drawn, extent(x)))


def twin_of(clips, view, seed, epoch, clip_ids, view_index, stream="joint"):
    drawn = view.draws(seed, epoch, clip_ids, view_index, extent(clips))
    views = [twins.view(x, view.steps, [p[b] for p in drawn], KINECT_V2) for b, x in enumerate(clips)]
    return twins.stream(np.array(views), stream, KINECT_V2)


@pytest.mark.parametrize(("name", "options"), VARIANTS, ids=str)
def test_every_augmentation_equals_its_twin(clips, name, options):
    view, ids = build_view([{name: options}]), np.arange(24)
    expected = twin_of(clips, view, 1, 2, ids, 3)
    np.testing.assert_allclose(view.render(clips, 1, 2, ids, 3, KINECT_V2), expected, atol=2e-6, rtol=1e-6)
    in_place = clips.copy()
    got = apply(view, in_place, view.draws(1, 2, ids, 3, extent(clips)))
    assert (got is in_place) == (AUGMENTATIONS[name].sampling is None)
    np.testing.assert_allclose(got, expected, atol=2e-6, rtol=1e-6)


def test_noise_reaches_the_last_numbers_of_a_clip_that_four_does_not_divide(clips):
    odd, view, ids = np.ascontiguousarray(clips[:, :, :49]), build_view([{"noise": {"p": 1.0}}]), np.arange(24)
    expected = twins.view(odd[5], view.steps, [p[5] for p in view.draws(1, 2, ids, 3, extent(odd))], KINECT_V2)
    np.testing.assert_allclose(view.render(odd, 1, 2, ids, 3, KINECT_V2)[5], expected, atol=2e-6)


@pytest.mark.parametrize("stream", STREAMS)
@pytest.mark.parametrize("name", VIEWS)
@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_views_equal_their_twins_for_every_stream(clips, stream, name, dtype):
    view, source = build_view(name), clips.astype(dtype)
    rows, ids = np.array([5, 3, 3, 23, 0]), np.array([105, 103, 9, 123, 100])
    got = render_view(source, rows, ids, view, stream, KINECT_V2, 7, 1, 0).clips
    expected = twin_of(source[rows].astype(np.float32), view, 7, 1, ids, 0, stream)
    np.testing.assert_allclose(got, expected, atol=1e-5, rtol=1e-6)


def test_half_floats_are_read_exactly():
    rng = np.random.default_rng(0)
    bits = rng.integers(0, 2**16, (9, 3, 50, 25, 2)).astype(np.uint16)
    bits[(bits & 0x7C00) == 0x7C00] = 0x8000  # no infinities and no NaN: clips are finite
    half = bits.view(np.float16)
    got = build_view([]).render(half, 0, 0, np.arange(9), 0, KINECT_V2)
    np.testing.assert_array_equal(got.view(np.uint32), half.astype(np.float32).view(np.uint32))


def test_threads_and_batches_change_nothing(clips):
    view, rows = build_view("extreme"), np.arange(24)
    whole = render_view(clips, rows, rows + 50, view, "bone", KINECT_V2, 3, 4, 1, threads=1).clips
    three = render_view(clips, rows, rows + 50, view, "bone", KINECT_V2, 3, 4, 1, threads=3).clips
    np.testing.assert_array_equal(whole, three)
    for some in ([17], [4, 4, 9], list(range(23, -1, -1))):
        part = render_view(clips, np.array(some), np.array(some) + 50, view, "bone", KINECT_V2, 3, 4, 1).clips
        np.testing.assert_array_equal(part, whole[some])


@pytest.mark.parametrize("change", ["seed", "epoch", "view_index", "clip_ids"])
def test_seed_epoch_view_and_clip_each_give_another_view(clips, change):
    given = {"seed": 0, "epoch": 0, "clip_ids": np.arange(24), "view_index": 0}
    view = build_view("normal")
    one = view.render(clips, **given, layout=KINECT_V2)
    np.testing.assert_array_equal(view.render(clips, **given, layout=KINECT_V2), one)
    other = view.render(clips, **{**given, change: given[change] + 100}, layout=KINECT_V2)
    assert (other != one).any(axis=(1, 2, 3, 4)).all()


def test_out_is_used_and_source_is_not_changed(clips):
    before, out = clips.copy(), np.full_like(clips, np.nan)
    got = render_view(
        clips, np.arange(24), np.arange(24), build_view("extreme"), "motion", KINECT_V2, 0, 0, 0, out
    ).clips
    assert got is out
    assert np.isfinite(out).all()
    np.testing.assert_array_equal(clips, before)


def test_an_empty_view_is_the_clip(clips):
    np.testing.assert_array_equal(build_view([]).render(clips, 0, 0, np.arange(24), 0, KINECT_V2), clips)


# ---- draws


def draw(name, u, **options):
    step = build_view([{name: options}]).steps[0]
    u = np.atleast_2d(np.asarray(u, np.float64))
    return step.augmentation.draw(u, extent(np.empty((len(u), 3, 50, 25, 2))), step.options)


def test_crop_starts_at_every_place_from_minus_eight_to_eight():
    u = (np.arange(17) + 0.5) / 17
    assert draw("crop", u[:, None])[:, 0].tolist() == list(range(-8, 9))
    assert draw("crop", [[0.0], [TOP]])[:, 0].tolist() == [-8, 8]
    for ratio in range(1, 60):
        assert draw("crop", [TOP], ratio=ratio)[0, 0] == 50 // ratio


def test_shear_fills_both_ends_of_its_range():
    assert draw("shear", [0, TOP, 0.5, 0.25, 0.75, 0]).tolist()[0] == pytest.approx([-0.5, 0.5, 0, -0.25, 0.25, -0.5])


def test_rotate_turns_one_axis_far():
    for axis, u in enumerate((0, 0.5, TOP)):
        degrees = np.degrees(draw("rotate", [u, 1, 1, 1]))[0]
        assert degrees.tolist() == pytest.approx([30 if a == axis else 1 for a in range(3)])


@pytest.mark.parametrize("name", [name for name, a in AUGMENTATIONS.items() if "p" in a.options])
def test_p_decides_whether(name):
    rest = [0.5] * (count_uniforms(AUGMENTATIONS[name], {"joints": 15}) - 1)
    for u, p, expected in ((0.0, 0.5, 1), (np.nextafter(0.5, 0), 0.5, 1), (0.5, 0.5, 0), (TOP, 1.0, 1), (0.0, 0.0, 0)):
        assert draw(name, [u, *rest], p=p)[0, 0] == expected


def test_other_draws_at_their_ends():
    assert draw("blur", [0, 0]).tolist() == [[1, 0.1]]
    assert draw("blur", [0, TOP])[0, 1] == pytest.approx(2)
    assert [draw("mask", [0, u])[0, 1] for u in (0, 0.34, TOP)] == [0, 1, 2]
    assert draw("noise", [0, 0, TOP]).tolist() == [[1, 0, 2**32 - 1]]


def test_many_draws_have_the_right_statistics():
    n = 40_000
    drawn = build_view([*EXTREME, "reverse"]).draws(
        5, 6, np.arange(n), 0, extent(np.broadcast_to(0.0, (n, 3, 50, 25, 2)))
    )
    crop, shear, flip, rotate, noise, blur, mask, reverse = drawn
    counts = np.bincount((crop[:, 0] + 8).astype(int), minlength=17)
    assert len(counts) == 17
    assert ((counts - n / 17) ** 2 / (n / 17)).sum() < 39.3  # chi squared, 16 degrees of freedom, p = 0.001
    assert np.abs(shear.mean(axis=0)).max() < 4 * np.sqrt(1 / 12 / n)
    assert np.abs(np.corrcoef(shear.T) - np.eye(6)).max() < 4 / np.sqrt(n)
    for whether in (flip, noise, blur, mask, reverse):
        assert abs(whether[:, 0].mean() - 0.5) < 4 * 0.5 / np.sqrt(n)
    far = np.degrees(rotate) > 1
    assert far.sum(axis=1).max() == 1
    assert np.abs(far.mean(axis=0) - 1 / 3 * 29 / 30).max() < 0.01
    assert abs(blur[:, 1].mean() - 1.05) < 0.01
    assert np.abs(np.bincount(mask[:, 1].astype(int)) / n - 1 / 3).max() < 0.01
    together = np.column_stack([flip, noise[:, 0], blur[:, 0], mask[:, 0], reverse])
    assert np.abs(np.corrcoef(together.T) - np.eye(5)).max() < 4 / np.sqrt(n)


# ---- what the reference does, by hand


def test_crop_reflects_with_the_edge_frame_doubled():
    x = np.broadcast_to(np.arange(50, dtype=np.float32).reshape(1, 1, 50, 1, 1), (3, 3, 50, 25, 2)).copy()
    view = build_view(["crop"])
    apply(view, x, [np.array([[-8.0], [0.0], [8.0]])])
    assert x[0, 0, :10, 0, 0].tolist() == [7, 6, 5, 4, 3, 2, 1, 0, 0, 1]
    assert x[1, 0, :, 0, 0].tolist() == list(range(50))
    assert x[2, 0, -10:, 0, 0].tolist() == [48, 49, 49, 48, 47, 46, 45, 44, 43, 42]


def test_noise_has_its_spread_and_reaches_absent_bodies_unless_told_not_to():
    zeros = np.zeros((40, 3, 50, 25, 2), np.float32)
    added = build_view([{"noise": {"p": 1.0}}]).render(zeros, 0, 0, np.arange(40), 0, KINECT_V2)
    assert abs(added.std() / 0.01 - 1) < 4 / np.sqrt(2 * added.size)
    assert abs(added.mean()) < 4 * 0.01 / np.sqrt(added.size)
    assert np.abs(np.corrcoef(added.reshape(40, -1)) - np.eye(40)).max() < 5 / np.sqrt(7500)
    one = zeros.copy()
    one[:, 0, :, 3, 0] = 1
    view = build_view([{"noise": {"p": 1.0, "absent": False}}])
    spared = view.render(one, 0, 0, np.arange(40), 0, KINECT_V2)
    assert not spared[..., 1].any()
    assert (spared[..., 0] != one[..., 0]).mean() > 0.999


def test_blur_is_not_normalised_by_default():
    ones = np.ones((2, 3, 50, 25, 2), np.float32)
    drawn = [np.array([[1, 0.1], [1, 2.0]])]
    default, sane = ones.copy(), ones.copy()
    apply(build_view(["blur"]), default, drawn)
    apply(build_view([{"blur": {"normalise": True}}]), sane, drawn)
    assert default[:, 0, 25, 0, 0] == pytest.approx([1.0, 5.01], abs=0.01)
    assert sane[:, 0, 25, 0, 0] == pytest.approx([1, 1])
    assert default[1, 0, 0, 0, 0] < 3.1  # nothing beyond the end


def test_flip_swaps_sides_and_mirrors_only_if_asked(clips):
    for mirror_x in (False, True):
        got = build_view([{"flip": {"p": 1.0, "mirror_x": mirror_x}}]).render(clips, 0, 0, np.arange(24), 0, KINECT_V2)
        np.testing.assert_array_equal(got[:, 0, :, 8], clips[:, 0, :, 4] * (-1 if mirror_x else 1))
        np.testing.assert_array_equal(got[:, 1:, :, 23], clips[:, 1:, :, 21])


def test_the_named_views_keep_the_reference_order():
    assert NORMAL == ("crop", "shear")
    assert EXTREME == ("crop", "shear", "flip", "rotate", "noise", "blur", "mask")
    assert tuple(s.name for s in build_view("extreme").steps) == EXTREME


def test_order_matters_and_is_kept(clips):
    fixed = {"mask": {"p": 1.0}}, {"shear": {"amplitude": 0.5}}
    masked_last = build_view(fixed[::-1]).render(clips, 0, 0, np.arange(24), 0, KINECT_V2)
    masked_first = build_view(fixed).render(clips, 0, 0, np.arange(24), 0, KINECT_V2)
    assert ((masked_last == 0).all(axis=(2, 3, 4)).sum(axis=1) == 1).all()
    assert not (masked_first == 0).all(axis=(2, 3, 4)).any()


def test_a_second_crop_is_drawn_anew(clips):
    view, ids = build_view(["crop", "reverse", {"crop": {"ratio": 2}}]), np.arange(24)
    np.testing.assert_array_equal(view.render(clips, 0, 0, ids, 0, KINECT_V2), twin_of(clips, view, 0, 0, ids, 0))


# ---- what is refused


@pytest.mark.parametrize(
    ("plain", "message"),
    [
        ("extrem", "extreme"),
        (["sheer"], "did you mean 'shear'"),
        ([{"shear": {"amplitud": 1}}], "did you mean 'amplitude'"),
        ([{"shear": {"amplitude": "big"}}], "'big' is not a number"),
        ([{"shear": {"amplitude": True}}], "True is not a number"),
        ([{"shear": {"amplitude": float("nan")}}], "nan is not a number"),
        ([{"shear": [0.5]}], "no set of options"),
        ([{"flip": {"p": 1.5}}], "out of range"),
        ([{"flip": {"mirror_x": 1}}], "true or false"),
        ([{"crop": {"ratio": 2.5}}], "whole number"),
        ([{"crop": {"ratio": 0}}], "out of range"),
        ([{"blur": {"taps": 4}}], "even"),
        ([{"crop": {}, "shear": {}}], "not one augmentation"),
        ([3], "not one augmentation"),
        (["zzz"], "use one of crop, shear"),
    ],
    ids=str,
)
def test_a_view_that_cannot_be_built_says_why(plain, message):
    with pytest.raises(BadInput, match=message):
        build_view(plain)


def test_a_view_stays_as_it_was_checked():
    with pytest.raises(AttributeError):
        build_view("normal").steps[0].name = "sheer"
    with pytest.raises(AttributeError):
        build_view("normal").steps = ()


def test_whole_numbers_serve_as_numbers():
    assert build_view([{"shear": {"amplitude": 1}}, {"crop": None}]).steps[0].options == {"amplitude": 1.0}


def test_arrays_that_do_not_fit_are_refused(clips):
    view, rows = build_view("normal"), np.arange(3)
    good = {"source": clips, "rows": rows, "clip_ids": rows, "out": None}
    for change in (
        {"source": clips.astype(np.float64)},
        {"source": clips[:, :2]},
        {"source": clips[:, :, :, :24]},
        {"source": clips.transpose(0, 1, 2, 4, 3)},
        {"source": clips[0]},
        {"source": np.asfortranarray(clips)},
        {"rows": np.array([0, 1, 24])},
        {"rows": np.array([0, 1, -1])},
        {"clip_ids": np.arange(4)},
        {"out": np.empty((2, 3, 50, 25, 2), np.float32)},
        {"out": np.empty((3, 3, 50, 25, 2))},
    ):
        a = {**good, **change}
        with pytest.raises(ValueError, match=r"must|shape"):
            render_view(a["source"], a["rows"], a["clip_ids"], view, "joint", KINECT_V2, 0, 0, 0, a["out"])
    with pytest.raises(BadInput, match="joints"):
        render_view(clips, rows, rows, view, "joints", KINECT_V2, 0, 0, 0)
    assert len(render_view(clips, rows[:0], rows[:0], view, "joint", KINECT_V2, 0, 0, 0).clips) == 0
