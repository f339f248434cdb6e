"""Scores that are averaged over a clip's frames, by hand, and what the frames behind a clip do to them."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from skelpipe.clips.batches import Batch
from skelpipe.encoders.base import Encoder
from skelpipe.encoders.recurrent import RecurrentOptions
from skelpipe.errors import BadInput
from skelpipe.layouts.kinect_v2 import KINECT_V2
from skelpipe.methods.network import Network
from skelpipe.methods.positives import OwnKey, OwnKeyOptions
from skelpipe.methods.supervised_frames import FrameScores, SupervisedFrames, SupervisedFramesOptions, frame_weights
from skelpipe.resources import find
from skelpipe.training.recipe import load_recipe

CLIP = torch.tensor(
    [[1.0, 2.0], [3.0, 4.0], [7.0, -7.0]], dtype=torch.float64
)  # (T, 2), two frames of which are its own
SMALL = ["encoder.width=3", "encoder.main.width=4", "encoder.main.layers=2", "bodies=1"]


class Frames(Encoder):
    """The features of a frame are the coordinates of its only joint."""

    USES_LENGTHS = True
    features = 2

    def sequence(self, x, lengths=None):
        return x[..., 0, 0].transpose(1, 2)

    def forward(self, x, lengths=None):
        return self.sequence(x).mean(1)


def clips(*each):
    """Frames (T, 2) of clips -> (B, 2, T, 1, 1)."""
    return torch.stack(each).transpose(1, 2)[..., None, None]


def method(padding):
    """Whose classifier says what it is told, in float64."""
    made = SupervisedFrames(
        lambda: Network(Frames(), nn.Linear(2, 2)),
        0, SupervisedFramesOptions(padding=padding), OwnKey(OwnKeyOptions()), "torch",
    ).double()  # fmt: skip
    with torch.no_grad():
        made.network.projector.weight.copy_(torch.eye(2))
        made.network.projector.bias.zero_()
    return made


@pytest.mark.parametrize(("padding", "expected"), [("leave_out", [2.0, 3.0]), ("repeat_last", [3.5, 5.0])])
def test_two_frames_of_three(padding, expected):
    network = method(padding).network
    assert network.scores(clips(CLIP), torch.tensor([2])).tolist() == [expected]
    whole = CLIP.mean(0)
    torch.testing.assert_close(network.scores(clips(CLIP), torch.tensor([3])), whole[None])
    torch.testing.assert_close(network.scores(clips(CLIP)), whole[None])


def test_the_weights_of_frames():
    h = torch.zeros(4, 4, 1)
    lengths = torch.tensor([4, 3, 1, 0])
    mean = [[1 / 4] * 4, [1 / 3, 1 / 3, 1 / 3, 0], [1, 0, 0, 0], [1, 0, 0, 0]]
    last = [[1 / 4] * 4, [1 / 3, 1 / 3, 2 / 3, 0], [4, 0, 0, 0], [4, 0, 0, 0]]
    torch.testing.assert_close(frame_weights(h, lengths, "leave_out"), torch.tensor(mean))
    torch.testing.assert_close(frame_weights(h, lengths, "repeat_last"), torch.tensor(last))
    torch.testing.assert_close(frame_weights(h, None, "repeat_last"), torch.full((4, 4), 1 / 4))


def test_the_loss_by_hand():
    """The first clip scores (2, 3) or (3.5, 5), the second, whose three frames are its own, (11/3, -1/3)."""
    batch = Batch({"clip": clips(CLIP, CLIP)}, torch.tensor([0, 0]), {"clip": torch.tensor([2, 3])})
    second = math.log(1 + math.exp(-4))
    for padding, gap in (("leave_out", 1.0), ("repeat_last", 1.5)):
        loss, log = method(padding)(batch, 1)
        assert float(loss.detach()) == pytest.approx((math.log(1 + math.exp(gap)) + second) / 2, rel=1e-12)
        assert float(log["train_top1"]) == 0.5


@pytest.mark.parametrize("padding", ["leave_out", "repeat_last"])
def test_scores_are_those_of_every_frame(padding):
    """Frame by frame, with the classifier's bias in each; the last output stands behind a clip's end."""
    recipe = load_recipe("va_rnn", [*SMALL, f"method.padding={padding}"])
    torch.manual_seed(0)
    network = recipe.build_method(KINECT_V2, 5).double().eval().network
    with torch.no_grad():
        network.projector.bias.copy_(torch.arange(5.0))
    x = torch.randn(3, 3, 6, 25, 1, dtype=torch.float64)
    lengths = torch.tensor([6, 4, 1])
    frames = network.projector(network.encoder.sequence(x, lengths))
    for n, (own, scores) in enumerate(zip(lengths.tolist(), network.scores(x, lengths), strict=True)):
        total = frames[n, :own].sum(0) + (frames[n, own - 1] * (6 - own) if padding == "repeat_last" else 0)
        torch.testing.assert_close(scores, total / own)
    if padding == "leave_out":  # the classifier of the average feature, and so of what `supervised` makes of it
        torch.testing.assert_close(network.scores(x, lengths), network.projector(network.encoder(x, lengths)))
        longer = nn.functional.pad(x, (0, 0, 0, 0, 0, 3))
        torch.testing.assert_close(network.scores(longer, lengths), network.scores(x, lengths))


@pytest.mark.parametrize("padding", ["leave_out", "repeat_last"])
def test_gradients_are_those_of_finite_differences(padding):
    torch.manual_seed(0)
    made = load_recipe("va_rnn", [*SMALL, f"method.padding={padding}", "encoder.noise=0", "encoder.gain=1"])
    made = made.build_method(KINECT_V2, 3).double().eval()
    batch = Batch(
        {"clip": torch.randn(2, 3, 4, 25, 1, dtype=torch.float64)}, torch.tensor([2, 0]), {"clip": torch.tensor([4, 2])}
    )
    with torch.no_grad():
        for value in made.parameters():
            value.add_(0.1 * torch.randn_like(value))
    made(batch, 1)[0].backward()
    step, count = 1e-6, 0
    for value in made.parameters():
        flat = value.detach().view(-1)
        for i in range(0, len(flat), max(1, len(flat) // 3)):
            before, around = float(flat[i]), []
            for sign in (1, -1):
                flat[i] = before + sign * step
                around.append(float(made(batch, 1)[0].detach()))
            flat[i] = before
            assert float(value.grad.view(-1)[i]) == pytest.approx((around[0] - around[1]) / (2 * step), abs=1e-8)
            count += 1
    assert count > 40


def test_the_feature_is_the_average_over_the_clips_own_frames():
    network = load_recipe("va_rnn", SMALL).build_method(KINECT_V2, 5).double().eval().network
    x, lengths = torch.randn(2, 3, 6, 25, 1, dtype=torch.float64), torch.tensor([6, 2])
    h = network.encoder.sequence(x, lengths)
    torch.testing.assert_close(network.features(x, lengths)[1], h[1, :2].mean(0))


def test_the_classifier_starts_by_glorots_rule():
    torch.manual_seed(0)
    network = load_recipe("va_rnn").build_method(KINECT_V2, 60).network
    bound = math.sqrt(6 / 160)
    assert 0.98 * bound < float(network.projector.weight.detach().abs().max()) <= bound
    assert not network.projector.bias.any()
    assert isinstance(network, FrameScores)
    assert network.SCORES_CLIPS


def test_an_encoder_without_features_of_frames_is_named():
    with pytest.raises(BadInput, match="encoder: supervised_frames needs one that has sequence, as stgcn has not"):
        load_recipe("va_rnn", ["encoder={name: stgcn}"])
    with pytest.raises(BadInput, match="encoder: supervised_frames needs one that has sequence, as temporal has not"):
        load_recipe("va_rnn", ["encoder={name: temporal}"])
    alone = load_recipe("va_rnn", [f"encoder={RecurrentOptions(layers=1, width=4).model_dump_json()}"])
    assert alone.build_method(KINECT_V2, 5).network.scores(torch.randn(2, 3, 6, 25, 2)).shape == (2, 5)


def test_the_recipe_is_the_authors():
    recipe = load_recipe("va_rnn")
    assert (recipe.clips.preset, recipe.clips.frames, recipe.batch_size, recipe.epochs) == ("ctr", 300, 256, 200)
    assert (recipe.optimizer.name, recipe.optimizer.lr, recipe.clip_gradients.at) == ("adam", 0.005, 1)
    plateau = recipe.plateau
    assert (plateau.gamma, plateau.patience, plateau.cooldown, plateau.stop_after) == (0.1, 5, 3, 15)
    assert (plateau.held_out, plateau.held_out_by, plateau.keep) == (0.05, "clip", "best")
    # The setting for PKU-MMD that its comments name.
    text = find("models", "va_rnn").read_text()
    named = [word for line in text.splitlines() if line.startswith("#") for word in line.split() if "=" in word]
    other = load_recipe("va_rnn", named)
    assert (other.clips.frames, other.encoder.convention, other.encoder.translate) == (800, "torch", False)
