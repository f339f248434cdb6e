"""Streams and views on NumPy and torch, of batches and of one clip."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import skelpipe as sk
from skelpipe.clips.streams import apply_stream
from skelpipe.clips.views import build_view, render_view

LAYOUTS = {"kinect_v2": (3, 25), "coco17+confidence": (3, 17), "openpose18": (2, 18)}


def random_clips(layout: str, count: int = 3) -> np.ndarray:
    channels, joints = LAYOUTS[layout]
    return np.random.default_rng(0).normal(size=(count, channels, 12, joints, 2)).astype(np.float32)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("stream", ["joint", "motion", "bone"])
@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_a_stream_is_the_same_by_numpy_and_torch(layout, stream, dtype):
    x = random_clips(layout).astype(dtype)
    before = x.copy()
    made, torchs = sk.compute_stream(x, stream, layout), sk.compute_stream(torch.from_numpy(x), stream, layout)
    assert made.dtype == dtype
    assert (made == torchs.numpy()).all()
    assert (x == before).all()
    assert not np.shares_memory(made, x)
    one = sk.compute_stream(x[1], stream, layout)
    assert (one == made[1]).all()
    if dtype == "float32":
        assert (made == apply_stream(x, stream, sk.get_layout(layout))).all()


def test_gradients_flow_through_a_stream():
    x = torch.from_numpy(random_clips("kinect_v2")).double().requires_grad_()
    assert torch.autograd.gradcheck(lambda x: sk.compute_stream(x, "motion")[:, 0, :3, :2], (x[:1],))
    sk.compute_stream(x, "bone").square().sum().backward()
    assert x.grad.abs().sum() > 0


@pytest.mark.parametrize("name", sk.list_augmentations())
def test_every_augmentation_stands_alone_and_repeats_itself(name):
    x = random_clips("kinect_v2")
    before, view = x.copy(), sk.augment(name)
    one, again, other = view(x, seed=1), view(x, seed=1), view(torch.from_numpy(x), seed=1)
    assert isinstance(other, torch.Tensor)
    assert (one == again).all()
    assert (one == other.numpy()).all()
    assert (x == before).all()
    assert view(x[0], seed=1).shape == one.shape[1:]
    assert (view(x[0], seed=1) == one[0]).all()


def test_a_view_draws_as_pretraining_does():
    x, layout = random_clips("kinect_v2"), sk.get_layout("kinect_v2")
    ids = np.array([5, 9, 2])
    told = render_view(x, np.arange(3), ids, build_view("extreme"), "bone", layout, 7, 3, 1).clips
    assert (sk.build_view("extreme")(x, 7, stream="bone", epoch=3, ids=ids, index=1) == told).all()


def test_seeds_generators_and_the_global_one():
    x, view = random_clips("kinect_v2"), sk.build_view("normal")
    for make in (lambda: np.random.default_rng(3), lambda: torch.Generator().manual_seed(3)):
        one, other = make(), make()
        first, second = view(x, one), view(x, one)
        assert (first != second).any()  # it moves on
        assert (view(x, other) == first).all()
    torch.manual_seed(4)
    first = view(x)
    assert (view(x) != first).any()
    torch.manual_seed(4)
    assert (view(x) == first).all()


def test_steps_that_make_other_frames_and_frames_that_fill_up():
    x = random_clips("kinect_v2")
    assert sk.augment("resize", frames=20)(x, seed=0).shape == (3, 3, 20, 25, 2)
    made = sk.build_view([])(x, seed=0, lengths=[12, 5, 0])
    assert (made[1, :, 5:] == 0).all()
    assert (made[1, :, :5] == x[1, :, :5]).all()
    assert not made[2].any()
    brought = sk.augment("jigsaw").render(x, seed=0)
    assert brought.targets


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (
            lambda: sk.compute_stream(np.zeros((3, 12, 25), "f4"), "bone"),
            r"clips: has shape \(3, 12, 25\); give",
        ),
        (lambda: sk.compute_stream(np.zeros((3, 12, 17, 2), "f4"), "bone"), "has C = 3 and V = 17, and kinect_v2 has"),
        (lambda: sk.compute_stream(np.zeros((3, 12, 25, 2), int), "bone"), "clips: holds int64"),
        (lambda: sk.compute_stream([1, 2], "bone"), "clips: is of type list"),
        (lambda: sk.compute_stream(np.zeros((3, 12, 25, 2), "f4"), "bones"), "stream: 'bones' is not a stream"),
        (lambda: sk.build_view(["sheer"]), "did you mean 'shear'"),
        (lambda: sk.augment("shear", amplitud=1), "'amplitud' is not an option; did you mean 'amplitude'"),
        (lambda: sk.build_view("normal")(np.zeros((2, 3, 12, 25, 2), "f4"), ids=[1]), "ids: has 1 numbers for 2 clips"),
        (lambda: sk.get_layout("coco"), "did you mean 'coco17'"),
        (lambda: sk.build_encoder("stgcm"), "did you mean 'stgcn'"),
        (lambda: sk.build_encoder("stgcn", widht=3), "widht: unknown key .did you mean 'width'"),
    ],
)
def test_what_does_not_fit_is_told(call, said):
    with pytest.raises(sk.BadInput, match=said):
        call()


@pytest.mark.parametrize("shape", [(2, 3, 20, 25), (2, 3, 20, 20, 2), (2, 2, 20, 25, 2)])
def test_an_encoder_tells_what_it_is_to_be_given(shape):
    encoder = sk.build_encoder("stgcn", width=4, features=8)
    with pytest.raises(sk.BadInput, match=r"clips: have shape .* give \(B, 3, T, 25, M\)"):
        encoder(torch.zeros(shape))
    with pytest.raises(sk.BadInput, match="clips: are of type ndarray"):
        encoder(np.zeros((2, 3, 20, 25, 2), "f4"))
