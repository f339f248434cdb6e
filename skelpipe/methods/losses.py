"""The losses of the contrastive methods on plain tensors, for training loops of one's own.

They are what the methods themselves run: each makes a `Pair` and calls the same function. B clips, D numbers of an
embedding, K places of the queue. Half precision is made float32 first, under autocast, too. Where a gradient is not
wanted, as in keys and queues, it is not stopped here: detach what is to stay constant (`Queue.keys` has none).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import wraps
from typing import Literal, ParamSpec

import torch
from torch import Tensor

from skelpipe.errors import BadInput
from skelpipe.methods.aimclr import distribution_loss
from skelpipe.methods.crosnnclr import LOSSES
from skelpipe.methods.crossclr import CrossStream, CrossStreamOptions
from skelpipe.methods.ms2l import nt
from skelpipe.methods.positives import Pair, mined, mining_loss
from skelpipe.methods.queue import Queue

TEMPERATURE = 0.07
Given = ParamSpec("Given")


def in_full(loss: Callable[Given, Tensor]) -> Callable[Given, Tensor]:
    """The loss outside of autocast, whose bfloat16 similarities would be too coarse at a τ of 0.07."""

    @wraps(loss)
    def computed(*args: Given.args, **options: Given.kwargs) -> Tensor:
        device = next((each.device.type for each in (*args, *options.values()) if isinstance(each, Tensor)), "cpu")
        with torch.autocast(device, enabled=False):
            return loss(*args, **options)

    return computed


@in_full
def info_nce(query: Tensor, key: Tensor, queue: Tensor | Queue, temperature: float = TEMPERATURE) -> Tensor:
    """InfoNCE: a query is pulled to the key of its own clip and pushed from the queue.

    -log e^{q·k/τ} / (e^{q·k/τ} + Σ_j e^{q·m_j/τ}), averaged over the batch: He et al., Momentum Contrast for
    Unsupervised Visual Representation Learning (CVPR 2020), Eq. 1; the loss of SkeletonCLR.

    Args:
        query: (B, D) unit vectors.
        key: (B, D) unit vectors of another view of the same clips.
        queue: (D, K) unit vectors, or a `Queue`.
        temperature: τ.

    Returns:
        A scalar.

    Raises:
        BadInput: the tensors do not fit each other, or τ is not above 0.

    Example:
        >>> q = torch.eye(2)
        >>> sk.info_nce(q, q, torch.zeros(2, 3), temperature=1.0)  # -log e / (e + 3)
        tensor(0.7437)
    """
    return pair_of(query, key, queue, temperature).info_nce


@in_full
def crosnnclr_loss(
    query: Tensor,
    key: Tensor,
    queue: Tensor | Queue,
    temperature: float = TEMPERATURE,
    *,
    form: Literal["equation", "algorithm1", "released"] = "equation",
    top_k: int = 1,
) -> Tensor:
    """CrosNNCLR: for each view, the nearest neighbour of the other view in the queue is a further positive.

    Zhang et al., Cross-View Nearest Neighbor Contrastive Learning of Human Skeleton Representation (2022). Its three
    published forms differ: "equation" is Eqs. 6-8 as printed, "algorithm1" its pseudocode, "released" the loss of the
    authors' public code.

    Args:
        query: (B, D) unit vectors.
        key: (B, D) unit vectors of another view of the same clips.
        queue: (D, K) unit vectors, or a `Queue`.
        temperature: τ.
        form: which of the three.
        top_k: how many neighbours.

    Returns:
        A scalar.

    Raises:
        BadInput: the tensors do not fit each other, there is no such form, or the queue has fewer than `top_k` places.

    Example:
        >>> q, k = (torch.nn.functional.normalize(torch.randn(8, 16), dim=1) for _ in range(2))
        >>> loss = sk.crosnnclr_loss(q, k, sk.Queue(16, 64))
        >>> loss.shape
        torch.Size([])
    """
    if form not in LOSSES:
        raise BadInput("form", f"{form!r} is not known", f"use one of {', '.join(LOSSES)}")
    pair = pair_of(query, key, queue, temperature)
    return LOSSES[form](pair, check_top_k(top_k, pair))


@in_full
def nnm_loss(
    query: Tensor,
    key: Tensor,
    queue: Tensor | Queue,
    others: Sequence[Tensor] = (),
    temperature: float = TEMPERATURE,
    *,
    top_k: int = 1,
) -> Tensor:
    """AimCLR's nearest-neighbour mining: the neighbours of the query and of further embeddings are positives, too.

    -mean over the positives of log softmax [q·k, q·m] / τ: Guo et al., Contrastive Learning from Extremely Augmented
    Skeleton Sequences for Self-supervised Action Recognition (AAAI 2022), "Nearest neighbors mining", as its public
    code has it.

    Args:
        query: (B, D) unit vectors.
        key: (B, D) unit vectors of another view of the same clips.
        queue: (D, K) unit vectors, or a `Queue`.
        others: further embeddings of the same clips, each (B, D), as of an extreme view.
        temperature: τ.
        top_k: how many neighbours each of them names.

    Returns:
        A scalar.

    Raises:
        BadInput: the tensors do not fit each other, or the queue has fewer than `top_k` places.

    Example:
        >>> q, k, x = (torch.nn.functional.normalize(torch.randn(8, 16), dim=1) for _ in range(3))
        >>> float(sk.nnm_loss(q, k, sk.Queue(16, 64), [x])) > 0
        True
    """
    pair = pair_of(query, key, queue, temperature, others)
    return mining_loss(pair, mined(pair, check_top_k(top_k, pair)))


@in_full
def d3m_loss(
    query: Tensor, key: Tensor, queue: Tensor | Queue, others: Sequence[Tensor], temperature: float = TEMPERATURE
) -> Tensor:
    """AimCLR's D³M: the similarities of further embeddings follow those of the query, which is held fixed.

    The mean over `others` u of -Σ_j p_j log softmax [u·k, u·m]_j / τ with p = softmax [q·k, q·m] / τ: AimCLR
    (AAAI 2022), Eqs. 6-8.

    Args:
        query: (B, D) unit vectors; no gradient reaches it.
        key: (B, D) unit vectors of another view of the same clips.
        queue: (D, K) unit vectors, or a `Queue`.
        others: one embedding or more of the same clips, each (B, D); of AimCLR those of the extreme view, whole and
            after `attention_drop`.
        temperature: τ.

    Returns:
        A scalar.

    Raises:
        BadInput: the tensors do not fit each other, or there are no others.

    Example:
        >>> q = torch.eye(2)
        >>> sk.d3m_loss(q, q, torch.zeros(2, 1), [q], temperature=1.0)  # the entropy of softmax [1, 0]
        tensor(0.5822)
    """
    if not len(others):
        raise BadInput("others", "has no embedding", "give those of an extreme view")
    return distribution_loss(pair_of(query, key, queue, temperature, others))


@in_full
def cross_stream_loss(
    query: Tensor,
    key: Tensor,
    queue: Tensor | Queue,
    partner_query: Tensor,
    partner_queue: Tensor | Queue,
    temperature: float = TEMPERATURE,
    *,
    top_k: int = 1,
    context: bool = True,
) -> Tensor:
    """CrosSCLR: clips that are near in another stream are positives in this one.

    -mean over the positives of log softmax [s, l / τ, l ⊙ l' / τ], with s = q·k / τ, l_j = q·m_j in this stream and
    l'_j in the partner: Li et al., 3D Human Action Representation Learning via Cross-View Consistency Pursuit
    (CVPR 2021), §3.2, as its public code has it.

    Args:
        query: (B, D) unit vectors of this stream.
        key: (B, D) unit vectors of another view of the same clips in this stream.
        queue: (D, K) unit vectors, or a `Queue`.
        partner_query: (B, D') unit vectors of the same clips in the partner.
        partner_queue: (D', K); place j holds the same clip as place j of `queue`.
        temperature: τ.
        top_k: how many neighbours the partner names.
        context: also contrast the products of the two streams' similarities.

    Returns:
        A scalar.

    Raises:
        BadInput: the tensors do not fit each other, or the queue has fewer than `top_k` places.

    Example:
        >>> q, k, p = (torch.nn.functional.normalize(torch.randn(8, 16), dim=1) for _ in range(3))
        >>> float(sk.cross_stream_loss(q, k, sk.Queue(16, 64), p, sk.Queue(16, 64))) > 0
        True
    """
    pair = pair_of(query, key, queue, temperature)
    other = pair_of(partner_query, partner_query, partner_queue, temperature)
    if other.queue.shape[1] != pair.queue.shape[1] or len(other.query) != len(pair.query):
        what = f"is of {len(other.query)} clips and {other.queue.shape[1]} places, this stream of {len(pair.query)} and"
        raise BadInput("partner", f"{what} {pair.queue.shape[1]}", "let both streams have the same clips and queues")
    options = CrossStreamOptions(nn_start_epoch=0, top_k=check_top_k(top_k, pair), context=context)
    return CrossStream(options).towards(pair, other)


@in_full
def nt_xent(x: Tensor, y: Tensor, temperature: float = 0.1) -> Tensor:
    """SimCLR's NT-Xent between two views, both directions: all other clips of the batch are negatives.

    Each of the 2B embeddings is pulled to its counterpart among the 2B - 1 others: Chen et al., A Simple Framework for
    Contrastive Learning of Visual Representations (ICML 2020), Eq. 1.

    Args:
        x: (B, D), of any length; similarities are cosines.
        y: (B, D) of another view of the same clips.
        temperature: τ.

    Returns:
        A scalar.

    Raises:
        BadInput: the tensors do not fit each other, or τ is not above 0.

    Example:
        >>> x = torch.eye(2)
        >>> sk.nt_xent(x, x, temperature=1.0)  # -log e / (e + 2)
        tensor(0.5514)
    """
    check_tensor("x", x)
    check_embeddings("x", x, x.shape, temperature)
    check_embeddings("y", y, x.shape, temperature)
    x, y = of_one_type(x, y)
    return nt(x, y, temperature, "never")


def pair_of(
    query: Tensor, key: Tensor, queue: Tensor | Queue, temperature: float, others: Sequence[Tensor] = ()
) -> Pair:
    """A `Pair` of tensors that were looked at; raises BadInput where they do not fit each other."""
    bank = queue.keys if isinstance(queue, Queue) else queue
    check_tensor("query", query)
    check_embeddings("query", query, query.shape, temperature)
    for name, other in (("key", key), *((f"others[{n}]", other) for n, other in enumerate(others))):
        check_embeddings(name, other, query.shape, temperature)
    check_tensor("queue", bank)
    if bank.dim() != 2 or bank.shape[0] != query.shape[1]:
        what = f"has shape {tuple(bank.shape)}, and embeddings have {query.shape[1]} numbers"
        raise BadInput("queue", what, "give (D, K): a column for each past key")
    query, key, bank, *further = of_one_type(query, key, bank, *others)
    return Pair(query, key, bank, temperature, others=tuple(further))


def of_one_type(*given: Tensor) -> list[Tensor]:
    """The tensors as float64 if one of them is, and else as float32."""
    wide = torch.float64 if any(each.dtype == torch.float64 for each in given) else torch.float32
    return [each.to(wide) for each in given]


def check_tensor(name: str, given: Tensor) -> None:
    """Raise BadInput unless it is a tensor of floating-point numbers."""
    if not isinstance(given, Tensor):
        raise BadInput(name, f"is of type {type(given).__name__}", "give a torch tensor")
    if not given.is_floating_point():
        raise BadInput(name, f"holds {given.dtype}".replace("torch.", ""), "give floating-point numbers")


def check_embeddings(name: str, given: Tensor, shape: torch.Size, temperature: float) -> None:
    """Raise BadInput unless `given` is (B, D) of that shape, of a clip or more, and τ above 0."""
    check_tensor(name, given)
    if given.dim() != 2 or given.shape != shape or not len(given):
        known = f", here {tuple(shape)}" if given.shape != shape else ", of a clip or more"
        raise BadInput(name, f"has shape {tuple(given.shape)}", f"give (B, D){known}")
    if not isinstance(temperature, int | float | Tensor) or not temperature > 0:
        raise BadInput("temperature", f"{temperature!r} is not above 0", "use a number, for example 0.07")


def check_top_k(top_k: int, pair: Pair) -> int:
    """The number of neighbours, or BadInput if the queue has not as many places."""
    if not isinstance(top_k, int) or not 1 <= top_k <= pair.queue.shape[1]:
        what = f"{top_k!r} is none of 1 to {pair.queue.shape[1]}, the places of the queue"
        raise BadInput("top_k", what, "use fewer neighbours, or a longer queue")
    return top_k
