"""Batches: order, content, restart and buffers."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from skelpipe.clips.batches import Batches
from skelpipe.clips.views import build_view, render_view
from skelpipe.errors import BadInput
from skelpipe.layouts.kinect_v2 import KINECT_V2

VIEWS = {"query": build_view("normal"), "key": build_view("extreme")}


def make(n=21, batch_size=4, seed=5, threads=1, stream="bone", dtype=np.float32):
    data = np.random.default_rng(0).normal(size=(n, 3, 10, 25, 2)).astype(dtype)
    ids, labels = np.arange(100, 100 + n), np.arange(n) % 3
    return Batches(data, ids, labels, VIEWS, stream, KINECT_V2, batch_size, seed, torch.device("cpu"), threads)


def collect(batches, epoch, first=0):
    return [({k: v.clone() for k, v in b.views.items()}, b.labels.clone()) for b in batches.epoch(epoch, first)]


def test_each_batch_is_what_the_kernels_give_for_its_clips():
    batches = make()
    order = batches.order(3).reshape(5, 4)
    for rows, (views, labels) in zip(order, collect(batches, 3), strict=True):
        assert labels.tolist() == (rows % 3).tolist()
        for index, name in enumerate(VIEWS):
            expected = render_view(batches.clips, rows, rows + 100, VIEWS[name], "bone", KINECT_V2, 5, 3, index).clips
            np.testing.assert_array_equal(views[name].numpy(), expected)


def test_order_is_a_permutation_that_changes_by_epoch_and_seed():
    batches = make()
    assert batches.steps == 5
    orders = [batches.order(1), batches.order(2), make(seed=6).order(1)]
    assert all(len(set(o.tolist())) == 20 and o.max() < 21 for o in orders)
    assert len({tuple(o) for o in orders}) == 3
    np.testing.assert_array_equal(orders[0], make().order(1))


@pytest.mark.parametrize("threads", [1, 3])
def test_entering_an_epoch_late_gives_the_same_batches(threads):
    whole, late = collect(make(), 2), collect(make(threads=threads), 2, first=3)
    assert len(late) == 2
    for (a, la), (b, lb) in zip(whole[3:], late, strict=True):
        assert torch.equal(la, lb)
        assert all(torch.equal(a[name], b[name]) for name in a)


def test_a_loop_that_stops_early_leaves_no_thread_waiting():
    import threading

    before = threading.active_count()
    for _ in make().epoch(1):
        break
    assert threading.active_count() == before


def test_an_error_in_the_background_is_raised_in_front():
    batches = make()
    batches.clip_ids = batches.clip_ids - 500  # negative numbers cannot seed a draw
    with pytest.raises(BadInput):
        collect(batches, 1)


def test_half_storage_is_close():
    exact, half = collect(make(), 1), collect(make(dtype=np.float16), 1)
    for (a, _), (b, _) in zip(exact, half, strict=True):
        torch.testing.assert_close(a["query"], b["query"], rtol=0, atol=2e-2)


def test_too_few_clips_for_a_batch():
    with pytest.raises(BadInput, match="22 is more than the 21 training clips"):
        make(batch_size=22)
