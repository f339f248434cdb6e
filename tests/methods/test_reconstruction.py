"""What P&C and LongT GAN share, by numbers that were computed by hand or by the authors' kind of cells."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from skelpipe.encoders.tf_gru import TFGRU
from skelpipe.methods.reconstruction import Decoder, after, clips_of, frames_of, holding, missed, shown

CELLS = {"gru": lambda size, width: nn.GRU(size, width, batch_first=True), "tf_gru": TFGRU}


def decoder(cell="gru", output="torch", state=5, frame=3):
    torch.manual_seed(0)
    made = Decoder(state, frame, CELLS[cell], output).double()
    made.start()
    return made


def test_frames_and_back():
    x = torch.randn(2, 3, 4, 5, 2)
    frames = frames_of(x)
    assert frames.shape == (2, 4, 30)
    assert torch.equal(frames[:, :, 4 * 6 + 2 * 2 + 1], x[:, 2, :, 4, 1])  # v, c, m
    assert torch.equal(clips_of(frames, (3, 5, 2)), x)


def test_a_frame_counts_that_shows_something_and_is_the_clips_own():
    frames = torch.ones(2, 4, 3)
    frames[0, 1] = 0
    frames[1, 2, :2] = 0
    assert shown(frames, None).tolist() == [[1, 0, 1, 1], [1, 1, 1, 1]]
    assert shown(frames, torch.tensor([3, 2])).tolist() == [[1, 0, 1, 0], [1, 1, 0, 0]]


def test_what_is_missed_by_hand():
    told, wanted = torch.zeros(2, 3, 2, dtype=torch.float64), torch.ones(2, 3, 2, dtype=torch.float64)
    wanted[0, 1] = torch.tensor([3.0, -4.0])
    own = torch.tensor([[1.0, 1, 0], [1, 0, 0]], dtype=torch.float64)
    assert float(missed(told, wanted, own)) == pytest.approx(((2 + 7) / 2 + 2) / 2)
    assert float(missed(told, wanted, own, power=2)) == pytest.approx(((2 + 25) / 2 + 2) / 2)
    assert float(missed(told, wanted, own, counted="all")) == pytest.approx(((2 + 7 + 2) / 2 + (2 + 2 + 2)) / 2)
    assert float(missed(told, wanted, torch.zeros_like(own))) == 0  # and not 0 / 0


@pytest.mark.parametrize("power", [1, 2])
def test_the_slope_of_what_is_missed(power):
    torch.manual_seed(0)
    told, wanted = torch.randn(2, 3, 4, dtype=torch.float64, requires_grad=True), torch.randn(2, 3, 4).double()
    own = torch.tensor([[1.0, 1, 0], [1, 1, 1]], dtype=torch.float64)
    assert torch.autograd.gradcheck(lambda y: missed(y, wanted, own, power), told)


@pytest.mark.parametrize("cell", CELLS)
def test_a_held_state_is_read_as_if_it_was_put_back_each_step(cell):
    made = decoder(cell)
    feature, first = torch.randn(4, 5).double(), torch.randn(4, 3).double()
    x, expected = first, []
    for _ in range(6):
        states = made.cell(x[:, None], feature[None])[0]  # one frame, from the feature
        x = x + made.output(states[:, 0])
        expected.append(x)
    torch.testing.assert_close(made.go_on(feature, first, 6, held=True), torch.stack(expected, 1))
    h, x, expected = feature, first, []
    for _ in range(6):
        h = made.cell(x[:, None], h[None])[1][0]
        x = x + made.output(h)
        expected.append(x)
    torch.testing.assert_close(made.go_on(feature, first, 6, held=False), torch.stack(expected, 1))


@pytest.mark.parametrize("held", [True, False])
@pytest.mark.parametrize("cell", CELLS)
def test_slopes_through_the_decoders_own_frames(cell, held):
    made = decoder(cell, state=3, frame=2)
    names = [name for name, _ in made.named_parameters()]

    def told(feature, first, *weights):
        bound = torch.func.functional_call  # gradcheck moves the weights, too
        whole = _Own(made)
        named = {f"decoder.{name}": weight for name, weight in zip(names, weights, strict=True)}
        return bound(whole, named, (feature, first, held))

    given = [torch.randn(2, 3), torch.randn(2, 2)]
    inputs = [each.double().requires_grad_() for each in given]
    assert torch.autograd.gradcheck(told, (*inputs, *(p.detach().clone().requires_grad_() for p in made.parameters())))


class _Own(nn.Module):
    def __init__(self, decoder):
        super().__init__()
        self.decoder = decoder

    def forward(self, feature, first, held):
        return self.decoder.go_on(feature, first, 3, held)


@pytest.mark.parametrize("cell", CELLS)
def test_frames_that_are_read_go_on_from_the_feature(cell):
    made = decoder(cell)
    feature, inputs = torch.randn(4, 5).double(), torch.randn(4, 6, 3).double()
    h, expected = feature, []
    for x in inputs.unbind(1):
        h = after(made.cell, x, h)
        expected.append(made.output(h))
    torch.testing.assert_close(made.read(feature, inputs), torch.stack(expected, 1))
    torch.testing.assert_close(holding(made.cell, feature)(inputs[:, 0]), after(made.cell, inputs[:, 0], feature))


def test_how_the_output_layer_starts():
    for output, bound in (("uniform", 0.04), ("glorot", (6 / (400 + 300)) ** 0.5)):
        layer = decoder(output=output, state=400, frame=300).output
        assert 0.99 * bound < float(layer.weight.detach().abs().max()) <= bound
        assert (float(layer.bias.detach().abs().max()) > 0) == (output == "uniform")
    assert float(decoder(state=400, frame=300).output.weight.detach().abs().max()) <= 400**-0.5
