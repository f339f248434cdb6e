"""Blocks of work on threads of their own: in order, as few as asked for, and nothing of torch's settings changes."""

from __future__ import annotations

import threading

import pytest
import torch

from skelpipe.encoders.cpu.blocks import MOST, in_turn
from skelpipe.encoders.cpu.temporal import Spectral


@pytest.fixture(params=[1, 2, 3])
def threads(request):
    before = torch.get_num_threads()
    torch.set_num_threads(request.param)
    yield request.param
    torch.set_num_threads(before)


def test_what_blocks_make_comes_in_their_order_without_gradients(threads):
    seen, weight = set(), torch.ones(1, requires_grad=True)

    def work(first, last):
        seen.add((threading.current_thread().name, torch.get_num_threads()))
        made = weight * first
        assert not made.requires_grad
        return first, last, float(made)

    blocks = [(n, n + 2) for n in range(0, 60, 2)]
    assert list(in_turn(work, iter(blocks))) == [(a, b, float(a)) for a, b in blocks]
    assert len(seen) <= min(threads, MOST)
    assert {count for _, count in seen} == {1}
    assert ("MainThread" in {name for name, _ in seen}) == (threads == 1)
    assert torch.get_num_threads() == threads
    found = []
    later = threading.Thread(target=lambda: found.append(torch.get_num_threads()))
    later.start()
    later.join()
    assert found == [threads]  # a thread that begins afterwards has as many as all


def test_a_block_that_fails_fails_all(threads):
    def work(first, last):
        if first == 4:
            raise ValueError("the fifth")
        return first

    with pytest.raises(ValueError, match="the fifth"):
        list(in_turn(work, [(n, n + 1) for n in range(9)]))
    assert list(in_turn(work, [(0, 1), (1, 2)])) == [0, 1]


def test_a_convolution_by_blocks_is_that_of_one_thread():
    torch.manual_seed(0)
    x, weight, bias = torch.randn(13, 320, 25, 64), torch.randn(64, 64, 9, 1), torch.randn(64)
    grad, way, found, before = torch.randn(13, 320, 25, 64), Spectral(), [], torch.get_num_threads()
    assert len(list(way.blocks(way.filters(13, weight), x))) > 3
    for count in (1, 2, 3):
        torch.set_num_threads(count)
        found.append((way.forward(x, weight, bias), *way.backward(x, weight, grad)))
    torch.set_num_threads(before)
    for other in found[1:]:
        assert all(torch.equal(a, b) for a, b in zip(found[0], other, strict=True))
