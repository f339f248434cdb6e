"""The temporal encoder against plain sums, and features in segments against the averages of their frames."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from skelpipe.encoders.recurrent import Recurrent, RecurrentOptions
from skelpipe.encoders.stgcn import STGCN, STGCNOptions
from skelpipe.encoders.temporal import Temporal, TemporalOptions
from skelpipe.errors import BadInput
from skelpipe.layouts import LAYOUTS
from skelpipe.layouts.kinect_v2 import KINECT_V2
from skelpipe.methods.network import Network
from skelpipe.settings import check
from skelpipe.training.recipe import Recipe


def clips(frames=16, layout=KINECT_V2, bodies=1, count=3):
    shape = (count, layout.channels, frames, len(layout.joints), bodies)
    return torch.randn(*shape, generator=torch.Generator().manual_seed(0))


def encoder(layout=KINECT_V2, bodies=1, **options):
    torch.manual_seed(1)
    made = Temporal(layout, TemporalOptions(**options), bodies)
    with torch.no_grad():
        for module in made.modules():
            if isinstance(module, nn.BatchNorm1d):
                module.running_mean.uniform_(-1, 1)
                module.running_var.uniform_(0.5, 2)
                module.weight.uniform_(0.5, 2)
                module.bias.uniform_(-1, 1)
    return made.eval()


def convolved(x, weight, bias, stride):
    """x (C, T), weight (O, C, K) -> (O, T / stride, rounded up), with zeros beyond both ends."""
    reach = weight.shape[2] // 2
    padded = np.pad(x, ((0, 0), (reach, reach)))
    at = range(0, x.shape[1], stride)
    return np.stack([(weight * padded[None, :, t : t + weight.shape[2]]).sum((1, 2)) + bias for t in at], axis=1)


def twin(made, clip):
    """The feature map (features, T') of one clip (C, T, V, M), in float64."""
    state = {name: value.double().numpy() for name, value in made.state_dict().items()}
    frames = clip.double().numpy().transpose(0, 2, 3, 1).reshape(-1, clip.shape[1])
    y = convolved(frames, state["frame.weight"], state["frame.bias"], 1)
    for number in range(len(made.blocks)):
        name, stride = f"blocks.{number}.", 2 if number in (1, 2) else 1
        z = convolved(y, state[name + "conv.weight"], 0, stride)
        mean, var = state[name + "norm.running_mean"], state[name + "norm.running_var"]
        z = (z - mean[:, None]) / np.sqrt(var[:, None] + 1e-5)
        z = z * state[name + "norm.weight"][:, None] + state[name + "norm.bias"][:, None]
        if name + "residual.weight" in state:
            y = convolved(y, state[name + "residual.weight"], state[name + "residual.bias"], stride)
        y = np.maximum(z + y, 0)
    return y


@pytest.mark.parametrize(
    ("layout", "bodies", "options", "frames"),
    [
        ("kinect_v2", 1, {"width": 6, "features": 10}, 16),
        ("kinect_v2", 2, {"width": 5, "features": 5, "layers": 4, "kernel": 3}, 15),
        ("coco17", 1, {"width": 4, "features": 4, "layers": 1, "kernel": 1}, 3),
    ],
)
def test_it_computes_what_its_twin_does(layout, bodies, options, frames):
    made, x = encoder(LAYOUTS[layout], bodies, **options), clips(frames, LAYOUTS[layout], bodies)
    with torch.no_grad():
        found, features = made.feature_map(x), made(x)
    for clip, mine, feature in zip(x, found, features, strict=True):
        expected = twin(made, clip)
        np.testing.assert_allclose(mine[:, :, 0], expected, rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(feature, expected.mean(1), rtol=1e-4, atol=1e-5)


def test_the_second_and_third_block_halve_the_frames():
    shapes = [encoder(width=4, features=4, layers=n).feature_map(clips(17)).shape[2] for n in (1, 2, 3, 5)]
    assert shapes == [17, 9, 5, 5]


def test_a_kernel_is_odd():
    with pytest.raises(ValueError, match="must be odd"):
        TemporalOptions(kernel=4)


@pytest.mark.parametrize("kind", ["temporal", "stgcn"])
def test_features_in_segments_are_the_averages_of_equal_parts_of_the_frames(kind):
    torch.manual_seed(2)
    made = (
        encoder(width=4, features=6)
        if kind == "temporal"
        else STGCN(KINECT_V2, STGCNOptions(width=2, features=6)).eval()
    )
    network, x = Network(made, nn.Linear(6, 3)).eval(), clips(20)
    with torch.no_grad():
        found = made.feature_map(x)  # five frames
        assert found.shape[2] == 5
        halves = network.segments(x, 2)
        assert torch.equal(network.segments(x, 1), network.features(x))
    expected = torch.cat([found[:, :, :3].mean((2, 3)), found[:, :, 3:].mean((2, 3))], dim=1)
    torch.testing.assert_close(halves, expected)
    with pytest.raises(BadInput, match=r"evaluate\.segments: 6.*more than the 5 frames"):
        network.segments(x, 6)


def test_segments_tell_a_clip_from_its_reverse():
    """Of a kernel of one frame and no halving the average cannot."""
    network = Network(encoder(width=4, features=6, layers=1, kernel=1), nn.Linear(6, 3)).eval()
    x = clips(12)
    with torch.no_grad():
        torch.testing.assert_close(network.features(x), network.features(x.flip(2)))
        there, back = network.segments(x, 2), network.segments(x.flip(2), 2)
    torch.testing.assert_close(there, torch.cat([back[:, 6:], back[:, :6]], dim=1))
    assert not torch.allclose(there, back)


def test_a_recipe_cuts_only_what_can_be_cut():
    plain = {"method": "skeletonclr", "views": {"query": [], "key": []}, "evaluate": {"segments": 2}}
    assert check(Recipe, {**plain, "encoder": "temporal"}, "r").evaluate.segments == 2
    with pytest.raises(BadInput, match=r"evaluate\.segments: recurrent has no feature map"):
        check(Recipe, {**plain, "encoder": "recurrent"}, "r")
    assert not hasattr(Recurrent(KINECT_V2, RecurrentOptions(width=2), 1), "feature_map")
    dumped = check(Recipe, {**plain, "evaluate": {"protocols": ["knn"]}}, "r").model_dump(mode="json")
    assert "segments" not in dumped["evaluate"]  # so that older runs are still of the same settings
