"""Inter-skeleton contrast: values worked by hand, who is told from whom, and which encoder is kept."""

from __future__ import annotations

import copy
import math

import pytest
import torch
from conftest import write_clips
from test_moco import Part
from torch import nn

from skelpipe.clips.batches import Batch
from skelpipe.errors import BadInput
from skelpipe.evaluation.features import embed, load_run
from skelpipe.layouts import LAYOUTS
from skelpipe.layouts.kinect_v2 import KINECT_V2
from skelpipe.methods.isc import ISC, ISCOptions
from skelpipe.methods.network import Builder, Network, initialise, projector
from skelpipe.methods.positives import OwnKey, OwnKeyOptions
from skelpipe.recordings.datasets import find_split
from skelpipe.recordings.store import Clips
from skelpipe.training.loop import train_step
from skelpipe.training.pretrain import pretrain
from skelpipe.training.recipe import load_recipe

TOY = [
    "encoder.width=4", "encoder.layers=1", "partner.width=2", "projector.size=8", "projector.hidden=8",
    "method.queue_size=32", "batch_size=8", "bodies=2",
]  # fmt: skip
SEQUENCE = "{name: recurrent, layers: 1, width: 4, weights: xavier}"
GRAPH = "{name: agcn, width: 2, time_kernel: 3}"
IMAGE = "{name: hcn, frames: 16, embedding: 16, width: 2}"


def sine(start, *shape):
    return torch.sin(torch.arange(start, start + math.prod(shape), dtype=torch.float64)).view(shape)


class Exact(Network):
    """One without a projector, in float64."""

    def embed(self, h):
        return nn.functional.normalize(h, dim=1)


def by_hand(**options):
    """One whose encoder takes the first four numbers and whose partner the other four, with the values' queues."""
    build = Builder(lambda: Exact(Part(0), nn.Identity()), lambda: Exact(Part(4), nn.Identity()))
    made = ISC(build, 4, ISCOptions(queue_size=3, **options), OwnKey(OwnKeyOptions()), "torch")
    refill(made)
    return made


def refill(made):
    for moco, start in ((made.encoder, 40), (made.partner, 60)):
        moco.queue = nn.functional.normalize(sine(start, 4, 3), dim=0)
        moco.pointer.zero_()


def batch(query, key):
    return Batch({"query": query, "key": key}, torch.zeros(len(query), dtype=torch.int64))


def views():
    """Rows q and r side by side, and k and l."""
    return torch.cat([sine(0, 2, 4), sine(10, 2, 4)], 1), torch.cat([sine(20, 2, 4), sine(30, 2, 4)], 1)


def test_losses_by_hand():
    made = by_hand()
    losses = made.losses(batch(*views()), 1)
    assert list(losses) == list(ISC.LOSSES)
    assert losses["encoder"].item() == pytest.approx(3.337519, abs=1e-6)
    assert losses["partner"].item() == pytest.approx(15.895826, abs=1e-6)
    total, log = by_hand()(batch(*views()), 1)
    assert total.item() == pytest.approx(3.337519 + 15.895826, abs=1e-5)
    assert {"encoder", "partner", "info_nce", "spread", "partner_spread", "partner_positive"} <= set(log)
    assert log["info_nce"] == log["encoder"]


def test_each_queue_takes_its_own_encoders_keys_behind_the_losses():
    made = by_hand()
    made.losses(batch(*views()), 1)
    for moco, start in ((made.encoder, 20), (made.partner, 30)):
        keys = nn.functional.normalize(sine(start, 2, 4), dim=1)
        torch.testing.assert_close(moco.queue[:, :2], keys.t())
        assert int(moco.pointer) == 2
    again = made.losses(batch(*views()), 1)
    assert again["encoder"].item() != pytest.approx(3.337519, abs=1e-3)


def test_gradients_are_those_of_differences():
    made = by_hand()
    query, key = views()

    def run(query):
        refill(made)
        return sum(made.losses(batch(query, key), 1).values())

    assert torch.autograd.gradcheck(run, (query.requires_grad_(),))


def test_each_loss_teaches_one_encoder():
    torch.manual_seed(0)
    made = load_recipe("small_isc", TOY).build_method(KINECT_V2, 4).train()
    x = torch.randn(2, 8, 3, 16, 25, 2)
    losses = made.losses(batch(x[0], x[1]), 1)
    for name, other in (("encoder", "partner"), ("partner", "encoder")):
        made.zero_grad()
        losses[name].backward(retain_graph=True)
        learnt = {part for part, p in made.named_parameters() if p.grad is not None and p.grad.any()}
        assert learnt, name
        assert all(part.startswith(f"{name}.query.") for part in learnt)
        assert not any(part.startswith(other) for part in learnt)


def test_keys_are_made_by_networks_that_have_moved_in_train_mode():
    torch.manual_seed(0)
    made = load_recipe("small_isc", [*TOY, "method.momentum=0.5"]).build_method(KINECT_V2, 4).train()
    x = torch.randn(2, 8, 3, 16, 25, 2)
    with torch.no_grad():
        for moco in (made.encoder, made.partner):
            for p in moco.key.parameters():
                p.add_(0.1 * torch.randn_like(p))
    moved = copy.deepcopy(made)
    for moco in (moved.encoder, moved.partner):
        moco.follow()
    expected = [moco.key(x[1]) for moco in (moved.encoder, moved.partner)]
    made.losses(batch(x[0], x[1]), 1)
    for moco, key, other in zip((made.encoder, made.partner), expected, (moved.encoder, moved.partner), strict=True):
        torch.testing.assert_close(moco.queue[:, :8], key.detach().t())
        for (name, p), q in zip(moco.key.state_dict().items(), other.key.state_dict().values(), strict=True):
            torch.testing.assert_close(p, q, msg=name)  # the norms' statistics too


@pytest.mark.parametrize(("one", "other"), [(SEQUENCE, GRAPH), (SEQUENCE, IMAGE), (GRAPH, IMAGE)])
def test_every_pair_learns(one, other):
    torch.manual_seed(0)
    sets = [f"encoder={one}", f"partner={other}", *(s for s in TOY if not s.startswith(("encoder", "partner")))]
    recipe = load_recipe("small_isc", sets)
    made = recipe.build_method(KINECT_V2, 4).train()
    optimizer = recipe.build_optimizer(made)
    x = torch.randn(2, 8, 3, 16, 25, 2)
    losses = [train_step(made, optimizer, batch(x[0], x[1]), 1)["loss"].item() for _ in range(5)]
    assert all(map(math.isfinite, losses))
    before = recipe.build_method(KINECT_V2, 4)
    for name in ("encoder", "partner"):
        ours, fresh = getattr(made, name), getattr(before, name)
        assert ours.query.projector[2].weight.shape == (8, 8)
        assert fresh.query.encoder.features in (8, 16)
        assert not torch.equal(ours.query.projector[2].weight, ours.key.projector[2].weight)


def test_published_sizes():
    made = load_recipe("isc").build_method(KINECT_V2, 60)
    trained = sum(p.numel() for p in made.parameters() if p.requires_grad)
    assert trained == 53_010_058
    assert sum(p.numel() for p in made.parameters()) == 2 * trained
    assert sum(p.numel() for p in projector(256, 256, 128).parameters()) == 98_688
    assert sum(p.numel() for p in projector(4096, 4096, 128).parameters()) == 17_305_728
    assert made.encoder.queue.shape == made.partner.queue.shape == (128, 16384)


def test_every_network_starts_in_its_own_way():
    torch.manual_seed(0)
    recipe = load_recipe("isc", ["encoder.width=64", "encoder.layers=2", "method.queue_size=8"])
    made = recipe.build_method(KINECT_V2, 60)
    hcn = load_recipe("isc", ["partner={name: hcn}", "encoder.width=8", "method.queue_size=8"]).build_method(
        KINECT_V2, 60
    )
    sequence, graph, image = made.encoder.query, made.partner.query, hcn.partner.query
    for network in (sequence, graph, image):
        first, last = network.projector[0], network.projector[2]
        size = first.in_features
        assert first.weight.detach().abs().max().item() == pytest.approx(size**-0.5, rel=0.02)  # torch's own
        assert last.bias.any() == (network is not image)
    for network in (sequence, image):
        last = network.projector[2].weight.detach()
        assert last.abs().max().item() == pytest.approx((6 / sum(last.shape)) ** 0.5, rel=0.02)
    assert graph.projector[2].weight.detach().std().item() == pytest.approx((2 / 128) ** 0.5, rel=0.02)
    cell = sequence.encoder.cells[0][1]
    for weight in (cell.weight_ih_l0.detach(), cell.weight_hh_l0.detach()):
        assert weight.abs().max().item() == pytest.approx((6 / sum(weight.shape)) ** 0.5, rel=0.02)
    assert cell.bias_hh_l0.detach().abs().max().item() == pytest.approx(64**-0.5, rel=0.05)
    for moco in (made.encoder, made.partner):
        for p, q in zip(moco.query.parameters(), moco.key.parameters(), strict=True):
            assert torch.equal(p, q)


def test_a_head_is_left_alone_by_encoders_that_do_not_draw_it():
    torch.manual_seed(0)
    network = Network(nn.Linear(3, 8), projector(8, 8, 4))
    initialise(network, "torch")
    torch.manual_seed(0)
    plain = nn.Sequential(nn.Linear(3, 8), projector(8, 8, 4))
    initialise(plain, "torch")
    for p, q in zip(network.parameters(), plain.parameters(), strict=True):
        assert torch.equal(p, q)
    Network(
        load_recipe("isc", ["encoder.width=8"]).build_network(KINECT_V2, 4).encoder, nn.Identity()
    ).start()  # there is none to draw


@pytest.mark.parametrize("name", LAYOUTS)
def test_every_layout_is_taken(name):
    layout = LAYOUTS[name]
    made = load_recipe("small_isc", TOY).build_method(layout, 4).train()
    x = torch.randn(2, 4, layout.channels, 16, len(layout.joints), 2)
    assert torch.isfinite(made(batch(x[0], x[1]), 1)[0])


@pytest.mark.parametrize(("kept", "size"), [("encoder", 8), ("partner", 16)])
def test_the_encoder_that_is_named_is_kept_and_measured(kept, size, tmp_path):
    clips = write_clips(tmp_path / "clips.zarr", frames=32)
    sets = [*TOY, f"partner={IMAGE}", f"method.evaluated={kept}", "clips={}"]
    recipe = load_recipe("small_isc", sets, epochs=1)
    assert recipe.evaluated == (recipe.encoder if kept == "encoder" else recipe.partner)
    done = pretrain(recipe, clips, tmp_path / "run", split="xsub60", stream="joint", device="cpu", threads=1)
    assert done.state == "finished"
    source = Clips(clips)
    run = load_run(tmp_path / "run", source, "cpu")
    assert run.network.encoder.features == size
    assert run.settings["encoder"]["name"] == ("recurrent" if kept == "encoder" else "hcn")
    assert embed(run, source, find_split("xsub60")).feature.shape == (len(source), size)


def test_what_does_not_fit_is_refused():
    with pytest.raises(BadInput, match="trains two encoders; describe the second"):
        load_recipe("isc", ["partner=null"])
    with pytest.raises(BadInput, match="recurrent has no feature map"):
        load_recipe("isc", ["evaluate.segments=2"])
    assert load_recipe("isc", ["evaluate.segments=2", "method.evaluated=partner"]).evaluated.name == "agcn"
    with pytest.raises(BadInput, match="method"):
        load_recipe("isc", ["method.evaluated=both"])
    recipe = load_recipe("isc", ["projector.kind=none", "encoder.width=8", "method.queue_size=8"])
    with pytest.raises(BadInput, match="of 16 numbers by encoder and of 256 by partner, which cannot be compared"):
        recipe.build_method(KINECT_V2, 4)
    alike = load_recipe("small_isc", [*TOY, "projector={kind: none}"]).build_method(KINECT_V2, 4).train()
    x = torch.randn(2, 4, 3, 16, 25, 2)
    assert torch.isfinite(alike(batch(x[0], x[1]), 1)[0])
