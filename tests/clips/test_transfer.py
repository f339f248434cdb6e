"""Copies beside computing, on a device that runs as late as it may: nothing comes too early, or over what is in use."""

from __future__ import annotations

import time

import numpy as np
import pytest
import torch
from late import Device

from skelpipe.clips import batches as module
from skelpipe.clips.batches import AHEAD, Batches, Buffers, tensors_of
from skelpipe.clips.resident import ResidentBatches
from skelpipe.clips.transfer import lane_for
from skelpipe.clips.views import build_view
from skelpipe.layouts.kinect_v2 import KINECT_V2

VIEWS = {
    "query": build_view([{"first": {"frames": 12}}, "shear", "tail_mask"]),
    "key": build_view(["crop", {"noise": {"p": 1.0}}]),
}
PACE = {"late": (), "copies at once": ("copies",), "computing at once": ("computing",)}


def make(kind=Batches, device="cpu"):
    x = np.random.default_rng(0).normal(size=(40, 3, 10, 25, 2)).astype(np.float32)
    ids, place = np.arange(40), torch.device(device)
    return kind(x, ids, ids, VIEWS, ("joint", "bone"), KINECT_V2, 4, 5, place, 1, balance="weights")


def wait_for_loader(device, number):
    """Until it has come as far as it may while batch `number` is in use."""
    until = time.monotonic() + 20
    while 0 < device.sends < min(number + AHEAD + 1, 10) and time.monotonic() < until:
        time.sleep(0.0005)


def seen(batches, device, steps=None):
    """The batches of an epoch, as the device finds them when it comes to read them."""
    found, taken = [], batches.epoch(2)
    for number, batch in enumerate(taken):
        device.compute(lambda batch=batch: found.append([t.clone() for t in tensors_of(batch)]))
        wait_for_loader(device, number)
        if number + 1 == steps:
            taken.close()
            break
    device.computing.run(len(device.computing.asked))
    return found


@pytest.mark.parametrize("pace", PACE)
def test_every_batch_is_read_as_it_was_made(pace, monkeypatch):
    expected = seen(make(), Device(("computing",)))
    device = Device(PACE[pace])
    monkeypatch.setattr(module, "lane_for", lambda place: device)
    found = seen(make(), device)
    assert len(found) == len(expected) == 10
    for a, b in zip(found, expected, strict=True):
        assert len(a) == len(b) > 8
        assert all(torch.equal(x, y) for x, y in zip(a, b, strict=True))


# What each of the four orders prevents: without it, this device shows another batch, or none.
BROKEN = {"wait": "late", "follow": "late", "give_back": "copies at once"}


@pytest.mark.parametrize("missing", BROKEN)
def test_each_order_is_needed(missing, monkeypatch):
    expected = seen(make(), Device(("computing",)))
    device = Device(PACE[BROKEN[missing]])
    monkeypatch.setattr(module, "lane_for", lambda place: device)
    monkeypatch.setattr(Buffers if missing == "give_back" else device, missing, lambda *given: None)
    found = seen(make(), device)
    pairs = [pair for a, b in zip(found, expected, strict=False) for pair in zip(a, b, strict=False)]
    assert not all(torch.equal(*pair) for pair in pairs)


def test_an_epoch_that_is_left_lets_its_copies_end_first(monkeypatch):
    device = Device()
    monkeypatch.setattr(module, "lane_for", lambda place: device)
    assert len(seen(make(), device, steps=3)) == 3
    assert device.copies.done == len(device.copies.asked)


@pytest.mark.parametrize("pace", PACE)
def test_what_is_sent_of_resident_clips_is_one_copy(pace, monkeypatch):
    expected = seen(make(ResidentBatches), Device(("computing",)))
    device = Device(PACE[pace])
    monkeypatch.setattr(module, "lane_for", lambda place: device)
    batches, found = make(ResidentBatches), []
    rendering = batches.rendering

    def render(sent):
        """When the device comes to it."""
        device.compute(lambda: found.append(rendering(sent)))
        return {}, {}, {}

    batches.rendering = render
    for number, _ in enumerate(batches.epoch(2)):
        wait_for_loader(device, number)
    device.computing.run(len(device.computing.asked))
    sent = [what for what in device.copies.asked if what[0] == "do"]
    assert len(sent) == len(found) == len(expected)
    for (views, lengths, targets), b in zip(found, expected, strict=True):
        made = [*views.values(), *lengths.values(), *(t for each in targets.values() for t in each.values())]
        kept = [tensor for tensor in b if tensor.dim() > 1]
        made = [tensor for tensor in made if tensor.dim() > 1]
        assert len(made) == len(kept)
        assert all(any(torch.equal(x, y) for y in kept if x.shape == y.shape) for x in made)


def test_the_host_needs_no_lane():
    assert lane_for(torch.device("cpu")) is None
