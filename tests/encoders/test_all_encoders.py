"""What every encoder holds to, whoever adds it."""

from __future__ import annotations

import pytest
import torch
from conftest import TINY
from torch import nn

from skelpipe.encoders import ENCODERS
from skelpipe.encoders.cpu import lstm
from skelpipe.layouts.kinect_v2 import KINECT_V2
from skelpipe.settings import check, override
from skelpipe.training.recipe import Recipe


def build(name: str) -> nn.Module:
    """The encoder, at toy size as far as its options allow for that."""
    small = [s for s in TINY if s.removeprefix("encoder.").partition("=")[0] in ENCODERS[name].Options.model_fields]
    stated = {"method": "skeletonclr", "views": {"query": [], "key": []}, "encoder": {"name": name}}
    torch.manual_seed(0)
    recipe = check(Recipe, override(stated, [s for s in small if s.startswith("encoder.")]), name)
    return recipe.build_network(KINECT_V2, 4).encoder


def clips(count: int = 5) -> torch.Tensor:
    """(B, C, T, V, M); the last clip has one body only."""
    x = torch.randn(count, 3, 16, 25, 2, generator=torch.Generator().manual_seed(1))
    x[-1, ..., 1] = 0
    return x


@pytest.mark.parametrize("name", ENCODERS)
def test_clips_become_features(name):
    encoder = build(name).train()
    features = encoder(clips())
    assert features.shape == (5, encoder.features)
    assert torch.isfinite(features).all()
    assert ENCODERS[name].Options().name == name


@pytest.mark.parametrize("name", ENCODERS)
def test_every_parameter_learns(name):
    encoder = build(name).train()
    if not list(encoder.parameters()):
        pytest.skip("it has none")
    weights = torch.randn(5, encoder.features, generator=torch.Generator().manual_seed(2))
    (encoder(clips()) * weights).sum().backward()
    for parameter, value in encoder.named_parameters():
        assert value.grad is not None, parameter
        assert torch.isfinite(value.grad).all(), parameter


@pytest.mark.parametrize("name", ENCODERS)
def test_in_eval_mode_a_feature_is_that_of_its_clip_alone(name):
    encoder = build(name).eval()
    with torch.no_grad():
        features = encoder(clips())
        assert torch.equal(encoder(clips()), features)
        alone = torch.cat([encoder(clip[None]) for clip in clips()])
    torch.testing.assert_close(alone, features, rtol=1e-4, atol=1e-5)
    assert not torch.allclose(features[0], features[1])


@pytest.mark.parametrize("onednn", [None, False])
@pytest.mark.parametrize("name", ENCODERS)
def test_in_bfloat16_features_are_near_those_in_float32_and_learn(name, onednn, monkeypatch):
    """Also where oneDNN has no bfloat16, as on CPUs without AVX-512, on which torch then has no LSTM."""
    if onednn is False:
        monkeypatch.setattr(lstm, "onednn_has_bfloat16", lambda: False)
    encoder = build(name).eval()
    whole = encoder(clips())
    with torch.autocast("cpu", torch.bfloat16):
        rounded = encoder(clips()).float()
    assert (whole - rounded).norm() <= 0.1 * whole.norm()
    if rounded.requires_grad:
        rounded.square().sum().backward()
    assert all(p.grad is not None and torch.isfinite(p.grad).all() for p in encoder.parameters())
