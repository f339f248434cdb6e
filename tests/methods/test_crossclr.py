"""CrosSCLR: its losses by hand, five steps against a plain implementation, and runs of three streams."""

from __future__ import annotations

import copy
import gc
import json
import math
import os
import signal
import weakref

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from conftest import TINY
from safetensors.torch import load_file
from torch import nn
from torch.nn.functional import normalize

from skelpipe import settings
from skelpipe.cli import main
from skelpipe.clips.batches import Batch, Batches
from skelpipe.clips.streams import apply_stream
from skelpipe.clips.views import build_view
from skelpipe.errors import BadInput
from skelpipe.evaluation.evaluate import evaluate
from skelpipe.evaluation.features import load_run
from skelpipe.layouts.kinect_v2 import KINECT_V2
from skelpipe.methods.crosnnclr import LOSSES, CrossView, CrossViewOptions
from skelpipe.methods.crossclr import CrosSCLR, CrosSCLROptions, CrossStream, CrossStreamOptions
from skelpipe.methods.network import Network, projector
from skelpipe.methods.positives import OwnKey, OwnKeyOptions, Pair
from skelpipe.recordings.store import Clips
from skelpipe.training.checkpoint import Position
from skelpipe.training.log import COLLAPSE_REMEDY, Log
from skelpipe.training.pretrain import pretrain
from skelpipe.training.recipe import Recipe, load_recipe

TAU = 0.5
STREAMS = ("joint", "motion", "bone")


def unit(*degrees):
    return torch.tensor([[math.cos(math.radians(d)), math.sin(math.radians(d))] for d in degrees], dtype=torch.float64)


def cos(degrees):
    return math.cos(math.radians(degrees))


def e(cosine):
    return math.exp(cosine / TAU)


# The losses -------------------------------------------------------------------------------------------------------


def hand_pairs():
    """One clip in two streams: q at 0° and 90°, k at 30° and 70°, four places in each queue."""
    mine = Pair(unit(0), unit(30), unit(10, 100, 200, 310).t().contiguous(), TAU)
    partner = Pair(unit(90), unit(70), unit(250, 75, 110, 330).t().contiguous(), TAU)
    mine.partners, partner.partners = (partner,), (mine,)
    return mine, partner


# Cosines with the own query, from the angles between: mine 0° to 10, 100, 200, 310; partner's 90° to 250, 75, 110, 330.
MINE = [cos(10), cos(100), cos(200), cos(310)]
THEIRS = [cos(160), cos(15), cos(20), cos(240)]


@pytest.mark.parametrize(("top_k", "named"), [(1, [1]), (2, [1, 2])])
def test_towards_by_hand(top_k, named):
    """The partner names 75° (and 110°), which are not this stream's own nearest (10°)."""
    mine, partner = hand_pairs()
    total = e(cos(30)) + sum(map(e, MINE))
    plain = CrossStream(CrossStreamOptions(context=False, top_k=top_k)).towards(mine, partner)
    chosen = [e(cos(30)), *(e(MINE[j]) for j in named)]
    assert float(plain) == pytest.approx(-sum(math.log(x / total) for x in chosen) / len(chosen), abs=1e-12)

    products = [a * b for a, b in zip(MINE, THEIRS, strict=True)]
    total += sum(map(e, products))
    chosen += [e(products[j]) for j in named]
    context = CrossStream(CrossStreamOptions(top_k=top_k)).towards(mine, partner)
    assert float(context) == pytest.approx(-sum(math.log(x / total) for x in chosen) / len(chosen), abs=1e-12)


def test_towards_is_not_symmetric_and_the_call_averages_the_partners():
    mine, partner = hand_pairs()
    third = Pair(unit(180), unit(150), unit(0, 90, 170, 270).t().contiguous(), TAU)
    mine.partners = (partner, third)
    positives = CrossStream(CrossStreamOptions(nn_start_epoch=150))
    both = [float(positives.towards(mine, other)) for other in (partner, third)]
    assert both[0] != pytest.approx(both[1], abs=1e-3)
    assert both[0] != pytest.approx(float(positives.towards(partner, mine)), abs=1e-3)
    assert float(positives(mine, 151)) == pytest.approx(sum(both) / 2, abs=1e-12)
    assert float(positives(mine, 150)) == pytest.approx(-math.log(e(cos(30)) / (e(cos(30)) + sum(map(e, MINE)))))
    assert (positives.mining(150), positives.mining(151)) == (False, True)


def draw(generator, *shape):
    return normalize(torch.randn(*shape, generator=generator, dtype=torch.float64), dim=-1)


def plain_towards(query, key, queue, other, other_queue, tau, top_k, context):
    """One stream's loss by loops over clips and places; `queue` and `other_queue` are (K, D)."""
    total = 0.0
    for i in range(len(query)):
        own, theirs = queue @ query[i], other_queue @ other[i]
        near = sorted(range(len(queue)), key=lambda j, s=theirs: -float(s[j].detach()))[:top_k]
        cosines = [query[i] @ key[i], *own]
        chosen = [cosines[0], *(own[j] for j in near)]
        if context:
            cosines += [a * b for a, b in zip(own, theirs, strict=True)]
            chosen += [own[j] * theirs[j] for j in near]
        denominator = torch.log(sum(torch.exp(c / tau) for c in cosines))
        total = total - sum(c / tau - denominator for c in chosen) / len(chosen)
    return total / len(query)


@pytest.mark.parametrize("context", [False, True])
@pytest.mark.parametrize("top_k", [1, 3])
def test_value_and_gradients_against_loops(context, top_k):
    """The products pull both streams' queries; the choice of neighbours has no gradient."""
    generator = torch.Generator().manual_seed(top_k)
    raw = [torch.randn(4, 5, generator=generator, dtype=torch.float64).requires_grad_() for _ in range(2)]
    keys, queues = [draw(generator, 4, 5) for _ in range(2)], [draw(generator, 9, 5) for _ in range(2)]
    queries = [normalize(x, dim=1) for x in raw]
    pairs = [Pair(q, k, m.t().contiguous(), 0.3) for q, k, m in zip(queries, keys, queues, strict=True)]
    ours = CrossStream(CrossStreamOptions(top_k=top_k, context=context)).towards(*pairs)
    plain = plain_towards(queries[0], keys[0], queues[0], queries[1], queues[1], 0.3, top_k, context)
    assert float(ours.detach()) == pytest.approx(float(plain.detach()), abs=1e-12)
    gradients = [torch.autograd.grad(loss, raw, allow_unused=True, retain_graph=True) for loss in (ours, plain)]
    torch.testing.assert_close(gradients[0][0], gradients[1][0])
    if context:
        torch.testing.assert_close(gradients[0][1], gradients[1][1])
        assert float(gradients[0][1].abs().max()) > 1e-3
    else:
        assert gradients[0][1] is None


# Five steps -------------------------------------------------------------------------------------------------------


class Flat(nn.Module):
    features = 4

    def __init__(self):
        super().__init__()
        self.linear, self.norm = nn.Linear(12, 4), nn.BatchNorm1d(4)

    def forward(self, x):
        return torch.relu(self.norm(self.linear(x.flatten(1))))


def toy(positives, heads="own", key_update="all", key_init="independent", init="torch"):
    options = CrosSCLROptions(
        queue_size=10, momentum=0.9, temperature=0.2, key_init=key_init, heads=heads, key_update=key_update
    )
    return CrosSCLR(lambda: Network(Flat(), projector(4, 5, 3)), 3, options, positives, init)


def views_of(seed, batch=4):
    generator = torch.Generator().manual_seed(seed)
    return {f"{s}/{view}": torch.randn(batch, 12, generator=generator) for s in STREAMS for view in ("query", "key")}


class Plain:
    """All queries or all keys in bare tensors: a linear layer, batch normalisation, ReLU and a head for each stream."""

    def __init__(self, method, role, shared):
        networks = {s: getattr(method.streams[s], role) for s in STREAMS}
        of = lambda layer: [layer.weight.detach().clone(), layer.bias.detach().clone()]  # noqa: E731
        self.body = {s: of(n.encoder.linear) + of(n.encoder.norm) for s, n in networks.items()}
        norms = {s: n.encoder.norm for s, n in networks.items()}
        self.running = {s: [n.running_mean.clone(), n.running_var.clone()] for s, n in norms.items()}
        joint = networks["joint"].projector
        self.head = {"joint": [of(joint[0]), of(joint[2])]}
        for s in ("motion", "bone"):
            own = networks[s].projector
            self.head[s] = [of(own[0]), *self.head["joint"]] if shared else [of(own[0]), of(own[2])]

    def of(self, stream):
        """The trained tensors of a stream; those of a shared head are in all three."""
        return [*self.body[stream], *(tensor for layer in self.head[stream] for tensor in layer)]

    def distinct(self):
        return list({id(tensor): tensor for s in STREAMS for tensor in self.of(s)}.values())

    def embed(self, stream, x):
        weight, bias, gain, shift = self.body[stream]
        h = x @ weight.t() + bias
        mean, variance = h.mean(0), ((h - h.mean(0)) ** 2).mean(0)
        seen = (mean.detach(), variance.detach() * len(x) / (len(x) - 1))
        self.running[stream] = [0.9 * r + 0.1 * new for r, new in zip(self.running[stream], seen, strict=True)]
        z = ((h - mean) / (variance + 1e-5).sqrt() * gain + shift).clamp(min=0)
        for number, (weight, bias) in enumerate(self.head[stream]):
            z = (z if number == 0 else z.clamp(min=0)) @ weight.t() + bias
        return z / z.norm(dim=1, keepdim=True)


def plain_loss(query, key, bank, mining):
    total = 0.0
    for s in STREAMS:
        others = [o for o in STREAMS if o != s]
        if mining:
            terms = [plain_towards(query[s], key[s], bank[s], query[o], bank[o], 0.2, 1, True) for o in others]
            total = total + sum(terms) / 2
            continue
        for i in range(len(query[s])):
            logits = torch.cat([(query[s][i] @ key[s][i])[None], bank[s] @ query[s][i]]) / 0.2
            total = total - torch.log(torch.exp(logits[0]) / torch.exp(logits).sum()) / len(query[s])
    return total


@pytest.mark.parametrize("key_update", ["all", "released"])
@pytest.mark.parametrize("heads", ["own", "shared"])
def test_five_steps_against_a_plain_implementation(heads, key_update):
    """Two steps of InfoNCE and three with neighbours; the queues of 10 wrap round with batches of 4."""
    torch.manual_seed(5)
    method = toy(CrossStream(CrossStreamOptions(nn_start_epoch=2)), heads, key_update).train()
    f_q, f_k = (Plain(method, role, heads == "shared") for role in ("query", "key"))
    bank, at = {s: method.moco(s).queue.t().clone() for s in STREAMS}, 0
    ours = torch.optim.SGD([p for p in method.parameters() if p.requires_grad], 0.1, momentum=0.9, weight_decay=1e-4)
    trained = [tensor.requires_grad_() for tensor in f_q.distinct()]
    velocity = [torch.zeros_like(p) for p in trained]
    for step in range(1, 6):
        views, mining = views_of(step), step > 2
        loss, _ = method(Batch(views, torch.zeros(4, dtype=torch.int64)), epoch=step)
        ours.zero_grad()
        loss.backward()
        ours.step()

        q = {s: f_q.embed(s, views[f"{s}/query"]) for s in STREAMS}
        with torch.no_grad():
            for s in ["motion"] if mining and key_update == "released" else STREAMS:
                for mine, theirs in zip(f_k.of(s), f_q.of(s), strict=True):
                    mine.copy_(0.9 * mine + 0.1 * theirs)
            k = {s: f_k.embed(s, views[f"{s}/key"]) for s in STREAMS}
        expected = plain_loss(q, k, bank, mining)
        assert float(loss.detach()) == pytest.approx(float(expected.detach()), abs=1e-5)
        gradients = torch.autograd.grad(expected, trained)
        with torch.no_grad():
            for p, v, gradient in zip(trained, velocity, gradients, strict=True):
                v.mul_(0.9).add_(gradient + 1e-4 * p)
                p.sub_(0.1 * v)
            for i in range(4):
                for s in STREAMS:
                    bank[s][at] = k[s][i]
                at = (at + 1) % 10
    for s in STREAMS:
        moco = method.moco(s)
        assert int(moco.pointer) == at == 0
        torch.testing.assert_close(moco.queue, bank[s].t())
        for network, plain in ((moco.query, f_q), (moco.key, f_k)):
            mine = [*network.encoder.parameters(), *network.projector.parameters()]
            for ours_, theirs in zip(mine, plain.of(s), strict=True):
                torch.testing.assert_close(ours_.detach(), theirs.detach(), rtol=1e-4, atol=1e-6)
            norm = network.encoder.norm
            torch.testing.assert_close([norm.running_mean, norm.running_var], plain.running[s], rtol=1e-4, atol=1e-6)
            assert int(norm.num_batches_tracked) == 5


def moved(method, epoch):
    """How far each key tensor goes towards its query in one step, as a share of the way: by stream and part."""
    shares = {}
    before = {s: copy.deepcopy(method.moco(s).key) for s in STREAMS}
    method(Batch(views_of(0), torch.zeros(4, dtype=torch.int64)), epoch)
    for s in STREAMS:
        moco = method.moco(s)
        for (name, old), new, goal in zip(
            before[s].named_parameters(), moco.key.parameters(), moco.query.parameters(), strict=True
        ):
            part = "encoder" if name.startswith("encoder") else name.rpartition(".")[0]
            far = (goal - old).abs() > 1e-2  # norms start equal, and so do not move
            if far.any():
                shares.setdefault((s, part), []).append(((new - old) / (goal - old))[far].mean().item())
    return {place: sum(values) / len(values) for place, values in shares.items()}


def test_which_keys_follow():
    """A shared head follows with every stream that does: 1 - 0.9³ of the way with three, 0.1 with one."""
    torch.manual_seed(0)
    build = lambda **more: toy(CrossStream(CrossStreamOptions(nn_start_epoch=1)), **more).train()  # noqa: E731
    tail = {"joint": ("projector.0", "projector.2"), "motion": ("projector.2.0", "projector.2.2")}
    for key_update in ("all", "released"):
        for epoch in (1, 2):
            only_motion = key_update == "released" and epoch == 2
            shares = moved(build(heads="shared", key_update=key_update), epoch)
            for s in STREAMS:
                follows = 0.0 if only_motion and s != "motion" else 0.1
                assert shares[s, "encoder"] == pytest.approx(follows, abs=1e-4)
                if s != "joint":
                    assert shares[s, "projector.0"] == pytest.approx(follows, abs=1e-4)
                for part in tail.get(s, tail["motion"]):
                    assert shares[s, part] == pytest.approx(0.1 if only_motion else 1 - 0.9**3, abs=1e-4)
    shares = moved(build(heads="own", key_update="released"), 2)
    assert {s for (s, _), share in shares.items() if abs(share) > 1e-6} == {"motion"}


# Networks ---------------------------------------------------------------------------------------------------------


def assert_shared(method):
    for role in ("query", "key"):
        joint = getattr(method.moco("joint"), role).projector
        for s in ("motion", "bone"):
            own = getattr(method.moco(s), role).projector
            assert own[2] is joint
            assert own[0].weight.shape == (4, 4)
    assert method.moco("joint").query.projector is not method.moco("joint").key.projector


@pytest.mark.parametrize("key_init", ["copy", "independent"])
def test_the_shared_head_stays_shared(key_init):
    torch.manual_seed(0)
    method, other = (toy(OwnKey(OwnKeyOptions()), "shared", key_init=key_init) for _ in range(2))
    assert_shared(method)
    for s in STREAMS:
        same = [torch.equal(a, b) for a, b in zip(method.moco(s).query.parameters(), method.moco(s).key.parameters(),
                                                   strict=True)]  # fmt: skip
        assert all(same) == (key_init == "copy")
    other.load_state_dict(method.state_dict())
    assert_shared(other)
    with torch.no_grad():
        other.moco("joint").query.projector[0].bias.fill_(7)
    assert (other.moco("bone").query.projector[2][0].bias == 7).all()
    assert_shared(other.double())


def test_own_heads_are_three():
    method = toy(OwnKey(OwnKeyOptions()))
    assert {s: method.evaluated[s] for s in method.evaluated} == {s: method.moco(s).query for s in STREAMS}
    assert len({id(method.moco(s).query.projector) for s in STREAMS}) == 3
    assert all(len(method.moco(s).query.projector) == 3 for s in STREAMS)


def test_the_optimiser_holds_each_parameter_once_and_no_key():
    recipe = load_recipe("crossclr", TINY)
    method = recipe.build_method(KINECT_V2, 60)
    held = [p for group in recipe.build_optimizer(method).param_groups for p in group["params"]]
    assert len({id(p) for p in held}) == len(held)
    queries = {id(p) for s in STREAMS for p in method.moco(s).query.parameters()}
    assert {id(p) for p in held} == queries
    assert not any(p.requires_grad for s in STREAMS for p in method.moco(s).key.parameters())


def test_parameters_at_the_papers_size():
    method = load_recipe("crossclr", ["method.queue_size=8"]).build_method(KINECT_V2, 60)
    assert (method.options.heads, method.options.key_update) == ("shared", "released")
    assert sum(p.numel() for p in method.parameters()) == 5_388_824
    assert sum(p.numel() for p in method.parameters() if p.requires_grad) == 2_694_412


@pytest.mark.parametrize("form", LOSSES)
def test_cross_view_positives_add_the_streams_losses(form):
    torch.manual_seed(0)
    method = toy(CrossView(CrossViewOptions(form=form, nn_start_epoch=1))).eval()
    views, labels = views_of(3), torch.zeros(4, dtype=torch.int64)
    for epoch in (1, 2):
        state, expected = copy.deepcopy(method), 0.0
        for s in STREAMS:
            moco = state.moco(s)
            query = moco.query(views[f"{s}/query"])
            moco.follow()
            pair = Pair(query, moco.embed_keys(views[f"{s}/key"]), moco.queue, 0.2)
            expected = expected + (pair.info_nce if epoch == 1 else LOSSES[form](pair))
        torch.testing.assert_close(copy.deepcopy(method)(Batch(views, labels), epoch)[0], expected)


def test_the_log_has_each_stream_and_their_average():
    torch.manual_seed(0)
    method = toy(CrossStream(CrossStreamOptions(nn_start_epoch=1))).train()
    _, log = method(Batch(views_of(0), torch.zeros(4, dtype=torch.int64)), 1)
    for name in ("info_nce", "spread", "positive", "negative"):
        each = torch.stack([log[f"{name}_{s}"] for s in STREAMS])
        assert each.unique().numel() == 3
        torch.testing.assert_close(log[name], each.mean())
    assert math.isnan(float(log["neighbour_label"]))


def test_a_step_leaves_nothing_behind():
    """Its queues and similarities must go when it ends, not when Python next looks for cycles."""
    seen = []

    class Watching(OwnKey):
        def __call__(self, pair, epoch):
            seen.append(weakref.ref(pair))
            return super().__call__(pair, epoch)

    method = toy(Watching(OwnKeyOptions()))
    gc.disable()
    try:
        method(Batch(views_of(0), torch.zeros(4, dtype=torch.int64)), 1)
        assert [ref() for ref in seen] == [None] * 3
    finally:
        gc.enable()


def test_cross_stream_needs_streams():
    with pytest.raises(BadInput, match="works between streams"):
        load_recipe("skeletonclr", ["positives={name: cross_stream}"])


# Runs -------------------------------------------------------------------------------------------------------------


def test_the_streams_of_a_batch_are_of_the_same_augmented_clip():
    data = np.random.default_rng(0).normal(size=(8, 3, 10, 25, 2)).astype(np.float32)
    views = {"query": build_view("normal"), "key": build_view("normal")}
    batches = Batches(
        data, np.arange(8), np.zeros(8, np.int64), views, STREAMS, KINECT_V2, 4, 1, torch.device("cpu"), 1
    )
    batch = next(iter(batches.epoch(1)))
    assert list(batch.views) == [f"{s}/{view}" for s in STREAMS for view in views]
    assert not torch.equal(batch.views["joint/query"], batch.views["joint/key"])
    for view in views:
        joint = batch.views[f"joint/{view}"].numpy()
        for s in ("motion", "bone"):
            expected = apply_stream(joint.copy(), s, KINECT_V2)
            np.testing.assert_allclose(batch.views[f"{s}/{view}"].numpy(), expected, rtol=0, atol=1e-6)


SETS = [*TINY, "positives.nn_start_epoch=1", "keep_every=1"]


def train(recipe, clips, run, **more):
    return pretrain(recipe, clips, run, **{"split": "xsub60", "stream": "3s", "device": "cpu", "threads": 1} | more)


def log_of(run):
    entries = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
    return [{k: v for k, v in e.items() if k not in ("seconds", "clips_per_second")} for e in entries]


@pytest.fixture(scope="module")
def whole(clips, tmp_path_factory):
    """An undisturbed run of 2 epochs with 3 steps each, the second epoch with neighbours."""
    run = tmp_path_factory.mktemp("crossclr") / "whole"
    recipe = load_recipe("crossclr", SETS, epochs=2)
    assert train(recipe, clips, run).state == "finished"
    return recipe, run


def test_what_a_run_of_three_streams_holds(whole):
    recipe, run = whole
    assert json.loads((run / "settings.json").read_text())["stream"] == "3s"
    assert settings.check(Recipe, settings.load_yaml(run / "recipe.yaml"), run) == recipe
    weights = load_file(run / "weights.safetensors")
    assert {name.split(".")[0] for name in weights} == set(STREAMS)
    assert torch.equal(weights["joint.projector.2.weight"], weights["bone.projector.2.2.weight"])
    assert (run / "weights-0001.safetensors").exists()
    assert [e["neighbour_label_bone"] is None for e in log_of(run)] == [True, False]


@pytest.mark.parametrize("stop_at", [(1, 2), (1, 3), (2, 1)])
def test_resume_is_bit_equal_wherever_it_stopped(whole, clips, tmp_path, stop_at):
    recipe, run = whole

    def kill(event):
        if (event["epoch"], event["step"]) == stop_at:
            os.kill(os.getpid(), signal.SIGTERM)

    assert train(recipe, clips, tmp_path / "run", progress=kill).state == "stopped"
    assert train(recipe, clips, tmp_path / "run").state == "finished"
    for name in ("weights.safetensors", "weights-0001.safetensors", "settings.json"):
        assert (tmp_path / "run" / name).read_bytes() == (run / name).read_bytes(), name
    assert log_of(tmp_path / "run") == log_of(run)
    one, two = (torch.load(r / "checkpoint.pt", weights_only=True) for r in (run, tmp_path / "run"))
    assert all(torch.equal(value, two["method"][name]) for name, value in one["method"].items())
    for number, buffers in one["optimizer"]["state"].items():
        assert torch.equal(buffers["momentum_buffer"], two["optimizer"]["state"][number]["momentum_buffer"])


def test_each_stream_is_evaluated_by_its_own_encoder(whole, clips, tmp_path):
    _, run = whole
    features = {}
    for s in STREAMS:
        metrics = evaluate(run, clips, tmp_path / s, protocols=["knn"], stream=s, device="cpu")
        assert metrics["stream"] == s
        features[s] = np.load(tmp_path / s / "features.npz")["feature"]
    assert not np.allclose(features["joint"], features["motion"])
    assert not np.allclose(features["joint"], features["bone"])
    source = Clips(clips)
    loaded = load_run(run, source, "cpu", stream="bone")
    weights = load_file(run / "weights.safetensors")
    assert torch.equal(loaded.network.projector[2][0].weight, weights["bone.projector.2.0.weight"])
    x = torch.from_numpy(apply_stream(np.ascontiguousarray(source.load()), "bone", KINECT_V2))
    names = list(source.columns["name"])
    rows = [names.index(name) for name in np.load(tmp_path / "bone" / "features.npz")["name"]]
    np.testing.assert_allclose(loaded.network.encoder(x[rows]).numpy(), features["bone"], rtol=1e-4, atol=1e-6)
    with pytest.raises(BadInput, match="choose one by --stream"):
        evaluate(run, clips, tmp_path / "none", protocols=["knn"], device="cpu")


@pytest.mark.parametrize(
    ("recipe", "stream", "says"), [("crossclr", "joint", "use --stream 3s"), ("crosnnclr", "3s", "skelpipe fuse")]
)
def test_the_stream_must_be_one_that_the_recipe_trains(clips, tmp_path, recipe, stream, says):
    words = ["pretrain", recipe, str(clips), str(tmp_path / "run"), "--split", "xsub60", "--stream", stream]
    done = CliRunner().invoke(main, words)
    assert done.exit_code == 2
    assert len(done.output.strip().splitlines()) == 1
    assert says in done.output
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("sick", [(), ("bone",), STREAMS])
def test_the_collapse_of_one_stream_is_told(tmp_path, sick):
    """A spread of nothing and the loss of guessing in one stream, which the averages over the streams hide."""
    guessing, at = math.log(33), Position()
    values = {"loss": 3.0}
    for s in STREAMS:
        values |= {f"info_nce_{s}": guessing if s in sick else 2.0, f"spread_{s}": 1e-5 if s in sick else 0.1}
    for name in ("info_nce", "spread"):
        values[name] = sum(values[f"{name}_{s}"] for s in STREAMS) / 3
    at.add({name: torch.tensor(value) for name, value in values.items()})
    log = Log(tmp_path, at, STREAMS)
    log.write(at, 0.1, 8, guessing, {})
    log.close()
    assert log_of(tmp_path)[0].get("collapsed", False) == bool(sick)
    assert log.warnings == ([f"epoch 1: {COLLAPSE_REMEDY}"] if sick else [])
