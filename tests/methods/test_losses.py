"""The losses on plain tensors: hand-worked values, the methods' own steps, gradients, and what is refused."""

from __future__ import annotations

import math

import pytest
import torch
from torch.nn.functional import normalize

import skelpipe as sk

E = math.e
X, Y = torch.tensor([[1.0, 0.0]]), torch.tensor([[0.0, 1.0]])
BANK = torch.tensor([[1.0, 0.0], [0.0, 1.0]])  # m_1 = x, m_2 = y


def worked(loss: torch.Tensor, by_hand: float) -> None:
    assert loss.shape == ()
    assert math.isclose(float(loss), by_hand, rel_tol=1e-6)


def test_info_nce():
    # q = k = x: e / (e + e + 1)
    worked(sk.info_nce(X, X, BANK, 1.0), -math.log(E / (2 * E + 1)))
    # q = x, k = y: s = 0; and at τ = ½ the similarity 1 counts e²
    worked(sk.info_nce(X, Y, BANK, 0.5), -math.log(1 / (1 + E**2 + 1)))


def test_crosnnclr_in_its_three_forms():
    # q = x, k = y: s = 0, n(q) = m_1 = x, n(k) = m_2 = y; q·m = (1, 0), k·m = (0, 1)
    # equation: (e^0 + e^{n(q)·k}) / (e^0 + e^1 + e^0), twice, with n(q)·k = x·y = 0
    worked(sk.crosnnclr_loss(X, Y, BANK, 1.0), -math.log(2 / (2 + E)))
    # algorithm1: e^0 / (e^0 + e^{n(q)·k}), twice
    worked(sk.crosnnclr_loss(X, Y, BANK, 1.0, form="algorithm1"), math.log(2))
    # released: A = log softmax [0, 1, 0], positives 0 and n(k) = 2; B = log softmax [0, 0, 1], positives 0 and n(q) = 1
    worked(sk.crosnnclr_loss(X, Y, BANK, 1.0, form="released"), math.log(2 + E))


def test_aimclr_mining_and_distribution():
    # log softmax [q·k, q·m] = [0, 1, 0] - log(2 + e); positives: the key and n(q) = m_1
    worked(sk.nnm_loss(X, Y, BANK, temperature=1.0), math.log(2 + E) - 1 / 2)
    # and n(u) = m_2 of a further embedding u = y
    worked(sk.nnm_loss(X, Y, BANK, [Y], 1.0), math.log(2 + E) - 1 / 3)
    # p = softmax [0, 1, 0]; u = y: log softmax [1, 0, 1] = (1, 0, 1) - log(1 + 2e)
    p = [1 / (2 + E), E / (2 + E), 1 / (2 + E)]
    worked(sk.d3m_loss(X, Y, BANK, [Y], 1.0), math.log(1 + 2 * E) - p[0] - p[2])


def test_crosclr_across_streams():
    # here l = (1, 0), s = 0; the partner's query y is nearest to m_2: positives are s and l_2
    told = sk.cross_stream_loss(X, Y, BANK, Y, BANK, 1.0, context=False)
    worked(told, math.log(2 + E))
    # with the context l ⊙ l' = (0, 0) besides: logits [0, 1, 0, 0, 0], positives s, l_2 and its product
    worked(sk.cross_stream_loss(X, Y, BANK, Y, BANK, 1.0), math.log(4 + E))


def test_nt_xent_of_vectors_of_any_length():
    two = torch.eye(2)
    worked(sk.nt_xent(two, 3 * two, 1.0), -math.log(E / (E + 2)))


def units(*seeds: int, size: int = 8) -> list[torch.Tensor]:
    return [normalize(torch.randn(4, size, generator=torch.Generator().manual_seed(s)), dim=1) for s in seeds]


@pytest.mark.parametrize("name", ["info_nce", "crosnnclr_loss", "nnm_loss", "d3m_loss", "cross_stream_loss"])
def test_gradients_are_those_of_finite_differences(name):
    q, k, u = (each.double() for each in units(0, 1, 2))
    bank = normalize(torch.randn(8, 6, generator=torch.Generator().manual_seed(3)).double(), dim=0)
    more = {"nnm_loss": ([u],), "d3m_loss": ([u],), "cross_stream_loss": (u, bank)}.get(name, ())
    at = u if name == "d3m_loss" else q  # of which the query is held fixed

    def loss(x: torch.Tensor) -> torch.Tensor:
        if name == "d3m_loss":
            return sk.d3m_loss(q, k, bank, [x], 0.5)
        return getattr(sk, name)(x, k, bank, *more, temperature=0.5)

    assert torch.autograd.gradcheck(loss, (at.clone().requires_grad_(),))


def test_a_queue_wraps_round_and_its_keys_outlive_the_next_ones():
    queue, (first, second) = sk.Queue(8, 6), units(0, 1)
    before = queue.keys
    q = units(2)[0].requires_grad_()
    loss = sk.info_nce(q, first, queue)
    queue.enqueue(first, torch.arange(4))
    queue.enqueue(second.clone().requires_grad_())
    assert not queue.queue.requires_grad
    loss.backward()  # the queue was changed in place in between
    assert q.grad is not None
    assert (before != queue.keys).any()
    assert (queue.keys[:, [4, 5, 0, 1]] == second.t()).all()
    assert (queue.keys[:, 2:4] == first.t()[:, 2:]).all()
    assert int(queue.pointer) == 2
    assert queue.queue_label.tolist() == [-1, -1, 2, 3, -1, -1]
    assert {*queue.state_dict()} == {"queue", "queue_label", "pointer"}


def test_momentum_moves_parameters_and_only_if_asked_buffers():
    key, query = (torch.nn.Sequential(torch.nn.Linear(2, 2), torch.nn.BatchNorm1d(2)) for _ in range(2))
    with torch.no_grad():
        key[0].weight.fill_(1.0)
        query[0].weight.fill_(3.0)
        query[1].running_mean.fill_(4.0)
    sk.momentum_update(key, query, 0.75)
    assert (key[0].weight == 1.5).all()
    assert (key[1].running_mean == 0).all()
    sk.momentum_update(key, query, 0.5, buffers=True)
    assert (key[1].running_mean == 2).all()


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda q: sk.info_nce(q, q[:2], sk.Queue(8, 4)), r"key: has shape \(2, 8\); give \(B, D\), here \(4, 8\)"),
        (lambda q: sk.info_nce(q, q, torch.zeros(4, 8)), r"queue: has shape \(4, 8\), and embeddings have 8 numbers"),
        (lambda q: sk.info_nce(q, q, sk.Queue(8, 4), 0), "temperature: 0 is not above 0"),
        (lambda q: sk.crosnnclr_loss(q, q, sk.Queue(8, 4), form="paper"), "form: 'paper' is not known"),
        (lambda q: sk.crosnnclr_loss(q, q, sk.Queue(8, 4), top_k=5), "top_k: 5 is none of 1 to 4"),
        (lambda q: sk.d3m_loss(q, q, sk.Queue(8, 4), []), "others: has no embedding"),
        (lambda q: sk.cross_stream_loss(q, q, sk.Queue(8, 4), q, sk.Queue(8, 5)), "partner: is of 4 clips and 5"),
        (lambda q: sk.momentum_update(torch.nn.Linear(2, 2), torch.nn.Linear(2, 3)), "towards: has other parameters"),
        (
            lambda q: sk.momentum_update(torch.nn.Linear(2, 2), torch.nn.Linear(2, 2), 2),
            "momentum: 2 is none of 0 to 1",
        ),
        (lambda q: sk.Queue(0, 4), "size: 0 is below 1"),
        (lambda q: sk.Queue(4, 4, "ones"), "init: 'ones' is not known"),
    ],
)
def test_what_does_not_fit_is_told(call, said):
    with pytest.raises(sk.BadInput, match=said):
        call(units(0)[0])


def unit(count: int, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    return normalize(torch.randn(count, 16), dim=1).to(dtype)


def test_half_precision_is_computed_in_full():
    torch.manual_seed(0)
    query, key, bank = unit(4, torch.bfloat16), unit(4, torch.bfloat16), unit(32).t()
    wanted = sk.info_nce(query.float(), key.float(), bank)
    with torch.autocast("cpu", torch.bfloat16):
        for loss in (sk.info_nce(query, key, bank), sk.info_nce(query.float(), key.float(), bank)):
            assert loss.dtype == torch.float32
            assert loss == wanted
        assert sk.crosnnclr_loss(query, key, bank).dtype == sk.nt_xent(query, key).dtype == torch.float32


def test_the_queue_takes_half_precision_and_nothing_that_does_not_fit():
    queue = sk.Queue(16, 8)
    queue.enqueue(unit(2, torch.bfloat16))
    before, labels = queue.keys, torch.arange(3)
    for keys, told, said in (
        (unit(2)[:, :3], None, "keys: have shape"),
        (unit(2).long(), None, "keys: have shape"),
        (unit(2).numpy(), None, "keys: are of type ndarray"),
        (unit(2), labels, "labels: have shape"),
    ):
        with pytest.raises(sk.BadInput, match=said):
            queue.enqueue(keys, told)
    assert (queue.keys == before).all()
    assert int(queue.pointer) == 2


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"query": unit(4).numpy()}, "query: is of type ndarray"),
        ({"query": unit(4).long()}, "query: holds int64"),
        ({"key": unit(3)}, "key: has shape"),
        ({"query": unit(0), "key": unit(0)}, "query: has shape"),
        ({"queue": None}, "queue: is of type NoneType"),
        ({"temperature": "0.1"}, "temperature: '0.1' is not above 0"),
    ],
)
def test_what_a_loss_cannot_take_is_told(given, said):
    with pytest.raises(sk.BadInput, match=said):
        sk.info_nce(**{"query": unit(4), "key": unit(4), "queue": unit(8).t(), **given})
