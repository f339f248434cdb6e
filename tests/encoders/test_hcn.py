"""HCN against values of the public code's module, and what its pictures are made of.

Weights of the values: no biases, weights 2 sin(i² + 1) / √(numbers of a row); clips sin(i) + 0.5 cos(i²).
"""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from skelpipe.encoders.hcn import HCN, HCNOptions, resize
from skelpipe.layouts import LAYOUTS
from skelpipe.layouts.kinect_v2 import KINECT_V2

SMALL = {"frames": 16, "embedding": 16, "width": 2}


def wave(n):
    i = torch.arange(n, dtype=torch.float64)
    return torch.sin(i) + 0.5 * torch.cos(i**2)


def test_the_network_of_the_public_code():
    made = HCN(KINECT_V2, HCNOptions()).double().eval()
    with torch.no_grad():
        for p in made.parameters():
            scale = 0 if p.dim() == 1 else 2 / math.sqrt(p[0].numel())
            p.copy_((scale * torch.sin(torch.arange(p.numel(), dtype=torch.float64) ** 2 + 1)).view_as(p))
        found = made(wave(9600).view(1, 3, 64, 25, 2))[0]
    expected = torch.tensor([0.521173, 0.301292, 0, 0, 2.100414, 0], dtype=torch.float64)
    torch.testing.assert_close(found[[0, 1, 2, 3, 100, 1000]], expected, rtol=1e-5, atol=2e-6)  # theirs ran in float32
    assert float(found.mean()) == pytest.approx(2.200595, rel=1e-5)


def test_published_size():
    made = HCN(KINECT_V2, HCNOptions())
    assert (sum(p.numel() for p in made.parameters()), made.features) == (519_424, 4096)


@pytest.mark.parametrize("name", LAYOUTS)
def test_joints_are_channels_of_every_layout(name):
    layout = LAYOUTS[name]
    made = HCN(layout, HCNOptions(**SMALL))
    assert made.position.first.in_channels == len(layout.joints)
    found = made(torch.randn(2, layout.channels, 23, len(layout.joints), 1))
    assert found.shape == (2, made.features) == (2, 16)


@pytest.mark.parametrize(("options", "features"), [({}, 4096), ({"frames": 32}, 2048), ({"embedding": 16}, 1024)])
def test_a_feature_is_as_long_as_the_last_pictures(options, features):
    made = HCN(KINECT_V2, HCNOptions(**options)).eval()
    assert made.features == features
    with torch.no_grad():
        assert made(torch.randn(1, 3, 20, 25, 2)).shape == (1, features)


def test_frames_and_their_differences_are_resized_linearly():
    x = torch.tensor([0.0, 1, 4, 9, 16]).view(1, 1, 5, 1)
    assert resize(x, 8).flatten().tolist() == [0, 0.4375, 1.1875, 3.0625, 5.5625, 8.6875, 12.9375, 16]
    assert resize(x, 5) is x
    assert resize(x[:, :, :0], 4).flatten().tolist() == [0, 0, 0, 0]
    torch.manual_seed(0)
    made, seen = HCN(KINECT_V2, HCNOptions(**SMALL)).eval(), {}
    for name in ("position", "motion"):
        getattr(made, name).register_forward_pre_hook(lambda module, args, name=name: seen.update({name: args[0]}))
    x = torch.randn(1, 3, 16, 25, 1)
    made(x)
    assert torch.equal(seen["position"], x[..., 0])
    torch.testing.assert_close(seen["motion"], resize(x[:, :, 1:, :, 0] - x[:, :, :-1, :, 0], 16))
    assert torch.isfinite(made(x[:, :, :1])).all()  # one frame has no motion


def test_the_larger_of_two_bodies_counts():
    torch.manual_seed(0)
    made = HCN(KINECT_V2, HCNOptions(**SMALL)).eval()
    x = torch.randn(2, 3, 16, 25, 2)
    each = torch.stack([made(x[..., m : m + 1]) for m in range(2)])
    torch.testing.assert_close(made(x), each.amax(0))


def test_whole_channels_are_dropped_in_training_only():
    torch.manual_seed(0)
    made = HCN(KINECT_V2, HCNOptions(**{**SMALL, "width": 8})).train()
    x = torch.randn(1, 3, 16, 25, 1)
    assert not torch.equal(made(x), made(x))
    assert torch.equal(made.eval()(x), made(x))
    still = HCN(KINECT_V2, HCNOptions(**SMALL, dropout=0)).train()
    assert torch.equal(still(x), still(x))


def test_gradients_are_those_of_differences():
    torch.manual_seed(0)
    made = HCN(KINECT_V2, HCNOptions(**SMALL, dropout=0)).double()
    x = torch.randn(1, 3, 8, 25, 2, dtype=torch.float64, requires_grad=True)
    weight = torch.randn(1, 16, dtype=torch.float64)
    (made(x) * weight).sum().backward()
    direction = torch.randn_like(x)
    ahead, behind = ((made(x + step * direction) * weight).sum().item() for step in (1e-6, -1e-6))
    assert (x.grad * direction).sum().item() == pytest.approx((ahead - behind) / 2e-6, rel=1e-5)


def test_weights_start_by_glorots_rule():
    torch.manual_seed(0)
    made, head = HCN(KINECT_V2, HCNOptions()), nn.Linear(4096, 128)
    made.start()
    made.start_head(head)
    for name, p in (*made.named_parameters(), *head.named_parameters()):
        if p.dim() == 1:
            assert not p.any(), name
            continue
        bound = math.sqrt(6 / ((p.shape[0] + p.shape[1]) * math.prod(p.shape[2:])))
        assert 0.95 * bound < float(p.detach().abs().max()) <= bound, name


@pytest.mark.parametrize("wrong", [{"frames": 40}, {"embedding": 8}, {"frames": 0}, {"dropout": 1}])
def test_sides_that_cannot_be_halved_four_times_are_refused(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        HCNOptions(**wrong)
