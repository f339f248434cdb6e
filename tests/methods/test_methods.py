"""Losses against values worked out from their formulas, and momentum contrast against a plain implementation."""

from __future__ import annotations

import copy
import math

import pytest
import torch
from torch import nn

from skelpipe import ranks
from skelpipe.clips.batches import Batch
from skelpipe.methods import METHODS
from skelpipe.methods.aimclr import AimCLROptions, UnionOptions
from skelpipe.methods.crosnnclr import LOSSES, CrossView, CrossViewOptions
from skelpipe.methods.crossclr import CrosSCLROptions, CrossStreamOptions
from skelpipe.methods.moco import MoCo, MoCoOptions
from skelpipe.methods.network import Network, initialise, projector
from skelpipe.methods.positives import OwnKey, OwnKeyOptions, Pair
from skelpipe.methods.skeletonclr import SkeletonCLR, SkeletonCLROptions, observe

TAU = 0.5


def unit(*degrees):
    return torch.tensor([[math.cos(math.radians(d)), math.sin(math.radians(d))] for d in degrees], dtype=torch.float64)


def hand_pair():
    """Two clips in the plane: cosines are those of the angles between the vectors."""
    return Pair(unit(0, 90), unit(30, 60), unit(10, 50, 100, 200).t().contiguous(), TAU)


def e(degrees):
    return math.exp(math.cos(math.radians(degrees)) / TAU)


def test_info_nce_by_hand():
    # clip 0: q at 0°, k at 30°, queue at 10, 50, 100, 200; clip 1: q at 90°, k at 60°.
    first = -math.log(e(30) / (e(30) + e(10) + e(50) + e(100) + e(200)))
    second = -math.log(e(30) / (e(30) + e(80) + e(40) + e(10) + e(110)))
    assert float(hand_pair().info_nce) == pytest.approx((first + second) / 2, abs=1e-12)


def test_neighbours_by_hand():
    pair = hand_pair()
    assert pair.query_neighbours().flatten().tolist() == [0, 2]  # 0° -> 10°, 90° -> 100°
    assert pair.key_neighbours(2).tolist() == [[0, 1], [1, 2]] or pair.key_neighbours(2).tolist() == [[1, 0], [1, 2]]


def test_equation_form_by_hand():
    """n(q) is at 10° and 100°, n(k) at 10° (20 away; 50° is 20 away too, so clip 0's key is moved) and 50°."""
    pair = Pair(unit(0, 90), unit(28, 60), unit(10, 50, 100, 200).t().contiguous(), TAU)
    # clip 0: s = 28°; n(q)=10° is 18° from k; n(k)=10° is 10° from q.
    qk0 = -math.log((e(28) + e(18)) / (e(28) + e(10) + e(50) + e(100) + e(200)))
    kq0 = -math.log((e(28) + e(10)) / (e(28) + e(18) + e(22) + e(72) + e(172)))
    # clip 1: s = 30°; n(q)=100° is 40° from k; n(k)=50° is 40° from q.
    qk1 = -math.log((e(30) + e(40)) / (e(30) + e(80) + e(40) + e(10) + e(110)))
    kq1 = -math.log((e(30) + e(40)) / (e(30) + e(50) + e(10) + e(40) + e(140)))
    expected = ((qk0 + kq0) / 2 + (qk1 + kq1) / 2) / 2
    assert float(LOSSES["equation"](pair)) == pytest.approx(expected, abs=1e-12)


def test_algorithm1_form_by_hand():
    pair = Pair(unit(0, 90), unit(28, 60), unit(10, 50, 100, 200).t().contiguous(), TAU)
    # first half: rows are keys against queries, then n(q_i) against keys (n(q) = 10°, 100°).
    first0 = -math.log(e(28) / (e(28) + e(62) + e(18) + e(50)))
    first1 = -math.log(e(30) / (e(60) + e(30) + e(72) + e(40)))
    # second half: queries against keys, then n(k_i) against queries (n(k) = 10°, 50°).
    second0 = -math.log(e(28) / (e(28) + e(60) + e(10) + e(80)))
    second1 = -math.log(e(30) / (e(62) + e(30) + e(50) + e(40)))
    expected = ((first0 + first1) / 2 + (second0 + second1) / 2) / 2
    assert float(LOSSES["algorithm1"](pair)) == pytest.approx(expected, abs=1e-12)


def test_algorithm1_form_takes_its_negatives_from_all_ranks(monkeypatch):
    """Two ranks with two clips each have the mean loss of four."""
    query, key, queue = unit(0, 90, 150, 200), unit(28, 60, 170, 210), unit(10, 50, 100, 200).t().contiguous()
    algorithm1, loss = LOSSES["algorithm1"], []
    for rank in (0, 1):
        mine = slice(2 * rank, 2 * rank + 2)
        part = Pair(query[mine], key[mine], queue, TAU)
        everybody = {id(part.query): query, id(part.key): key}
        monkeypatch.setattr(ranks, "mine", lambda rank=rank: rank)
        for name in ("gather", "gather_with_gradient"):
            monkeypatch.setattr(ranks, name, lambda x, everybody=everybody: everybody[id(x)])
        loss.append(float(algorithm1(part)))
    monkeypatch.undo()
    assert sum(loss) / 2 == pytest.approx(float(algorithm1(Pair(query, key, queue, TAU))), abs=1e-12)


def test_released_form_by_hand():
    pair = Pair(unit(0, 90), unit(28, 60), unit(10, 50, 100, 200).t().contiguous(), TAU)
    a0 = e(28) + e(10) + e(50) + e(100) + e(200)
    b0 = e(28) + e(18) + e(22) + e(72) + e(172)
    a1 = e(30) + e(80) + e(40) + e(10) + e(110)
    b1 = e(30) + e(50) + e(10) + e(40) + e(140)
    # L1: own key and the key's neighbour (10°, 50°) as seen from q; L2: own key and the query's neighbour (10°, 100°).
    l1 = [-(math.log(e(28) / a0) + math.log(e(10) / a0)) / 2, -(math.log(e(30) / a1) + math.log(e(40) / a1)) / 2]
    l2 = [-(math.log(e(28) / b0) + math.log(e(18) / b0)) / 2, -(math.log(e(30) / b1) + math.log(e(40) / b1)) / 2]
    expected = (sum(l1) / 2 + sum(l2) / 2) / 2
    assert float(LOSSES["released"](pair)) == pytest.approx(expected, abs=1e-12)


def random_pair(query, top=0, batch=5, size=6, places=9):
    generator = torch.Generator().manual_seed(top)
    draw = lambda *shape: nn.functional.normalize(torch.randn(*shape, generator=generator, dtype=torch.float64), dim=-1)  # noqa: E731
    key, queue = draw(batch, size), draw(places, size).t().contiguous()
    return Pair(query, key, queue, 0.3)


def by_loops(form, pair, top_k):
    """The three losses written as sums of exponentials over plain Python loops."""
    q, k, m, t = pair.query, pair.key, pair.queue.t(), pair.temperature
    dot = lambda a, b: math.exp(float(a @ b) / t)  # noqa: E731
    near = lambda u: sorted(range(len(m)), key=lambda j: -float(u @ m[j]))[:top_k]  # noqa: E731
    total, n = 0.0, len(q)
    for i in range(n):
        s = dot(q[i], k[i])
        over_q, over_k = s + sum(dot(q[i], x) for x in m), s + sum(dot(k[i], x) for x in m)
        nq, nk = [m[j] for j in near(q[i])], [m[j] for j in near(k[i])]
        if form == "equation":
            total -= math.log((s + sum(dot(x, k[i]) for x in nq)) / over_q) / 2
            total -= math.log((s + sum(dot(x, q[i]) for x in nk)) / over_k) / 2
        elif form == "algorithm1":
            first = sum(dot(k[i], x) for x in q) + sum(dot(y, x) for y in nq for x in k)
            second = sum(dot(q[i], x) for x in k) + sum(dot(y, x) for y in nk for x in q)
            total -= (math.log(s / first) + math.log(s / second)) / 2
        else:
            l1 = [s / over_q, *(dot(q[i], x) / over_q for x in nk)]
            l2 = [s / over_k, *(dot(k[i], x) / over_k for x in nq)]
            total -= (sum(map(math.log, l1)) / len(l1) + sum(map(math.log, l2)) / len(l2)) / 2
    return total / n


@pytest.mark.parametrize("form", LOSSES)
@pytest.mark.parametrize("top_k", [1, 3])
def test_forms_against_loops(form, top_k):
    query = nn.functional.normalize(torch.randn(5, 6, dtype=torch.float64), dim=1)
    pair = random_pair(query)
    assert float(LOSSES[form](pair, top_k)) == pytest.approx(by_loops(form, pair, top_k), abs=1e-10)


@pytest.mark.parametrize("form", [*LOSSES, "own"])
def test_gradients_against_finite_differences(form):
    torch.manual_seed(1)
    raw = torch.randn(5, 6, dtype=torch.float64, requires_grad=True)
    loss = (lambda pair: pair.info_nce) if form == "own" else LOSSES[form]
    assert torch.autograd.gradcheck(lambda x: loss(random_pair(nn.functional.normalize(x, dim=1))), raw, eps=1e-7)


def test_equation_form_is_never_negative_and_vanishes_between():
    """Each half can be negative, the mean not; with a sole neighbour between q and k both halves cancel."""
    torch.manual_seed(0)
    queries = nn.functional.normalize(torch.randn(50, 5, 6, dtype=torch.float64), dim=2)
    for number, query in enumerate(queries):
        pair = random_pair(query, number)
        assert all(float(LOSSES["equation"](pair, top_k)) >= -1e-12 for top_k in (1, 2, 9))
    between = Pair(unit(0), unit(60), unit(45).t().contiguous(), 0.05)
    qk = math.log(math.exp(0.5 / 0.05) + math.exp(math.cos(math.radians(45)) / 0.05))
    qk -= math.log(math.exp(0.5 / 0.05) + math.exp(math.cos(math.radians(15)) / 0.05))
    assert qk < -5
    assert float(LOSSES["equation"](between)) == pytest.approx(0, abs=1e-9)


def test_neighbours_start_after_their_epoch():
    positives = CrossView(CrossViewOptions(form="released", nn_start_epoch=150))
    pair = hand_pair()
    assert float(positives(pair, 150)) == float(pair.info_nce)
    assert float(positives(pair, 151)) == float(LOSSES["released"](pair))
    assert (positives.mining(150), positives.mining(151)) == (False, True)


class Flat(nn.Module):
    features = 4

    def __init__(self):
        super().__init__()
        self.linear, self.norm = nn.Linear(12, 4), nn.BatchNorm1d(4)

    def forward(self, x):
        return torch.relu(self.norm(self.linear(x.flatten(1))))


def toy(positives, key_init="independent", queue_size=10):
    options = SkeletonCLROptions(queue_size=queue_size, momentum=0.9, temperature=0.2, key_init=key_init)
    return SkeletonCLR(lambda: Network(Flat(), projector(4, 4, 3)), 3, options, positives, "torch")


def test_five_steps_against_a_plain_implementation():
    """Weights, BN statistics, queue and pointer after five steps; the queue of 10 wraps round with batches of 4."""
    torch.manual_seed(3)
    method = toy(OwnKey(OwnKeyOptions())).train()
    f_q, f_k = copy.deepcopy(method.moco.query), copy.deepcopy(method.moco.key)
    bank, at = method.moco.queue.clone(), 0
    ours = torch.optim.SGD([p for p in method.parameters() if p.requires_grad], 0.1, momentum=0.9, weight_decay=1e-4)
    velocity = [torch.zeros_like(p) for p in f_q.parameters()]
    for step in range(5):
        generator = torch.Generator().manual_seed(step)
        a, b = torch.randn(2, 4, 12, generator=generator)
        loss, _ = method(Batch({"query": a, "key": b}, torch.zeros(4, dtype=torch.int64)), epoch=step + 1)
        ours.zero_grad()
        loss.backward()
        ours.step()

        f_q.zero_grad()
        q = f_q.projector(f_q.encoder(a))
        q = q / q.norm(dim=1, keepdim=True)
        with torch.no_grad():
            for p, r in zip(f_k.parameters(), f_q.parameters(), strict=True):
                p.copy_(0.9 * p + 0.1 * r)
            k = f_k.projector(f_k.encoder(b))
            k = k / k.norm(dim=1, keepdim=True)
        expected = 0.0
        for i in range(4):
            logits = torch.stack([q[i] @ k[i], *(q[i] @ bank[:, j] for j in range(10))]) / 0.2
            expected = expected - torch.log(torch.exp(logits[0]) / torch.exp(logits).sum()) / 4
        assert float(loss.detach()) == pytest.approx(float(expected.detach()), abs=1e-5)
        expected.backward()
        with torch.no_grad():
            for p, v in zip(f_q.parameters(), velocity, strict=True):
                v.mul_(0.9).add_(p.grad + 1e-4 * p)
                p.sub_(0.1 * v)
            for row in k:
                bank[:, at] = row
                at = (at + 1) % 10
    assert int(method.moco.pointer) == at == 0
    torch.testing.assert_close(method.moco.queue, bank)
    for mine, plain in ((method.moco.query, f_q), (method.moco.key, f_k)):
        for name, value in plain.state_dict().items():
            torch.testing.assert_close(mine.state_dict()[name], value, rtol=1e-4, atol=1e-6, msg=name)


@pytest.mark.parametrize("form", ["own", "equation", "released"])
def test_training_tells_clips_apart(form):
    """Fresh clips at each step, views with a little noise: InfoNCE must fall well below that of guessing."""
    torch.manual_seed(0)
    own = form == "own"
    method = toy(
        OwnKey(OwnKeyOptions()) if own else CrossView(CrossViewOptions(form=form, nn_start_epoch=0)), "copy", 32
    )
    sgd = torch.optim.SGD(method.moco.query.parameters(), 0.2, momentum=0.9)
    losses = []
    for _ in range(150):
        x = torch.randn(16, 12)
        views = {"query": x + 0.05 * torch.randn(16, 12), "key": x + 0.05 * torch.randn(16, 12)}
        loss, log = method.train()(Batch(views, torch.zeros(16, dtype=torch.int64)), 1)
        sgd.zero_grad()
        loss.backward()
        sgd.step()
        losses.append(float(log["info_nce"]))
    assert sum(losses[-10:]) / 10 < 0.8 * math.log(33)


def test_key_init():
    torch.manual_seed(0)
    copied, drawn = toy(OwnKey(OwnKeyOptions()), "copy").moco, toy(OwnKey(OwnKeyOptions()), "independent").moco
    same = [torch.equal(a, b) for a, b in zip(copied.query.parameters(), copied.key.parameters(), strict=True)]
    assert all(same)
    assert not torch.equal(drawn.query.encoder.linear.weight, drawn.key.encoder.linear.weight)
    assert not any(p.requires_grad for p in copied.key.parameters())


def test_momentum_moves_parameters_and_leaves_statistics():
    torch.manual_seed(0)
    moco = MoCo(lambda: Network(Flat(), projector(4, 4, 3)), 3, MoCoOptions(queue_size=4, momentum=0.75), "torch")
    with torch.no_grad():
        moco.query.encoder.linear.weight.fill_(1.0)
        moco.key.encoder.linear.weight.fill_(0.0)
    moco.query.encoder.norm.running_mean.fill_(7.0)
    moco.eval().follow()
    moco.embed_keys(torch.randn(2, 12))
    torch.testing.assert_close(moco.key.encoder.linear.weight, torch.full((4, 12), 0.25))
    assert float(moco.key.encoder.norm.running_mean.abs().max()) == 0


def test_neighbour_labels_are_logged():
    torch.manual_seed(0)
    method = toy(CrossView(CrossViewOptions(nn_start_epoch=1)), queue_size=8).train()
    views = {"query": torch.randn(4, 12), "key": torch.randn(4, 12)}
    labels = torch.tensor([5, 5, 5, 5])
    _, before = method(Batch(views, labels), epoch=1)
    assert math.isnan(float(before["neighbour_label"]))
    method(Batch(views, labels), epoch=1)  # now all eight places hold class 5
    _, after = method(Batch(views, labels), epoch=2)
    assert float(after["neighbour_label"]) == 1
    _, other = method(Batch(views, labels + 1), epoch=2)
    assert float(other["neighbour_label"]) == 0


def test_bfloat16_is_confined_to_the_encoder():
    torch.manual_seed(0)
    seen = []

    def positives(pair, epoch):
        seen.extend([pair.query.dtype, pair.key.dtype, pair.query_negatives.dtype, pair.positive.dtype])
        return LOSSES["equation"](pair)

    positives.mining = lambda epoch: True
    method = toy(positives).train()
    for network in (method.moco.query, method.moco.key):
        network.bfloat16_encoder = True
        network.encoder.register_forward_hook(lambda module, inputs, output: seen.append(output.dtype))
    views = {"query": torch.randn(4, 12), "key": torch.randn(4, 12)}
    loss, log = method(Batch(views, torch.zeros(4, dtype=torch.int64)), 1)
    assert seen == [torch.bfloat16] * 2 + [torch.float32] * 4
    assert {loss.dtype, *(value.dtype for value in log.values())} == {torch.float32}
    # The similarities are those of the embeddings, not of embeddings rounded to eight bits.
    z = method.moco.query(views["query"])
    pair = Pair(z, z, method.moco.queue, 1.0)
    torch.testing.assert_close(
        pair.query_negatives, (z.double() @ method.moco.queue.double()).float(), rtol=0, atol=1e-6
    )


def test_initialise_torch_draws_anew():
    network = Network(Flat(), projector(4, 4, 3))
    before = network.encoder.linear.weight.clone()
    initialise(network, "torch")
    assert not torch.equal(before, network.encoder.linear.weight)


@pytest.mark.parametrize(
    ("options", "defaults"),
    [
        (MoCoOptions, {"queue_size": 32768, "momentum": 0.999, "temperature": 0.07, "key_init": "copy"}),
        (AimCLROptions, {"drop_threshold": 0.7, "drop_lambda": 1e-4, "d3m_weight": 1.0}),
        (CrosSCLROptions, {"heads": "own", "key_update": "all"}),
        (UnionOptions, {"nn_start_epoch": 150, "top_k": 1}),
        (CrossStreamOptions, {"nn_start_epoch": 150, "top_k": 1, "context": True}),
        (
            CrossViewOptions,
            {"form": "equation", "nn_start_epoch": 150, "top_k": 1, "keep_union": False, "weight": 1.0},
        ),
    ],
)
def test_what_recipes_may_leave_out(options, defaults):
    found = options()
    assert {name: getattr(found, name) for name in defaults} == defaults


@pytest.mark.parametrize(
    ("options", "name", "taken", "refused"),
    [
        (MoCoOptions, "queue_size", (1,), (0,)),
        (MoCoOptions, "momentum", (0, 0.5, 1), (-0.5, 1.5)),
        (MoCoOptions, "temperature", (0.01, 1, 2), (0, -0.5)),
        (AimCLROptions, "drop_threshold", (0.51, 1), (0.5, 1.01)),
        (AimCLROptions, "drop_lambda", (1e-9, 1), (0,)),
        (AimCLROptions, "d3m_weight", (0, 0.5), (-0.5,)),
        (CrossViewOptions, "weight", (0.1, 1), (0, -0.5)),
        (CrossViewOptions, "top_k", (1, 2), (0,)),
        (CrossViewOptions, "nn_start_epoch", (0,), (-1,)),
    ],
)
def test_what_recipes_may_say(options, name, taken, refused):
    for value in taken:
        assert getattr(options(**{name: value}), name) == value
    for value in refused:
        with pytest.raises(ValueError, match=name):
            options(**{name: value})


def test_what_a_method_is():
    ours = {name: METHODS[name] for name in ("skeletonclr", "aimclr", "crossclr", "supervised")}
    assert [name for name, method in ours.items() if method.SUPERVISED] == ["supervised"]
    assert [name for name, method in ours.items() if method.STREAMS] == ["crossclr"]
    method = toy(OwnKey(OwnKeyOptions()))
    assert method.evaluated is method.moco.query


def test_a_queue_starts_as_unit_vectors_of_no_class():
    moco = toy(OwnKey(OwnKeyOptions())).moco
    torch.testing.assert_close(moco.queue.norm(dim=0), torch.ones(10))
    assert moco.queue_label.tolist() == [-1] * 10
    assert int(moco.pointer) == 0


def test_neither_keys_nor_the_log_hang_on_a_gradient():
    """Else the graph of every step so far would stay in memory."""
    method = toy(OwnKey(OwnKeyOptions())).train()
    views = {"query": torch.randn(4, 12), "key": torch.randn(4, 12)}
    loss, log = method(Batch(views, torch.zeros(4, dtype=torch.int64)), 500)
    assert loss.requires_grad
    assert not any(value.requires_grad for value in log.values())
    assert not any(value.requires_grad for value in [*method.moco.key.parameters(), method.moco.queue])
    assert math.isnan(float(log["neighbour_label"]))  # own keys are all that is ever mined


def test_the_log_by_hand():
    pair = Pair(unit(0, 90), unit(28, 60), unit(10, 50, 100, 200).t().contiguous(), TAU)
    log = observe(pair, torch.tensor([3, 4]), torch.tensor([3, 5, 4, 9]), mining=True)
    cos = lambda degrees: math.cos(math.radians(degrees))  # noqa: E731
    assert float(log["positive"]) == pytest.approx((cos(28) + cos(30)) / 2)
    assert float(log["negative"]) == pytest.approx(sum(map(cos, (10, 50, 100, 200, 80, 40, 10, 110))) / 8)
    # The embeddings are (1, 0) and (0, 1): each coordinate deviates by sqrt(1/2).
    assert float(log["spread"]) == pytest.approx(math.sqrt(0.5))
    # Clip 0, of class 3, mines 10° (3) by its query and 10° by its key; clip 1, of class 4, 100° (4) and 50° (5).
    assert float(log["neighbour_label"]) == 0.75
