"""The classifier of every step: scores and loss by hand, their gradients, and frames that do not count."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from skelpipe.clips.batches import Batch
from skelpipe.layouts.kinect_v2 import KINECT_V2
from skelpipe.methods.network import Network
from skelpipe.methods.positives import OwnKey, OwnKeyOptions
from skelpipe.methods.stepwise import Stepwise, StepwiseOptions, nll
from skelpipe.training.optim.schedules import Exponential, Plateau
from skelpipe.training.recipe import load_recipe


class Frames(nn.Module):
    """A frame's feature is its numbers, a clip's that of its last frame."""

    USES_LENGTHS = True
    features = 2

    def sequence(self, x, lengths=None):
        return x[:, :, :, 0, 0].transpose(1, 2)

    def forward(self, x, lengths=None):
        return self.sequence(x)[:, -1]


def method(**options):
    """One of two classes whose logits are a frame's two numbers."""
    projector = nn.Linear(2, 2, bias=False)
    made = Stepwise(
        lambda: Network(Frames(), projector), 0, StepwiseOptions(**options), OwnKey(OwnKeyOptions()), "torch"
    )
    with torch.no_grad():
        projector.weight.copy_(torch.eye(2))
    return made


def clip(*frames):
    return torch.tensor(frames).t().view(1, 2, len(frames), 1, 1)


LN3 = math.log(3.0)  # logits (ln 3, 0) are probabilities 3/4 and 1/4
X = clip((LN3, 0.0), (0.0, 0.0), (0.0, LN3))
QUARTER, HALF, THREE = math.log(1 / 4), math.log(1 / 2), math.log(3 / 4)


def test_scores_and_loss_by_hand():
    made, batch = method(), Batch({"clip": X}, torch.tensor([1]))
    steps = made.network.steps(X)
    expected = torch.tensor([[[THREE, QUARTER], [HALF, HALF], [QUARTER, THREE]]])
    torch.testing.assert_close(steps, expected)
    torch.testing.assert_close(made.network.scores(X), expected.sum(1))
    weighted = method(combine="weighted")
    late = torch.tensor([[THREE + 2 * HALF + 3 * QUARTER, QUARTER + 2 * HALF + 3 * THREE]])
    torch.testing.assert_close(weighted.network.scores(X), late)
    assert float(made(batch, 1)[0].detach()) == pytest.approx(-(THREE + HALF + QUARTER))
    assert float(weighted(batch, 1)[0].detach()) == pytest.approx(-(THREE + HALF + QUARTER))
    assert float(method(loss="last")(batch, 1)[0].detach()) == pytest.approx(-THREE)
    # The first clip's steps tie, and the lower class comes first; late steps decide for the second.
    assert float(made(batch, 1)[1]["train_top1"]) == 0
    assert float(weighted(batch, 1)[1]["train_top1"]) == 1
    assert made.evaluated.SCORES_CLIPS


def test_frames_behind_a_clips_own_count_nowhere():
    lengths, labels = torch.tensor([3, 2]), torch.tensor([1, 0])
    for options in ({}, {"combine": "weighted"}, {"loss": "last"}):
        made = method(**options)
        both = Batch({"clip": X.repeat(2, 1, 1, 1, 1)}, labels, {"clip": lengths})
        short = X[:, :, :2]
        torch.testing.assert_close(made.network.scores(both.views["clip"], lengths)[1:], made.network.scores(short))
        alone = [made(Batch({"clip": x}, label[None]), 1)[0] for x, label in zip((X, short), labels, strict=True)]
        torch.testing.assert_close(made(both, 1)[0], torch.stack(alone).mean())
        weights = torch.tensor([0.5, 1.5])
        weighted = made(Batch(both.views, labels, both.lengths, weights=weights), 1)[0]
        torch.testing.assert_close(weighted, (torch.stack(alone) * weights).mean())


@pytest.mark.parametrize("last", [False, True])
@pytest.mark.parametrize("lengths", [None, (4, 2)])
def test_gradients_are_those_of_finite_differences(last, lengths):
    logits = torch.randn(2, 4, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0), requires_grad=True)
    own = None if lengths is None else torch.tensor(lengths)
    mask = torch.ones(2, 4, 1) if own is None else (torch.arange(4) < own[:, None])[:, :, None]

    def loss(logits):
        return nll(logits.log_softmax(2) * mask, torch.tensor([2, 0]), own, None, last)

    assert torch.autograd.gradcheck(loss, (logits,))
    (grad,) = torch.autograd.grad(loss(logits), logits)
    # Of each step that counts, summed and not averaged: (softmax - one-hot) / B.
    expected = (logits.softmax(2) - nn.functional.one_hot(torch.tensor([2, 0]), 3)[:, None]) / 2
    counts = mask.expand_as(grad).bool().clone()
    if last:
        counts[:] = False
        for n, end in enumerate(lengths or (4, 4)):
            counts[n, end - 1] = True
    torch.testing.assert_close(grad, expected.detach() * counts)


def test_the_classifiers_start():
    made = load_recipe("part_aware_lstm").build_method(KINECT_V2, 60)
    for weight in made.network.projector.parameters():
        assert 0.06 < float(weight.detach().abs().max()) <= 0.08
    free = load_recipe("part_aware_lstm", ["method.bound=null"]).build_method(KINECT_V2, 60)
    assert float(free.network.projector.weight.detach().abs().max()) > 0.085  # torch's: 1/√125


def test_the_recipe_says_what_st_lstms_code_does():
    recipe = load_recipe("part_aware_lstm")
    assert isinstance(recipe.rates, Plateau)
    assert recipe.plateau is recipe.rates
    factors = [recipe.rates.factor(done, recipe.epochs) for done in (0, 49, 50, 51)]
    assert factors == pytest.approx([1, 1, 0.998, 0.998**2])
    assert recipe.rates.meanwhile == Exponential(gamma=0.998, after=50)
    assert (recipe.rates.gamma, recipe.rates.keep, recipe.rates.held_out) == (1, "best", 0.05)
    assert (recipe.optimizer.lr, recipe.optimizer.alpha, recipe.batch_size) == (2e-3, 0.95, 100)
    assert recipe.view("clip").frames(300) == 8
