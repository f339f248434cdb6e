"""The auto-encoder on features: what it consists of, that it is Adam on the squared error, and what it finds."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from skelpipe.errors import BadInput
from skelpipe.evaluation.aec import AECOptions, AutoEncoder, aec, fit
from skelpipe.evaluation.features import Features
from skelpipe.evaluation.protocol import Setup
from skelpipe.evaluation.protocols import check_stated, read_options
from skelpipe.evaluation.scores import topk_accuracy
from skelpipe.training.recipe import load_recipe

pytestmark = pytest.mark.usefixtures("one_thread")


def setup(**options):
    return Setup(3, torch.device("cpu"), options={"aec": AECOptions(**options)})


def features(noise=0.2, n=90, size=32, seed=0):
    """Three classes, each about a place of its own."""
    rng = np.random.default_rng(seed)
    label = np.arange(n) % 3
    feature = (rng.normal(size=(3, size))[label] + noise * rng.normal(size=(n, size))).astype(np.float32)
    return Features(np.arange(n).astype(str), label, np.arange(n) % 5 > 1, np.zeros(n), feature)


def test_sizes_of_the_publication():
    made = AutoEncoder(2048, 125, torch.Generator())
    sizes = [(layer.in_features, layer.out_features) for layer in made.modules() if isinstance(layer, nn.Linear)]
    assert sizes == [(2048, 1024), (1024, 512), (512, 125), (125, 512), (512, 1024), (1024, 2048)]
    assert fit(torch.randn(4, 64), AECOptions(epochs=0), setup())[0].encode(torch.randn(5, 64)).shape == (5, 8)


def test_tanh_stands_behind_every_layer_but_the_last():
    made, x = AutoEncoder(16, 2, torch.Generator().manual_seed(0)).double(), torch.randn(5, 16).double()
    y = x
    for number, layer in enumerate([each for each in made.modules() if isinstance(each, nn.Linear)], start=1):
        y = nn.functional.linear(y, layer.weight, layer.bias)
        y = y if number == 6 else y.tanh()
        if number == 3:
            torch.testing.assert_close(made.encode(x), y)
    torch.testing.assert_close(made(x), y)


def test_it_is_adam_on_the_squared_error():
    """Two epochs of batches of 8 and 4, the rate falling after each second step."""
    x, options = torch.randn(12, 16), AECOptions(epochs=2, batch_size=8, lr=0.01, gamma=0.5, every=2)
    made, loss = fit(x, options, setup())
    draws = torch.Generator().manual_seed(0)
    twin = AutoEncoder(16, 2, draws)
    adam = torch.optim.Adam(twin.parameters(), 0.01)
    for rate in (0.01, 0.005):
        total = 0.0
        for rows in torch.randperm(12, generator=draws).split(8):
            adam.param_groups[0]["lr"] = rate
            off = (twin(x[rows]) - x[rows]).square().mean()
            adam.zero_grad()
            off.backward()
            adam.step()
            total += float(off.detach()) * len(rows)
    assert loss == pytest.approx(total / 12)
    for p, q in zip(made.parameters(), twin.parameters(), strict=True):
        torch.testing.assert_close(p, q)


def test_it_finds_classes_that_lie_apart_and_no_others():
    given, tested = features(), ~features().train
    found = aec(given, setup(epochs=200, gamma=1.0))
    assert found.scores.shape == (tested.sum(), 3)
    assert topk_accuracy(found.scores, given.label[tested], 1) > 0.95
    assert {key: found.figures[key] for key in ("k", "code")} == {"k": 1, "code": 4}
    assert found.figures["settings"]["epochs"] == 200
    untrained = aec(given, setup(epochs=0))
    assert found.figures["train_loss"] < 0.5 * untrained.figures["train_loss"]
    noise = features(noise=1e3)
    assert topk_accuracy(aec(noise, setup(epochs=5)).scores, noise.label[tested], 1) < 0.7


def test_the_seed_decides_it_and_torchs_own_draws_do_not():
    torch.manual_seed(1)
    one = aec(features(), setup(epochs=2))
    state = torch.get_rng_state()
    assert torch.equal(state, torch.get_rng_state())
    torch.manual_seed(2)
    np.testing.assert_array_equal(aec(features(), setup(epochs=2)).scores, one.scores)
    other = Setup(3, torch.device("cpu"), seed=1, options={"aec": AECOptions(epochs=2)})
    assert np.abs(aec(features(), other).scores - one.scores).max() > 1e-6


def test_test_clips_are_not_trained_on():
    given = features()
    given.feature[~given.train] *= 100
    assert aec(given, setup(epochs=2)).figures["train_loss"] == aec(features(), setup(epochs=2)).figures["train_loss"]


def test_its_options_are_read():
    assert read_options(["aec.code=125", "aec.epochs=10"], ["knn", "aec"])["aec"].code == 125
    with pytest.raises(BadInput, match=r"--set aec.cod=125: 1 setting is wrong: aec.cod.*code"):
        read_options(["aec.cod=125"], ["aec"])
    check_stated(load_recipe("predict_cluster"), "predict_cluster.yaml")
