"""Views rendered by torch where the clips lie: those of the kernels, within rounding, of the same draws."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from test_augment import VARIANTS
from test_views import CHAIN, FITTING, LENGTHS, PICTURE, as_native, make
from torch._dynamo.testing import CompileCounterWithBackend

from skelpipe.clips.augment import AUGMENTATIONS
from skelpipe.clips.batches import Batches
from skelpipe.clips.philox import normals2, normals_of, philox4x32, words_of
from skelpipe.clips.resident import ResidentBatches, without_form
from skelpipe.clips.streams import STREAMS
from skelpipe.clips.views import VIEWS, build_view
from skelpipe.layouts import LAYOUTS
from skelpipe.layouts.kinect_v2 import KINECT_V2

CPU = torch.device("cpu")
EVERY = list(AUGMENTATIONS)
MAKES_FRAMES = [name for name, a in AUGMENTATIONS.items() if a.sampling is not None]
ALL = tuple(STREAMS)


def both(source, plain, layout=KINECT_V2, valid=None, streams=ALL, epoch=3, **other):
    """Two batches of the same clips: the host's and the device's."""
    views = {"first": build_view(plain), "second": build_view(plain)}
    labels = np.arange(len(source)) % 3
    size = len(source) // 2
    given = (source, np.arange(7, 7 + len(source)), labels, views, streams, layout, size, 5, CPU, 1)
    return [list(kind(*given, valid=valid, **other).epoch(epoch))[-1] for kind in (Batches, ResidentBatches)]


def agree(host, device, atol=1e-5):
    assert device.views.keys() == host.views.keys()
    assert torch.equal(device.labels, host.labels)
    assert device.lengths.keys() == host.lengths.keys()
    for name, lengths in host.lengths.items():
        assert device.lengths[name].dtype == torch.int64
        assert torch.equal(device.lengths[name], lengths)
    for name, view in host.views.items():
        assert device.views[name].dtype == torch.float32
        torch.testing.assert_close(device.views[name], view, rtol=1e-5, atol=atol)
    assert device.targets.keys() == host.targets.keys()
    for name, targets in host.targets.items():
        assert device.targets[name].keys() == targets.keys()
        for key, value in targets.items():
            torch.testing.assert_close(device.targets[name][key], value, rtol=1e-5, atol=atol)
    assert (device.weights is None) == (host.weights is None)


def test_words_and_normals_are_those_of_the_kernels():
    """Bit by bit, and within rounding of the logarithm, sine and cosine."""
    rng = np.random.default_rng(0)
    keys = rng.integers(0, 2**32, size=(3, 2))
    keys[0] = 2**32 - 1
    counter = np.array([0, 1, 2, 999, 2**31, 2**32 - 1])
    found = words_of(torch.from_numpy(counter)[None], *torch.from_numpy(keys)[:, :, None].unbind(1))
    drawn = normals_of(torch.from_numpy(keys), 4 * 50)
    for b, key in enumerate(keys.astype(np.uint32)):
        for n, c in enumerate(counter.astype(np.uint32)):
            words = philox4x32(c, np.uint32(0), np.uint32(0), np.uint32(0), *key)
            assert [int(w[b, n]) for w in found] == [int(word) for word in words]
        for i in range(50):
            w0, w1, w2, w3 = philox4x32(np.uint32(i), *np.zeros(3, np.uint32), *key)
            four = (*normals2(w0, w1, np.float32(1)), *normals2(w2, w3, np.float32(1)))
            np.testing.assert_allclose([float(drawn[b, i + j * 50]) for j in range(4)], four, rtol=3e-6, atol=1e-6)


def test_a_pair_at_the_edge_of_its_words():
    from skelpipe.clips.philox import _direction, _pair_of, _radius

    edges = [0, 1, 2, 2**30 - 1, 2**30, 5 * 2**28, 2**31 - 1, 2**31, 9 * 2**28, 3 * 2**30, 13 * 2**28, 2**32 - 1]
    for first in edges:
        for second in edges:
            radius, (x, y) = _radius(np.uint32(first)), _direction(np.uint32(second))
            found = _pair_of(torch.tensor([first]), torch.tensor([second]))
            np.testing.assert_allclose([float(each) for each in found], [radius * x, radius * y], rtol=3e-6, atol=2e-6)


@pytest.mark.parametrize(("name", "options"), VARIANTS, ids=str)
def test_every_augmentation(name, options):
    x = make(n=16, frames=50)
    x[3, :, 20:30] = 0
    agree(*both(x, [{name: options}]))


@pytest.mark.parametrize("view", VIEWS)
@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_every_named_view(view, dtype):
    agree(*both(make(n=16).astype(dtype), view))


@pytest.mark.parametrize("name", EVERY)
def test_clips_that_are_filled_up(name):
    x = make(n=20)
    plain = [{name: FITTING.get(name, {})}, "shear", {"blur": {"p": 1.0}}, "crop", "flip"]
    agree(*both(x, plain, valid=np.resize(LENGTHS, 20)))


@pytest.mark.parametrize("name", MAKES_FRAMES)
@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_clips_of_their_own_lengths(name, dtype):
    lengths = np.resize(LENGTHS, 20)
    lengths[[2, -1]] = 0
    source = as_native(make(n=20), lengths, dtype)
    agree(*both(source, [{name: FITTING.get(name, {})}, "rotate", "flip", {"crop": {"ratio": 3}}]))


@pytest.mark.parametrize("layout", [*LAYOUTS.values(), PICTURE], ids=lambda each: each.name)
def test_every_layout(layout):
    x = make(layout, n=8, bodies=2 if layout.coordinates == 3 else 3)
    joints = min(5, len(layout.joints))
    plain = [
        "crop", "shear", {"flip": {"mirror_x": True}}, "rotate", "blur", "tilt", {"noise": {"absent": False}}, "mask",
        "yaw", {"flip": {"mirror_x": True}}, "scale", {"corrupt": {"joints": joints}}, "jitter", "bone_length",
    ]  # fmt: skip
    agree(*both(x, plain, layout), atol=3e-5)


@pytest.mark.parametrize("source", ["one length", "filled up", "own lengths"])
def test_a_long_chain(source):
    x, lengths = make(n=20), np.resize(LENGTHS, 20)
    given = as_native(x, lengths) if source == "own lengths" else x
    valid = lengths if source == "filled up" else None
    plain = [*CHAIN, "reverse", {"one_of": ["blur", {"corrupt": {"joints": 5}}, "reverse"]}, "repeat"]
    agree(*both(given, plain, valid=valid))
    agree(*both(given, [*CHAIN[:1], "repeat", *CHAIN[1:], "tail_mask"][:-2], valid=valid))


def test_what_is_played_again():
    x = make(n=20)
    x[4, :, 5:, :, 1] = 0
    plain = ["repeat", {"jigsaw": {"segments": 2}}, "shear", {"first": {"frames": 55}}, "tail_mask"]
    agree(*both(x, plain, valid=np.resize(LENGTHS, 20)))


def test_nothing_at_all_and_one_body():
    agree(*both(make(n=6, bodies=1), []))
    agree(*both(make(n=6, bodies=1), [], valid=np.arange(6)))


def test_weights_parts_and_sampling():
    x = make(n=20)
    for other in ({"balance": "weights"}, {"balance": "sampling"}, {"replacement": True}, {"rank": 1, "ranks": 2}):
        host, device = both(x, "extreme", streams="bone", **other)
        agree(host, device)
        if host.weights is not None:
            assert torch.equal(host.weights, device.weights)


WHOLE = {
    "extreme": ("extreme", KINECT_V2),
    "every step": (
        [
            {"crop_resize": {"frames": 24, "least": 9}}, *("shear", "flip", "blur", "noise", "mask", "bone_length"),
            {"one_of": [{"corrupt": {"joints": 5}}, "jitter"]}, {"first": {"frames": 30}}, "jigsaw", "reverse", "crop",
            "tail_mask", "repeat", "colours",
        ],
        PICTURE,
    ),
}  # fmt: skip


def resident(case, device=CPU):
    plain, layout = WHOLE[case]
    source = as_native(make(layout, n=10), LENGTHS) if case == "every step" else make(layout)
    views = {"query": build_view(plain), "key": build_view("normal" if case == "extreme" else plain)}
    labels = np.arange(10)
    return ResidentBatches(source, labels, labels, views, ALL, layout, 4, 5, device, 1)


@pytest.mark.parametrize("case", WHOLE)
def test_all_views_are_one_graph_for_all_batches(case):
    torch._dynamo.reset()
    counted = CompileCounterWithBackend("aot_eager")
    plain, compiled = resident(case), resident(case)
    compiled.rendering = torch.compile(compiled.render_sent, fullgraph=True, dynamic=False, backend=counted)
    for epoch in (1, 2):
        for host, device in zip(plain.epoch(epoch), compiled.epoch(epoch), strict=True):
            agree(host, device, atol=1e-6)
    assert counted.frame_count == 1


@pytest.mark.parametrize("case", WHOLE)
def test_rendering_waits_for_nothing(case):
    """Of tensors without values no number can be asked for, nor how many there are."""
    batches, rows = resident(case), np.arange(4)
    sent = {name: torch.from_numpy(each).to("meta") for name, each in batches.send(rows, rows, 1).items()}
    batches.values, batches.parents = batches.values.to("meta"), batches.parents.to("meta")
    views, _, _ = batches.render_sent(sent)
    assert {view.device.type for view in views.values()} == {"meta"}


def test_a_step_without_a_torch_form_is_named():
    assert not any(without_form(build_view([{name: {}}])) for name in AUGMENTATIONS)
    view = build_view(["crop", {"one_of": ["shear", "blur"]}, "mask"])
    bare = {name: replace(AUGMENTATIONS[name], device=None) for name in ("shear", "mask")}
    with pytest.MonkeyPatch.context() as patch:
        for name, augmentation in bare.items():
            patch.setitem(AUGMENTATIONS, name, augmentation)
        assert without_form(view) == ["shear", "mask"]
