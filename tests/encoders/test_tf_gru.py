"""TensorFlow's GRU by numbers, against its formulas, and as layers of an encoder."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from skelpipe.encoders.recurrent import Recurrent, RecurrentOptions
from skelpipe.encoders.tf_gru import TFGRU
from skelpipe.errors import BadInput
from skelpipe.layouts.kinect_v2 import KINECT_V2
from skelpipe.methods.network import initialise
from skelpipe.training.recipe import load_recipe


def sines(stop):
    return 0.3 * torch.sin(torch.arange(1, stop, dtype=torch.float64))


def cell():
    """One whose matrices, which TensorFlow writes the other way round and inputs first, are 0.3 sin(1), …"""
    made = TFGRU(2, 3).double()
    gates, candidate = sines(31).view(5, 6), sines(16).view(5, 3)
    with torch.no_grad():
        made.weight_ih.copy_(torch.cat([gates[:2].t(), candidate[:2].t()]))
        made.weight_hh.copy_(torch.cat([gates[2:].t(), candidate[2:].t()]))
    return made


def test_by_numbers():
    made = cell()
    x, h = torch.tensor([[0.5, -0.5]], dtype=torch.float64), torch.tensor([[0.1, 0.2, 0.3]], dtype=torch.float64)
    expected = torch.tensor([[0.141504, 0.233425, 0.238598]], dtype=torch.float64)
    for found in (
        made.step(x, h),
        made.holding(h)(x),
        made(x[:, None], h[None])[0][:, 0],
        made(x[:, None], h[None])[1][0],
    ):
        torch.testing.assert_close(found, expected, rtol=0, atol=1e-6)
    torchs = nn.GRUCell(2, 3).double()
    with torch.no_grad():
        torchs.weight_ih.copy_(made.weight_ih), torchs.weight_hh.copy_(made.weight_hh)
        torchs.bias_ih.copy_(made.bias), torchs.bias_hh.zero_()
    assert float((torchs(x, h) - expected).detach().abs().max()) > 1e-4  # r stands behind the product there


def test_the_next_frame_starts_from_the_last_state():
    made, x = cell(), torch.randn(3, 7, 2, dtype=torch.float64)
    outputs, last = made(x)
    assert outputs.shape == (3, 7, 3)
    assert torch.equal(last[0], outputs[:, -1])
    torch.testing.assert_close(made(x[:, 3:], outputs[None, :, 2])[0], outputs[:, 3:])
    assert torch.autograd.gradcheck(
        lambda x, h: made(x, h)[0], (x[:2, :3].requires_grad_(), outputs[None, :2, 0].detach().requires_grad_())
    )


def test_first_weights():
    torch.manual_seed(0)
    made = TFGRU(100, 200)
    for part, outputs in ((slice(0, 400), 400), (slice(400, 600), 200)):
        bound = (6 / (300 + outputs)) ** 0.5
        for weight in (made.weight_ih, made.weight_hh):
            assert 0.99 * bound < float(weight[part].detach().abs().max()) <= bound
    assert made.bias[:400].eq(1).all()
    assert made.bias[400:].eq(0).all()


@pytest.mark.parametrize("pooling", ["final", "mean_valid"])
def test_padding_does_not_matter_to_a_clip(pooling):
    torch.manual_seed(0)
    made = Recurrent(KINECT_V2, RecurrentOptions(cell="tf_gru", layers=2, width=4, pooling=pooling), 1).double()
    x, lengths = torch.randn(3, 3, 9, 25, 1, dtype=torch.float64), torch.tensor([9, 5, 1])
    found = made(x, lengths)
    for n, length in enumerate(lengths.tolist()):
        torch.testing.assert_close(found[n : n + 1], made(x[n : n + 1, :, :length]))


def test_an_encoder_of_such_layers_keeps_their_first_weights():
    torch.manual_seed(0)
    made = Recurrent(KINECT_V2, RecurrentOptions(cell="tf_gru", layers=1, width=4), 1)
    initialise(made, "torch")
    assert made.cells[0][0].bias.tolist() == [1.0] * 8 + [0.0] * 4
    assert isinstance(made.gru(3, 8), TFGRU)
    assert isinstance(Recurrent(KINECT_V2, RecurrentOptions(cell="lstm", layers=1), 1).gru(3, 8), nn.GRU)
    with pytest.raises(BadInput, match="tf_gru has first weights of its own"):
        load_recipe("skeletonclr", ["encoder={name: recurrent, cell: tf_gru, weights: glorot}"])
