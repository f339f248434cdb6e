"""Clips for loops of one's own: the same views as pretraining's, by workers as without."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

import skelpipe as sk

VIEWS = {"query": "normal", "key": "extreme"}


@pytest.fixture
def data(road):
    return sk.ClipsDataset(road / "clips.zarr", split="xsub60", views=VIEWS, stream="bone", seed=3)


def test_an_item_is_what_pretraining_sees(road, data):
    batches = sk.Batches(road / "clips.zarr", "xsub60", views=VIEWS, stream="bone", batch_size=4, seed=3, device="cpu")
    assert len(batches) == len(data) // 4
    data.set_epoch(2)
    place = {int(row): n for n, row in enumerate(data.rows)}
    rows = data.rows[batches._loader.order(2)].reshape(-1, 4)
    for batch, mine in zip(batches.epoch(2), rows, strict=True):
        for n, row in enumerate(mine):
            item = data[place[int(row)]]
            assert (item["row"], item["label"]) == (row, int(batch.labels[n]))
            for name in VIEWS:
                assert (item[name] == batch.views[name][n]).all()


def test_iterating_goes_through_the_next_epoch(road):
    options = {"split": "xsub60", "views": VIEWS, "batch_size": 4, "device": "cpu"}
    batches = sk.Batches(road / "clips.zarr", **options)
    seen = [[batch.views["query"].clone() for batch in batches] for _ in range(2)]
    again = [[batch.views["query"].clone() for batch in batches.epoch(n)] for n in (1, 2)]
    assert all((a == b).all() for one, other in zip(seen, again, strict=True) for a, b in zip(one, other, strict=True))
    assert (seen[0][0] != seen[1][0]).any()


def loaded(data, workers):
    options = {"persistent_workers": True, "multiprocessing_context": "fork"} if workers else {}
    return DataLoader(data, batch_size=4, num_workers=workers, **options)


def test_workers_change_nothing_and_hear_of_the_epoch(data):
    alone, helped = loaded(data, 0), loaded(data, 1)
    seen = []
    for epoch in (1, 2):
        data.set_epoch(epoch)
        one, other = ([batch["query"] for batch in loader] for loader in (alone, helped))
        assert all((a == b).all() for a, b in zip(one, other, strict=True))
        seen.append(one[0])
    assert (seen[0] != seen[1]).any()


def test_it_can_be_pickled(data):
    data.set_epoch(5)
    other = pickle.loads(pickle.dumps(data))
    assert other.epoch == 5
    assert (other[3]["key"] == data[3]["key"]).all()


def test_plain_clips_and_parts(road):
    clips = sk.open_clips(road / "clips.zarr")
    every = sk.ClipsDataset(clips)
    assert len(every) == len(clips)
    item = every[-1]
    assert (item["clip"].numpy() == clips[-1]).all()
    assert item["label"] == clips.labels[-1]
    parts = clips.split("xsub60")
    for part in ("train", "test"):
        assert (sk.ClipsDataset(clips, "xsub60", part).rows == parts[part]).all()
    both = sk.ClipsDataset(clips, "xsub60", "all").rows
    assert (both == np.sort(np.concatenate([*parts.values()]))).all()


def test_frames_that_fill_up_and_lengths_of_their_own(road, tmp_path):
    padded = sk.prepare(road / "store.zarr", tmp_path / "padded", preset="raw", frames=40)
    item = sk.ClipsDataset(padded)[0]
    assert item["clip_length"] == padded.lengths[0] < 40
    native = sk.prepare(road / "store.zarr", tmp_path / "native", frames="native")
    assert native[0].shape == (3, native.lengths[0], 25, 2)
    assert [each.shape[1] for each in native[:3]] == native.lengths[:3].tolist()
    assert native.shape == (len(native), 3, "native", 25, 2)
    with pytest.raises(sk.BadInput, match="begin it with crop_resize or"):
        sk.ClipsDataset(native)
    assert sk.ClipsDataset(native, views=[{"resize": {"frames": 9}}])[0]["clip"].shape == (3, 9, 25, 2)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"split": "xsub"}, "did you mean 'xsub60'"),
        ({"split": "subject:1-90"}, "names subject 41-90, which no clip here has"),
        ({"split": "all"}, "has no test clips by the split 'all'"),
        ({"part": "valid"}, "part: 'valid' is not known; use train, test or all"),
        ({"stream": "bones"}, "stream: 'bones' is not a stream"),
        ({"views": {"label": "normal"}}, "views: one is called 'label'"),
        ({"views": ["crp"]}, "did you mean 'crop'"),
    ],
)
def test_what_does_not_fit_is_told(road, options, said):
    with pytest.raises(sk.BadInput, match=said):
        sk.ClipsDataset(road / "clips.zarr", **{"part": "test", **options})


def test_batches_need_as_many_clips(road):
    with pytest.raises(sk.BadInput, match="batch_size: 128 is more than the"):
        sk.Batches(road / "clips.zarr", "xsub60", device="cpu")


def test_the_shapes_of_batches_of_several_streams(road):
    batches = sk.Batches(road / "clips.zarr", stream=("joint", "bone"), batch_size=4, device="cpu")
    batch = next(iter(batches))
    assert {*batch.views} == {"joint/clip", "bone/clip"}
    assert torch.equal(batch.views["bone/clip"], sk.compute_stream(batch.views["joint/clip"], "bone"))


def test_a_second_pass_without_an_epoch_is_told_once(data, caplog):
    for _ in range(3):
        list(loaded(data, 0))
    assert caplog.text.count("call set_epoch(n) before every epoch") == 1


def test_passes_with_an_epoch_or_without_chance_are_not_told(road, data, caplog):
    for epoch in (1, 2):
        data.set_epoch(epoch)
        list(loaded(data, 0))
        list(loaded(sk.ClipsDataset(road / "clips.zarr"), 0))
    assert not caplog.text


@pytest.mark.parametrize(
    ("make", "options", "said"),
    [
        (sk.ClipsDataset, {"bodies": 0}, "bodies: 0 is none of 1 to 2"),
        (sk.ClipsDataset, {"bodies": 3}, "bodies: 3 is none of 1 to 2"),
        (sk.ClipsDataset, {"views": {"a": len}}, "views: view 'a' is of type builtin_function"),
        (sk.ClipsDataset, {"split": ["a"]}, "split: is of type list"),
        (sk.Batches, {"batch_size": 0}, "batch_size: 0 is no whole number above 0"),
        (sk.Batches, {"batch_size": -1}, "batch_size: -1 is no whole number above 0"),
    ],
)
def test_what_cannot_be_is_told_in_a_line(road, make, options, said):
    with pytest.raises(sk.BadInput, match=said):
        make(road / "clips.zarr", **options)


def test_what_they_show_of_themselves(road, data):
    assert "view query  crop, shear" in repr(data)
    assert "of 4" in repr(sk.Batches(road / "clips.zarr", batch_size=4))
    assert repr(sk.Queue(4, 8)) == "Queue(size=4, capacity=8)"
