"""Soft regression: the objective by hand and in value, soft labels and their bounds, and the segments of a clip."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from skelpipe.clips.batches import Batch
from skelpipe.layouts.kinect_v2 import KINECT_V2
from skelpipe.methods.network import Network
from skelpipe.methods.positives import OwnKey, OwnKeyOptions
from skelpipe.methods.soft_rnn import SoftLabels, SoftRNN, SoftRNNOptions, segment_ends, smoothness, soft_regression
from skelpipe.training.recipe import load_recipe

ROWS = ((0.2, 0.3, 0.4, 0.5), (0.6, 0.65, 0.7, 0.75), (1.0, 1.0, 1.0, 1.0))


class Counted(nn.Module):
    """A frame's feature is its number from 1, and one; a clip's that of frame 1, which nothing should look at."""

    USES_LENGTHS = True
    features = 2

    def sequence(self, x, lengths=None):
        t = torch.arange(1.0, x.shape[2] + 1).expand(len(x), -1)
        return torch.stack([t, torch.ones_like(t)], 2)

    def forward(self, x, lengths=None):
        return self.sequence(x)[:, 0]


def method(**options):
    """One whose outputs at frame t are (t, 1, 0)."""
    projector = nn.Linear(2, 3, bias=False)
    made = SoftRNN(
        lambda: Network(Counted(), projector), 0, SoftRNNOptions(**options), OwnKey(OwnKeyOptions()), "torch"
    )
    with torch.no_grad():
        projector.weight.copy_(torch.tensor([[1.0, 0.0], [0.0, 1.0], [0.0, 0.0]]))
    return made


def batch(frames=20, labels=(0, 2), lengths=None, weights=None):
    x = torch.zeros(len(labels), 1, frames, 1, 1)
    return Batch({"clip": x}, torch.tensor(labels), {} if lengths is None else {"clip": lengths}, weights=weights)


def test_the_objective_in_value():
    z = torch.sin(torch.arange(24, dtype=torch.float64)).view(2, 3, 4)
    alpha, labels = torch.tensor(ROWS, dtype=torch.float64), torch.tensor([1, 3])
    first, second = soft_regression(z, alpha, labels), smoothness(alpha)
    assert float(first) == pytest.approx(2.628851, abs=1e-6)
    assert float(second) == pytest.approx(0.87, abs=1e-12)
    assert float(smoothness(alpha, from_zero=True)) == pytest.approx(0.87 + 0.04 + 0.09 + 0.16 + 0.25)
    assert float(first + 0.1 * second) == pytest.approx(2.715851, abs=1e-6)
    weighted = soft_regression(z, alpha, labels, torch.tensor([2.0, 0.0]))
    assert float(weighted) == pytest.approx(float(soft_regression(z[:1], alpha, labels[:1])))


def test_gradients_are_those_of_finite_differences():
    soft, labels = SoftLabels(4, 3, "learnt").double(), torch.tensor([2, 0])
    generator = torch.Generator().manual_seed(0)
    z = torch.randn(2, 4, 3, dtype=torch.float64, generator=generator, requires_grad=True)
    rise = torch.randn(4, 3, dtype=torch.float64, generator=generator, requires_grad=True)

    def loss(z, rise):
        alpha = torch.func.functional_call(soft, {"rise": rise}, (z.device,))
        return soft_regression(z, alpha, labels) + 0.1 * smoothness(alpha)

    assert torch.autograd.gradcheck(loss, (z, rise))


def test_soft_labels_rise_to_one_from_a_ramp():
    soft = SoftLabels(10, 3, "learnt")
    ramp = torch.arange(1, 11)[:, None].expand(10, 3) / 10
    torch.testing.assert_close(soft(torch.device("cpu")), ramp)
    with torch.no_grad():
        soft.rise.normal_(std=3)
    alpha = soft(torch.device("cpu")).detach()
    assert (alpha.diff(dim=0) > 0).all()
    assert (alpha > 0).all()
    torch.testing.assert_close(alpha[-1], torch.ones(3))
    assert not torch.allclose(alpha[:, 0], alpha[:, 1])
    for kind, expected in (("ramp", ramp), ("hard", torch.ones(10, 3))):
        fixed = SoftLabels(10, 3, kind)
        torch.testing.assert_close(fixed(torch.device("cpu")), expected)
        assert not [*fixed.parameters()]


def test_losses_by_hand_and_what_is_logged():
    made = method(segments=2)
    loss, log = made(batch(frames=4), 1)
    # z is (2, 1, 0), (4, 1, 0); α is 1/2, 1. Label 0: (1.5² + 1 + 3² + 1); label 2: (4 + 1 + 1/4 + 16 + 1 + 1).
    regression, smooth = (13.25 + 23.25) / 4, 3 * 0.25
    assert float(log["regression"]) == pytest.approx(regression)
    assert float(log["smoothness"]) == pytest.approx(smooth)
    assert float(loss.detach()) == pytest.approx(regression + 0.1 * smooth)
    assert float(log["train_top1"]) == 0.5
    assert float(log["alpha_1"]) == pytest.approx(0.5)
    counted = method(segments=2, from_zero=True)(batch(frames=4), 1)[1]["smoothness"]
    assert float(counted) == pytest.approx(2 * smooth)
    own = method(segments=2, weights={"smoothness": 2})(batch(frames=4), 1)[0]
    assert float(own.detach()) == pytest.approx(regression + 2 * smooth)
    weighted = made(batch(frames=4, weights=torch.tensor([2.0, 0.0])), 1)[1]["regression"]
    assert float(weighted) == pytest.approx(13.25 / 2)
    assert {name for name in method()(batch(), 1)[1] if name.startswith("alpha")} == {"alpha_1", "alpha_5", "alpha_9"}


def test_hard_labels_and_a_ramp():
    hard, log = method(segments=2, labels="hard")(batch(frames=4), 1)
    # Label 0: (1 + 1 + 9 + 1); label 2: (4 + 1 + 1 + 16 + 1 + 1).
    assert float(hard.detach()) == pytest.approx((12 + 24) / 4)
    assert "smoothness" not in log
    assert float(log["alpha_1"]) == 1
    learnt, ramp = method()(batch(), 1)[1]["regression"], method(labels="ramp")(batch(), 1)[0]
    assert float(ramp.detach()) == pytest.approx(float(learnt))


def test_what_smoothness_makes_of_soft_labels():
    """With outputs of 0 before the end they collapse, unless ξ1 makes them hard, or a ramp if it counts from 0."""
    labels, z = torch.tensor([0, 1, 2]), torch.zeros(3, 5, 3)
    z[:, -1] = torch.eye(3)

    def learnt(weight, from_zero=False):
        soft = SoftLabels(5, 3, "learnt")
        sgd = torch.optim.SGD(soft.parameters(), 20 / (1 + weight))
        for _ in range(150):
            alpha = soft(labels.device)
            sgd.zero_grad()
            (soft_regression(z, alpha, labels) + weight * smoothness(alpha, from_zero)).backward()
            sgd.step()
        return soft(labels.device).detach()[:, 0]

    assert float(learnt(0)[3]) < 0.1
    assert float(learnt(100)[0]) > 0.9
    torch.testing.assert_close(learnt(100, from_zero=True), torch.arange(1, 6) / 5, rtol=0, atol=2e-3)


def test_the_ends_of_segments():
    ends = segment_ends(torch.tensor([50, 4, 1, 0]), 10)
    assert ends[0].tolist() == [5, 10, 15, 20, 25, 30, 35, 40, 45, 50]
    assert ends[1].tolist() == [1, 1, 2, 2, 2, 3, 3, 4, 4, 4]
    assert ends[2:].eq(1).all()


def test_the_outputs_are_those_of_segment_ends_and_the_scores_those_of_the_clips_own_end():
    network, both = method().network, batch(lengths=torch.tensor([20, 8]))
    x, lengths = both.views["clip"], both.lengths["clip"]
    assert network.ends(x, 4, lengths)[:, :, 0].tolist() == [[5, 10, 15, 20], [2, 4, 6, 8]]
    assert network.scores(x, lengths)[:, 0].tolist() == [20, 8]
    assert network.scores(x)[:, 0].tolist() == [20, 20]
    assert network.SCORES_CLIPS


def test_frames_behind_a_clips_own_do_not_matter():
    made = load_recipe("small_soft_rnn", ["encoder.width=4", "encoder.dropout=0"]).build_method(KINECT_V2, 3)
    x = torch.randn(2, 3, 20, 25, 1, generator=torch.Generator().manual_seed(0))
    labels, lengths = torch.tensor([1, 2]), torch.tensor([20, 7])
    found = made(Batch({"clip": x}, labels, {"clip": lengths}), 1)[1]["regression"]
    parts = [(x[:1], labels[:1]), (x[1:, :, :7], labels[1:])]
    alone = [made(Batch({"clip": part}, label), 1)[1]["regression"] for part, label in parts]
    torch.testing.assert_close(found, torch.stack(alone).mean())


def test_the_first_part_of_a_clip_is_judged_as_in_training():
    """Outputs after n segments are the scores of a clip that ends there: what `early` measures."""
    network = load_recipe("small_soft_rnn", ["encoder.width=4"]).build_method(KINECT_V2, 3).evaluated.eval()
    x = torch.randn(2, 3, 50, 25, 1, generator=torch.Generator().manual_seed(0))
    z = network.ends(x, 10)
    for n in (1, 4, 10):
        cut = x * (torch.arange(50) < 5 * n)[:, None, None]
        torch.testing.assert_close(network.scores(cut, torch.tensor([5 * n, 5 * n])), z[:, n - 1])


def test_the_reading_is_of_two_layers_of_lstm():
    recipe = load_recipe("soft_rnn")
    network = recipe.build_network(KINECT_V2, 60)
    # 4·128·(150 + 128 + 2) + 4·128·(128 + 128 + 2); torch has two biases.
    assert sum(p.numel() for p in network.encoder.parameters()) == 143_360 + 132_096
    assert sum(p.numel() for p in network.projector.parameters()) == 128 * 60 + 60
    assert recipe.method.segments == 10
    assert recipe.view("clip").frames(300) == 50
