"""Batches: order, content, restart and buffers."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from skelpipe.clips.batches import Batches
from skelpipe.clips.views import build_view, render_view
from skelpipe.errors import BadInput
from skelpipe.layouts.kinect_v2 import KINECT_V2
from skelpipe.recordings.native import Native

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


# ---- views that differ in length, with lengths and targets

WIDE = {
    "query": build_view([{"crop_resize": {"frames": 6, "least": 2}}, "shear"]),
    "tail": build_view([{"first": {"frames": 8}}, "tail_mask"]),
    "order": build_view([{"resize": {"frames": 9}}, "jigsaw"]),
}


def make_wide(kind, stream="bone", **other):
    lengths = np.arange(21) % 10 + 1
    data = np.random.default_rng(0).normal(size=(21, 3, 10, 25, 2)).astype(np.float32)
    if kind == "own lengths":
        values = [clip[:, :n].ravel() for clip, n in zip(data, lengths, strict=True)]
        data, lengths = Native(np.concatenate(values), np.cumsum([0, *lengths]), 3, 25, 2), None
    ids, labels = np.arange(100, 121), np.arange(21) % 3
    return Batches(data, ids, labels, WIDE, stream, KINECT_V2, 4, 5, torch.device("cpu"), 1, valid=lengths, **other)


@pytest.mark.parametrize("kind", ["filled up", "own lengths"])
def test_views_bring_their_frames_lengths_and_targets(kind):
    batches = make_wide(kind)
    order = batches.order(1).reshape(5, 4)
    for rows, batch in zip(order, batches.epoch(1), strict=True):
        assert {name: tuple(view.shape) for name, view in batch.views.items()} == {
            "query": (4, 3, 6, 25, 2), "tail": (4, 3, 8, 25, 2), "order": (4, 3, 9, 25, 2),
        }  # fmt: skip
        assert batch.lengths.keys() == {"tail"}
        assert batch.lengths["tail"].dtype == torch.int64
        assert batch.lengths["tail"].tolist() == np.minimum(rows % 10 + 1, 8).tolist()
        assert {name: set(brought) for name, brought in batch.targets.items()} == {
            "tail": {"clip", "mask"}, "order": {"order"},
        }  # fmt: skip
        for number, name in enumerate(WIDE):
            made = render_view(
                batches.clips, rows, rows + 100, WIDE[name], "bone", KINECT_V2, 5, 1, number, valid=batches.valid
            )
            np.testing.assert_array_equal(batch.views[name].numpy(), made.clips)
            for key, values in made.targets.items():
                np.testing.assert_array_equal(batch.targets[name][key].numpy(), values)


def test_several_streams_bring_their_own():
    batch = next(make_wide("own lengths", ("joint", "motion")).epoch(1))
    assert batch.lengths.keys() == {"joint/tail", "motion/tail"}
    assert torch.equal(batch.targets["joint/order"]["order"], batch.targets["motion/order"]["order"])
    moved = batch.targets["joint/tail"]["clip"].diff(dim=2)
    for n, length in enumerate(batch.lengths["motion/tail"].tolist()):
        assert torch.equal(batch.targets["motion/tail"]["clip"][n, :, : length - 1], moved[n, :, : length - 1])
        assert not batch.targets["motion/tail"]["clip"][n, :, length - 1 :].any()


def test_ranks_share_lengths_and_targets():
    whole = next(make_wide("filled up").epoch(1))
    whole = (whole.lengths["tail"].clone(), whole.targets["order"]["order"].clone())
    parts = []
    for rank in range(2):
        part = next(make_wide("filled up", rank=rank, ranks=2).epoch(1))
        parts.append((part.lengths["tail"].clone(), part.targets["order"]["order"].clone()))
    for all_of_it, first, second in zip(whole, *parts, strict=True):
        assert torch.equal(all_of_it, torch.cat([first, second]))


def test_a_view_that_does_not_fit_is_refused_before_anything_is_rendered():
    lengths = np.arange(21) % 10 + 1
    native = Native(np.zeros(lengths.sum() * 150, np.float32), np.cumsum([0, *lengths]), 3, 25, 2)
    for told, says in ((None, "views.query: begins with"), ({"query": "recipe own: views.query"}, "recipe own: views")):
        for stream in ("joint", ("joint", "bone")):
            with pytest.raises(BadInput, match=f"^{says}.*lengths of their own"):
                Batches(native, lengths, lengths, VIEWS, stream, KINECT_V2, 4, 5, torch.device("cpu"), told=told)


def test_half_storage_is_close():
    exact, half = collect(make(), 1), collect(make(dtype=np.float16), 1)
    for (a, _), (b, _) in zip(exact, half, strict=True):
        torch.testing.assert_close(a["query"], b["query"], rtol=0, atol=2e-2)


def test_too_few_clips_for_a_batch():
    with pytest.raises(BadInput, match="22 is more than the 21 training clips"):
        make(batch_size=22)
