"""The GRU layer on a CPU against torch's own, and its gradient against differences."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from skelpipe.encoders.cpu import products
from skelpipe.encoders.cpu.gru import GRU, Layer, layer
from skelpipe.encoders.recurrent import Recurrent, RecurrentOptions
from skelpipe.layouts.kinect_v2 import KINECT_V2


def a_cell(size, width, dtype=torch.float64):
    torch.manual_seed(0)
    cell = nn.GRU(size, width, batch_first=True).to(dtype)
    with torch.no_grad():  # larger than torch draws them, so that gates are not all near one half
        for p in cell.parameters():
            p.mul_(3)
    return cell


def test_its_gradient_is_that_of_differences():
    cell = a_cell(4, 3)
    x = torch.randn(5, 2, 4, dtype=torch.float64, requires_grad=True)
    weights = [cell.weight_ih_l0, cell.weight_hh_l0, cell.bias_ih_l0, cell.bias_hh_l0]
    assert torch.autograd.gradcheck(lambda *given: Layer.apply(*given), (x, *weights))


@pytest.mark.parametrize("onednn", [True, False])
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-12), (torch.float32, 2e-5)])
@pytest.mark.parametrize("frames", [1, 40])
def test_it_is_torchs(dtype, tolerance, frames, onednn, monkeypatch):
    monkeypatch.setattr(products, "ONEDNN", onednn and products.ONEDNN)
    cell = a_cell(30, 17, dtype)
    x, grad = torch.randn(6, frames, 30, dtype=dtype, requires_grad=True), torch.randn(6, frames, 17, dtype=dtype)
    found, expected = layer(x, cell), cell(x)[0]
    torch.testing.assert_close(found, expected, rtol=0, atol=tolerance)
    wanted = [x, *cell.parameters()]
    mine, theirs = (torch.autograd.grad((y * grad).sum(), wanted) for y in (found, expected))
    for a, b in zip(mine, theirs, strict=True):
        assert (a - b).abs().max() <= tolerance * max(1.0, float(b.abs().max()))


def test_inputs_without_gradient_get_none():
    cell = a_cell(3, 2, torch.float32)
    x = torch.randn(2, 4, 3)
    layer(x, cell).sum().backward()
    assert x.grad is None
    assert all(p.grad is not None for p in cell.parameters())
    with torch.no_grad():
        assert not layer(x, cell).requires_grad


def test_it_reads_what_it_can():
    cell, x = GRU(3, 2, batch_first=True), torch.randn(4, 5, 3)
    assert cell.reads(x)
    assert not cell.reads(x.double())
    assert not cell.reads(x[0])
    for others in ({}, {"num_layers": 2}, {"bidirectional": True}, {"bias": False}):
        assert not GRU(3, 2, **{"batch_first": bool(others), **others}).reads(x)
    with torch.autocast("cpu", torch.bfloat16):
        assert not cell.reads(x)


def test_outputs_and_states_are_torchs():
    theirs, cell = a_cell(3, 2, torch.float32), GRU(3, 2, batch_first=True)
    cell.load_state_dict(theirs.state_dict())
    x, state = torch.randn(4, 5, 3), torch.randn(1, 4, 2)
    torch.testing.assert_close(cell(x), theirs(x))
    assert all(map(torch.equal, cell(x, state), theirs(x, state)))


@pytest.mark.parametrize("direction", ["uni", "bi", "two_forward"])
def test_an_encoder_computes_the_same_with_torchs_cells(direction, monkeypatch):
    torch.manual_seed(0)
    options = RecurrentOptions(layers=2, width=12, direction=direction, pooling="mean_valid")
    mine = Recurrent(KINECT_V2, options, 1)
    theirs = copy.deepcopy(mine)
    x, lengths = torch.randn(5, 3, 11, 25, 1), torch.tensor([11, 4, 1, 7, 11])
    found = mine(x, lengths)
    found.square().sum().backward()
    monkeypatch.setattr(GRU, "reads", lambda cell, x: False)
    expected = theirs(x, lengths)
    expected.square().sum().backward()
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-6)
    for a, b in zip(mine.parameters(), theirs.parameters(), strict=True):
        torch.testing.assert_close(a.grad, b.grad, rtol=1e-4, atol=1e-5)


def test_products_are_torchs():
    x, matrix, bias = torch.randn(7, 50), torch.randn(30, 50), torch.randn(30)
    expected = nn.functional.linear(x, matrix, bias)
    torch.testing.assert_close(products.product(x, matrix, bias), expected, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(products.product(x, products.packed(matrix, 7), bias), expected, rtol=1e-5, atol=1e-5)
    across = products.product(x.t(), torch.randn(9, 7).t().contiguous().t())
    assert across.shape == (50, 9)
    assert torch.equal(products.packed(matrix.double(), 7), matrix.double())


def test_a_torch_without_these_functions_multiplies_by_its_own(monkeypatch):
    class Without:
        def __getattr__(self, name):
            raise AttributeError(name)

    monkeypatch.setattr(torch.ops, "mkldnn", Without())
    assert not products.has_onednn()
